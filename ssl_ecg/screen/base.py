"""The contract of detectors: fit on reference embeddings, score any others; higher is stranger."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.estimator import Estimator, check_vectors
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.screen.choice import Choice, save_choices
from ssl_ecg.screen.conformal import conformal_p_values
from ssl_ecg.screen.whiten import Whitening, fit_whitening

FloatArray = NDArray[np.float64]
Number = TypeVar("Number", bound=np.generic)
FORMAT = 1
BLOCK = 16_384  # records scored at once
_ROUNDS = 5  # of leaving out the strangest and fitting again
_KINDS: dict[str, Any] = {"int": Integral, "float": Real, "bool": (bool, np.bool_), "str": str, "None": type(None)}


class Detector(Estimator, ABC):
    """Base of the screens: whitening, trimming, threshold, percentiles, p-values, saving.

    A subclass has the constructor arguments ``n_components``, ``whiten``, ``trim``, ``alert_rate`` and
    ``seed``, and implements ``_fit`` and ``_score`` on embeddings projected by PCA.

    A contaminated reference is fitted with ``trim``: its strangest share is left out and the rest fitted
    again, projection included, until the same records stay out (five rounds at most); the first projection
    is fitted with distant records drawn in, and the smallest clusters that together hold no more than that
    share do not count as usual in the first round. Trimmed records are scored as unseen ones are; threshold and
    percentiles refer to the records that were kept.

    Attributes
    ----------
    reference_scores_ : float64 array (record,)
        Scores of the kept records, each judged by the others where the method allows; sorted.
    threshold_ : float
        ``predict`` flags what scores higher; the share ``alert_rate`` of the kept records does.
    kept_ : bool array (record,)
        Whether each fitted record, in the order given, was kept; all are when ``trim`` is 0.
    choice_ : list of Choice
        What was chosen by the data, and from which candidates; empty if nothing was.
    calibration_scores_ : float64 array (record,)
        Scores of the records given to ``calibrate``, sorted; there only after it.

    References
    ----------
    Rousseeuw and Van Driessen 1999, doi:10.1080/00401706.1999.10485670, section 3 (fitting the least strange again).
    """

    n_components: int | None
    whiten: bool
    trim: float
    alert_rate: float
    seed: int
    _suspect = 0.0  # share of the records being fitted that may be strange: trim, before anything is left out

    def set_params(self, **params: Any) -> Any:
        """Set constructor arguments by name and give the detector back.

        Raises
        ------
        SignalError
            If there is no such argument, or a value is of another kind than it takes.
        """
        super().set_params(**params)
        taken = inspect.signature(type(self).__init__).parameters
        for name, value in params.items():
            kinds = str(taken[name].annotation).split(" | ")
            known = [_KINDS[kind] for kind in kinds if kind in _KINDS]
            right = any(isinstance(value, kind) for kind in known) and (type(value) is not bool or "bool" in kinds)
            if len(known) == len(kinds) and not right:
                raise SignalError(type(self).__name__, f"{name} is {value!r}", f"give {' or '.join(kinds)}")
        return self

    def fit(self, Z: ArrayLike) -> Detector:
        """Learn what is usual from reference embeddings (record, dim).

        Raises
        ------
        SignalError
            If embeddings are too few, all equal, or hold NaN or infinite values.
        """
        self.fit_score(Z)
        return self

    def fit_score(self, Z: ArrayLike) -> FloatArray:
        """Fit, and score the fitted records, each judged by the others where the method allows."""
        vectors = check_vectors(Z, type(self).__name__)
        self._check(len(vectors))
        self.choice_: list[Choice] = []
        vars(self).pop("calibration_scores_", None)
        order = canonical_order(vectors)  # results do not depend on the given one
        ordered_scores, kept = self._fit_trimmed(vectors, order)
        scores, self.kept_ = np.empty(len(vectors)), np.empty(len(vectors), dtype=bool)
        scores[order], self.kept_[order] = ordered_scores, kept
        self.reference_scores_ = np.sort(scores[self.kept_])
        self.threshold_ = float(np.quantile(self.reference_scores_, 1 - self.alert_rate, method="higher"))
        return scores

    def transform(self, Z: ArrayLike) -> NDArray[np.float32]:
        """Give projected embeddings (record, component), in which distances are measured."""
        self._check_fitted("threshold_")
        vectors = check_vectors(Z, type(self).__name__, dim=len(self.mean_))
        return Whitening(self.mean_, self.projection_)(vectors)

    def anomaly_score(self, Z: ArrayLike) -> FloatArray:
        """Score embeddings (record, dim) that need not have been fitted; higher is stranger."""
        return self._score_blocks(self.transform(Z))

    def predict(self, Z: ArrayLike) -> NDArray[np.bool_]:
        """Flag embeddings stranger than the threshold."""
        return self.anomaly_score(Z) > self.threshold_

    def cluster(self, Z: ArrayLike) -> NDArray[np.int64]:
        """Give the cluster of each embedding; -1 where it belongs to none or the method has none."""
        return in_blocks(self._cluster, self.transform(Z), np.int64)

    def percentile(self, scores: ArrayLike) -> FloatArray:
        """Give the share of fitted records that score lower [%]."""
        self._check_fitted("threshold_")
        below = np.searchsorted(self.reference_scores_, np.asarray(scores, dtype=np.float64))
        return 100.0 * below / len(self.reference_scores_)

    def calibrate(self, Z: ArrayLike) -> Detector:
        """Score embeddings of usual records that were not fitted, as the standard for ``p_value``."""
        self.calibration_scores_ = np.sort(self.anomaly_score(Z))
        return self

    def p_value(self, scores: ArrayLike) -> FloatArray:
        """Give conformal p-values of scores; NaN without a calibration."""
        calibration = getattr(self, "calibration_scores_", None)
        if calibration is None:
            return np.full(np.shape(scores), np.nan)
        return conformal_p_values(calibration, scores)

    def save(self, folder: str | Path) -> Path:
        """Write ``detector.npz``, ``detector.json`` and, if something was chosen, ``choice.json``; no pickle.

        Raises
        ------
        ArchiveError
            If the folder cannot be written.
        """
        arrays, card = self.pack()
        write_whole(Path(folder) / "detector.npz", lambda file: _savez(file, arrays))
        save_choices(folder, self.choice_)
        write_json(Path(folder) / "detector.json", card)
        return Path(folder)

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give everything fitted as arrays by name and a card for JSON."""
        self._check_fitted("threshold_")
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_") and name != "choice_"}
        arrays = {name: value for name, value in fitted.items() if isinstance(value, np.ndarray)}
        numbers = {name: value for name, value in fitted.items() if name not in arrays}
        card = {"format": FORMAT, "class": type(self).__name__, "params": self.get_params(), "fitted": numbers}
        return arrays, {**card, "arrays": sorted(arrays)}

    def unpack(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> None:
        """Take back what ``pack`` gave."""
        for name, array in arrays.items():
            setattr(self, name, array)
        for name, value in numbers.items():
            setattr(self, name, np.nan if value is None else value)

    def _check(self, n: int) -> None:
        where = type(self).__name__
        if not 0 <= self.alert_rate < 1:
            raise SignalError(where, f"alert_rate is {self.alert_rate}", "give a share from 0 to below 1")
        if not 0 <= self.trim < 0.5:
            raise SignalError(where, f"trim is {self.trim}", "give a share from 0 to below 0.5")
        left = n - int(self.trim * n)
        if left < self._minimum():
            found = f"{n} records" if left == n else f"{left} records after trimming"
            problem = f"{found}, at least {self._minimum()} are needed"
            raise SignalError(where, problem, "give more records, or a detector that needs fewer")

    def _fit_trimmed(
        self, vectors: NDArray[np.floating], order: NDArray[np.int64]
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Fit, leave out the strangest share and fit again; scores and what was kept follow ``order``."""
        n_kept = len(order) - int(self.trim * len(order))
        kept = np.ones(len(order), dtype=bool)
        for left in reversed(range(1 if n_kept == len(order) else _ROUNDS)):
            self._suspect = self.trim if kept.all() else 0.0
            used = order[kept]
            whitening = fit_whitening(vectors, self.n_components, whiten=self.whiten, rows=used, suspect=self._suspect)
            self.mean_, self.projection_ = whitening.mean, whitening.projection
            self.choice_ = []
            scores = np.empty(len(order))
            scores[kept] = self._fit(whitening(vectors, used))
            if not kept.all():
                scores[~kept] = self._score_blocks(whitening(vectors, order[~kept]))
            usual = np.zeros(len(order), dtype=bool)
            usual[np.argsort(scores, kind="stable")[:n_kept]] = True
            if not left or (usual == kept).all():
                break
            kept = usual
        return scores, kept

    def _minimum(self) -> int:
        """Give the fewest records that can be fitted."""
        return 10

    @abstractmethod
    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        """Learn from projected embeddings and give their scores."""

    @abstractmethod
    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        """Score projected embeddings."""

    def _cluster(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.full(len(X), -1, np.int64)

    def _score_blocks(self, X: NDArray[np.float32]) -> FloatArray:
        """Score projected embeddings, however many, in bounded memory."""
        return in_blocks(self._score, X, np.float64)


def in_blocks(
    call: Callable[[NDArray[np.float32]], NDArray[Number]], X: NDArray[np.float32], dtype: type[Number]
) -> NDArray[Number]:
    """Call a function of rows on blocks of them."""
    result = np.empty(len(X), dtype=dtype)
    for start in range(0, len(X), BLOCK):
        result[start : start + BLOCK] = call(X[start : start + BLOCK])
    return result


def usual_kinds(size: NDArray[Any], fewest: float, suspect: float) -> NDArray[np.bool_]:
    """Tell which clusters count as usual.

    Those of at least ``fewest`` records do, without the smallest ones that together hold no more than
    ``suspect``; if none is left, the largest does.

    Examples
    --------
    >>> usual_kinds(np.array([50, 2, 8, 40]), 3, 0).tolist(), usual_kinds(np.array([50, 2, 8, 40]), 3, 10).tolist()
    ([True, False, True, True], [True, False, False, True])
    """
    ascending = np.argsort(size, kind="stable")
    usual = np.asarray(size >= fewest)
    usual[ascending[np.cumsum(size[ascending]) <= suspect]] = False
    usual[ascending[-1]] |= not usual.any()
    return usual


def canonical_order(vectors: NDArray[np.floating]) -> NDArray[np.int64]:
    """Sort rows by their first value, ties by the second, and so on: ``lexsort``, but only ties are read further.

    Examples
    --------
    >>> canonical_order(np.array([[2.0, 1.0], [1.0, 5.0], [2.0, 0.0]])).tolist()
    [1, 2, 0]
    """
    order = np.argsort(vectors[:, 0], kind="stable")
    value = vectors[order, 0]
    group = np.concatenate([[0], np.cumsum(value[1:] != value[:-1])])  # ties share a number
    for column in range(1, vectors.shape[1]):
        same = group[1:] == group[:-1]
        tied = np.flatnonzero(np.concatenate([[False], same]) | np.concatenate([same, [False]]))
        if not len(tied):
            break
        value = vectors[order[tied], column]
        again = np.lexsort((value, group[tied]))
        order[tied] = order[tied][again]
        value, before = value[again], group[tied]
        parted = np.zeros(len(group), np.int64)
        parted[tied[1:]] = (value[1:] != value[:-1]) & (before[1:] == before[:-1])
        group = group + np.cumsum(parted)
    return order


def _savez(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    save: Any = np.savez  # its stub takes the arrays' names for options
    save(file, **arrays)


def subsample(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Choose at most so many of n rows, sorted."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
