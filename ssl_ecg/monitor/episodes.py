"""Joins unusual windows and beats into episodes, as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ssl_ecg.monitor.events import Beat, Episode, Window
from ssl_ecg.monitor.settings import LEVEL


class EpisodeJoiner:
    """Keeps the one episode that is going on.

    Parameters
    ----------
    merge : float
        Pieces no farther apart belong together [s].

    Examples
    --------
    >>> joiner = EpisodeJoiner(10.0)
    >>> beats = [Beat(t, 4.0, 2.5, 0.8, "unusual") for t in (20.0, 25.0, 60.0)]
    >>> found = [episode for beat in beats for episode in joiner.add(beat)] + list(joiner.close())
    >>> [(e.ended, round(e.start, 2), e.beats) for e in found]
    [(False, 19.75, 1), (True, 19.75, 2), (False, 59.75, 1), (True, 59.75, 1)]
    """

    def __init__(self, merge: float) -> None:
        self.merge = merge
        self.current: Episode | None = None

    def add(self, event: Window | Beat) -> Iterator[Episode]:
        """Take a window or beat; give the episode that it begins."""
        self._add_neighbours(event)
        piece = _piece(event)
        if piece is None:
            return
        if self.current is not None and piece.start > self.current.end + self.merge:
            yield from self.close()
        if self.current is None:
            self.current = piece
            yield replace(piece, ended=False)
        else:
            self.current = _joined(self.current, piece)

    def _add_neighbours(self, event: Window | Beat) -> None:
        """Take the neighbours of the window around the peak where the peak is a beat."""
        now = self.current
        if now is not None and not now.nearest and isinstance(event, Window) and event.start <= now.peak < event.end:
            self.current = replace(now, nearest=event.nearest)

    def passed(self, time: float) -> Iterator[Episode]:
        """Give the episode that is over once everything up to a time has been seen [s]."""
        if self.current is not None and time > self.current.end + self.merge:
            yield from self.close()

    def close(self) -> Iterator[Episode]:
        """End the episode that is going on."""
        if self.current is not None:
            yield self.current
            self.current = None


def _piece(event: Window | Beat) -> Episode | None:
    if isinstance(event, Beat):
        if event.label != "unusual":
            return None
        start, end = max(0.0, event.time + LEVEL[0]), event.time + LEVEL[1]
        return Episode(start, end, event.time, event.score - event.threshold, 1, 0)
    if event.state in ("normal", "anomaly") and event.score > event.threshold:
        middle = (event.start + event.end) / 2
        return Episode(event.start, event.end, middle, event.score - event.threshold, 0, 1, event.nearest)
    return None


def _joined(one: Episode, other: Episode) -> Episode:
    best = one if one.score >= other.score else other
    return Episode(
        min(one.start, other.start),
        max(one.end, other.end),
        best.peak,
        best.score,
        one.beats + other.beats,
        one.windows + other.windows,
        best.nearest,
    )
