"""Multi-label metrics on NumPy: one value a class, NaN where a class cannot be judged, and macro means.

Every metric takes ``y_true`` (record, class) with 1, 0 or NaN (unknown: the record does not count for that
class), scores or decisions of the same shape, and optional ``weights`` (record,) or (resample, record), for
which it gives (resample, class): a thousand bootstrap resamples are one call.
"""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.evaluate.counting import checked_pair, over_ranking, ratio, weighted_counts

FloatArray = NDArray[np.float64]


class UndefinedClassWarning(UserWarning):
    """A class without a positive or a negative was left out of a mean or could not be learnt."""


class Macro(NamedTuple):
    """Mean over the classes that could be judged, and how many those were."""

    value: float
    defined: int
    classes: int


def macro(values: ArrayLike) -> Macro:
    """Average per-class values over the defined ones.

    Examples
    --------
    >>> macro([0.9, 0.7, np.nan])
    Macro(value=0.8, defined=2, classes=3)
    """
    array = np.asarray(values, dtype=np.float64)
    defined = array[np.isfinite(array)]
    return Macro(float(defined.mean()) if defined.size else float("nan"), int(defined.size), int(array.size))


def macro_auroc(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Give the mean AUROC over classes; a class without positive or negative is left out with a warning.

    Examples
    --------
    >>> macro_auroc([[1, 0], [0, 1], [1, 1]], [[0.9, 0.2], [0.1, 0.7], [0.8, 0.1]])
    0.75
    """
    values = auroc(y_true, y_score)
    mean = macro(values)
    if mean.defined < mean.classes:
        missing = np.flatnonzero(np.isnan(values)).tolist()
        text = f"macro AUROC over {mean.defined} of {mean.classes} classes: no positive or no negative in"
        warnings.warn(f"{text} {missing}", UndefinedClassWarning, stacklevel=2)
    return mean.value


def auroc(y_true: ArrayLike, y_score: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the area under the ROC curve of each class; tied scores count one half.

    Returns
    -------
    float64 array (class,) or (resample, class)
        NaN where a class has no positive or no negative.

    References
    ----------
    Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747 (equal to the Mann-Whitney statistic).

    Examples
    --------
    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    array([0.875])
    """

    def area(positive: FloatArray, negative: FloatArray) -> FloatArray:
        above = np.cumsum(positive, axis=1) - 0.5 * positive
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        return np.asarray((above * negative).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))

    return over_ranking(y_true, y_score, weights, area)


def average_precision(y_true: ArrayLike, y_score: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the average precision of each class: sum over thresholds of (R_n - R_(n-1)) P_n, not interpolated.

    Returns
    -------
    float64 array (class,) or (resample, class)
        NaN where a class has no positive.

    Examples
    --------
    >>> average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]).round(3)
    array([0.833])
    """

    def area(positive: FloatArray, negative: FloatArray) -> FloatArray:
        hits = np.cumsum(positive, axis=1)
        called = hits + np.cumsum(negative, axis=1)
        precision = hits / np.where(called > 0, called, 1.0)
        total = positive.sum(axis=1)
        return np.asarray((positive * precision).sum(axis=1) / np.where(total > 0, total, np.nan))

    return over_ranking(y_true, y_score, weights, area)


def f1(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give F1 of each class; NaN where a class has no positive.

    Examples
    --------
    >>> f1([1, 1, 0, 0], [1, 0, 1, 0])
    array([0.5])
    """
    tp, fp, fn, _ = weighted_counts(y_true, decision, weights)
    return ratio(2 * tp, 2 * tp + fp + fn, undefined=tp + fn == 0)


def precision(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of calls that are right; NaN where a class is never called."""
    tp, fp, _, _ = weighted_counts(y_true, decision, weights)
    return ratio(tp, tp + fp, undefined=tp + fp == 0)


def recall(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of positives that are called (sensitivity); NaN where a class has no positive."""
    tp, _, fn, _ = weighted_counts(y_true, decision, weights)
    return ratio(tp, tp + fn, undefined=tp + fn == 0)


def specificity(y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of negatives that are not called; NaN where a class has no negative."""
    _, fp, _, tn = weighted_counts(y_true, decision, weights)
    return ratio(tn, tn + fp, undefined=tn + fp == 0)


def best_f1_thresholds(y_true: ArrayLike, y_score: ArrayLike, *, fallback: float = 0.5) -> FloatArray:
    """Give the threshold of each class that has the best F1, for decisions ``score >= threshold``.

    Use validation records, never the test records. The threshold lies half-way to the next lower score.

    Parameters
    ----------
    y_true, y_score : array (record, class)
    fallback : float
        Threshold of a class without a positive.

    Examples
    --------
    >>> best_f1_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8])
    array([0.5])
    """
    truth, score = checked_pair(y_true, y_score)
    thresholds = np.full(truth.shape[1], fallback)
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        y, s = truth[known, k], score[known, k]
        if not y.any():
            continue
        order = np.argsort(-s, kind="stable")
        y, s = y[order], s[order]
        last = np.append(s[1:] < s[:-1], True)  # a cut can only lie between different scores
        quality = 2 * np.cumsum(y) / (np.arange(1, len(y) + 1) + y.sum())
        best = int(np.argmax(np.where(last, quality, -1.0)))
        thresholds[k] = s[best] if best == len(s) - 1 else (s[best] + s[best + 1]) / 2
    return thresholds
