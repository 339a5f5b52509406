"""Statistics of each lead, of the recording itself and of its wavelet bands."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

WAVELET, LEVEL = "db10", 4
PERCENTILES = (5, 25, 50, 75, 95)
STATISTICS = ("p5", "p25", "median", "p75", "p95", "mean", "sd", "variance", "entropy")
SIGNALS = ("raw", "a4", "d4", "d3", "d2", "d1")
"""The recording, the approximation of level 4 and the details of levels 4 to 1."""
_BINS, _HALF_WIDTH = 32, 4.0  # of the histogram behind the entropy; the width in standard deviations


def lead_statistics(signal: NDArray[np.floating]) -> NDArray[np.float64]:
    """Describe every lead by statistics of its samples and of its wavelet coefficients.

    Parameters
    ----------
    signal : array (lead, time) [mV]
        Finite.

    Returns
    -------
    float64 array (lead, signal, statistic)
        In the order of `SIGNALS` and `STATISTICS`. The bands halve from one to the next below half of the sampling
        rate; recordings of different rates are not to be compared.

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    """
    bands = [signal, *_wavelet_bands(signal)]
    return np.stack([_describe(np.asarray(band, np.float64)) for band in bands], axis=1)


def entropy(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the evenness of the distribution of values, from 0 (one value) to 1.

    Shannon's entropy of a histogram of 32 equal bins from -4 to 4 standard deviations about the mean (what lies
    beyond counts to the outermost), with Miller and Madow's correction for the number of values, divided by ln 32. It
    depends neither on amplitude nor, but for the accuracy, on length.

    Parameters
    ----------
    values : array (..., time)

    Returns
    -------
    float64 array (...)
        0 where nothing varies.

    References
    ----------
    Miller 1955, Note on the bias of information estimates, in Information Theory in Psychology, 95-100.

    Examples
    --------
    >>> entropy(np.stack([np.random.default_rng(0).normal(size=10000), np.ones(10000)])).round(2).tolist()
    [0.81, 0.0]
    """
    rows = np.asarray(values, np.float64).reshape(-1, np.shape(values)[-1])
    n = rows.shape[1]
    sd = rows.std(axis=-1, keepdims=True)
    varies = sd[:, 0] > 1e-9 * np.abs(rows).max(axis=-1, initial=0)
    score = (rows - rows.mean(axis=-1, keepdims=True)) / np.where(varies[:, None], sd, 1)
    bins = np.clip(((score + _HALF_WIDTH) * (_BINS / (2 * _HALF_WIDTH))).astype(np.int64), 0, _BINS - 1)
    bins += _BINS * np.arange(len(rows))[:, None]
    share = np.bincount(bins.ravel(), minlength=_BINS * len(rows)).reshape(-1, _BINS) / max(n, 1)
    shannon = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)
    corrected = shannon + ((share > 0).sum(axis=-1) - 1) / (2 * max(n, 1))
    out = np.where(varies, np.minimum(corrected / np.log(_BINS), 1.0), 0.0).reshape(np.shape(values)[:-1])
    return np.asarray(out)


def _describe(values: NDArray[np.float64]) -> NDArray[np.float64]:
    percentiles = np.percentile(values, PERCENTILES, axis=-1)
    variance = values.var(axis=-1)
    rest = (values.mean(axis=-1), np.sqrt(variance), variance, entropy(values))
    return np.stack([*percentiles, *rest], axis=-1)


def _wavelet_bands(signal: NDArray[np.floating]) -> list[NDArray[np.floating]]:
    """Give the coefficients of the approximation and the details, from low to high frequencies."""
    pywt = pywavelets()
    approximation, details = np.asarray(signal, np.float64), []
    for _ in range(LEVEL):
        approximation, detail = pywt.dwt(approximation, WAVELET, mode="symmetric", axis=-1)
        details.append(detail)
    return [approximation, *reversed(details)]


def pywavelets() -> Any:
    """Give the package PyWavelets.

    Raises
    ------
    SignalError
        If it is not installed.
    """
    try:
        import pywt
    except ImportError as error:
        raise SignalError("features", "PyWavelets is not installed", "pip install PyWavelets") from error
    return pywt
