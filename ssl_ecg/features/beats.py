"""The averaged beat of a recording: intervals common to all leads, and amplitudes in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.signal import resample

Floats = NDArray[np.float64]

FINE = 500.0
"""Rate of the averaged beat [Hz]."""
BEFORE, AFTER = 0.3, 0.6
"""The averaged beat reaches so far from the R peak [s]."""
MOST_BEATS = 500
"""Of long recordings, so many beats are averaged, evenly spread."""
INTERVALS = ("qrs_width", "qt", "qtc", "p_to_qrs")
AMPLITUDES = ("p", "q", "r", "s", "st", "t", "qrs_area")
_QUIET_T, _QUIET_P = 0.03, 0.015  # root mean square over the leads below which there is no such wave [mV]


@dataclass(frozen=True, slots=True)
class Marks:
    """Where the waves of an averaged beat are [samples at `FINE`]; None where one was not found."""

    onset: int
    offset: int
    p: int | None
    t: int | None
    t_end: int | None


def beat_features(signal: NDArray[np.floating], peaks: NDArray[np.integer], fs: float) -> tuple[Floats, Floats]:
    """Measure the averaged beat.

    QRS onset and offset are where the spatial velocity (root of the sum of squares of the leads' derivatives) of the
    averaged beat falls to a twentieth of its maximum; the end of T where the steepest tangent to its
    falling limb, in the root mean square of the leads, meets the level after it.

    Parameters
    ----------
    signal : array (lead, time) [mV]
        Finite.
    peaks : int array (beat,)
        R peaks [samples].
    fs : float
        [Hz]

    Returns
    -------
    intervals : float64 array (4,)
        In the order of `INTERVALS`: QRS duration, QT, QT after Fridericia, peak of P to QRS onset [s]; NaN where a
        wave was not found.
    amplitudes : float64 array (lead, 7)
        In the order of `AMPLITUDES`: P, Q, R, S, ST 60 ms after the QRS, T [mV] against the level before the
        QRS, and the area of the QRS [mV s]; NaN where a wave was not found.

    References
    ----------
    Lepeschkin and Surawicz 1952, doi 10.1161/01.CIR.6.3.378 (tangent); Fridericia 1920, Acta Med Scand 53:469-486.
    """
    intervals, amplitudes = np.full(len(INTERVALS), np.nan), np.full((len(signal), len(AMPLITUDES)), np.nan)
    beat = averaged_beat(signal, peaks, fs)
    if beat is None:
        return intervals, amplitudes
    rr = float(np.median(np.diff(peaks))) / fs
    marks = delineate(beat, rr)
    beat = beat - beat[:, max(0, marks.onset - 10) : marks.onset + 1].mean(axis=-1, keepdims=True)
    intervals[0] = (marks.offset - marks.onset) / FINE
    if marks.t_end is not None:
        intervals[1] = (marks.t_end - marks.onset) / FINE
        intervals[2] = intervals[1] / rr ** (1 / 3)
    if marks.p is not None:
        intervals[3] = (marks.onset - marks.p) / FINE
    return intervals, _amplitudes(beat, marks)


def averaged_beat(signal: NDArray[np.floating], peaks: NDArray[np.integer], fs: float) -> Floats | None:
    """Give the median of the beats that lie inside the recording, at `FINE`; None with fewer than two.

    Returns
    -------
    float64 array (lead, time) or None
        [mV]; R is at ``round(BEFORE * FINE)``.
    """
    first, last = -round(BEFORE * fs), round(AFTER * fs)
    inside = peaks[(peaks + first >= 0) & (peaks + last < signal.shape[1])]
    if len(inside) < 2 or len(peaks) < 3:
        return None
    inside = inside[:: -(-len(inside) // MOST_BEATS)]
    beats = np.asarray(signal[:, inside[:, None] + np.arange(first, last + 1)], np.float64)
    beats -= np.median(beats, axis=-1, keepdims=True)
    fine = resample(np.median(beats, axis=1), fs, FINE).astype(np.float64)
    shift = round(BEFORE * FINE) - round(-first * FINE / fs)  # where a sample lasts longer than one at FINE
    return np.roll(fine, shift, axis=-1)


def delineate(beat: Floats, rr: float) -> Marks:
    """Find the waves of an averaged beat.

    Parameters
    ----------
    beat : array (lead, time) [mV]
        At `FINE`, with R at ``round(BEFORE * FINE)``.
    rr : float
        Usual interval between beats [s].
    """
    onset, offset = _qrs_bounds(beat)
    level = beat[:, max(0, onset - 10) : onset + 1].mean(axis=-1, keepdims=True)
    size = np.sqrt(np.mean(np.square(beat - level), axis=0))
    centre = round(BEFORE * FINE)
    end = min(beat.shape[1], centre + round(0.75 * rr * FINE))
    t = _peak(size, offset + round(0.06 * FINE), end, _QUIET_T)
    p = _peak(size, onset - round(0.22 * FINE), onset - round(0.03 * FINE), _QUIET_P)
    return Marks(onset, offset, p, t, None if t is None else _tangent_end(size, t, end))


def _qrs_bounds(beat: Floats) -> tuple[int, int]:
    centre, bridge = round(BEFORE * FINE), round(0.016 * FINE)
    velocity = np.sqrt(np.square(np.gradient(beat, axis=-1)).sum(axis=0))
    velocity = np.convolve(velocity, np.ones(5) / 5, mode="same")
    near = slice(centre - round(0.1 * FINE), centre + round(0.1 * FINE))
    highest, usual = velocity[near].max(), np.median(velocity)
    fast = velocity > usual + 0.05 * (highest - usual)
    start = near.start + int(np.argmax(velocity[near]))
    onset = _run_end(fast, start, -1, bridge, centre - round(0.14 * FINE))
    offset = _run_end(fast, start, 1, bridge, centre + round(0.18 * FINE))
    return onset, offset


def _run_end(fast: NDArray[np.bool_], start: int, step: int, bridge: int, limit: int) -> int:
    """Go from `start` as long as gaps are no longer than `bridge`; give the last fast sample."""
    last = at = start
    while at != limit and abs(at - last) <= bridge:
        at += step
        if fast[at]:
            last = at
    return last


def _peak(size: Floats, first: int, stop: int, quiet: float) -> int | None:
    """Find the highest point inside a window: not one at its edge, and not below `quiet`."""
    first = max(first, 0)
    if stop - first < 5:
        return None
    at = first + int(np.argmax(size[first:stop]))
    return at if first < at < stop - 1 and size[at] >= quiet else None


def _tangent_end(size: Floats, t: int, end: int) -> int | None:
    falling = -np.gradient(size)[t:end]
    if len(falling) < 5 or falling.max() <= 0:
        return None
    steepest = t + int(np.argmax(falling))
    level = size[steepest:end].min()
    found = steepest + round((size[steepest] - level) / falling.max())
    return found if found < end else None


def _amplitudes(beat: Floats, marks: Marks) -> Floats:
    qrs = beat[:, marks.onset : marks.offset + 1]
    highest = qrs.argmax(axis=-1)
    step = np.arange(qrs.shape[1])
    before, after = step <= highest[:, None], step >= highest[:, None]
    missing = np.full(len(beat), np.nan)
    st = min(marks.offset + round(0.06 * FINE), beat.shape[1] - 1)
    columns = [
        missing if marks.p is None else beat[:, marks.p],
        np.where(before, qrs, 0).min(axis=-1),
        np.maximum(qrs.max(axis=-1), 0),
        np.where(after, qrs, 0).min(axis=-1),
        beat[:, st],
        missing if marks.t is None else beat[:, marks.t],
        qrs.sum(axis=-1) / FINE,
    ]
    return np.stack(columns, axis=-1)
