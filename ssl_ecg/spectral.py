"""One pass of a zero-phase filter and a change of rate, through the spectrum.

A recording is extended into one smooth period, its spectrum is multiplied by a real gain, cut or extended at
the new Nyquist frequency, and transformed back. What depends on length, rate and filter alone is a `Plan`,
made once and kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

Rows = NDArray[np.float32]

_TAPER = 0.9  # the anti-aliasing gain falls from here to zero at the lower Nyquist frequency
_ROWS_AT_ONCE = 2**22  # samples; longer recordings are filtered lead by lead


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one pass needs.

    Attributes
    ----------
    n_in, n_out : int
        Samples before and after.
    padded_in, padded_out : int
        Samples of the period, which lasts exactly as long at both rates.
    fade : float32 array (padded_in - n_in,)
        Falls from 1 to 0 over the bridge from the end of the recording back to its start.
    gain : float32 array (bin,) or None
        None: nothing to do.
    """

    n_in: int
    n_out: int
    padded_in: int
    padded_out: int
    fade: Rows
    gain: Rows | None = None


@lru_cache(maxsize=64)
def band_plan(n: int, fs_in: float, fs_out: float, low: float | None, high: float | None, order: int) -> Plan:
    """Plan a change of rate and a Butterworth band pass; edges in [Hz], None where open."""
    # 40 samples outlast the ringing of the anti-aliasing taper; 1.25 periods, that of the lower edge
    bridge = max(40.0 / fs_out, 40.0 / fs_in, min(1.25 / low, 1.25 * n / fs_in) if low else 0.0)
    plan = _lengths(n, fs_in, fs_out, bridge)
    bins = min(plan.padded_in, plan.padded_out) // 2 + 1
    freq = np.arange(bins, dtype=np.float64) * (fs_out / plan.padded_out)
    gain = butterworth_gain(freq, fs_out, low, high, order)
    if fs_in != fs_out:
        nyquist = min(fs_in, fs_out) / 2
        gain *= 0.5 + 0.5 * np.cos(np.pi * np.clip((freq / nyquist - _TAPER) / (1 - _TAPER), 0, 1))
    elif low is None and high is None:
        return plan
    return _with_gain(plan, gain)


@lru_cache(maxsize=16)
def notch_plan(n: int, fs: float, freq: float, quality: float) -> Plan:
    """Plan a second-order notch at `freq` [Hz]; `quality` is `freq` over the width of the notch."""
    plan = _lengths(n, fs, fs, max(40.0 / fs, 2 * quality / freq))
    w = 2 * np.pi * np.arange(plan.padded_in // 2 + 1) / plan.padded_in
    w0 = 2 * np.pi * freq / fs
    square = np.square(np.cos(w) - np.cos(w0))
    return _with_gain(plan, square / (square + np.square(np.tan(w0 / quality / 2) * np.sin(w))))


def butterworth_gain(
    freq: NDArray[np.float64], fs: float, low: float | None, high: float | None, order: int
) -> NDArray[np.float64]:
    """Give the squared magnitude of the digital (bilinear, prewarped) Butterworth design.

    Parameters
    ----------
    freq : array [Hz]
        From 0 to fs / 2.
    fs, low, high : float [Hz]
        `low` or `high` may be None, where that side is open.
    order : int
        As in ``scipy.signal.butter``.

    Examples
    --------
    >>> butterworth_gain(np.array([0.0, 0.5, 5.0, 40.0]), 100, 0.5, 40, 4).round(3).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    with np.errstate(divide="ignore", over="ignore"):
        w = np.tan(np.minimum(np.pi * freq / fs, np.pi / 2))
        a = np.tan(np.pi * low / fs) if low else 0.0
        b = np.tan(np.pi * high / fs) if high else np.inf
        if low and high:
            w = (w * w - a * b) / (w * (b - a))
        elif low:
            w = a / w
        elif high:
            w = w / b
        else:
            return np.ones_like(freq)
        return np.asarray(1 / (1 + np.square(w) ** order))


@np.errstate(over="ignore", invalid="ignore")
def run(x: Rows, plan: Plan) -> Rows:
    """Filter (..., time); samples that are not finite are bridged by a line and NaN in the result."""
    rows = x.reshape(-1, plan.n_in)
    step = len(rows) if rows.size <= _ROWS_AT_ONCE else 1
    parts = [_run(rows[k : k + step], plan) for k in range(0, len(rows), max(step, 1))]
    out = parts[0] if len(parts) == 1 else np.concatenate(parts) if parts else np.empty((0, plan.n_out), np.float32)
    return out.reshape(*x.shape[:-1], plan.n_out)


def _lengths(n: int, fs_in: float, fs_out: float, bridge: float) -> Plan:
    """Find padded lengths that last exactly as long at both rates, and are quick to transform."""
    from scipy.fft import next_fast_len

    ratio = _ratio(fs_in, fs_out)
    up, down = ratio.numerator, ratio.denominator
    periods = next_fast_len(max(1, ceil((n + ceil(bridge * fs_in)) / down)), real=True)
    gap = periods * down - n
    fade = 0.5 + 0.5 * np.cos(np.pi * np.arange(1, gap + 1) / (gap + 1))
    return Plan(n, ceil(n * up / down), periods * down, periods * up, fade.astype(np.float32))


def _ratio(fs_in: float, fs_out: float) -> Fraction:
    """Find the simplest ratio of the rates; after a day it is off by less than a sample."""
    if not 1e-4 <= fs_out / fs_in <= 1e4:
        problem = f"cannot go from {fs_in:g} to {fs_out:g} Hz"
        raise SignalError("fs", problem, "choose a rate nearer to the source's")
    for largest in (10**2, 10**3, 10**4, 10**5):
        ratio = Fraction(fs_out / fs_in).limit_denominator(largest)
        if abs(float(ratio) * fs_in / fs_out - 1) < 1e-8:
            break
    return ratio


def _with_gain(plan: Plan, gain: NDArray[np.float64]) -> Plan:
    return replace(plan, gain=(gain * (plan.padded_out / plan.padded_in)).astype(np.float32))


def _run(rows: Rows, plan: Plan) -> Rows:
    from scipy.fft import irfft, rfft

    missing = None
    if not np.isfinite(rows.sum()):  # quicker than to test each sample; a finite sum has finite terms only
        rows, missing = filled(rows)
    if plan.gain is None:
        out = rows.copy()
    else:
        spectrum = rfft(_bridged(rows, plan), axis=-1)[:, : plan.gain.size]
        spectrum *= plan.gain
        out = np.ascontiguousarray(irfft(spectrum, plan.padded_out, axis=-1)[:, : plan.n_out])
    if missing is not None:
        out[_resampled(missing, plan)] = np.nan
    return out


def _bridged(rows: Rows, plan: Plan) -> Rows:
    """Extend into one smooth period: the mirror image at the end fades into the one at the start.

    On real wander this halves the error in the first and last second, against the point reflection that
    forward and backward filters commonly begin with.
    """
    n, gap = plan.n_in, plan.padded_in - plan.n_in
    out = np.empty((len(rows), plan.padded_in), np.float32)
    out[:, :n] = rows
    bridge = out[:, n:]
    if gap < n:
        end, start = rows[:, n - 1 - gap : n - 1][:, ::-1], rows[:, 1 : gap + 1][:, ::-1]
    else:  # beyond its own length the image stands still
        step = np.arange(1, gap + 1)
        end, start = rows[:, np.maximum(n - 1 - step, 0)], rows[:, np.minimum(gap + 1 - step, n - 1)]
    np.subtract(end, start, out=bridge)
    bridge *= plan.fade
    bridge += start
    return out


def filled(rows: Rows) -> tuple[Rows, NDArray[np.bool_] | None]:
    """Bridge samples that are not finite by a line between their neighbours, and say which they were.

    Examples
    --------
    >>> rows, missing = filled(np.array([[1, np.nan, 3]], np.float32))
    >>> rows.tolist(), missing.tolist()
    ([[1.0, 2.0, 3.0]], [[False, True, False]])
    """
    good = np.isfinite(rows)
    if good.all():
        return rows, None
    rows = rows.copy()
    time = np.arange(rows.shape[1])
    for row, known in zip(rows, good, strict=True):
        row[~known] = np.interp(time[~known], time[known], row[known]) if known.any() else 0.0
    return rows, ~good


def _resampled(missing: NDArray[np.bool_], plan: Plan) -> NDArray[np.bool_]:
    """Mark the output samples whose nearest input sample is missing, and those nearest to a missing one."""
    ratio = plan.padded_out / plan.padded_in
    nearest = np.minimum(np.rint(np.arange(plan.n_out) / ratio).astype(np.intp), plan.n_in - 1)
    out = missing[:, nearest]
    lead, time = np.nonzero(missing)
    out[lead, np.minimum(np.rint(time * ratio).astype(np.intp), plan.n_out - 1)] = True
    return out
