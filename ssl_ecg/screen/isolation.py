"""Strange is what few random cuts set apart from the rest."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray
from ssl_ecg.tree_arrays import Trees

_PREFIX, _SUFFIX = "tree_", "_"


class IsolationScreen(Detector):
    """Isolation forest: 2 to the power of -(mean depth at which a record is alone / that of usual data).

    scikit-learn grows the trees; they are kept as plain arrays and walked in NumPy. Scores lie between 0 and
    1 and equal scikit-learn's ``-score_samples`` to rounding.

    Parameters
    ----------
    n_trees : int
    max_samples : int
        Records drawn for each tree.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are.
    whiten : bool
        Give all kept directions the same variance; cuts do not depend on it.
    trim : float
        Share of the reference left out as suspect.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    seed : int

    References
    ----------
    Liu, Ting and Zhou 2008, doi:10.1109/ICDM.2008.17, eq. 1 and 2.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = IsolationScreen().fit(rng.normal(size=(200, 4)))
    >>> screen.predict([[0.0] * 4, [9.0] * 4]).tolist()
    [False, True]
    """

    def __init__(
        self,
        n_trees: int = 100,
        max_samples: int = 256,
        n_components: int | None = 64,
        whiten: bool = True,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.max_samples = max_samples
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.seed = seed

    def _minimum(self) -> int:
        if self.n_trees < 1 or self.max_samples < 2:
            problem = f"n_trees {self.n_trees}, max_samples {self.max_samples}"
            raise SignalError("IsolationScreen", problem, "give at least one tree and two records for each")
        return 10

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        from sklearn.ensemble import IsolationForest

        self.n_samples_ = min(self.max_samples, len(X))
        settings: dict[str, Any] = {"max_samples": self.n_samples_, "random_state": self.seed}
        forest = IsolationForest(n_estimators=self.n_trees, **settings).fit(X)
        self._plant(Trees.from_sklearn([tree.tree_ for tree in forest.estimators_]))
        for name, array in self._trees.arrays().items():
            setattr(self, f"{_PREFIX}{name}{_SUFFIX}", array)
        return self._score_blocks(X)

    def unpack(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> None:
        """Take back what ``pack`` gave."""
        super().unpack(arrays, numbers)
        named = {name.removeprefix(_PREFIX).removesuffix(_SUFFIX): array for name, array in arrays.items()}
        self._plant(Trees.from_arrays(named))

    def _plant(self, trees: Trees) -> None:
        self._trees = trees
        self._length = trees.depth + average_length(trees.samples)  # path of a record that ends in the node

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        mean = self._length[self._trees.leaves(X)].mean(axis=1)
        return np.asarray(2.0 ** (-mean / average_length(np.array([self.n_samples_]))))


def average_length(n: NDArray[np.int64]) -> FloatArray:
    """Give the mean depth of an unsuccessful search in a binary tree of n records: eq. 1 of Liu et al.

    Examples
    --------
    >>> average_length(np.array([1, 2, 256])).round(3).tolist()
    [0.0, 1.0, 10.245]
    """
    many = np.maximum(n, 3).astype(np.float64)
    harmonic = np.log(many - 1) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (many - 1) / many, np.where(n == 2, 1.0, 0.0))
