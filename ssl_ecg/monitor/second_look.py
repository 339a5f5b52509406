"""Broad beats that a detector of steep complexes has passed over."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LONG = 1.4
"""Looked into are intervals that are so many times as long as those around them."""
TALL = 0.4
"""A beat rises to this part of the range of the usual complex, as the root mean square over the leads."""
CYCLE = 0.7
"""So much after an R peak the usual T wave is told from a beat [s]."""
AFTER, BEFORE = 0.25, 0.25
"""Nothing is looked for so near to the beats on both sides [s]."""
_FEWEST = 8
_COMPLEX, _ALIKE = 0.12, 0.3  # only after a usual beat: the T wave of another would be taken for a beat


def broad_beats(rows: NDArray[np.float32], peaks: NDArray[np.int64], fs: float) -> NDArray[np.int64]:
    """Find beats in unusually long intervals between R peaks.

    A ventricular beat without steep slopes is lower than a normal one in the band in which QRS complexes are sought,
    and the pause around it is what remains of it. In such a pause the largest departure from the usual cycle is a
    beat if it is about as large as the usual complex.

    Parameters
    ----------
    rows : float32 array (lead, time) [mV]
        Band-passed, finite.
    peaks : int64 array (beat,)
        R peaks [samples].
    fs : float
        [Hz]

    Returns
    -------
    int64 array (beat,)
        Further peaks; none with fewer than eight beats to compare with.
    """
    if len(peaks) < _FEWEST:
        return np.empty(0, np.int64)
    usual, size = _usual_cycle(rows, peaks, fs)
    rr = np.diff(peaks)
    found = []
    for k in np.flatnonzero(rr > LONG * _running_median(rr)):
        first, stop = peaks[k] + round(AFTER * fs), peaks[k + 1] - round(BEFORE * fs)
        if stop - first < round(0.05 * fs):
            continue
        piece = rows[:, peaks[k] : stop] - np.median(rows[:, peaks[k] : peaks[k + 1]], axis=-1, keepdims=True)
        known = min(piece.shape[1], usual.shape[1])
        piece[:, :known] -= usual[:, :known]
        height = np.sqrt(np.mean(np.square(piece / size[:, None]), axis=0))
        complex_, rest = height[: round(_COMPLEX * fs)], height[first - peaks[k] :]
        if rest.max() >= TALL and complex_.max() < _ALIKE:
            found.append(first + int(np.argmax(rest)))
    return np.array(found, np.int64)


def _usual_cycle(rows: NDArray[np.float32], peaks: NDArray[np.int64], fs: float) -> tuple[NDArray[np.float32], ...]:
    """Give the median of what follows R peaks, (lead, time), and the range of the median complex, (lead,)."""
    inside = peaks[(peaks >= round(0.1 * fs)) & (peaks + round(CYCLE * fs) < rows.shape[1])]
    if len(inside) < _FEWEST // 2:
        inside = np.clip(peaks, round(0.1 * fs), max(round(0.1 * fs), rows.shape[1] - round(CYCLE * fs) - 1))
    index = np.minimum(inside[:, None] + np.arange(-round(0.1 * fs), round(CYCLE * fs)), rows.shape[1] - 1)
    cycles = rows[:, index] - np.median(rows[:, index], axis=-1, keepdims=True)
    usual = np.median(cycles, axis=1)
    size = np.ptp(usual[:, : round(0.25 * fs)], axis=-1)
    return usual[:, round(0.1 * fs) :], np.maximum(size, 1e-3)


def _running_median(rr: NDArray[np.int64]) -> NDArray[np.float64]:
    padded = np.pad(rr.astype(np.float64), 4, mode="reflect" if len(rr) > 4 else "edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, 9), axis=-1))
