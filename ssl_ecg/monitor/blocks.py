"""Cuts a stream of any chunk size into blocks on a fixed grid, each with signal around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.monitor.settings import LEFT, RIGHT, MonitorSettings


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the stream.

    Attributes
    ----------
    number : int
    signal : float32 array (lead, time) [mV]
        The block with what is before and after it.
    start : int
        Where `signal` begins [samples of the stream].
    core : (int, int)
        What the block answers for [samples of the stream].
    last : bool
        Nothing comes after it.
    """

    number: int
    signal: NDArray[np.float32]
    start: int
    core: tuple[int, int]
    last: bool = False


class BlockCutter:
    """Keeps no more than a block and what is around it.

    Parameters
    ----------
    n_leads : int
    fs : float
        [Hz]
    settings : MonitorSettings

    Examples
    --------
    >>> cutter = BlockCutter(1, 10.0, MonitorSettings())
    >>> [block.core for block in cutter.feed(np.zeros((1, 160), np.float32))]
    [(0, 50), (50, 100)]
    >>> [block.core for block in cutter.finish()]
    [(100, 150), (150, 160)]
    """

    def __init__(self, n_leads: int, fs: float, settings: MonitorSettings, *, number: int = 0) -> None:
        self.fs, self.settings, self.number = fs, settings, number
        longest = round((LEFT + 2 * settings.block + RIGHT) * fs) + 2
        self._memory = np.empty((n_leads, longest), np.float32)
        self.start = self._region(number)[0]
        self._held = 0

    @property
    def fed(self) -> int:
        """Samples that have come in, from the beginning of the stream."""
        return self.start + self._held

    def feed(self, chunk: NDArray[np.float32]) -> Iterator[Block]:
        """Take samples (lead, time) and give the blocks that they complete."""
        at = 0
        while at < chunk.shape[1]:
            stop = self._region(self.number)[1]
            step = min(chunk.shape[1] - at, stop - self.fed)
            self._memory[:, self._held : self._held + step] = chunk[:, at : at + step]
            self._held += step
            at += step
            if self.fed == stop:
                yield self._cut(stop)

    def finish(self) -> Iterator[Block]:
        """Give what is left when the stream has ended."""
        total = self.fed
        while self._core(self.number)[0] < total:
            yield self._cut(total, last=self._core(self.number)[1] >= total)

    def _cut(self, stop: int, last: bool = False) -> Block:
        first, end = self._core(self.number)
        held = self._memory[:, : stop - self.start].copy()
        block = Block(self.number, held, self.start, (first, min(end, stop)), last)
        self.number += 1
        following = min(self._region(self.number)[0], self.fed)
        self._memory[:, : self.fed - following] = self._memory[:, following - self.start : self._held].copy()
        self._held, self.start = self.fed - following, following
        return block

    def _core(self, number: int) -> tuple[int, int]:
        block = self.settings.block
        return round(number * block * self.fs), round((number + 1) * block * self.fs)

    def _region(self, number: int) -> tuple[int, int]:
        first, stop = self._core(number)
        return max(0, first - round(LEFT * self.fs)), stop + round(RIGHT * self.fs)
