"""Strange is what is far from its nearest neighbours."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.screen.base import Detector, FloatArray, subsample
from ssl_ecg.screen.neighbours import nearest


class KNNScreen(Detector):
    """Mean distance to the k nearest reference embeddings, in whitened space.

    Parameters
    ----------
    k : int
        Neighbours.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are.
    whiten : bool
        Give all kept directions the same variance.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    max_fit : int
        A larger reference is sampled.
    seed : int

    References
    ----------
    Ramaswamy et al. 2000, doi:10.1145/342009.335437; Sun et al. 2022, arXiv:2204.06507 (on deep embeddings).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = KNNScreen().fit(rng.normal(size=(200, 8)))
    >>> screen.predict([[0.0] * 8, [9.0] * 8]).tolist()
    [False, True]
    """

    def __init__(
        self,
        k: int = 10,
        n_components: int | None = 64,
        whiten: bool = True,
        alert_rate: float = 0.02,
        max_fit: int = 100_000,
        seed: int = 0,
    ) -> None:
        self.k = k
        self.n_components = n_components
        self.whiten = whiten
        self.alert_rate = alert_rate
        self.max_fit = max_fit
        self.seed = seed

    def _minimum(self) -> int:
        return max(10, self.k + 1)

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        rows = subsample(len(X), self.max_fit, self.seed)
        self.points_ = X[rows]
        scores = np.empty(len(X))
        scores[rows] = nearest(self.points_, self.points_, self.k, own=True)[0].mean(axis=1)
        rest = np.setdiff1d(np.arange(len(X)), rows)
        if len(rest):
            scores[rest] = self._score(X[rest])
        return scores

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        return np.asarray(nearest(X, self.points_, self.k)[0].mean(axis=1))
