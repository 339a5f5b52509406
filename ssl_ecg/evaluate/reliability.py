"""How far probabilities can be taken at their word: reliability, calibration error, Brier score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.counting import checked_pair, of_resamples, ratio, weight_rows

FloatArray = NDArray[np.float64]
Bins = Literal["width", "mass"]


@dataclass(frozen=True, slots=True)
class Reliability:
    """Probabilities of each class in bins.

    Attributes
    ----------
    edges : float64 array (class, bin + 1)
    proba : float64 array (class, bin)
        Mean probability; NaN in an empty bin, like `frequency`.
    frequency : float64 array (class, bin)
        Share of positives.
    count : int64 array (class, bin)
        Known records.
    """

    edges: FloatArray
    proba: FloatArray
    frequency: FloatArray
    count: NDArray[np.int64]

    def to_dict(self) -> dict[str, list[list[float]]]:
        """Give plain lists for JSON, where NaN becomes null."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Reliability:
        """Take up again what `to_dict` gave, nulls as NaN.

        Raises
        ------
        LabelError
            If it is damaged.
        """
        try:
            edges, proba, frequency, count = (
                np.array([[np.nan if v is None else v for v in row] for row in content[name]], np.float64)
                for name in cls.__slots__
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LabelError("reliability", f"is damaged ({error!r})", "evaluate again") from error
        return cls(edges, proba, frequency, count.astype(np.int64))


def reliability(y_true: ArrayLike, proba: ArrayLike, *, n_bins: int = 10, bins: Bins = "width") -> Reliability:
    """Give the table behind a reliability diagram.

    Parameters
    ----------
    y_true, proba : array (record, class)
        Labels may be NaN where unknown.
    n_bins : int
    bins : {"width", "mass"}
        Of equal width, or with equally many known records each (ties keep together). A bin holds its lower
        edge; the last one its upper edge too.

    Raises
    ------
    LabelError
        If probabilities lie outside 0 to 1, or there is no bin.

    Examples
    --------
    >>> table = reliability([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.9], n_bins=2)
    >>> table.frequency.round(2).tolist(), table.count.tolist()
    ([[0.33, 1.0]], [[3, 1]])
    """
    truth, given = checked_proba(y_true, proba)
    columns = [_binned(truth[:, k], given[:, k], n_bins, bins) for k in range(truth.shape[1])]
    edges, counts, sums, hits = (np.stack(part) for part in zip(*columns, strict=True))
    empty = counts == 0
    return Reliability(
        edges, ratio(sums, counts, undefined=empty), ratio(hits, counts, undefined=empty), counts.astype(np.int64)
    )


def expected_calibration_error(
    y_true: ArrayLike,
    proba: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    n_bins: int = 10,
    bins: Bins = "width",
) -> FloatArray:
    """Give the mean gap between probability and share of positives, over bins by their records, of each class.

    Bins are those of `reliability` on these records, also for weighted ones.

    Returns
    -------
    float64 array (class,) or (resample, class)
        NaN where a class has no positive or no negative.

    References
    ----------
    Naeini et al. 2015, doi:10.1609/aaai.v29i1.9602, here of the probability of each class; Nixon et al.
    2019, arXiv:1904.01685 (bins of equal mass).

    Examples
    --------
    >>> expected_calibration_error([0, 1, 1, 1], [0.25, 0.25, 1.0, 1.0], n_bins=2).round(3)
    array([0.125])
    """
    truth, given = checked_proba(y_true, proba)
    rows = weight_rows(weights, len(truth))
    out = np.empty((len(rows), truth.shape[1]))
    for k in range(truth.shape[1]):
        known = np.isfinite(truth[:, k])
        y, p, w = truth[known, k], given[known, k], rows[:, known]
        member = _member(p, _edges(p, n_bins, bins))[:, None] == np.arange(n_bins)
        gaps = np.abs(w @ (member * (p - y)[:, None])).sum(axis=1)
        positives, total = w @ y, w.sum(axis=1)
        out[:, k] = ratio(gaps, total, undefined=(positives == 0) | (positives == total))
    return of_resamples(out, weights)


def brier(y_true: ArrayLike, proba: ArrayLike, weights: ArrayLike | None = None) -> FloatArray:
    """Give the mean squared error of the probability of each class; NaN without a positive or a negative.

    References
    ----------
    Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, of one class against all others.

    Examples
    --------
    >>> brier([0, 1], [0.2, 0.6]).round(3)
    array([0.1])
    """
    truth, given = checked_proba(y_true, proba)
    rows, known = weight_rows(weights, len(truth)), np.isfinite(truth)
    wrong = rows @ np.where(known, np.nan_to_num(given - truth) ** 2, 0.0)
    total, positives = rows @ known.astype(np.float64), rows @ np.nan_to_num(truth)
    return of_resamples(ratio(wrong, total, undefined=(positives == 0) | (positives == total)), weights)


def checked_proba(y_true: ArrayLike, proba: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Give labels and probabilities as (record, class), checked.

    Raises
    ------
    LabelError
        As `checked_pair`, and if probabilities lie outside 0 to 1.
    """
    truth, given = checked_pair(y_true, proba)
    if given.size and not 0 <= given.min() <= given.max() <= 1:
        problem = f"lie between {given.min():g} and {given.max():g}"
        raise LabelError("probabilities", problem, "give probabilities, not logits")
    return truth, given


def _binned(y: FloatArray, p: FloatArray, n_bins: int, bins: Bins) -> tuple[FloatArray, ...]:
    """Give edges, and of each bin the count, the sum of probabilities and that of labels."""
    known = np.isfinite(y)
    y, p = y[known], p[known]
    edges = _edges(p, n_bins, bins)
    member = _member(p, edges)
    sums = [np.bincount(member, part, n_bins).astype(np.float64) for part in (np.ones(len(p)), p, y)]
    return edges, *sums


def _edges(p: FloatArray, n_bins: int, bins: Bins) -> FloatArray:
    if n_bins < 1 or bins not in ("width", "mass"):
        raise LabelError("bins", f"{n_bins} bins of equal {bins!r}", 'give 1 or more, of equal "width" or "mass"')
    even = np.linspace(0, 1, n_bins + 1)
    return even if bins == "width" or not len(p) else np.asarray(np.quantile(p, even), dtype=np.float64)


def _member(p: FloatArray, edges: FloatArray) -> NDArray[np.intp]:
    return np.asarray(np.searchsorted(edges[1:-1], p, side="right"))
