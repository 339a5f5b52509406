"""Percentile bootstrap over patients: intervals of a metric, and of the difference between two scorings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.metrics import auroc

FloatArray = NDArray[np.float64]
Metric = Callable[[ArrayLike, ArrayLike, ArrayLike | None], FloatArray]
_CELLS_AT_ONCE = 4_000_000  # resamples x records held together: 32 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its bootstrap interval.

    Attributes
    ----------
    value : float
        On the records as they are.
    low, high : float
        Percentiles over resamples.
    level : float
    n_resamples, n_patients : int
    n_incomplete : int
        Resamples in which some class had no positive or no negative; it was left out of their mean.
    """

    value: float
    low: float
    high: float
    level: float
    n_resamples: int
    n_patients: int
    n_incomplete: int

    def to_dict(self) -> dict[str, float]:
        """Give plain numbers for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference(Interval):
    """A paired difference with its interval and test.

    Attributes
    ----------
    p_value : float
        Two-sided: of B resamples d*, 2 min(1 + #(d* <= 0), 1 + #(d* >= 0)) / (B + 1), at most 1. It inverts the
        percentile interval, so that it is below 0.05 where the interval of 95 % leaves out zero, but for the one that
        is added: no p is below 2 / (B + 1).

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 15.4 (tests from intervals). Davison and
    Hinkley 1997, Bootstrap Methods and their Application, equation 4.11 (the one that is added).
    """

    p_value: float


def two_sided_p(differences: ArrayLike) -> float:
    """Give the two-sided bootstrap p-value of a difference from its resamples; see `Difference`.

    Parameters
    ----------
    differences : array (resample,)
        NaN where a resample could not be judged; such ones do not count.

    Examples
    --------
    >>> two_sided_p([0.1] * 99), two_sided_p([0.1, -0.1] * 10), two_sided_p([0.0] * 9)
    (0.02, 1.0, 1.0)
    """
    values = np.asarray(differences, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan")
    fewer = 1 + min(int((values <= 0).sum()), int((values >= 0).sum()))
    return min(1.0, 2 * fewer / (values.size + 1))


def bootstrap_intervals(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metric: Metric = auroc,
    groups: ArrayLike | None = None,
    parts: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, list[Interval]]:
    """Give the interval of a metric's macro mean, and that of each class.

    Patients are drawn with replacement, all records of a patient together.

    Parameters
    ----------
    y_true : array (record, class)
        1, 0, or NaN where unknown.
    y_score : array (record, class) or (draw, record, class)
        Scores, or decisions for metrics such as ``f1``. With several draws (repeats of a training) the
        statistic is the mean over draws.
    metric : callable (y_true, y_score, weights) -> (resample, class)
        One of ``ssl_ecg.evaluate.metrics``.
    groups : array (record,), optional
        Patient of each record; each record its own when not given.
    parts : array (record,), optional
        Test set that each record belongs to, such as the rotation of a cross-validation. The metric is
        computed within each part and averaged, patients are drawn within each part.
    n_resamples, level, seed
        Resamples, coverage, and seed of the draws.

    Returns
    -------
    macro : Interval
    per_class : list of Interval

    References
    ----------
    Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval).
    Field and Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x (resampling of clusters).

    Examples
    --------
    >>> y = np.tile([[0], [1]], (50, 1))
    >>> macro, _ = bootstrap_intervals(y, y + np.arange(100)[:, None] % 3, n_resamples=200)
    >>> macro.low < macro.value < macro.high
    True
    """
    samples = Resamples(y_true, groups, parts, n_resamples, seed)
    return samples.intervals(samples.statistic(metric, y_score), level)


def paired_difference(
    y_true: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    *,
    metric: Metric = auroc,
    groups: ArrayLike | None = None,
    parts: ArrayLike | None = None,
    n_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """Give the interval and test of macro(a) - macro(b), both computed on the same resamples of patients.

    Parameters are those of ``bootstrap_intervals``; the two scorings may have different numbers of draws.

    Examples
    --------
    >>> y = np.tile([[0], [1]], (50, 1))
    >>> noise = np.random.default_rng(0).normal(size=(2, 100, 1))
    >>> paired_difference(y, 2 * y + noise[0], noise[1]).low > 0
    True
    """
    samples = Resamples(y_true, groups, parts, n_resamples, seed)
    return samples.difference(samples.statistic(metric, score_a), samples.statistic(metric, score_b), level)


class Statistic(NamedTuple):
    """A metric of one scoring.

    Attributes
    ----------
    point : float64 array (class,)
        On the records as they are.
    values : float64 array (resample, class)
    """

    point: FloatArray
    values: FloatArray


class Resamples:
    """Seeded draws of patients, made again for each scoring so that all see the same.

    Whoever compares many scorings in many metrics computes each statistic once: intervals and differences follow.
    Parameters are those of ``bootstrap_intervals``.
    """

    def __init__(
        self,
        y_true: ArrayLike,
        groups: ArrayLike | None,
        parts: ArrayLike | None,
        n_resamples: int,
        seed: int = 0,
    ) -> None:
        truth = np.asarray(y_true, dtype=np.float64)
        self.truth = truth[:, None] if truth.ndim == 1 else truth
        n = len(self.truth)
        if n == 0 or n_resamples < 1:
            raise LabelError("bootstrap", f"{n} records, {n_resamples} resamples", "give at least one of each")
        self.groups = _codes(groups, n, "groups") if groups is not None else np.arange(n)
        part_of = _codes(parts, n, "parts") if parts is not None else np.zeros(n, np.int64)
        self.rows = [np.flatnonzero(part_of == part) for part in range(int(part_of.max()) + 1)]
        self.n_resamples, self.seed = n_resamples, seed

    def statistic(self, metric: Metric, y_score: ArrayLike) -> Statistic:
        """Give the metric on the records as they are and on each resample."""
        score = np.asarray(y_score, dtype=np.float64)
        score = score[:, None] if score.ndim == 1 else score
        draws = score if score.ndim == 3 else score[None]
        if draws.shape[1:] != self.truth.shape:
            problem = f"scores have shape {draws.shape[1:]}, labels {self.truth.shape}"
            raise LabelError("bootstrap", problem, "give scores of the same records")
        parts = [self._part(metric, draws, part) for part in range(len(self.rows))]
        return Statistic(*(_mean(np.stack(each), axis=0) for each in zip(*parts, strict=True)))

    def intervals(self, of: Statistic, level: float = 0.95) -> tuple[Interval, list[Interval]]:
        """Give the interval of the macro mean, and that of each class."""
        point, values = of
        mean = self._interval(float(_mean(point)), _mean(values), level, values[:, np.isfinite(point)])
        classes = [self._interval(float(point[k]), values[:, k], level, values[:, [k]]) for k in range(len(point))]
        return mean, classes

    def difference(self, a: Statistic, b: Statistic, level: float = 0.95) -> Difference:
        """Give the interval and test of macro(a) - macro(b), over the classes that both have."""
        defined = np.isfinite(a.point) & np.isfinite(b.point)
        value = float(_mean(a.point[defined]) - _mean(b.point[defined]))
        differences = _mean(a.values[:, defined]) - _mean(b.values[:, defined])
        found = self._interval(value, differences, level, (a.values + b.values)[:, defined])
        return Difference(**found.to_dict(), p_value=two_sided_p(differences))  # type: ignore[arg-type]

    def _part(self, metric: Metric, draws: FloatArray, part: int) -> tuple[FloatArray, FloatArray]:
        rows = self.rows[part]
        truth = self.truth[rows]
        point = _mean(np.stack([metric(truth, draw[rows], None) for draw in draws]), axis=0)
        values = [
            _mean(np.stack([metric(truth, draw[rows], weights) for draw in draws]), axis=0)
            for weights in self._weights(part)
        ]
        return point, np.concatenate(values)

    def _weights(self, part: int) -> Iterator[FloatArray]:
        """Yield how often each record of a part is drawn, (resamples, record), block by block."""
        rng = np.random.default_rng([self.seed, part])
        patients, member = np.unique(self.groups[self.rows[part]], return_inverse=True)
        share = np.full(len(patients), 1 / len(patients))
        block = max(1, _CELLS_AT_ONCE // len(member))
        for start in range(0, self.n_resamples, block):
            size = min(block, self.n_resamples - start)
            yield rng.multinomial(len(patients), share, size=size)[:, member].astype(np.float64)

    def _interval(self, value: float, values: FloatArray, level: float, judged: FloatArray) -> Interval:
        """Summarise resamples; ``judged`` holds the classes that count, to tell how often one was missing."""
        usable = values[np.isfinite(values)]
        tail = 50 * (1 - level)
        low, high = np.percentile(usable, [tail, 100 - tail]) if usable.size else (np.nan, np.nan)
        incomplete = int(np.isnan(judged).any(axis=1).sum())
        patients = len(np.unique(self.groups))
        return Interval(value, float(low), float(high), level, self.n_resamples, patients, incomplete)


def _codes(labels: ArrayLike, n: int, where: str) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (n,):
        raise LabelError(where, f"shape {array.shape} for {n} records", "give one value a record")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def _mean(values: FloatArray, axis: int = -1) -> FloatArray:
    """Average over what is defined; NaN, without a warning, where nothing is."""
    defined = np.isfinite(values)
    count = defined.sum(axis=axis)
    total = np.where(defined, values, 0.0).sum(axis=axis)
    return np.asarray(total / np.where(count > 0, count, np.nan))
