"""Conformal p-values: how rare a score is among usual records that were not fitted, with a guarantee."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError

CALIBRATION_SHARE = 1 / 3


def conformal_p_values(calibration: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Give p = (1 + number of calibration scores that are at least as high) / (n + 1).

    A usual record, exchangeable with those of the calibration, has p <= a with a probability of at most a,
    whatever the detector and the distribution; on average over calibrations, not for each one.

    Parameters
    ----------
    calibration : array (record,)
        Scores of usual records that the detector was not fitted on.
    scores : array
        Scores of the same detector.

    References
    ----------
    Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715, section 2.2.
    Bates et al. 2023, arXiv:2104.08279, eq. 1.

    Examples
    --------
    >>> conformal_p_values([1.0, 2.0, 3.0], [0.0, 2.0, 9.0]).tolist()
    [1.0, 0.75, 0.25]
    """
    usual = np.sort(np.asarray(calibration, dtype=np.float64))
    lower = np.searchsorted(usual, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1 + len(usual) - lower) / (len(usual) + 1))


def conformal_threshold(calibration: ArrayLike, level: float) -> float:
    """Give the score above which, and only above which, p is at most ``level``.

    Raises
    ------
    SignalError
        If calibration records are too few: no score could have so small a p-value.

    Examples
    --------
    >>> conformal_threshold([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    usual = np.sort(np.asarray(calibration, dtype=np.float64))
    allowed = math.floor(level * (len(usual) + 1) + 1e-9) - 1  # scores that may be as high or higher
    if allowed < 0:
        least = math.ceil(1 / level - 1 - 1e-9)
        problem = f"{len(usual)} calibration records, a false-alarm rate of {level:g} needs at least {least}"
        raise SignalError("calibration", problem, "give a larger reference or a higher level")
    return float(usual[-1 - allowed])


def calibration_rows(
    patients: Sequence[object] | NDArray[np.object_], *, share: float = CALIBRATION_SHARE, seed: int = 0
) -> NDArray[np.bool_]:
    """Choose the records of a reference that are kept for calibration: those of a share of the patients.

    Examples
    --------
    >>> chosen = calibration_rows(["a", "a", "b", "c", "d", "e"], seed=0)
    >>> bool(chosen[0] == chosen[1])
    True
    """
    names, number = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    chosen = np.zeros(len(names), dtype=bool)
    chosen[np.random.default_rng(seed).permutation(len(names))[: round(share * len(names))]] = True
    return np.asarray(chosen[number])
