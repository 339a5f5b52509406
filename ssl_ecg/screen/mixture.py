"""Strange is what is improbable under a mixture of Gaussians."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray, subsample, usual_kinds
from ssl_ecg.screen.choice import best_choice

COVARIANCES = ("full", "diag")


class MixtureScreen(Detector):
    """Negative log likelihood under a Gaussian mixture, fitted by scikit-learn and scored in NumPy.

    Components that hold fewer than ``smallest_share`` of the records, or too few for a covariance of their
    own (one more than dimensions if it is full, three if diagonal), do not count as usual, so that a few
    outliers that got a component stay strange.

    Parameters
    ----------
    k : int or None
        Components; None takes the number with the lowest BIC.
    candidates : sequence of int
        Numbers of components to try when k is None.
    covariance : {"full", "diag"}
    smallest_share : float
        Weight below which a component is left out.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are.
    whiten : bool
        Give all kept directions the same variance first.
    trim : float
        Share of the reference left out as suspect.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    max_fit : int
        A larger reference is sampled for fitting; all of it is scored.
    seed : int

    Attributes
    ----------
    weights_ : float64 array (cluster,)
    means_ : float64 array (cluster, component)
    factors_ : float64 array (cluster, component, component)
        Cholesky factors of the precisions.
    choice_ : list of Choice
        BIC of each number of components, if k was None.

    References
    ----------
    McLachlan and Peel 2000, doi:10.1002/0471721182; Schwarz 1978, doi:10.1214/aos/1176344136 (BIC).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 4)) + 20 * rng.integers(0, 2, (200, 1))
    >>> screen = MixtureScreen().fit(Z)
    >>> len(screen.weights_), screen.predict([[10.0] * 4, [20.0] * 4]).tolist()
    (2, [True, False])
    """

    def __init__(
        self,
        k: int | None = None,
        candidates: Sequence[int] = (1, 2, 3, 4, 6, 8),
        covariance: str = "full",
        smallest_share: float = 0.01,
        n_components: int | None = 64,
        whiten: bool = False,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        max_fit: int = 20_000,
        seed: int = 0,
    ) -> None:
        self.k = k
        self.candidates = candidates
        self.covariance = covariance
        self.smallest_share = smallest_share
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.max_fit = max_fit
        self.seed = seed

    def _minimum(self) -> int:
        if self.covariance not in COVARIANCES:
            problem = f"unknown covariance {self.covariance!r}"
            raise SignalError("MixtureScreen", problem, f"choose from {', '.join(COVARIANCES)}")
        wanted = (self.k,) if self.k is not None else tuple(self.candidates)
        if not wanted or min(wanted) < 1:
            raise SignalError("MixtureScreen", f"components are {wanted}", "give at least one")
        return max(10, 2 * min(wanted))

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        sample = X[subsample(len(X), self.max_fit, self.seed)].astype(np.float64)
        model = self._chosen(sample)
        fewest = max(self.smallest_share * len(sample), X.shape[1] + 1 if self.covariance == "full" else 3)
        usual = usual_kinds(model.weights_ * len(sample), fewest, self._suspect * len(sample))
        self.weights_ = model.weights_[usual] / model.weights_[usual].sum()
        self.means_ = model.means_[usual]
        factors = model.precisions_cholesky_[usual]
        self.factors_ = factors if self.covariance == "full" else np.stack([np.diag(f) for f in factors])
        return self._score_blocks(X)

    def _chosen(self, X: FloatArray) -> Any:
        """Fit the candidates and take the one with the lowest BIC."""
        if self.k is not None:
            return self._model(X, self.k)
        candidates = sorted({k for k in self.candidates if k == min(self.candidates) or 10 * k <= len(X)})
        models = [self._model(X, k) for k in candidates]
        values = [float(model.bic(X)) for model in models]
        choice = best_choice("k", "BIC", "lowest", candidates, values, fallback=candidates[0])
        self.choice_ = [choice]
        return models[candidates.index(int(choice.chosen))]

    def _model(self, X: FloatArray, k: int) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        settings: dict[str, Any] = {"reg_covar": 1e-4, "max_iter": 200, "random_state": self.seed}
        with warnings.catch_warnings():  # repeated records, or a likelihood still rising a little after 200 steps
            warnings.simplefilter("ignore", ConvergenceWarning)
            return GaussianMixture(k, covariance_type=self.covariance, **settings).fit(X)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        joint = self._joint(X)
        top = joint.max(axis=1)
        return np.asarray(-top - np.log(np.exp(joint - top[:, None]).sum(axis=1)))

    def _cluster(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.asarray(self._joint(X).argmax(axis=1), dtype=np.int64)

    def _joint(self, X: NDArray[np.float32]) -> FloatArray:
        """Give log(weight x density) (record, cluster)."""
        joint = np.empty((len(X), len(self.weights_)))
        for c, (mean, factor) in enumerate(zip(self.means_, self.factors_, strict=True)):
            squared = (((X - mean) @ factor) ** 2).sum(axis=1)
            constant = np.log(self.weights_[c]) + np.log(np.diag(factor)).sum() - 0.5 * len(mean) * np.log(2 * np.pi)
            joint[:, c] = constant - 0.5 * squared
        return joint
