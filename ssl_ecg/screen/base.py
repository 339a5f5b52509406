"""The contract of detectors: fit on reference embeddings, score any others; higher is stranger."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.estimator import Estimator, check_vectors
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.screen.whiten import Whitening, fit_whitening

FloatArray = NDArray[np.float64]
FORMAT = 1


class Detector(Estimator, ABC):
    """Base of the screens: whitening, threshold, percentiles, saving.

    A subclass has the constructor arguments ``n_components``, ``whiten``, ``alert_rate`` and ``seed``, and
    implements ``_fit`` and ``_score`` on embeddings projected by PCA.

    Attributes
    ----------
    reference_scores_ : float64 array (record,)
        Scores of the fitted records, each judged by the others where the method allows; sorted.
    threshold_ : float
        ``predict`` flags what scores higher; the share ``alert_rate`` of the fitted records does.
    """

    n_components: int | None
    whiten: bool
    alert_rate: float
    seed: int

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
        if not 0 <= self.alert_rate < 1:
            problem = f"alert_rate is {self.alert_rate}"
            raise SignalError(type(self).__name__, problem, "give a share from 0 to below 1")
        if len(vectors) < self._minimum():
            problem = f"{len(vectors)} records, at least {self._minimum()} are needed"
            raise SignalError(type(self).__name__, problem, "give more records, or a detector that needs fewer")
        order = np.lexsort(vectors.T[::-1])  # a canonical order: results do not depend on the given one
        ordered = vectors[order]
        whitening = fit_whitening(ordered, self.n_components, whiten=self.whiten)
        self.mean_, self.projection_ = whitening.mean, whitening.projection
        scores = np.empty(len(vectors))
        scores[order] = self._fit(whitening(ordered))
        self.reference_scores_ = np.sort(scores)
        self.threshold_ = float(np.quantile(scores, 1 - self.alert_rate, method="higher"))
        return scores

    def transform(self, Z: ArrayLike) -> NDArray[np.float32]:
        """Give projected embeddings (record, component), in which distances are measured."""
        self._check_fitted("threshold_")
        vectors = check_vectors(Z, type(self).__name__, dim=len(self.mean_))
        return Whitening(self.mean_, self.projection_)(vectors)

    def anomaly_score(self, Z: ArrayLike) -> FloatArray:
        """Score embeddings (record, dim) that need not have been fitted; higher is stranger."""
        return self._score(self.transform(Z))

    def predict(self, Z: ArrayLike) -> NDArray[np.bool_]:
        """Flag embeddings stranger than the threshold."""
        return self.anomaly_score(Z) > self.threshold_

    def cluster(self, Z: ArrayLike) -> NDArray[np.int64]:
        """Give the cluster of each embedding; -1 where it belongs to none or the method has none."""
        return self._cluster(self.transform(Z))

    def percentile(self, scores: ArrayLike) -> FloatArray:
        """Give the share of fitted records that score lower [%]."""
        self._check_fitted("threshold_")
        below = np.searchsorted(self.reference_scores_, np.asarray(scores, dtype=np.float64))
        return 100.0 * below / len(self.reference_scores_)

    def save(self, folder: str | Path) -> Path:
        """Write ``detector.npz`` and ``detector.json``; nothing is pickled.

        Raises
        ------
        ArchiveError
            If the folder cannot be written.
        """
        self._check_fitted("threshold_")
        fitted = {name: value for name, value in vars(self).items() if name.endswith("_")}
        arrays = {name: value for name, value in fitted.items() if isinstance(value, np.ndarray)}
        numbers = {name: value for name, value in fitted.items() if name not in arrays}
        write_whole(Path(folder) / "detector.npz", lambda file: _savez(file, arrays))
        card = {
            "format": FORMAT,
            "class": type(self).__name__,
            "params": self.get_params(),
            "fitted": numbers,
        }
        write_json(Path(folder) / "detector.json", card)
        return Path(folder)

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


def _savez(file: BinaryIO, arrays: dict[str, NDArray[Any]]) -> None:
    save: Any = np.savez  # its stub takes the arrays' names for options
    save(file, **arrays)


def subsample(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Choose at most so many of n rows, sorted."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))
