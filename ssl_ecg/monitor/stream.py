"""Watches a stream: samples in, events out, with bounded memory and a stated latency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.embedding.run import embed_signal
from ssl_ecg.errors import SignalError
from ssl_ecg.monitor.baseline import BeatBaseline, WindowBaseline
from ssl_ecg.monitor.blocks import Block, BlockCutter
from ssl_ecg.monitor.episodes import EpisodeJoiner
from ssl_ecg.monitor.events import Beat, Event, State, Window
from ssl_ecg.monitor.intervals import Intervals
from ssl_ecg.monitor.measure import MeasuredBeats, MeasuredWindow, Measurer
from ssl_ecg.monitor.settings import LEFT, MonitorSettings

if TYPE_CHECKING:
    from torch import nn

Measured = tuple[list[MeasuredWindow], MeasuredBeats]

PATIENCE = 4.0
"""A baseline that cannot be learned after so many times its length is begun anew."""


@dataclass(slots=True)
class Parts:
    """What a monitor keeps from block to block, its baseline apart."""

    cutter: BlockCutter
    measurer: Measurer
    episodes: EpisodeJoiner
    intervals: Intervals = field(default_factory=Intervals)
    recent: list[Beat] = field(default_factory=list)


class Monitor:
    """Watches one recording or live stream.

    The patient's usual is learned from the first minutes, which may hold unusual beats; events about them come when
    it is learned. After that an event about time t (the start of a window, the R peak of a beat, the announced
    start of an episode) is out before t + `latency` + the window's length has been fed, and one about a beat before
    t + `latency`; an episode ends `merge` seconds later. Whatever the chunks in which samples come, the events are
    the same.

    Parameters
    ----------
    encoder : nn.Module
        (batch, lead, time) -> (batch, dim), in evaluation mode, with `.dim` and `.preprocessing`.
    fs : float
        Rate of the stream [Hz], 80 or more.
    leads : sequence of str
        Names of its rows; at least one must be a lead of the encoder, the others are absent.
    settings : MonitorSettings, optional
    reference : array (record, dim), optional
        Embeddings of what counts as usual for windows; beats are always judged by the patient's own.

    Raises
    ------
    SignalError
        If rate, leads or reference do not fit.

    Examples
    --------
    >>> from ssl_ecg.models.conv1d import Conv1DEncoder
    >>> monitor = Monitor(Conv1DEncoder(widths=(4, 8)).eval(), 250.0, ["II"])
    >>> monitor.feed(np.zeros((1, 500), np.float32)), monitor.latency
    ([], 10.0)
    >>> [event.state for event in monitor.finish()]
    []
    """

    def __init__(
        self,
        encoder: nn.Module,
        fs: float,
        leads: Sequence[str],
        *,
        settings: MonitorSettings | None = None,
        reference: NDArray[np.floating] | None = None,
    ) -> None:
        self.settings = settings or MonitorSettings()
        self.leads = tuple(leads)
        self.encoder = encoder
        self.parts = Parts(
            BlockCutter(len(self.leads), float(fs), self.settings),
            Measurer(encoder, fs, self.leads, self.settings),
            EpisodeJoiner(self.settings.merge),
        )
        self.beats: BeatBaseline | None = None
        self.windows: WindowBaseline | None = None
        if reference is not None:
            self._check_reference(reference)
            self.windows = WindowBaseline.of_vectors(reference)
        self._reference = reference is not None
        self._waiting: list[Measured] = []
        self._begun = 0.0

    @property
    def latency(self) -> float:
        """Seconds of signal that must follow a time before the events about it are out."""
        return self.settings.latency

    @property
    def fed(self) -> int:
        """Samples that have come in."""
        return self.parts.cutter.fed

    @property
    def learning(self) -> bool:
        """Tell whether the baseline is still being learned."""
        return self.beats is None

    def feed(self, chunk: ArrayLike) -> list[Event]:
        """Take the next samples (lead, time) [mV], NaN where missing; give what can now be said.

        Raises
        ------
        SignalError
            If the shape does not fit the leads.
        """
        rows = np.asarray(chunk, np.float32)
        if rows.ndim != 2 or len(rows) != len(self.leads):
            raise SignalError("monitor", f"samples have shape {rows.shape}", f"give ({len(self.leads)}, time)")
        return [event for block in self.parts.cutter.feed(rows) for event in self._process(block)]

    def finish(self) -> list[Event]:
        """Say what remains to be said when the stream has ended."""
        events = [event for block in self.parts.cutter.finish() for event in self._process(block)]
        if self._waiting:
            events += self._learn(at_end=True)
        total = self.fed / self.parts.cutter.fs
        last = [replace(episode, end=min(episode.end, total)) for episode in self.parts.episodes.close()]
        return [*events, *last]

    def _process(self, block: Block) -> list[Event]:
        measured = self.parts.measurer.measure(block)
        time = block.core[1] / self.parts.cutter.fs
        if not self.learning:
            return self._judge(*measured, time)
        self._waiting.append(measured)
        if time - self._begun < self.settings.baseline:
            return []
        return self._learn(at_end=time - self._begun >= PATIENCE * self.settings.baseline)

    def _learn(self, *, at_end: bool) -> list[Event]:
        """Try to learn the baseline from what waits; if it can be learned, or nothing more is to come, judge that."""
        windows = [window for some, _ in self._waiting for window in some]
        beats = MeasuredBeats.joined([some for _, some in self._waiting])
        try:
            self.beats = BeatBaseline.fit(beats, self.parts.measurer.origin)
            if not self._reference:
                self.windows = WindowBaseline.fit(windows)
        except SignalError:
            self.beats = self.beats if at_end else None
            if not at_end:
                return []
        waiting, self._waiting = self._waiting, []
        events: list[Event] = []
        for some, their_beats in waiting:
            done = max([self._begun, *(window.end for window in some)])
            events += self._judge(some, their_beats, done)
            self._begun = done
        return events

    def _judge(self, windows: list[MeasuredWindow], measured: MeasuredBeats, time: float) -> list[Event]:
        """Score what was measured; `time` is up to where everything has been."""
        beats = self._judged_beats(measured)
        self.parts.recent += beats
        items: list[Beat | Window] = [*beats, *(self._judged_window(window) for window in windows)]
        self.parts.recent = [beat for beat in self.parts.recent if beat.time >= time - 2 * LEFT]
        items.sort(key=lambda item: item.end if isinstance(item, Window) else item.time)
        events: list[Event] = []
        for item in items:
            events += [item, *self.parts.episodes.add(item)]
        return events + list(self.parts.episodes.passed(time + self.settings.hop - self.settings.window))

    def _judged_beats(self, measured: MeasuredBeats) -> list[Beat]:
        rr, share = self.parts.intervals.add(measured.time)
        threshold = self.settings.beat_threshold
        scores = np.full(len(rr), np.nan) if self.beats is None else self.beats.score(measured, share)
        out = []
        for time, score, interval in zip(measured.time.tolist(), scores.tolist(), rr.tolist(), strict=True):
            judged = "unusual" if score > threshold else "usual" if score == score else "noise"
            out.append(Beat(time, score, threshold, interval, "unknown" if self.beats is None else judged))  # type: ignore[arg-type]
        return out

    def _judged_window(self, window: MeasuredWindow) -> Window:
        score, nearest = float("nan"), ()
        if window.strip is not None and self.windows is not None:
            score, nearest = self.windows.score(window.strip, self._embed)  # type: ignore[assignment]
        inside = [beat for beat in self.parts.recent if window.start <= beat.time < window.end]
        unusual = sum(beat.label == "unusual" for beat in inside)
        threshold = self.settings.window_threshold
        state: State = "anomaly" if score > threshold or unusual else "normal"
        if self.beats is None and self.windows is None:
            state = "unknown"
        leads = tuple(name for name, used in zip(self.leads, window.usable, strict=True) if used)
        return Window(
            window.start,
            window.end,
            window.state or state,  # type: ignore[arg-type]
            score,
            threshold,
            window.rate,
            () if window.state in ("gap", "lead_off") else leads,
            len(inside),
            unusual,
            max((beat.score for beat in inside if beat.score == beat.score), default=float("nan")),
            nearest,
        )

    def _embed(self, strips: NDArray[np.float32]) -> NDArray[np.float32]:
        return embed_signal(self.encoder, np.ascontiguousarray(strips))

    def _check_reference(self, reference: NDArray[np.floating]) -> None:
        dim = int(self.encoder.dim)  # type: ignore[arg-type]
        if np.ndim(reference) != 2 or np.shape(reference)[1] != dim:
            problem = f"embeddings of shape {np.shape(reference)}, the encoder gives {dim} numbers"
            raise SignalError("reference", problem, "give embeddings of the same encoder")


def monitor_stream(
    blocks: Iterable[ArrayLike],
    encoder: nn.Module,
    *,
    fs: float,
    leads: Sequence[str],
    settings: MonitorSettings | None = None,
    reference: NDArray[np.floating] | None = None,
) -> Iterator[Event]:
    """Watch a stream of blocks (lead, time) [mV] of any length; `Monitor` says what the events mean.

    Examples
    --------
    >>> from ssl_ecg.models.conv1d import Conv1DEncoder
    >>> encoder = Conv1DEncoder(widths=(4, 8)).eval()
    >>> blocks = (np.zeros((1, 100)) for _ in range(60))
    >>> [event.state for event in monitor_stream(blocks, encoder, fs=250.0, leads=["II"])]
    ['lead_off', 'lead_off', 'lead_off', 'lead_off']
    """
    monitor = Monitor(encoder, fs, leads, settings=settings, reference=reference)
    for block in blocks:
        yield from monitor.feed(block)
    yield from monitor.finish()
