"""Strange is what is far from the mean, measured by the covariance."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.screen.base import Detector, FloatArray
from ssl_ecg.screen.whiten import blocks

_SMALLEST_VARIANCE = 1e-6  # relative to the largest: below it a direction is rounding error


class MahalanobisScreen(Detector):
    """Mahalanobis distance to the mean of the reference, its covariance shrunk by Ledoit and Wolf's rule.

    Parameters
    ----------
    squared : bool
        Give the squared distance; the order of records is the same.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are. Directions of little variance tell
        strange recordings too, and shrinkage keeps them from being trusted more than the records allow.
    whiten : bool
        Give all kept directions the same variance before; then nothing is left to shrink.
    trim : float
        Share of the reference left out as suspect.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    seed : int
        Not used: nothing is random.

    Attributes
    ----------
    location_ : float64 array (component,)
    covariance_ : float64 array (component, component)
        After shrinkage.
    shrinkage_ : float
        From 0 (the sample covariance) to 1 (a multiple of the identity).

    References
    ----------
    Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4, section 3.
    Lee et al. 2018, arXiv:1807.03888 (as a score of deep embeddings).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = MahalanobisScreen().fit(rng.normal(size=(200, 4)))
    >>> screen.predict([[0.0] * 4, [9.0] * 4]).tolist()
    [False, True]
    """

    def __init__(
        self,
        squared: bool = False,
        n_components: int | None = None,
        whiten: bool = False,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.squared = squared
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.seed = seed

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        self.location_, self.covariance_, self.shrinkage_ = ledoit_wolf(X)
        values, directions = np.linalg.eigh(self.covariance_)
        self.factor_ = directions / np.sqrt(np.maximum(values, _SMALLEST_VARIANCE * values[-1]))
        return self._score_blocks(X)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        squared = (((X - self.location_) @ self.factor_) ** 2).sum(axis=1)
        return np.asarray(squared if self.squared else np.sqrt(squared))


def ledoit_wolf(X: NDArray[np.floating]) -> tuple[FloatArray, FloatArray, float]:
    """Give mean, shrunk covariance and shrinkage; reads the records in blocks, a million need no copy.

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(20, 10))
    >>> mean, covariance, shrinkage = ledoit_wolf(X)
    >>> covariance.shape, 0.5 < shrinkage <= 1
    ((10, 10), True)
    """
    n, dim = X.shape
    mean = np.zeros(dim)
    for _, block in blocks(X):
        mean += block.sum(axis=0) / n
    sample, fourth = np.zeros((dim, dim)), 0.0
    for _, block in blocks(X):
        block -= mean
        sample += block.T @ block / n
        fourth += float((np.einsum("ij,ij->i", block, block) ** 2).sum())
    scale = float(np.trace(sample)) / dim
    apart = float((sample**2).sum()) - dim * scale**2  # squared distance to the target, times dim
    noise = (fourth / n - float((sample**2).sum())) / n  # the part of it that is chance
    shrinkage = 1.0 if apart <= 1e-12 * dim * scale**2 else min(max(noise / apart, 0.0), 1.0)
    return mean, (1 - shrinkage) * sample + shrinkage * scale * np.eye(dim), shrinkage
