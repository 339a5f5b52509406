"""Metrics of decisions and of operating points, with the arguments of `ssl_ecg.evaluate.metrics`.

Decisions are ``score >= threshold``. What is measured a record and not a class (`subset_accuracy`,
`hamming_loss`, `fmax`) is given as one column, (1,) or (resample, 1), so that bootstrap takes it too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.counting import (
    checked_pair,
    of_resamples,
    over_ranking,
    ratio,
    weight_rows,
    weighted_counts,
)

FloatArray = NDArray[np.float64]
_ENOUGH = 1e-9  # a sensitivity of 0.9 is reached by 9 of 10, whatever 0.9 is in binary


def confusion(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Count decisions of each class as [[tn, fp], [fn, tp]]: rows are the truth, columns the decision.

    Returns
    -------
    float64 array (class, 2, 2) or (resample, class, 2, 2)
        Unknown labels are in no cell.

    Examples
    --------
    >>> confusion([0, 0, 1, 1], [0, 1, 1, 1])[0].tolist()
    [[1.0, 1.0], [0.0, 2.0]]
    """
    tp, fp, fn, tn = weighted_counts(y_true, decision, weights)
    return np.stack([np.stack([tn, fp], -1), np.stack([fn, tp], -1)], -2)


def accuracy(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of right decisions of each class; NaN where it has no positive or no negative.

    Examples
    --------
    >>> accuracy([0, 0, 1, 1], [0, 1, 1, 1])
    array([0.75])
    """
    tp, fp, fn, tn = weighted_counts(y_true, decision, weights)
    return ratio(tp + tn, tp + fp + fn + tn, undefined=(tp + fn == 0) | (tn + fp == 0))


def fbeta(
    y_true: ArrayLike,
    decision: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    beta: float = 2.0,
    shared: bool = False,
) -> FloatArray:
    """Give F_beta = (1 + b^2) TP / ((1 + b^2) TP + FP + b^2 FN) of each class; its macro mean is the one published.

    Parameters
    ----------
    y_true, decision, weights
        As everywhere.
    beta : float
        2 in the PhysioNet/CinC Challenge 2020 and in the PTB-XL benchmark.
    shared : bool
        Let each record weigh one over the number of classes that it truly has (one if none), as both do.

    Returns
    -------
    float64 array (class,) or (resample, class)
        NaN where a class has no positive.

    References
    ----------
    Perez Alday et al. 2020, doi:10.1088/1361-6579/abc960; Strodthoff et al. 2021, doi:10.1109/JBHI.2020.3022989.

    Examples
    --------
    >>> fbeta([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]).round(3)
    array([0.667])
    """
    tp, fp, fn, _ = weighted_counts(y_true, decision, _shared(y_true, weights) if shared else weights)
    square = beta**2
    return ratio((1 + square) * tp, (1 + square) * tp + fp + square * fn, undefined=tp + fn == 0)


def gbeta(
    y_true: ArrayLike,
    decision: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    beta: float = 2.0,
    shared: bool = False,
) -> FloatArray:
    """Give G_beta = TP / (TP + FP + b FN) of each class, the Jaccard measure for b = 1.

    Parameters, result and references are those of `fbeta`.

    Examples
    --------
    >>> gbeta([1, 1, 1, 0, 0], [1, 1, 0, 1, 0])
    array([0.4])
    """
    tp, fp, fn, _ = weighted_counts(y_true, decision, _shared(y_true, weights) if shared else weights)
    return ratio(tp, tp + fp + beta * fn, undefined=tp + fn == 0)


def subset_accuracy(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of records of which every known class is decided rightly, as one column.

    Records without a known label do not count.

    Examples
    --------
    >>> subset_accuracy([[1, 0], [1, 1]], [[1, 0], [1, 0]])
    array([0.5])
    """
    wrong, known = _cells(y_true, decision)
    counted = known.any(axis=1)
    right = counted & ~wrong.any(axis=1)
    return _column(np.asarray(right, np.float64), np.asarray(counted, np.float64), weights)


def hamming_loss(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of wrong decisions among all known labels of all records, as one column.

    Examples
    --------
    >>> hamming_loss([[1, 0], [1, 1]], [[1, 0], [1, 0]])
    array([0.25])
    """
    wrong, known = _cells(y_true, decision)
    number_wrong, number_known = (np.count_nonzero(cells, axis=1).astype(np.float64) for cells in (wrong, known))
    return _column(number_wrong, number_known, weights)


def specificity_at_sensitivity(
    y_true: ArrayLike, y_score: ArrayLike, weights: ArrayLike | None = None, *, sensitivity: float = 0.9
) -> FloatArray:
    """Give the specificity of each class at the highest threshold that reaches a sensitivity.

    Nothing is interpolated: the operating point is one that exists on these records. A threshold for use on
    other records comes from `ssl_ecg.evaluate.thresholds`.

    Parameters
    ----------
    y_true, y_score : array (record, class)
    weights : array (record,) or (resample, record), optional
    sensitivity : float
        Above 0, at most 1.

    Returns
    -------
    float64 array (class,) or (resample, class)
        NaN where a class has no positive or no negative.

    Raises
    ------
    LabelError
        If the sensitivity is none.

    Examples
    --------
    >>> specificity_at_sensitivity([0, 0, 0, 0, 1, 1], [1, 2, 3, 5, 4, 6], sensitivity=1.0)
    array([0.75])
    """
    if not 0 < sensitivity <= 1:
        raise LabelError("sensitivity", f"is {sensitivity}", "give a share above 0 and at most 1")

    def at(positive: FloatArray, negative: FloatArray) -> FloatArray:
        positives, negatives = positive.sum(axis=1), negative.sum(axis=1)
        reached = np.cumsum(positive, axis=1) >= (sensitivity - _ENOUGH) * positives[:, None]
        first = np.argmax(reached, axis=1)[:, None] if reached.shape[1] else np.zeros((len(reached), 0), np.int64)
        called = np.take_along_axis(np.cumsum(negative, axis=1), first, axis=1).sum(axis=1)
        return ratio(negatives - called, negatives, undefined=(positives == 0) | (negatives == 0))

    return over_ranking(y_true, y_score, weights, at)


def fmax(
    y_true: ArrayLike, y_proba: ArrayLike, weights: ArrayLike | None = None, *, thresholds: ArrayLike | None = None
) -> FloatArray:
    """Give the best F1 over thresholds that are the same for all classes, from means over records, as one column.

    At each threshold, precision is averaged over the records with at least one decision, recall over those
    with at least one positive; F is their harmonic mean.

    Parameters
    ----------
    y_true : array (record, class)
    y_proba : array (record, class)
    weights : array (record,) or (resample, record), optional
    thresholds : array (threshold,), optional
        0, 0.01, ..., 1 unless given. They are scanned on these very records: the figure is an upper bound,
        as published, and not what a threshold chosen elsewhere reaches.

    Returns
    -------
    float64 array (1,) or (resample, 1)
        NaN without any positive.

    References
    ----------
    Strodthoff et al. 2021, doi:10.1109/JBHI.2020.3022989, section II-C; Radivojac et al. 2013,
    doi:10.1038/nmeth.2340.

    Examples
    --------
    >>> fmax([[1, 0], [0, 1]], [[0.9, 0.4], [0.2, 0.6]])
    array([1.])
    """
    truth, score = checked_pair(y_true, y_proba)
    rows, known = weight_rows(weights, len(truth)), np.isfinite(truth)
    positive = np.nan_to_num(truth)
    n_positive = positive.sum(axis=1)
    has_positive = rows * (n_positive > 0)
    best = np.full(len(rows), np.nan)
    cuts = np.linspace(0, 1, 101) if thresholds is None else np.asarray(thresholds, dtype=np.float64).ravel()
    for cut in cuts:
        called = (score >= cut) & known
        hits, calls = (positive * called).sum(axis=1), called.sum(axis=1)
        decided = rows * (calls > 0)
        p = _mean(decided, hits / np.maximum(calls, 1))
        r = _mean(has_positive, hits / np.maximum(n_positive, 1))
        best = np.fmax(best, ratio(2 * p * r, p + r, undefined=np.isnan(p) | np.isnan(r)))
    return of_resamples(best[:, None], weights)


def _mean(rows: FloatArray, values: FloatArray) -> FloatArray:
    total = rows.sum(axis=1)
    return ratio(rows @ values, total, undefined=total == 0)


def _column(above: FloatArray, below: FloatArray, weights: ArrayLike | None) -> FloatArray:
    """Divide weighted sums over records; (1,) or (resample, 1)."""
    rows = weight_rows(weights, len(above))
    total = rows @ below
    return of_resamples(ratio(rows @ above, total, undefined=total == 0)[:, None], weights)


def _cells(y_true: ArrayLike, decision: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say which known labels are decided wrongly, and which are known."""
    truth, called = checked_pair(y_true, decision, decisions=True)
    known = np.isfinite(truth)
    return known & (truth != called), known


def _shared(y_true: ArrayLike, weights: ArrayLike | None) -> FloatArray:
    """Divide the weight of each record by the number of its classes; unknown ones are not counted."""
    truth = np.asarray(y_true, dtype=np.float64)
    number = np.nansum(truth[:, None] if truth.ndim == 1 else truth, axis=1)
    share = 1 / np.maximum(number, 1)
    return share if weights is None else np.asarray(weight_rows(weights, len(share)) * share).reshape(np.shape(weights))
