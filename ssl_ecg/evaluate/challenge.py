"""The score of the PhysioNet/CinC Challenges 2020 and 2021: partial credit for related diagnoses."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.counting import checked_pair, of_resamples, ratio, weight_rows
from ssl_ecg.tasks import get_task
from ssl_ecg.tasks.cinc2021 import challenge_weights

FloatArray = NDArray[np.float64]


def challenge_score(
    y_true: ArrayLike,
    decision: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    rewards: ArrayLike | None = None,
    normal: int | None = None,
) -> FloatArray:
    """Give the challenge score, as one column: 1 for right decisions, 0 for "normal" everywhere; it may be negative.

    With A_jk the sum over records of y_ij p_ik / max(number of classes in y_i or p_i, 1) and s = sum of W * A,
    the score is (s - s_normal) / (s_right - s_normal). Unknown labels are left out, of the decisions too.

    Parameters
    ----------
    y_true, decision : array (record, class)
        By default in the order of the task "cinc26"; equivalent codes are one class there.
    weights : array (record,) or (resample, record), optional
    rewards : array (class, class), optional
        W, rows the truth, columns the decision; that of 2021 unless given. That of 2020 has other classes.
    normal : int, optional
        Column of sinus rhythm, needed with `rewards`.

    Returns
    -------
    float64 array (1,) or (resample, 1)
        NaN where right decisions score as much as "normal" everywhere.

    Raises
    ------
    LabelError
        If the classes are not those of the rewards.

    References
    ----------
    Perez Alday et al. 2020, doi:10.1088/1361-6579/abc960; Reyna et al. 2021, doi:10.23919/CinC53138.2021.9662687.

    Examples
    --------
    >>> W = [[1, 0.5], [0.5, 1]]
    >>> challenge_score([[1, 0], [0, 1]], [[1, 0], [0, 1]], rewards=W, normal=0)
    array([1.])
    >>> challenge_score([[1, 0], [0, 1]], [[1, 0], [1, 0]], rewards=W, normal=0)
    array([0.])
    """
    truth, called = checked_pair(y_true, decision, decisions=True)
    table, column = _rewards(rewards, normal, truth.shape[1])
    known = np.isfinite(truth)
    truth, called = np.nan_to_num(truth), called * known
    always = np.zeros_like(called)
    always[:, column] = known[:, column]
    earned = truth @ table
    rows = weight_rows(weights, len(truth))
    score, right, nothing = (rows @ _credit(truth, given, earned) for given in (called, truth, always))
    value = ratio(np.sign(right - nothing) * (score - nothing), np.abs(right - nothing), undefined=right == nothing)
    return of_resamples(value[:, None], weights)


def _credit(truth: FloatArray, called: FloatArray, earned: FloatArray) -> FloatArray:
    """Give what each record adds to s; `earned` (record, class) is truth @ W."""
    return np.asarray((earned * called).sum(axis=1) / np.maximum(np.maximum(truth, called).sum(axis=1), 1))


def _rewards(rewards: ArrayLike | None, normal: int | None, n_classes: int) -> tuple[FloatArray, int]:
    if rewards is None:
        table, normal = _of_2021()
        remedy = "give labels of the task cinc26, or rewards and the column of normal"
    else:
        table = np.asarray(rewards, dtype=np.float64)
        remedy = "give rewards as (class, class)"
    if table.shape != (n_classes, n_classes) or not np.isfinite(table).all():
        raise LabelError("challenge score", f"{n_classes} classes, rewards of shape {table.shape}", remedy)
    if normal is None or not 0 <= normal < n_classes:
        raise LabelError("challenge score", f"normal is {normal}", "say which column is sinus rhythm, from 0")
    return table, normal


@cache
def _of_2021() -> tuple[FloatArray, int]:
    return challenge_weights(), get_task("cinc26").classes.index("NSR")
