"""Multi-label k-nearest-neighbour probe on frozen embeddings, with faiss."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.estimator import Estimator, check_vectors
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, auroc, best_f1_thresholds, macro
from ssl_ecg.probing.linear import check_labels, check_pairs, mean_and_scale, warn_degenerate

FloatArray = NDArray[np.float64]


class KNNProbe(Estimator):
    """Label probability = mean label of the k nearest records, weighted by exp(cosine / temperature).

    Nothing is trained, so that the figure says how well the geometry of the embedding fits the labels. k has
    the best macro AUROC on validation records, or, when none are given, on the training records themselves
    with all records of the same patient taken out of each neighbourhood.

    Parameters
    ----------
    ks : sequence of int
        Numbers of neighbours to try.
    temperature : float
        Of the weights; smaller trusts the nearest more.
    standardise : bool
        Bring all dimensions to mean 0 and deviation 1 on the training records before the cosine.

    Attributes
    ----------
    k_ : int
    thresholds_ : float64 array (class,)
    validation_ : dict
        k -> macro AUROC on validation.
    degenerate_ : tuple of int
        Classes without a positive or a negative in training: they get their smoothed prior for every record.

    References
    ----------
    Wu et al. 2018, arXiv:1805.01978 (weighted kNN as a measure of representations).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(300, 4))
    >>> probe = KNNProbe().fit(Z[:200], Z[:200, 0] > 0)
    >>> probe.predict_proba(Z[200:]).shape
    (100, 1)
    """

    def __init__(
        self,
        ks: Sequence[int] = (5, 10, 20, 40, 80, 160),
        temperature: float = 0.07,
        standardise: bool = True,
    ) -> None:
        self.ks = ks
        self.temperature = temperature
        self.standardise = standardise

    def fit(
        self,
        Z: ArrayLike,
        Y: ArrayLike,
        Z_val: ArrayLike | None = None,
        Y_val: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> KNNProbe:
        """Keep the training records and choose k; parameters as in ``LinearProbe.fit``.

        Raises
        ------
        SignalError, LabelError
            If shapes do not fit, embeddings are not finite, or labels not binary.
        """
        vectors, labels = check_vectors(Z, "KNNProbe"), check_labels(Y)
        check_pairs("KNNProbe", "labels", (vectors, labels), (Z_val, Y_val))
        if len(self.ks) == 0 or min(self.ks) < 1 or self.temperature <= 0:
            raise LabelError("KNNProbe", f"ks {self.ks}, temperature {self.temperature}", "give positive numbers")
        self._remember(vectors, labels)
        ks = sorted({min(int(k), len(labels)) for k in self.ks})
        if Z_val is not None and Y_val is not None:
            truth = check_labels(Y_val)
            nearest = self._search(check_vectors(Z_val, "KNNProbe", dim=self.n_features_in_), ks[-1])
        else:
            truth, nearest = labels, self._search_others(vectors, groups, ks[-1])
        self._choose(truth, [self._vote(*nearest, k) for k in ks], ks)
        warn_degenerate(self.degenerate_)
        return self

    def predict_proba(self, Z: ArrayLike) -> FloatArray:
        """Give probabilities (record, class)."""
        self._check_fitted("k_")
        vectors = check_vectors(Z, "KNNProbe", dim=self.n_features_in_)
        return self._vote(*self._search(vectors, self.k_), self.k_)

    def predict(self, Z: ArrayLike) -> NDArray[np.int64]:
        """Give decisions 0 or 1 (record, class) at the thresholds found on validation."""
        return (self.predict_proba(Z) >= self.thresholds_).astype(np.int64)

    def _remember(self, vectors: NDArray[np.floating], labels: FloatArray) -> None:
        self.n_features_in_ = vectors.shape[1]
        self.mean_, self.scale_ = np.zeros(vectors.shape[1]), np.ones(vectors.shape[1])
        if self.standardise:
            self.mean_, self.scale_ = mean_and_scale(vectors)
        self.vectors_, self.labels_ = self._direction(vectors), labels
        known, positive = np.isfinite(labels).sum(axis=0), np.nansum(labels, axis=0)
        self.prior_ = (positive + 0.5) / (known + 1)
        self.degenerate_ = tuple(np.flatnonzero((positive == 0) | (positive == known)).tolist())

    def _direction(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Give unit vectors."""
        centred = ((vectors - self.mean_) / self.scale_).astype(np.float32)
        length = np.linalg.norm(centred, axis=1, keepdims=True)
        return np.ascontiguousarray(centred / np.maximum(length, 1e-12))

    def _search(self, vectors: NDArray[np.floating], k: int) -> tuple[FloatArray, NDArray[np.int64]]:
        """Give cosines and row numbers (record, k) of the nearest training records."""
        import faiss

        index = faiss.IndexFlatIP(self.n_features_in_)
        index.add(self.vectors_)
        cosine, rows = index.search(self._direction(vectors), k)
        return cosine.astype(np.float64), rows

    def _search_others(
        self, vectors: NDArray[np.floating], groups: ArrayLike | None, k: int
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Search among the records of other patients: theirs come last, with a cosine of minus infinity."""
        patients = np.arange(len(vectors)) if groups is None else np.asarray(groups)
        _, patient, sizes = np.unique(patients, return_inverse=True, return_counts=True)
        cosine, rows = self._search(vectors, min(len(vectors), k + int(sizes.max())))
        cosine[patient[rows] == patient[:, None]] = -np.inf
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        return np.take_along_axis(cosine, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _vote(self, cosine: FloatArray, rows: NDArray[np.int64], k: int) -> FloatArray:
        """Average the labels of the k nearest; a tenth of a neighbour votes for the prior."""
        cosine, labels = cosine[:, :k], self.labels_[rows[:, :k]]
        top = np.maximum(cosine[:, :1], -1.0)  # minus infinity where a record has no other patient
        weight = np.exp((cosine - top) / self.temperature)[:, :, None] * np.isfinite(labels)
        total = (weight * np.nan_to_num(labels)).sum(axis=1) + 0.1 * self.prior_
        share = total / (weight.sum(axis=1) + 0.1)
        share[:, list(self.degenerate_)] = self.prior_[list(self.degenerate_)]
        return np.asarray(share)

    def _choose(self, truth: FloatArray, votes: list[FloatArray], ks: list[int]) -> None:
        quality = [macro(auroc(truth, vote)).value for vote in votes]
        if np.isfinite(quality).all():
            best = int(np.argmax(quality))
            self.validation_ = dict(zip(ks, quality, strict=True))
            self.thresholds_ = best_f1_thresholds(truth, votes[best])
        else:
            text = "no class can be judged on validation: taking the middle k and thresholds of 0.5"
            warnings.warn(text, UndefinedClassWarning, stacklevel=3)
            best, self.validation_ = len(ks) // 2, {}
            self.thresholds_ = np.full(truth.shape[1], 0.5)
        self.k_ = ks[best]
