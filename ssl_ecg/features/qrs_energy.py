"""From a recording to one trace that is high in QRS complexes and low elsewhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.signal import FLAT, resample_band
from ssl_ecg.spectral import filled

Floats = NDArray[np.floating]

RATE = 200.0
"""Rate of the trace, as in the paper [Hz]."""
BAND = (8.0, 20.0)
"""Where QRS complexes stand out against P and T waves, wander and muscle [Hz]."""
WINDOW = 0.15
"""Of the moving average: about a wide QRS complex [s]."""
STILL = 0.5
"""A lead that moves by less than `FLAT` for so long says nothing there [s]."""
_STANDS_OUT = 3.0  # QRS complexes are so many times as high as what lies between; noise is not
_SPAN, _BLOCK = 10.0, 2.0  # leads are weighed anew in each span; a block holds at least one beat at 30 / min [s]


def silent(signal: NDArray[np.float32], fs: float) -> NDArray[np.bool_]:
    """Mark the samples that are missing or belong to a flat stretch.

    Parameters
    ----------
    signal : float32 array (lead, time) [mV]
    fs : float
        [Hz]

    Examples
    --------
    >>> silent(np.array([[0, 0, 0, 0, 1, 2, np.nan, 1]], np.float32), 8)[0].astype(int).tolist()
    [1, 1, 1, 1, 0, 0, 1, 0]
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    missing = ~np.isfinite(signal)
    known = np.where(missing, np.float32(0), signal)
    width = min(max(2, round(STILL * fs)), signal.shape[1])
    still = maximum_filter1d(known, width, axis=-1) - minimum_filter1d(known, width, axis=-1) < FLAT
    # a window that stands still is flat throughout, not in its centre only
    flat = maximum_filter1d(still.astype(np.uint8), width, axis=-1, origin=-1 if width % 2 == 0 else 0) > 0
    return np.asarray(missing | flat, np.bool_)


def qrs_trace(signal: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Band-pass, differentiate, square, average, and join the leads.

    Each lead is measured by its typical QRS complex, and counts for more the lower it is between them,
    which is judged every ten seconds, so that a lead that comes off does not count.

    Parameters
    ----------
    signal : float32 array (lead, time) [mV]
        NaN is bridged.
    fs : float
        [Hz]

    Returns
    -------
    float64 array (step,)
        At `RATE`, without delay; about 1 in a QRS complex. Root of the energy, so that it goes with amplitude.
    """
    from scipy.ndimage import uniform_filter1d

    narrow = resample_band(filled(signal)[0], fs, RATE, BAND)
    slope = np.zeros(narrow.shape, np.float64)
    slope[:, 2:-2] = 2 * narrow[:, 4:] + narrow[:, 3:-1] - narrow[:, 1:-3] - 2.0 * narrow[:, :-4]
    energy = uniform_filter1d(np.square(slope), round(WINDOW * RATE) | 1, axis=-1, mode="constant")
    return _joined(np.sqrt(np.maximum(energy, 0)))


def _joined(traces: NDArray[np.float64]) -> NDArray[np.float64]:
    n = traces.shape[1]
    edges = np.linspace(0, n, max(1, round(n / (_SPAN * RATE))) + 1).astype(int)
    spans = [traces[:, first:last] for first, last in pairwise(edges.tolist())]
    high = np.stack([_typical_peak(span) for span in spans], axis=-1)  # (lead, span)
    between = np.stack([np.median(span, axis=-1) for span in spans], axis=-1)
    size = np.median(high, axis=-1, keepdims=True)
    heard = (high > 0) & (high > 0.05 * size)
    contrast = np.where(heard, 1 - between / np.where(heard, high, 1), 0) ** 4
    middle = (edges[:-1] + edges[1:]) / 2
    weights = np.stack([np.interp(np.arange(n), middle, row) for row in contrast])
    weights /= np.maximum(weights.sum(axis=0), 1e-9)
    return np.asarray((weights * traces / np.where(size > 0, size, np.inf)).sum(axis=0))


def _typical_peak(span: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median over blocks of each lead's highest value."""
    block = min(round(_BLOCK * RATE), span.shape[1])
    whole = span[:, : span.shape[1] // block * block]
    return np.asarray(np.median(whole.reshape(len(span), -1, block).max(axis=-1), axis=-1))


def levels(trace: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the height of QRS complexes and of what lies between, as both change with time; (step,) each.

    Medians over seven blocks of two seconds: a burst of noise does not raise them, and after a change of
    amplitude they follow. Where nothing stands out, as in a pause, QRS complexes are expected to be at least half
    as high as elsewhere.
    """
    from scipy.ndimage import median_filter

    n = len(trace)
    edges = np.linspace(0, n, max(1, round(n / (_BLOCK * RATE))) + 1).astype(int)
    high = median_filter(np.maximum.reduceat(trace, edges[:-1]), 7, mode="reflect")
    low = np.array([np.median(trace[first:last]) for first, last in pairwise(edges.tolist())])
    low = median_filter(low, 7, mode="reflect")
    loud = high[high > 0]
    elsewhere = float(np.median(loud)) if loud.size else np.inf  # where nothing is heard, nothing is found
    high = np.maximum(high, np.where(high > _STANDS_OUT * low, 0.2, 0.5) * elsewhere)
    middle, steps = (edges[:-1] + edges[1:]) / 2, np.arange(n)
    return np.interp(steps, middle, high), np.interp(steps, middle, low)
