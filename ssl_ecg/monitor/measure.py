"""From a block of signal to its windows and beats: what can be said without knowing the patient's usual."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.embedding.run import embed_signal
from ssl_ecg.errors import SignalError
from ssl_ecg.features.qrs import REFRACTORY, r_peaks
from ssl_ecg.monitor.blocks import Block
from ssl_ecg.monitor.lead_rows import LeadRows
from ssl_ecg.monitor.likeness import local_noise
from ssl_ecg.monitor.quality import HUM, NOISY, SWAY, TENTHS, beyond_band, missing_and_off, settled
from ssl_ecg.monitor.second_look import broad_beats
from ssl_ecg.monitor.settings import LEVEL, MonitorSettings
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.signal import resample, resample_band

if TYPE_CHECKING:
    from torch import nn

Floats = NDArray[np.float64]
Kind = TypeVar("Kind", bound=np.generic)

RATE = 200.0
"""Beats are looked at with this rate [Hz] and band [Hz]."""
BAND = (0.5, 40.0)
QRS = (-0.10, 0.15)
"""The part of a beat that is compared lead by lead, from its R peak [s]."""
STRIP = (-0.3, 0.5)
"""The part that is embedded [s]."""
UNUSABLE = 0.2
"""A lead with so much of a window missing or off is not used in it."""
_SAME = 0.1  # a beat near the edge of a block may be placed on either side of it [s]
_LOWEST_RATE = 80.0


@dataclass(slots=True)
class MeasuredWindow:
    """A window.

    Attributes
    ----------
    start, end : float
        [s]
    state : {"gap", "lead_off", "noise", ""}
        Empty where it can be scored.
    usable : bool array (row,)
        Rows of the recording that are used.
    strip : float32 array (lead, time) or None
        In the form of the encoder; None where it cannot be scored.
    rate : float
        Heart rate [/min], NaN with fewer than three beats.
    """

    start: float
    end: float
    state: str
    usable: NDArray[np.bool_]
    strip: NDArray[np.float32] | None
    rate: float


@dataclass(slots=True)
class MeasuredBeats:
    """The beats of a block.

    Attributes
    ----------
    time : float64 array (beat,)
        R peaks [s].
    qrs : float32 array (beat, row, time)
        Around the R peak, less its level [mV].
    noise : float64 array (beat, row)
        Noise energy of `qrs`.
    usable, noisy : bool arrays (beat, row)
    vector : float32 array (beat, dim)
        Embedding.
    vector_noise : float64 array (beat,)
        Noise energy of `vector`.
    """

    time: Floats
    qrs: NDArray[np.float32]
    noise: Floats
    usable: NDArray[np.bool_]
    noisy: NDArray[np.bool_]
    vector: NDArray[np.float32]
    vector_noise: Floats

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_] | slice) -> MeasuredBeats:
        """Give some of the beats."""
        return MeasuredBeats(*(getattr(self, name)[rows] for name in BEAT_FIELDS))

    @classmethod
    def joined(cls, parts: list[MeasuredBeats]) -> MeasuredBeats:
        """Join beats that follow each other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in BEAT_FIELDS))


BEAT_FIELDS = ("time", "qrs", "noise", "usable", "noisy", "vector", "vector_noise")


@dataclass(frozen=True, slots=True)
class _Region:
    """A block in the forms that are needed; `begin` is its first sample's time [s]."""

    begin: float
    rows: NDArray[np.float32]
    form: NDArray[np.float32]
    missing: NDArray[np.bool_]
    off: NDArray[np.bool_]
    hum: Floats
    wander: Floats


class Measurer:
    """Measures blocks; keeps nothing between them but the time of the last beat.

    Parameters
    ----------
    encoder : nn.Module
        In evaluation mode, with `.dim` and `.preprocessing`.
    fs : float
        Rate of the stream [Hz], 80 or more.
    leads : sequence of str
        Its rows.
    settings : MonitorSettings

    Raises
    ------
    SignalError
        If the rate is too low or the encoder knows none of the leads.
    """

    def __init__(self, encoder: nn.Module, fs: float, leads: tuple[str, ...], settings: MonitorSettings) -> None:
        if not _LOWEST_RATE <= fs < np.inf:
            raise SignalError("monitor", f"{fs:g} Hz", f"give a recording of {_LOWEST_RATE:g} Hz or more")
        self.encoder, self.fs, self.settings = encoder, float(fs), settings
        self.form: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
        self.rows = LeadRows(leads, self.form.leads, self.form.shown)
        self.last_beat = -np.inf
        blank = np.zeros((1, len(self.form.leads), _samples(STRIP, self.form.fs)), np.float32)
        self.origin = embed_signal(encoder, blank)[0]

    def measure(self, block: Block) -> tuple[list[MeasuredWindow], MeasuredBeats]:
        """Give the windows that end in the core of a block, and the beats in it."""
        region = self._region(block)
        blocked = settled(region.missing | region.off)
        hidden = np.repeat(blocked, int(RATE / TENTHS), axis=-1)
        hidden = np.pad(hidden, ((0, 0), (0, max(0, region.rows.shape[1] - hidden.shape[1]))), mode="edge")
        seen = np.where(hidden[:, : region.rows.shape[1]], np.float32(np.nan), region.rows)
        peaks = r_peaks(seen, RATE)
        more = broad_beats(region.rows, peaks, RATE)
        peaks = np.union1d(peaks, more[np.isfinite(seen[:, more]).any(axis=0)]).astype(np.int64)
        beats = self._beats(region, blocked, peaks)
        windows = [self._window(region, beats, *bounds) for bounds in self._bounds(block)]
        return windows, self._answered_for(block, beats)

    def _region(self, block: Block) -> _Region:
        missing, off = missing_and_off(block.signal, self.fs)
        signal = block.signal
        if off.any():
            tenth = np.minimum((np.arange(signal.shape[1]) * (TENTHS / self.fs)).astype(np.intp), off.shape[1] - 1)
            signal = np.where(off[:, tenth], np.float32(np.nan), signal)
        plain = resample(signal, self.fs, RATE)
        rows = resample_band(signal, self.fs, RATE, BAND)
        form = resample_band(signal, self.fs, self.form.fs, self.form.band)
        hum, wander = beyond_band(plain, rows, RATE)
        return _Region(block.start / self.fs, np.nan_to_num(rows), np.nan_to_num(form), missing, off, hum, wander)

    def _beats(self, region: _Region, blocked: NDArray[np.bool_], peaks: NDArray[np.int64]) -> MeasuredBeats:
        """Describe all beats of a region; those near its ends are told by what there is."""
        time = region.begin + peaks / RATE
        around = _cut(region.rows, peaks, LEVEL, RATE)
        first, stop = (round((edge - LEVEL[0]) * RATE) for edge in QRS)
        qrs = around[..., first:stop] - np.median(around, axis=-1, keepdims=True)
        hidden = _cut(blocked, np.rint(peaks * (TENTHS / RATE)).astype(np.int64), STRIP, TENTHS)
        usable = np.asarray(~hidden.any(axis=-1), np.bool_)
        noise = np.stack([_noise_of(qrs[:, k], time, usable[:, k]) for k in range(qrs.shape[1])], axis=-1)
        power = np.stack([_running_power(qrs[:, k], time) for k in range(qrs.shape[1])], axis=-1)
        noisy = noise > NOISY * np.maximum(power, 1e-9)
        vector, vector_noise = self._embed_beats(region, peaks, usable, time)
        return MeasuredBeats(time, qrs, noise, usable, noisy, vector, vector_noise)

    def _embed_beats(
        self, region: _Region, peaks: NDArray[np.int64], usable: NDArray[np.bool_], time: Floats
    ) -> tuple[NDArray[np.float32], Floats]:
        fs = float(self.form.fs)
        strips = _cut(region.form, np.rint(peaks * (fs / RATE)).astype(np.int64), STRIP, fs)
        strips = strips - np.median(strips, axis=-1, keepdims=True)
        vectors = np.zeros((len(peaks), int(self.encoder.dim)), np.float32)  # type: ignore[arg-type]
        noise = np.full(len(peaks), np.nan)
        for mask in np.unique(usable, axis=0):
            if any(self.rows.present(mask)):
                members = np.flatnonzero((usable == mask).all(axis=1))
                vectors[members] = embed_signal(self.encoder, self.rows.place(strips[members], mask))
                noise[members] = local_noise(vectors[members], time[members])
        return vectors, noise

    def _answered_for(self, block: Block, beats: MeasuredBeats) -> MeasuredBeats:
        """Choose the beats of the core; one at its edge that both blocks see counts once."""
        first, stop = (edge / self.fs for edge in block.core)
        inside = (beats.time >= first - _SAME) & (beats.time < stop) & (beats.time > self.last_beat + REFRACTORY / 2)
        if inside.any():
            self.last_beat = float(beats.time[inside][-1])
        return beats.take(inside)

    def _bounds(self, block: Block) -> list[tuple[float, float]]:
        """Give start and end of the windows that end in the core, and of one at the end of the stream [s]."""
        first, stop = (edge / self.fs for edge in block.core)
        length, hop = self.settings.window, self.settings.hop
        numbers = range(int(first / hop), int(stop / hop) + 2)
        ends = [k * hop for k in numbers if first + 1e-6 < k * hop <= stop + 1e-6 and k * hop >= length - 1e-6]
        if block.last and stop >= length and stop - (ends[-1] if ends else int(first / hop) * hop) > 0.5:
            ends.append(stop)
        return [(end - length, end) for end in ends]

    def _window(self, region: _Region, beats: MeasuredBeats, start: float, end: float) -> MeasuredWindow:
        missing, off = (_part(flags, start, end, region.begin, TENTHS) for flags in (region.missing, region.off))
        gone = missing.mean(axis=-1) > UNUSABLE
        away = (missing | off).mean(axis=-1) > UNUSABLE
        usable = ~away
        state = "gap" if gone.all() else "lead_off" if away.all() else ""
        inside = (beats.time >= start) & (beats.time < end)
        if not state:
            noisy = self._noisy(region, beats.take(inside), start, end)
            state = "noise" if noisy[usable].all() else ""
            usable = usable & ~noisy
            if not state and not any(self.rows.present(usable)):  # what is left are rows that the encoder knows not
                state = (
                    "noise" if any(self.rows.present(~away)) else "lead_off" if any(self.rows.present(~gone)) else "gap"
                )
        if state:
            return MeasuredWindow(start, end, state, usable, None, _heart_rate(beats.time[inside]))
        fs = float(self.form.fs)
        length = round(self.settings.window * fs)
        begin = min(max(0, round((start - region.begin) * fs)), max(0, region.form.shape[1] - length))
        strip = self.rows.place(region.form[:, begin : begin + length], usable)
        return MeasuredWindow(start, end, state, usable, strip, _heart_rate(beats.time[inside]))

    def _noisy(self, region: _Region, beats: MeasuredBeats, start: float, end: float) -> NDArray[np.bool_]:
        hum, wander = (_part(rows, start, end, region.begin, RATE) for rows in (region.hum, region.wander))
        noisy = (np.sqrt(np.mean(np.square(hum), axis=-1)) > HUM) | (np.ptp(wander, axis=-1) > SWAY)
        if len(beats.time) >= 3:
            noisy |= np.mean(beats.noisy, axis=0) > 0.5
        return np.asarray(noisy, np.bool_)


def _samples(span: tuple[float, float], fs: float) -> int:
    return round(span[1] * fs) - round(span[0] * fs)


def _cut(rows: NDArray[Kind], at: NDArray[np.int64], span: tuple[float, float], fs: float) -> NDArray[Kind]:
    """Cut (beat, row, time) around samples; beyond the ends the last sample is repeated."""
    steps = np.arange(round(span[0] * fs), round(span[1] * fs))
    index = np.clip(at[:, None] + steps, 0, rows.shape[1] - 1)
    return np.ascontiguousarray(np.moveaxis(rows[:, index], 0, 1))


def _part(rows: NDArray[Kind], start: float, end: float, begin: float, fs: float) -> NDArray[Kind]:
    first = max(0, round((start - begin) * fs))
    return rows[:, first : max(first + 1, round((end - begin) * fs))]


def _noise_of(vectors: NDArray[np.float32], time: Floats, usable: NDArray[np.bool_]) -> Floats:
    out = np.full(len(time), np.nan)
    out[usable] = local_noise(vectors[usable], time[usable])
    return out


def _running_power(vectors: NDArray[np.float32], time: Floats) -> Floats:
    """Give the usual energy of the complexes within five seconds of each beat."""
    energy = np.square(vectors, dtype=np.float64).sum(axis=1)
    firsts, stops = np.searchsorted(time, time - 5.0), np.searchsorted(time, time + 5.0)
    return np.array([np.median(energy[a:b]) for a, b in zip(firsts, stops, strict=True)])


def _heart_rate(time: Floats) -> float:
    return 60.0 / float(np.median(np.diff(time))) if len(time) >= 3 else float("nan")
