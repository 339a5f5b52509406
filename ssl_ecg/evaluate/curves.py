"""The points of ROC and precision-recall curves, as plain numbers that JSON keeps and figures are drawn from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.evaluate.counting import checked_pair

FloatArray = NDArray[np.float64]


class Curve(NamedTuple):
    """Points of a curve in its order, from the highest threshold to the lowest."""

    x: list[float]
    y: list[float]


def roc_curves(y_true: ArrayLike, y_score: ArrayLike, *, max_points: int = 200) -> list[Curve | None]:
    """Give sensitivity (y) over the share of negatives that are called (x) of each class.

    Parameters
    ----------
    y_true, y_score : array (record, class)
        Labels may be NaN where unknown.
    max_points : int
        Corners beyond this number are thinned out evenly.

    Returns
    -------
    list of Curve or None
        From (0, 0) to (1, 1); None where a class has no positive or no negative.

    References
    ----------
    Fawcett 2006, doi:10.1016/j.patrec.2005.10.010, algorithm 1.

    Examples
    --------
    >>> roc_curves([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    [Curve(x=[0.0, 0.0, 0.5, 1.0], y=[0.0, 0.5, 1.0, 1.0])]
    """
    out: list[Curve | None] = []
    for hits, calls in _ranked(y_true, y_score):
        negatives = calls - hits
        if not len(hits) or not hits[-1] or not negatives[-1]:
            out.append(None)
            continue
        x, y = (np.append(0.0, part / part[-1]) for part in (negatives, hits))
        dx, dy = np.diff(x), np.diff(y)
        corner = np.append(True, np.append(~np.isclose(dx[1:] * dy[:-1], dx[:-1] * dy[1:], rtol=1e-9, atol=0), True))
        out.append(_thinned(x[corner], y[corner], max_points))
    return out


def precision_recall_curves(y_true: ArrayLike, y_score: ArrayLike, *, max_points: int = 200) -> list[Curve | None]:
    """Give precision (y) over recall (x) of each class, as steps: precision y[i] holds from x[i - 1] to x[i].

    The area under these steps is the average precision, but for what is thinned out.

    Parameters
    ----------
    y_true, y_score : array (record, class)
    max_points : int

    Returns
    -------
    list of Curve or None
        None where a class has no positive.

    Examples
    --------
    >>> precision_recall_curves([0, 1, 0, 1], [0.1, 0.35, 0.4, 0.8])[0].y
    [1.0, 1.0, 0.6666666666666666]
    """
    out: list[Curve | None] = []
    for hits, calls in _ranked(y_true, y_score):
        if not len(hits) or not hits[-1]:
            out.append(None)
            continue
        gains = np.append(True, hits[1:] > hits[:-1]) & (hits > 0)  # elsewhere recall stands still
        recall, precision = (hits / hits[-1])[gains], (hits / calls)[gains]
        out.append(_thinned(np.append(0.0, recall), np.append(precision[0], precision), max_points))
    return out


def _ranked(y_true: ArrayLike, y_score: ArrayLike) -> list[tuple[FloatArray, FloatArray]]:
    """Give for each class how many positives, and how many records, lie at or above each different score."""
    truth, score = checked_pair(y_true, y_score)
    out: list[tuple[FloatArray, FloatArray]] = []
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        y, s = truth[known, k], score[known, k]
        order = np.argsort(-s, kind="stable")
        last = np.flatnonzero(np.append(s[order][1:] < s[order][:-1], True)) if len(s) else np.zeros(0, np.int64)
        out.append((np.cumsum(y[order])[last], np.asarray(last + 1, np.float64)))
    return out


def _thinned(x: FloatArray, y: FloatArray, max_points: int) -> Curve:
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), max(2, max_points))).round().astype(np.int64))
    return Curve(x[keep].tolist(), y[keep].tolist())
