"""Classifiers on expert features, one against the rest, as the baselines of every table."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError, SignalError
from ssl_ecg.estimator import Estimator
from ssl_ecg.evaluate.metrics import auroc, best_f1_thresholds, macro
from ssl_ecg.features.expert import fill_unknown, medians
from ssl_ecg.probing.linear import LinearProbe, check_labels, mean_and_scale, warn_degenerate

FARTHEST = 10.0
"""Standardised features are cut off at so many standard deviations."""


class Baseline(Estimator):
    """What the baselines share: unknown features and labels, standardisation, classes that cannot be learnt.

    Unknown features get the median, and all are standardised by mean and deviation, of the training records.
    A class is learnt from the records whose label is known; one without a positive or a negative among them gets its
    smoothed prior for every record.

    Attributes
    ----------
    median_, mean_, scale_ : arrays (feature,)
    models_ : list
        A fitted model for each class; a probability where the class could not be learnt. Of logistic regression it is
        `probe_` instead, which has all classes.
    degenerate_ : tuple of int
        Those classes.
    thresholds_ : float64 array (class,)
        Best F1 on validation; only where validation records are given.
    validation_ : float
        Macro AUROC on the same records.
    """

    def fit(
        self, X: ArrayLike, Y: ArrayLike, X_val: ArrayLike | None = None, Y_val: ArrayLike | None = None
    ) -> Baseline:
        """Fit on training records.

        Parameters
        ----------
        X : array (record, feature)
            NaN where unknown.
        Y : array (record, class) or (record,)
            1, 0, or NaN where unknown.
        X_val, Y_val : arrays, optional
            Validation records, never the test records; used by the baselines that choose something.

        Raises
        ------
        SignalError, LabelError
            If shapes do not fit, labels are not binary, or a package is missing.
        """
        features, labels = _features(X), check_labels(Y)
        if len(features) != len(labels) or len(labels) == 0:
            problem = f"{len(features)} rows of features for {len(labels)} of labels"
            raise LabelError(type(self).__name__, problem, "give one row of labels for each record")
        self.median_ = medians(features)
        self.mean_, self.scale_ = mean_and_scale(fill_unknown(features, self.median_))
        validation = None
        if X_val is not None and Y_val is not None:
            validation = (self._standardised(X_val), check_labels(Y_val))
        self._fit_classes(self._standardised(features), labels, validation)
        if validation is not None:
            proba = self._proba(validation[0])
            self.thresholds_ = best_f1_thresholds(validation[1], proba)
            self.validation_ = macro(auroc(validation[1], proba)).value
        return self

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give probabilities (record, class).

        Raises
        ------
        SignalError
            If the baseline is not fitted, or the number of features is another.
        """
        self._check_fitted("mean_")
        return self._proba(self._standardised(X))

    def _proba(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = [
            np.full(len(vectors), model) if isinstance(model, float) else model.predict_proba(vectors)[:, 1]
            for model in self.models_
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    @abstractmethod
    def _model(self) -> Any:
        """Build the model of one class, after scikit-learn's contract."""

    def _fit_classes(
        self,
        vectors: NDArray[np.float64],
        labels: NDArray[np.float64],
        validation: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> None:
        self.models_: list[Any] = []
        for column in labels.T:
            known = ~np.isnan(column)
            positive = int(column[known].sum())
            if positive in (0, int(known.sum())):
                self.models_.append(float((positive + 1) / (known.sum() + 2)))
            else:
                self.models_.append(self._model().fit(vectors[known], column[known].astype(np.int64)))
        self.degenerate_ = tuple(k for k, model in enumerate(self.models_) if isinstance(model, float))
        warn_degenerate(self.degenerate_)

    def _standardised(self, X: ArrayLike) -> NDArray[np.float64]:
        features = _features(X)
        if features.shape[1] != len(self.mean_):
            problem = f"{features.shape[1]} features, {len(self.mean_)} were fitted"
            raise SignalError(type(self).__name__, problem, "compute the same features")
        score = (fill_unknown(features, self.median_) - self.mean_) / self.scale_
        return np.asarray(np.clip(score, -FARTHEST, FARTHEST), np.float64)


class LogisticBaseline(Baseline):
    """Logistic regression, its strength chosen on validation as in `LinearProbe`, which does the work.

    Parameters
    ----------
    seed : int
        Of the cross-validation where no validation records are given.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 5))
    >>> Y = (X[:, :2] > 0).astype(float)
    >>> X[::7, 3] = np.nan
    >>> proba = LogisticBaseline().fit(X[:150], Y[:150]).predict_proba(X[150:])
    >>> proba.shape, bool(((proba > 0.5) == Y[150:]).mean() > 0.9)
    ((50, 2), True)
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _proba(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.probe_.predict_proba(vectors)

    def _fit_classes(
        self,
        vectors: NDArray[np.float64],
        labels: NDArray[np.float64],
        validation: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    ) -> None:
        self.probe_ = LinearProbe(seed=self.seed).fit(vectors, labels, *(validation or ()))
        self.degenerate_ = self.probe_.degenerate_

    def _model(self) -> LinearProbe:
        return LinearProbe(seed=self.seed)


class ForestBaseline(Baseline):
    """Random forest.

    Parameters
    ----------
    n_trees, max_depth : int
    seed : int

    References
    ----------
    Breiman 2001, doi 10.1023/A:1010933404324.
    """

    def __init__(self, n_trees: int = 300, max_depth: int = 10, seed: int = 0) -> None:
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.seed = seed

    def _model(self) -> Any:
        from sklearn.ensemble import RandomForestClassifier

        return RandomForestClassifier(self.n_trees, max_depth=self.max_depth, random_state=self.seed, n_jobs=1)


class LightGBMBaseline(Baseline):
    """Gradient-boosted trees; needs LightGBM.

    Parameters
    ----------
    n_trees : int
    seed : int

    References
    ----------
    Ke et al. 2017, LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 30.
    """

    def __init__(self, n_trees: int = 100, seed: int = 0) -> None:
        self.n_trees = n_trees
        self.seed = seed

    def _model(self) -> Any:
        try:
            from lightgbm import LGBMClassifier
        except ImportError as error:
            raise SignalError("lightgbm", "is not installed", "pip install 'ssl_ecg[features]'") from error
        return LGBMClassifier(
            n_estimators=self.n_trees, random_state=self.seed, n_jobs=1, verbose=-1, deterministic=True
        )


class MLPBaseline(Baseline):
    """Perceptron with two hidden layers.

    Parameters
    ----------
    hidden : tuple of int
        Units of the hidden layers.
    steps : int
        Most passes through the training records.
    seed : int
    """

    def __init__(self, hidden: tuple[int, ...] = (100, 50), steps: int = 200, seed: int = 0) -> None:
        self.hidden = hidden
        self.steps = steps
        self.seed = seed

    def _model(self) -> Any:
        from sklearn.neural_network import MLPClassifier

        return _Quiet(MLPClassifier(self.hidden, max_iter=self.steps, random_state=self.seed))


class _Quiet:
    """A model that may stop before it has converged."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, X: NDArray[np.float64], y: NDArray[np.int64]) -> _Quiet:
        import warnings

        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.model.fit(X, y)
        return self

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.model.predict_proba(X))


BASELINES: dict[str, type[Baseline]] = {
    "logistic": LogisticBaseline,
    "forest": ForestBaseline,
    "lightgbm": LightGBMBaseline,
    "mlp": MLPBaseline,
}


def _features(X: ArrayLike) -> NDArray[np.float64]:
    features = np.asarray(X, np.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise SignalError("features", f"have shape {features.shape}", "give them as (record, feature)")
    return features
