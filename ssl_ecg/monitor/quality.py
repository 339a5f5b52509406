"""What of a lead can be used: gaps, leads that are off, noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.signal import FLAT, IMPLAUSIBLE, REST

Flags = NDArray[np.bool_]

TENTHS = 10.0
"""Gaps and leads that are off are told in tenths of a second."""
STILL = 1.0
"""A lead that stands still for so long is off [s]."""
RAIL = 0.2
"""A lead that stands still for so long away from its median is saturated, which counts as off [s]."""
SETTLE = 0.3
"""What is around a gap or a lead that was off is not used either [s]."""
NOISY = 0.25
"""A lead is noisy where the noise power of a beat is this part of the power of the usual QRS complex."""
HUM, SWAY = 0.25, 6.0
"""A lead is noisy with so much beyond the pass band (root mean square), or so much wander (range) [mV]."""


def tenths(n_samples: int, fs: float) -> NDArray[np.int64]:
    """Give the first sample of each tenth of a second.

    Examples
    --------
    >>> tenths(10, 25.0).tolist()
    [0, 2, 5, 8]
    """
    return np.asarray(np.rint(np.arange(max(1, round(n_samples * TENTHS / fs))) * fs / TENTHS), np.int64)


def missing_and_off(signal: NDArray[np.float32], fs: float) -> tuple[Flags, Flags]:
    """Mark where leads have no samples, and where they are off.

    Parameters
    ----------
    signal : float32 array (lead, time) [mV]
        Before any filter.
    fs : float
        [Hz]

    Returns
    -------
    missing, off : bool arrays (lead, tenth)
        Off is a lead that stands still for a second, rests for 0.2 s a quarter of a millivolt or more away from
        its median, or moves by more than 20 mV within a second.

    Examples
    --------
    >>> moving = np.sin(np.arange(300.0, dtype=np.float32))
    >>> still = np.where(np.arange(300) < 150, moving, np.float32(0.3))
    >>> missing, off = missing_and_off(np.stack([moving, still]), 100.0)
    >>> off[:, 5].tolist(), off[:, 25].tolist(), bool(missing.any())
    ([False, False], [False, True], False)
    """
    edges = tenths(signal.shape[1], fs)
    bad = ~np.isfinite(signal)
    missing = np.logical_or.reduceat(bad, edges, axis=-1)
    high = np.maximum.reduceat(np.where(bad, -np.inf, signal), edges, axis=-1)
    low = np.minimum.reduceat(np.where(bad, np.inf, signal), edges, axis=-1)
    centre = np.zeros((len(signal), 1))
    for k, row in enumerate(signal[:, :: max(1, round(fs / 50))]):
        known = row[np.isfinite(row)]
        centre[k] = np.median(known) if known.size else 0.0
    still = _held(high, low, round(STILL * TENTHS))
    level = np.where(missing, centre, (np.where(missing, 0, high) + np.where(missing, 0, low)) / 2)
    rail = _held(high, low, round(RAIL * TENTHS)) & (np.abs(level - centre) >= REST)
    wide = round(TENTHS)
    leaps = _rolling(np.fmax, high, wide) - _rolling(np.fmin, low, wide) > IMPLAUSIBLE[1]
    return missing, (still | rail | leaps) & ~missing


@np.errstate(invalid="ignore")
def _held(high: NDArray[np.floating], low: NDArray[np.floating], length: int) -> Flags:
    """Mark the tenths that belong to a run of so many in which the lead does not move."""
    n = high.shape[1]
    if n < length:
        return np.zeros(high.shape, np.bool_)
    view = np.lib.stride_tricks.sliding_window_view
    quiet = view(high, length, axis=-1).max(axis=-1) - view(low, length, axis=-1).min(axis=-1) < FLAT
    out = np.zeros(high.shape, np.bool_)
    for k in range(length):
        out[:, k : k + quiet.shape[1]] |= quiet
    return out


def _rolling(function: np.ufunc, rows: NDArray[np.floating], length: int) -> NDArray[np.floating]:
    out = rows.copy()
    for k in range(1, min(length, rows.shape[1])):
        out[:, :-k] = function(out[:, :-k], rows[:, k:])
    return out


def settled(flags: Flags) -> Flags:
    """Widen flags by `SETTLE` on both sides.

    Examples
    --------
    >>> settled(np.array([[0, 0, 0, 0, 1, 0, 0, 0, 0]], bool)).astype(int).tolist()
    [[0, 1, 1, 1, 1, 1, 1, 1, 0]]
    """
    out = flags.copy()
    for k in range(1, round(SETTLE * TENTHS) + 1):
        out[:, k:] |= flags[:, :-k]
        out[:, :-k] |= flags[:, k:]
    return out


def beyond_band(plain: NDArray[np.float32], passed: NDArray[np.float32], fs: float) -> tuple[NDArray[np.float64], ...]:
    """Split what a filter took away into hum (above the band) and wander (below it).

    Parameters
    ----------
    plain, passed : float32 arrays (lead, time) [mV]
        Before and after the filter.
    fs : float
        [Hz]

    Returns
    -------
    hum, wander : float64 arrays (lead, time) [mV]
    """
    from scipy.ndimage import uniform_filter1d

    rest = np.nan_to_num(plain - passed).astype(np.float64)
    wander = uniform_filter1d(rest, max(3, round(0.25 * fs)), axis=-1)
    return rest - wander, wander
