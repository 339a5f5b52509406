"""Multi-label logistic regression on frozen embeddings, its regularisation chosen on validation."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.estimator import Estimator, check_vectors
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, auroc, best_f1_thresholds, macro
from ssl_ecg.evaluate.sampling import grouped_folds
from ssl_ecg.logistic import logistic_path

FloatArray = NDArray[np.float64]
STRENGTHS = (1e-5, 5e-5, 2e-4, 1e-3, 5e-3, 2e-2, 1e-1, 5e-1, 3.0)


class LinearProbe(Estimator):
    """One-vs-rest logistic regression on standardised embeddings, after scikit-learn's contract.

    The strength C, common to all classes, is the one with the best macro AUROC on validation records, or,
    when none are given, in a cross-validation over patients inside the training records. Thresholds with the
    best F1 come from the same validation.

    Parameters
    ----------
    strengths : sequence of float
        Values of C to try (scikit-learn's convention: larger is weaker regularisation).
    n_folds : int
        Folds of the internal cross-validation.
    seed : int
        Of those folds.

    Attributes
    ----------
    coef_ : float64 array (class, dim), intercept_ : float64 array (class,)
        On standardised embeddings.
    mean_, scale_ : float64 array (dim,)
    C_ : float
    thresholds_ : float64 array (class,)
    validation_ : dict
        C -> macro AUROC on validation.
    degenerate_ : tuple of int
        Classes without a positive or a negative in training: they get their smoothed prior for every record.

    References
    ----------
    Alain and Bengio 2016, arXiv:1610.01644 (linear probes).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 8))
    >>> Y = (Z[:, :2] > 0).astype(float)
    >>> probe = LinearProbe().fit(Z[:100], Y[:100], Z[100:150], Y[100:150])
    >>> probe.predict_proba(Z[150:]).shape, bool((probe.predict(Z[150:]) == Y[150:]).mean() > 0.9)
    ((50, 2), True)
    """

    def __init__(self, strengths: Sequence[float] = STRENGTHS, n_folds: int = 5, seed: int = 0) -> None:
        self.strengths = strengths
        self.n_folds = n_folds
        self.seed = seed

    def fit(
        self,
        Z: ArrayLike,
        Y: ArrayLike,
        Z_val: ArrayLike | None = None,
        Y_val: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
    ) -> LinearProbe:
        """Fit on training records.

        Parameters
        ----------
        Z : array (record, dim)
        Y : array (record, class) or (record,)
            1, 0, or NaN where unknown.
        Z_val, Y_val : arrays, optional
            Validation records, never the test records.
        groups : array (record,), optional
            Patient of each training record, for the internal cross-validation; each its own when not given.

        Raises
        ------
        SignalError, LabelError
            If shapes do not fit, embeddings are not finite, or labels not binary.
        """
        vectors, labels = check_vectors(Z, "LinearProbe"), check_labels(Y)
        check_pairs("LinearProbe", "labels", (vectors, labels), (Z_val, Y_val))
        strengths = np.sort(np.asarray(self.strengths, dtype=np.float64))
        if strengths.size == 0 or not (strengths > 0).all():
            raise LabelError("LinearProbe", f"strengths {self.strengths}", "give numbers greater than zero")
        path = _Path(vectors, labels, strengths)
        if Z_val is not None and Y_val is not None:
            truth = check_labels(Y_val)
            logit = path.logits(check_vectors(Z_val, "LinearProbe", dim=vectors.shape[1]))
            fold = np.zeros(len(truth), np.int64)
        else:
            truth, (logit, fold) = labels, self._cross_validate(vectors, labels, strengths, groups)
        self._choose(path, truth, logit, fold)
        warn_degenerate(path.degenerate)
        return self

    def decision_function(self, Z: ArrayLike) -> FloatArray:
        """Give logits (record, class)."""
        self._check_fitted("coef_")
        vectors = check_vectors(Z, "LinearProbe", dim=self.coef_.shape[1])
        return np.asarray((vectors - self.mean_) / self.scale_ @ self.coef_.T + self.intercept_)

    def predict_proba(self, Z: ArrayLike) -> FloatArray:
        """Give probabilities (record, class)."""
        from scipy.special import expit

        return np.asarray(expit(self.decision_function(Z)))

    def predict(self, Z: ArrayLike) -> NDArray[np.int64]:
        """Give decisions 0 or 1 (record, class) at the thresholds found on validation."""
        return (self.predict_proba(Z) >= self.thresholds_).astype(np.int64)

    def _cross_validate(
        self,
        vectors: NDArray[np.floating],
        labels: FloatArray,
        strengths: FloatArray,
        groups: ArrayLike | None,
    ) -> tuple[FloatArray, NDArray[np.int64]]:
        """Give logits (strength, record, class) from fits without the record's patient, and the folds."""
        patients = np.arange(len(labels)) if groups is None else np.asarray(groups)
        n_folds = min(self.n_folds, len(np.unique(patients)))
        if n_folds < 2:
            return np.zeros((0, *labels.shape)), np.zeros(len(labels), np.int64)
        fold = grouped_folds(labels, patients, n_folds=n_folds, seed=self.seed)
        logit = np.empty((len(strengths), *labels.shape))
        for k in range(n_folds):
            path = _Path(vectors[fold != k], labels[fold != k], strengths)
            logit[:, fold == k] = path.logits(vectors[fold == k])
        return logit, fold

    def _choose(self, path: _Path, truth: FloatArray, logit: FloatArray, fold: NDArray[np.int64]) -> None:
        """Keep the strength with the best AUROC, averaged over classes and folds, and its thresholds."""
        from scipy.special import expit

        folds = np.unique(fold)
        quality = np.array([
            np.mean([_defined(macro(auroc(truth[fold == k], scores[fold == k])).value) for k in folds])
            for scores in logit
        ])  # fmt: skip
        if quality.size and quality.max() > 0:
            best = int(np.argmax(quality))
            self.thresholds_ = best_f1_thresholds(truth, expit(logit[best]))
            self.validation_ = dict(zip(path.strengths.tolist(), quality.tolist(), strict=True))
        else:
            text = "no class can be judged on validation: taking the middle strength and thresholds of 0.5"
            warnings.warn(text, UndefinedClassWarning, stacklevel=3)
            best = len(path.strengths) // 2
            self.thresholds_, self.validation_ = np.full(truth.shape[1], 0.5), {}
        self.C_ = float(path.strengths[best])
        self.coef_, self.intercept_ = path.coef[best], path.intercept[best]
        self.mean_, self.scale_, self.degenerate_ = path.mean, path.scale, path.degenerate
        self.n_features_in_ = len(path.mean)


class _Path:
    """Standardisation and fits at every strength; classes that cannot be learnt get their smoothed prior."""

    def __init__(self, vectors: NDArray[np.floating], labels: FloatArray, strengths: FloatArray) -> None:
        self.strengths = strengths
        self.mean, self.scale = mean_and_scale(vectors)
        known, positive = np.isfinite(labels).sum(axis=0), np.nansum(labels, axis=0)
        learnable = (positive > 0) & (positive < known)
        self.degenerate = tuple(np.flatnonzero(~learnable).tolist())
        prior = (positive + 0.5) / (known + 1)
        self.coef = np.zeros((len(strengths), labels.shape[1], vectors.shape[1]))
        self.intercept = np.tile(np.log(prior / (1 - prior)), (len(strengths), 1))
        if learnable.any():
            standard = (vectors - self.mean) / self.scale
            coef, intercept = logistic_path(standard, labels[:, learnable], strengths.tolist())
            self.coef[:, learnable], self.intercept[:, learnable] = coef, intercept

    def logits(self, vectors: NDArray[np.floating]) -> FloatArray:
        """Give (strength, record, class)."""
        standard = (vectors - self.mean) / self.scale
        return np.asarray(standard @ self.coef.transpose(0, 2, 1) + self.intercept[:, None])


def check_pairs(
    where: str,
    what: str,
    training: tuple[NDArray[np.floating], FloatArray],
    validation: tuple[ArrayLike | None, ArrayLike | None],
) -> None:
    """Refuse embeddings without a row of labels or targets each, none at all, and half of a validation set."""
    vectors, rows = training
    if len(vectors) != len(rows) or len(rows) == 0:
        problem = f"{len(vectors)} embeddings for {len(rows)} rows of {what}"
        raise LabelError(where, problem, f"give one row of {what} for each embedding")
    if (validation[0] is None) != (validation[1] is None):
        raise LabelError(where, "only one of Z_val and Y_val is given", "give both or none")


def check_labels(Y: ArrayLike) -> FloatArray:
    """Give labels as float64 (record, class) of 1, 0 and NaN.

    Raises
    ------
    LabelError
        If they hold anything else.
    """
    try:
        labels = np.asarray(Y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise LabelError("labels", "are not numbers", "give 1, 0 or NaN (unknown)") from error
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or labels.shape[1] == 0:
        raise LabelError("labels", f"have shape {labels.shape}", "give them as (record, class)")
    if not np.isin(labels[~np.isnan(labels)], (0, 1)).all():
        raise LabelError("labels", "hold values other than 0, 1 and NaN", "give 1, 0 or NaN (unknown)")
    return labels


def mean_and_scale(vectors: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Give mean and standard deviation of each dimension; a constant one is left at its scale."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    deviation = vectors.std(axis=0, dtype=np.float64)
    constant = deviation <= 1e-7 * np.abs(mean) + np.finfo(np.float32).tiny
    return mean, np.where(constant, 1.0, deviation)


def warn_degenerate(classes: Sequence[int]) -> None:
    """Say which classes could not be learnt."""
    if classes:
        text = f"classes {list(classes)} have no positive or no negative in training: predicting their prior"
        warnings.warn(text, UndefinedClassWarning, stacklevel=3)


def _defined(value: float) -> float:
    return value if np.isfinite(value) else 0.0
