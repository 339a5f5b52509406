"""Statistics of the intervals between R peaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RHYTHM = ("heart_rate", "rr_mean", "rr_sd", "rr_rmssd", "rr_min", "rr_max", "rr_irregular")
IRREGULAR = 0.15
"""An interval that differs from the record's median by more than this part of it is irregular."""


def rhythm_features(peaks: NDArray[np.integer], fs: float) -> NDArray[np.float64]:
    """Describe the rhythm.

    Parameters
    ----------
    peaks : int array (beat,)
        R peaks [samples].
    fs : float
        [Hz]

    Returns
    -------
    float64 array (7,)
        In the order of `RHYTHM`: beats per minute (from the median interval); mean, standard deviation, root mean
        square of successive differences, minimum and maximum of the intervals [s]; share of irregular intervals. NaN
        with fewer than three beats.

    Examples
    --------
    >>> rhythm_features(np.array([0, 100, 200, 300, 450]), 100).round(3).tolist()
    [60.0, 1.125, 0.217, 0.289, 1.0, 1.5, 0.25]
    """
    if len(peaks) < 3:
        return np.full(len(RHYTHM), np.nan)
    rr = np.diff(np.asarray(peaks, np.float64)) / fs
    usual = float(np.median(rr))
    rmssd = float(np.sqrt(np.mean(np.square(np.diff(rr)))))
    irregular = float(np.mean(np.abs(rr - usual) > IRREGULAR * usual))
    return np.array([60 / usual, rr.mean(), rr.std(), rmssd, rr.min(), rr.max(), irregular])
