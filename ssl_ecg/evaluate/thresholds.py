"""Thresholds for decisions ``score >= threshold``, chosen on validation records.

Test records never choose a threshold. `ssl_ecg.evaluate.metrics.best_f1_thresholds` gives those of the best
F1; here are those that reach a sensitivity, and those that evolution finds for any metric of decisions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.counting import checked_pair
from ssl_ecg.evaluate.metrics import best_f1_thresholds

FloatArray = NDArray[np.float64]
_ENOUGH = 1e-9


def sensitivity_thresholds(
    y_true: ArrayLike, y_score: ArrayLike, *, sensitivity: float = 0.9, fallback: float = 0.5
) -> FloatArray:
    """Give the highest threshold of each class at which at least this share of positives is found.

    Use validation records, never the test records. Decisions are ``score >= threshold``; the threshold lies
    half-way to the next lower score, as in `best_f1_thresholds`.

    Parameters
    ----------
    y_true, y_score : array (record, class)
        Labels may be NaN where unknown.
    sensitivity : float
        Above 0, at most 1.
    fallback : float
        Threshold of a class without a positive.

    Returns
    -------
    float64 array (class,)

    Raises
    ------
    LabelError
        If the sensitivity is none.

    Examples
    --------
    >>> sensitivity_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8], sensitivity=0.5)
    array([0.7])
    """
    if not 0 < sensitivity <= 1:
        raise LabelError("sensitivity", f"is {sensitivity}", "give a share above 0 and at most 1")
    truth, score = checked_pair(y_true, y_score)
    thresholds = np.full(truth.shape[1], fallback)
    for k in range(truth.shape[1]):
        positive = np.sort(score[truth[:, k] == 1, k])[::-1]
        if len(positive):
            needed = int(np.ceil(sensitivity * len(positive) - _ENOUGH))
            last = positive[needed - 1]
            lower = score[np.isfinite(truth[:, k]) & (score[:, k] < last), k]
            thresholds[k] = (last + lower.max()) / 2 if len(lower) else last
    return thresholds


def evolved_thresholds(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metric: Callable[..., FloatArray] = challenge_score,
    fallback: float = 0.5,
    generations: int = 60,
    population: int = 10,
    seed: int = 0,
) -> FloatArray:
    """Search the thresholds of all classes together, by differential evolution, for the best mean of a metric.

    Use validation records, never the test records. Decisions are ``score >= threshold``. The search begins
    with the thresholds of the best F1 and never ends below them. It goes over the cuts between different
    scores, so that classes with small probabilities are searched as finely as others.

    Parameters
    ----------
    y_true, y_score : array (record, class)
        Labels may be NaN where unknown.
    metric : callable (y_true, decision) -> array
        Higher is better, such as `challenge_score` or one of `ssl_ecg.evaluate.decisions`; its mean over what
        is defined counts.
    fallback : float
        Threshold of a class without a positive; it is not searched.
    generations, population : int
        Of the evolution; the population is a multiple of the number of classes.
    seed : int

    Returns
    -------
    float64 array (class,)

    Raises
    ------
    LabelError
        If the metric is undefined on these records.

    References
    ----------
    Storn and Price 1997, doi:10.1023/A:1008202821328.

    Examples
    --------
    >>> from ssl_ecg.evaluate.metrics import f1
    >>> evolved_thresholds([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.8], metric=f1)
    array([0.5])
    """
    from scipy.optimize import differential_evolution

    truth, score = checked_pair(y_true, y_score)
    start = best_f1_thresholds(truth, score, fallback=fallback)
    searched = np.flatnonzero((truth == 1).any(axis=0))
    cuts = [_cuts(score[np.isfinite(truth[:, k]), k]) for k in searched]

    def thresholds(place: FloatArray) -> FloatArray:
        out = start.copy()
        out[searched] = [c[min(int(x * len(c)), len(c) - 1)] for c, x in zip(cuts, place, strict=True)]
        return out

    def loss(place: FloatArray) -> float:
        reached = _mean(metric(truth, (score >= thresholds(place)).astype(np.float64)))
        return -reached if np.isfinite(reached) else np.inf

    first = _mean(metric(truth, (score >= start).astype(np.float64)))
    if not np.isfinite(first):
        problem = "the metric is undefined on these records"
        raise LabelError("thresholds", problem, "give validation records with positives and negatives")
    if not len(searched):
        return start
    nearest = [(int(np.argmin(np.abs(c - start[k]))) + 0.5) / len(c) for c, k in zip(cuts, searched, strict=True)]
    options = {"maxiter": generations, "popsize": population, "polish": False, "tol": 0.0, "x0": nearest}
    found = differential_evolution(loss, [(0.0, 1.0)] * len(searched), seed=seed, **options)
    return thresholds(found.x) if -found.fun >= first else start


def _cuts(score: FloatArray) -> FloatArray:
    """Give one threshold for each way of cutting the ranking, from all called to none."""
    values = np.unique(score)
    return np.concatenate([values[:1], (values[1:] + values[:-1]) / 2, np.nextafter(values[-1:], np.inf)])


def _mean(values: FloatArray) -> float:
    defined = np.asarray(values)[np.isfinite(values)]
    return float(defined.mean()) if defined.size else float("nan")
