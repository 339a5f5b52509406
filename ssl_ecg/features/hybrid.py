"""Embeddings and expert features together: a linear probe and a forest whose answers are averaged."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.estimator import Estimator
from ssl_ecg.evaluate.metrics import best_f1_thresholds
from ssl_ecg.features.baselines import ForestBaseline
from ssl_ecg.probing.linear import LinearProbe

SUREST = 1e-4
"""Probabilities are kept so far from zero and one before their odds are averaged: a forest may answer either."""


class HybridProbe(Estimator):
    """A linear probe on embeddings, and a random forest on embeddings beside expert features.

    With few labelled records the two err differently: the probe sees what a network has learnt of whole beats, the
    forest has thresholds on amplitudes and intervals. Their log-odds are averaged.

    Parameters
    ----------
    n_trees, max_depth : int
        Of the forest.
    seed : int

    Attributes
    ----------
    linear_ : LinearProbe
    forest_ : ForestBaseline
    thresholds_ : float64 array (class,)
        Best F1 on validation.

    References
    ----------
    Breiman 2001, doi 10.1023/A:1010933404324 (forest); Genest and Zidek 1986, doi 10.1214/ss/1177013825 (averaged
    log-odds).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z, F = rng.normal(size=(2, 200, 4))
    >>> Y = (Z[:, :1] + F[:, :1] > 0).astype(float)
    >>> probe = HybridProbe(n_trees=30).fit(Z[:100], F[:100], Y[:100], Z[100:150], F[100:150], Y[100:150])
    >>> bool(((probe.predict_proba(Z[150:], F[150:]) > 0.5) == Y[150:]).mean() > 0.8)
    True
    """

    def __init__(self, n_trees: int = 300, max_depth: int = 10, seed: int = 0) -> None:
        self.n_trees = n_trees
        self.max_depth = max_depth
        self.seed = seed

    def fit(
        self, Z: ArrayLike, F: ArrayLike, Y: ArrayLike, Z_val: ArrayLike, F_val: ArrayLike, Y_val: ArrayLike
    ) -> HybridProbe:
        """Fit on training records; the probe's strength and the thresholds are chosen on validation.

        Parameters
        ----------
        Z, Z_val : arrays (record, dim)
            Embeddings.
        F, F_val : arrays (record, feature)
            Expert features, NaN where unknown.
        Y, Y_val : arrays (record, class)
            1, 0, or NaN where unknown.

        Raises
        ------
        SignalError, LabelError
            If shapes do not fit or labels are not binary.
        """
        self.linear_ = LinearProbe(seed=self.seed).fit(Z, Y, Z_val, Y_val)
        forest = ForestBaseline(self.n_trees, self.max_depth, self.seed)
        self.forest_ = forest.fit(_beside(Z, F), Y)
        self.thresholds_ = best_f1_thresholds(Y_val, self.predict_proba(Z_val, F_val))
        return self

    def predict_proba(self, Z: ArrayLike, F: ArrayLike) -> NDArray[np.float64]:
        """Give probabilities (record, class).

        Raises
        ------
        SignalError
            If the probe is not fitted, or shapes do not fit.
        """
        self._check_fitted("linear_")
        return averaged_odds(self.linear_.predict_proba(Z), self.forest_.predict_proba(_beside(Z, F)))


def averaged_odds(*probas: ArrayLike) -> NDArray[np.float64]:
    """Average probabilities by their log-odds.

    Examples
    --------
    >>> averaged_odds([[0.5]], [[0.9]]).round(3).tolist()
    [[0.75]]
    """
    clipped = np.clip(np.stack([np.asarray(p, np.float64) for p in probas]), SUREST, 1 - SUREST)
    mean = np.log(clipped / (1 - clipped)).mean(axis=0)
    return np.asarray(1 / (1 + np.exp(-mean)))


def _beside(Z: ArrayLike, F: ArrayLike) -> NDArray[np.float64]:
    embeddings, features = np.asarray(Z, np.float64), np.asarray(F, np.float64)
    if len(embeddings) != len(features):
        problem = f"{len(features)} rows of features for {len(embeddings)} embeddings"
        raise SignalError("hybrid probe", problem, "give one row of both for each record")
    return np.hstack([features, embeddings])
