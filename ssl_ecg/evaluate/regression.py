"""Metrics of continuous targets such as age, with the arguments of `ssl_ecg.evaluate.metrics`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.counting import of_resamples, ratio, weight_rows

FloatArray = NDArray[np.float64]


def r2(y_true: ArrayLike, y_pred: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the share of variance explained, 1 - SS_res / SS_tot, of each target; negative if worse than the mean.

    Parameters
    ----------
    y_true : array (record, target)
        NaN where unknown.
    y_pred : array (record, target)
    weights : array (record,) or (resample, record), optional

    Returns
    -------
    float64 array (target,) or (resample, target)
        NaN where a target does not vary.

    Raises
    ------
    LabelError
        If shapes differ or a prediction is not finite.

    Examples
    --------
    >>> r2([1.0, 2.0, 3.0, np.nan], [1.0, 2.0, 2.0, 9.0])
    array([0.5])
    """

    def value(y: FloatArray, p: FloatArray, w: FloatArray) -> FloatArray:
        total = w @ y**2 - ratio((w @ y) ** 2, w.sum(axis=1), undefined=w.sum(axis=1) == 0)
        spread = _varies(y, w)
        return ratio(total - w @ (y - p) ** 2, total, undefined=~spread)

    return _by_target(y_true, y_pred, weights, value)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the mean absolute error of each target, in its unit; NaN where none is known.

    Examples
    --------
    >>> mean_absolute_error([50.0, 60.0], [53.0, 59.0])
    array([2.])
    """

    def value(y: FloatArray, p: FloatArray, w: FloatArray) -> FloatArray:
        return ratio(w @ np.abs(y - p), w.sum(axis=1), undefined=w.sum(axis=1) == 0)

    return _by_target(y_true, y_pred, weights, value)


def pearson(y_true: ArrayLike, y_pred: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give Pearson's correlation of each target; NaN where the target or the prediction does not vary.

    Examples
    --------
    >>> pearson([1.0, 2.0, 3.0], [2.0, 4.0, 6.0]).round(6)
    array([1.])
    """

    def value(y: FloatArray, p: FloatArray, w: FloatArray) -> FloatArray:
        varies = _varies(y, w) & _varies(p, w)
        return _correlation(np.broadcast_to(y, w.shape), np.broadcast_to(p, w.shape), w, varies)

    return _by_target(y_true, y_pred, weights, value)


def spearman(y_true: ArrayLike, y_pred: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give Spearman's rank correlation of each target, ties with their middle rank; NaN as in `pearson`.

    Examples
    --------
    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0]).round(6)
    array([1.])
    """

    def value(y: FloatArray, p: FloatArray, w: FloatArray) -> FloatArray:
        return _correlation(_ranks(y, w), _ranks(p, w), w, _varies(y, w) & _varies(p, w))

    return _by_target(y_true, y_pred, weights, value)


def _by_target(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    weights: ArrayLike | None,
    value: Callable[[FloatArray, FloatArray, FloatArray], FloatArray],
) -> FloatArray:
    """Apply ``value`` to the known records of each target and their weights (resample, record)."""
    truth, given = (np.asarray(a, dtype=np.float64) for a in (y_true, y_pred))
    truth, given = (a[:, None] if a.ndim == 1 else a for a in (truth, given))
    if truth.shape != given.shape or truth.ndim != 2:
        problem = f"targets have shape {truth.shape}, predictions {given.shape}"
        raise LabelError("metrics", problem, "give both as (record, target)")
    if not np.isfinite(given).all() or np.isinf(truth).any():
        raise LabelError("metrics", "a prediction is not finite, or a target infinite", "leave these records out")
    rows = weight_rows(weights, len(truth))
    out = np.empty((len(rows), truth.shape[1]))
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        y, p = truth[known, k], given[known, k]
        middle = y.mean() if len(y) else 0.0  # far from zero, sums of squares lose what matters
        out[:, k] = value(y - middle, p - middle, rows[:, known])
    return of_resamples(out, weights)


def _correlation(a: FloatArray, b: FloatArray, w: FloatArray, varies: NDArray[np.bool_]) -> FloatArray:
    total = w.sum(axis=1, keepdims=True)
    share = w / np.where(total > 0, total, 1.0)
    a, b = (x - (share * x).sum(axis=1, keepdims=True) for x in (a, b))
    covariance, variances = (share * a * b).sum(axis=1), ((share * a**2).sum(axis=1), (share * b**2).sum(axis=1))
    return ratio(covariance, np.sqrt(variances[0] * variances[1]), undefined=~varies)


def _varies(values: FloatArray, w: FloatArray) -> NDArray[np.bool_]:
    """Say in which resamples there are two different values."""
    if not len(values):
        return np.zeros(len(w), np.bool_)
    low, high = (np.where(w > 0, values, fill) for fill in (np.inf, -np.inf))
    return np.asarray(low.min(axis=1) < high.max(axis=1))


def _ranks(values: FloatArray, w: FloatArray) -> FloatArray:
    """Give the middle of the ranks that the copies of each record take up; (resample, record)."""
    member = np.unique(values, return_inverse=True)[1]
    size = np.zeros((len(w), int(member.max()) + 1 if len(member) else 0))
    np.add.at(size.T, member, w.T)
    return np.asarray((np.cumsum(size, axis=1) - size / 2)[:, member])
