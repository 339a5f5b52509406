"""Ridge regression on frozen embeddings for continuous targets such as age, its strength chosen on validation."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.estimator import Estimator, check_vectors
from ssl_ecg.evaluate.regression import r2
from ssl_ecg.evaluate.sampling import grouped_folds
from ssl_ecg.probing.linear import check_pairs, mean_and_scale

FloatArray = NDArray[np.float64]
PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5)


class RidgeProbe(Estimator):
    """Ridge regression on standardised embeddings, after scikit-learn's contract; each target on its own.

    The penalty of a target is the one with the smallest squared error on validation records, or, when none are
    given, in a cross-validation over patients inside the training records.

    Parameters
    ----------
    penalties : sequence of float
        Factors of the squared weights to try (scikit-learn's ``alpha``), beside the summed squared errors.
    n_folds : int
        Folds of the internal cross-validation.
    seed : int
        Of those folds.

    Attributes
    ----------
    coef_ : float64 array (target, dim), intercept_ : float64 array (target,)
        On standardised embeddings.
    mean_, scale_ : float64 array (dim,)
    penalty_ : float64 array (target,)
    validation_ : list of dict
        Of each target, penalty -> R2 on validation.

    References
    ----------
    Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634, eq. 2.1.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 8))
    >>> Y = 60 + 10 * Z[:, :1] + rng.normal(size=(200, 1))
    >>> probe = RidgeProbe().fit(Z[:100], Y[:100], Z[100:150], Y[100:150])
    >>> bool(np.abs(probe.predict(Z[150:]) - Y[150:]).mean() < 1)
    True
    """

    def __init__(self, penalties: Sequence[float] = PENALTIES, n_folds: int = 5, seed: int = 0) -> None:
        self.penalties = penalties
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
    ) -> RidgeProbe:
        """Fit on training records.

        Parameters
        ----------
        Z : array (record, dim)
        Y : array (record, target) or (record,)
            NaN where unknown.
        Z_val, Y_val : arrays, optional
            Validation records, never the test records.
        groups : array (record,), optional
            Patient of each training record, for the internal cross-validation; each its own when not given.

        Raises
        ------
        SignalError, LabelError
            If shapes do not fit, embeddings are not finite, or a target is known of fewer than two records.
        """
        vectors, values = check_vectors(Z, "RidgeProbe"), _values(Y)
        check_pairs("RidgeProbe", "targets", (vectors, values), (Z_val, Y_val))
        penalties = np.sort(np.asarray(self.penalties, dtype=np.float64))
        if penalties.size == 0 or not (penalties > 0).all():
            raise LabelError("RidgeProbe", f"penalties {self.penalties}", "give numbers greater than zero")
        self.mean_, self.scale_ = mean_and_scale(vectors)
        inputs = self._standardised(vectors)
        if Z_val is not None and Y_val is not None:
            held = self._standardised(check_vectors(Z_val, "RidgeProbe", dim=inputs.shape[1]))
            truth = _values(Y_val)
            fits = [_path(inputs, y, penalties) for y in values.T]
            said = [weights @ held.T + intercepts[:, None] for weights, intercepts in fits]
        else:
            truth, said = values, self._cross_validate(inputs, values, penalties, groups)
        self._choose(inputs, values, truth, said, penalties)
        return self

    def predict(self, Z: ArrayLike) -> FloatArray:
        """Give values (record, target) in the unit of the targets."""
        self._check_fitted("coef_")
        vectors = check_vectors(Z, "RidgeProbe", dim=self.coef_.shape[1])
        return np.asarray(self._standardised(vectors) @ self.coef_.T + self.intercept_)

    def _choose(
        self,
        X: FloatArray,
        values: FloatArray,
        truth: FloatArray,
        said: Sequence[FloatArray],
        penalties: FloatArray,
    ) -> None:
        """Keep of each target the penalty with the best R2; the largest where validation cannot tell."""
        self.coef_, self.intercept_ = np.empty((values.shape[1], X.shape[1])), np.empty(values.shape[1])
        self.penalty_, self.validation_ = np.empty(values.shape[1]), []
        for k, y in enumerate(values.T):
            quality = np.array([r2(truth[:, k], row)[0] for row in said[k]])
            best = int(np.nanargmax(quality)) if np.isfinite(quality).any() else len(penalties) - 1
            weights, intercepts = _path(X, y, penalties)
            self.coef_[k], self.intercept_[k], self.penalty_[k] = weights[best], intercepts[best], penalties[best]
            self.validation_.append(dict(zip(penalties.tolist(), quality.tolist(), strict=True)))

    def _cross_validate(
        self, X: FloatArray, values: FloatArray, penalties: FloatArray, groups: ArrayLike | None
    ) -> list[FloatArray]:
        """Give of each target the values (penalty, record) from fits without the record's patient."""
        patients = np.arange(len(values)) if groups is None else np.asarray(groups)
        n_folds = min(self.n_folds, len(np.unique(patients)))
        fold = grouped_folds(np.zeros((len(values), 1)), patients, n_folds=n_folds, seed=self.seed)
        said = [np.full((len(penalties), len(X)), float(np.nanmean(y))) for y in values.T]
        for k in range(n_folds):
            rest = fold != k
            for column, y in zip(said, values.T, strict=True):
                if np.isfinite(y[rest]).sum() >= 2:
                    weights, intercepts = _path(X[rest], y[rest], penalties)
                    column[:, ~rest] = weights @ X[~rest].T + intercepts[:, None]
        return said

    def _standardised(self, vectors: NDArray[np.floating]) -> FloatArray:
        return np.asarray((vectors - self.mean_) / self.scale_, np.float64)


def _path(X: FloatArray, y: FloatArray, penalties: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Fit one target with every penalty by one singular value decomposition: weights (penalty, dim), intercepts."""
    known = np.isfinite(y)
    if known.sum() < 2:
        raise LabelError("RidgeProbe", f"a target is known of {known.sum()} records", "give two or more")
    centre, level = X[known].mean(axis=0), float(y[known].mean())
    left, singular, right = np.linalg.svd(X[known] - centre, full_matrices=False)
    shrunk = singular / (singular**2 + penalties[:, None]) * (left.T @ (y[known] - level))
    weights = shrunk @ right
    return weights, level - weights @ centre


def _values(Y: ArrayLike) -> FloatArray:
    """Give targets as (record, target), NaN where unknown."""
    try:
        values = np.asarray(Y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise LabelError("targets", "are not numbers", "give numbers or NaN (unknown)") from error
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] == 0 or np.isinf(values).any():
        raise LabelError("targets", f"have shape {values.shape} or are infinite", "give (record, target), or NaN")
    return values
