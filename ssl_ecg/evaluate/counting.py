"""What the metrics stand on: checked labels and scores, weights of bootstrap resamples, and weighted counts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError

FloatArray = NDArray[np.float64]


def over_ranking(
    y_true: ArrayLike,
    y_score: ArrayLike,
    weights: ArrayLike | None,
    area: Callable[[FloatArray, FloatArray], FloatArray],
) -> FloatArray:
    """Apply ``area`` to the weights of positives and negatives by falling score, ties joined."""
    truth, score = checked_pair(y_true, y_score)
    rows = weight_rows(weights, len(truth))
    out = np.empty((len(rows), truth.shape[1]))
    for k in range(truth.shape[1]):
        order = np.argsort(-score[:, k], kind="stable")
        order = order[np.isfinite(truth[order, k])]
        ordered, y, w = score[order, k], truth[order, k], rows[:, order]
        positive, negative = w * y, w * (1 - y)
        starts = np.flatnonzero(np.append(True, ordered[1:] < ordered[:-1])) if len(order) else np.zeros(0, int)
        if len(starts) < len(order):
            positive = np.add.reduceat(positive, starts, axis=1)
            negative = np.add.reduceat(negative, starts, axis=1)
        out[:, k] = area(positive, negative)
    return of_resamples(out, weights)


def weighted_counts(
    y_true: ArrayLike, decision: ArrayLike, weights: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Give true positives, false positives, false negatives and true negatives of each class."""
    truth, called = checked_pair(y_true, decision, decisions=True)
    rows = weight_rows(weights, len(truth))
    positive, negative = np.nan_to_num(truth), np.nan_to_num(1 - truth)
    cells = (positive * called, negative * called, positive * (1 - called), negative * (1 - called))
    tp, fp, fn, tn = (of_resamples(rows @ cell, weights) for cell in cells)
    return tp, fp, fn, tn


def of_resamples(values: FloatArray, weights: ArrayLike | None) -> FloatArray:
    """Take the axis of resamples away again where the weights had none."""
    return values if weights is not None and np.ndim(weights) == 2 else values[0]


def ratio(above: FloatArray, below: FloatArray, *, undefined: NDArray[np.bool_]) -> FloatArray:
    """Divide where it is defined; NaN elsewhere."""
    return np.asarray(np.where(undefined, np.nan, above / np.where(below > 0, below, 1.0)))


def weight_rows(weights: ArrayLike | None, n: int) -> FloatArray:
    """Give weights as (resample, record), checked; one row of ones where there are none."""
    rows = np.ones((1, n)) if weights is None else np.atleast_2d(np.asarray(weights, dtype=np.float64))
    if rows.shape[-1] != n or rows.ndim != 2:
        raise LabelError("weights", f"shape {rows.shape} for {n} records", "give (record,) or (resample, record)")
    return rows


def checked_pair(y_true: ArrayLike, y_score: ArrayLike, *, decisions: bool = False) -> tuple[FloatArray, FloatArray]:
    """Give labels and scores, or decisions, as (record, class), checked.

    Raises
    ------
    LabelError
        If the shapes differ, labels are not 0, 1 or NaN, scores not finite, or decisions not 0 or 1.
    """
    truth, score = (np.asarray(a, dtype=np.float64) for a in (y_true, y_score))
    truth, score = (a[:, None] if a.ndim == 1 else a for a in (truth, score))
    if truth.shape != score.shape or truth.ndim != 2:
        problem = f"labels have shape {truth.shape}, scores {score.shape}"
        raise LabelError("metrics", problem, "give both as (record, class)")
    if not np.isin(truth[~np.isnan(truth)], (0, 1)).all():
        raise LabelError("metrics", "labels hold values other than 0, 1 and NaN", "give binary labels")
    if not np.isfinite(score).all():
        raise LabelError("metrics", "scores hold NaN or infinite values", "leave these records out")
    if decisions and not np.isin(score, (0, 1)).all():
        raise LabelError("decision", "holds values other than 0 and 1", "compare the scores with thresholds first")
    return truth, score
