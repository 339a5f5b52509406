"""Strange is what lies where recordings are rare: DBSCAN and HDBSCAN, with scores for unseen records."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray, subsample
from ssl_ecg.screen.condensed import outlier_scores, tree_arrays
from ssl_ecg.screen.neighbours import nearest

ALGORITHMS = ("dbscan", "hdbscan")


class DensityScreen(Detector):
    """Density-based clustering of whitened embeddings, extended to records that were not clustered.

    With "dbscan" the score is the mean distance to the nearest core embeddings (``min_samples`` of them) in
    units of eps. With "hdbscan" it is GLOSH, from 0 to 1: how far the density at a record is below the
    highest density of the cluster it is nearest to.

    Parameters
    ----------
    algorithm : {"dbscan", "hdbscan"}
    min_samples : int
        Records, the record itself included, that make a neighbourhood dense.
    eps : float or None
        DBSCAN's radius in projected units; None takes the knee of the sorted distances to the
        ``min_samples``-th neighbour.
    min_cluster_size : int
        HDBSCAN's smallest cluster.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are. Fewer show clusters better, more
        tell strange recordings better.
    whiten : bool
        Give all kept directions the same variance.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    max_fit : int
        A larger reference is sampled.
    seed : int

    Attributes
    ----------
    eps_ : float
    labels_ : int64 array (point,)
        Clusters of the core embeddings ("dbscan") or of all clustered records ("hdbscan"); -1 is noise.
    n_clusters_ : int

    References
    ----------
    Ester et al. 1996, KDD-96, pp. 226-231 (DBSCAN).
    Campello et al. 2015, doi:10.1145/2733381 (HDBSCAN, GLOSH).
    Satopaa et al. 2011, doi:10.1109/ICDCSW.2011.20 (knee).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = DensityScreen("dbscan").fit(rng.normal(size=(300, 4)))
    >>> screen.predict([[0.0] * 4, [9.0] * 4]).tolist()
    [False, True]
    """

    def __init__(
        self,
        algorithm: str = "dbscan",
        min_samples: int = 10,
        eps: float | None = None,
        min_cluster_size: int = 15,
        n_components: int | None = 64,
        whiten: bool = True,
        alert_rate: float = 0.02,
        max_fit: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.algorithm = algorithm
        self.min_samples = min_samples
        self.eps = eps
        self.min_cluster_size = min_cluster_size
        self.n_components = n_components
        self.whiten = whiten
        self.alert_rate = alert_rate
        self.max_fit = max_fit
        self.seed = seed

    def _minimum(self) -> int:
        if self.algorithm not in ALGORITHMS:
            problem = f"unknown algorithm {self.algorithm!r}"
            raise SignalError("DensityScreen", problem, f"choose from {', '.join(ALGORITHMS)}")
        if self.min_samples < 2 or self.min_cluster_size < 2:
            problem = f"min_samples {self.min_samples}, min_cluster_size {self.min_cluster_size}"
            raise SignalError("DensityScreen", problem, "give at least 2 of each")
        return 2 * (self.min_samples if self.algorithm == "dbscan" else max(self.min_samples, self.min_cluster_size))

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        rows = subsample(len(X), self.max_fit, self.seed)
        scores = np.empty(len(X))
        fit = self._fit_dbscan if self.algorithm == "dbscan" else self._fit_hdbscan
        scores[rows] = fit(X[rows])
        rest = np.setdiff1d(np.arange(len(X)), rows)
        if len(rest):
            scores[rest] = self._score(X[rest])
        self.n_clusters_ = int(self.labels_.max(initial=-1)) + 1
        return scores

    def _fit_dbscan(self, X: NDArray[np.float32]) -> FloatArray:
        from sklearn.cluster import DBSCAN

        distance = nearest(X, X, self.min_samples - 1, own=True)[0][:, -1]
        self.eps_ = float(knee(np.sort(distance)) if self.eps is None else self.eps)
        if self.eps_ <= 0:
            raise SignalError("DensityScreen", f"eps is {self.eps_:g}", "give a distance greater than zero")
        clustering = DBSCAN(eps=self.eps_ * (1 + 1e-6), min_samples=self.min_samples).fit(X)
        core = clustering.core_sample_indices_
        if len(core) <= self.min_samples:
            problem = f"eps {self.eps_:g} leaves {len(core)} records in dense places"
            raise SignalError("DensityScreen", problem, "use a larger eps or a smaller min_samples")
        self.points_, self.labels_ = X[core], clustering.labels_[core].astype(np.int64)
        scores = self._score(X)
        others = nearest(self.points_, self.points_, self.min_samples, own=True)[0]
        scores[core] = others.mean(axis=1) / self.eps_
        return scores

    def _fit_hdbscan(self, X: NDArray[np.float32]) -> FloatArray:
        import hdbscan

        settings: dict[str, Any] = {
            "min_cluster_size": self.min_cluster_size,
            "min_samples": self.min_samples,
        }
        clusterer = hdbscan.HDBSCAN(**settings, core_dist_n_jobs=1, gen_min_span_tree=False)
        clusterer.fit(X.astype(np.float64))
        self.points_, self.labels_ = X, clusterer.labels_.astype(np.int64)
        core_distance = nearest(X, X, self.min_samples - 1, own=True)[0][:, -1]
        arrays = tree_arrays(clusterer.condensed_tree_._raw_tree, self.labels_)
        self.core_distance_, self.eps_ = core_distance, float(np.median(core_distance))
        self.top_density_, self.density_, self.birth_density_ = arrays
        return outlier_scores(self.density_, self.top_density_)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        if self.algorithm == "dbscan":
            return np.asarray(nearest(X, self.points_, self.min_samples)[0].mean(axis=1) / self.eps_)
        row, density, same = self._join(X)
        return outlier_scores(np.where(same, self.density_[row], density), self.top_density_[row])

    def _cluster(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        if self.algorithm == "dbscan":
            distance, row = nearest(X, self.points_, 1)
            return np.where(distance[:, 0] <= self.eps_, self.labels_[row[:, 0]], -1)
        row, density, _ = self._join(X)
        label = self.labels_[row]
        return np.where(density >= self.birth_density_[row], label, -1)

    def _join(self, X: NDArray[np.float32]) -> tuple[NDArray[np.int64], FloatArray, NDArray[np.bool_]]:
        """Find the fitted record that each new one joins, the density there, and whether it is the same.

        As ``hdbscan.approximate_predict`` does: the neighbour with the smallest mutual reachability distance.
        """
        distance, rows = nearest(X, self.points_, 2 * self.min_samples)
        reach = np.maximum(np.maximum(self.core_distance_[rows], distance[:, [self.min_samples]]), distance)
        best = reach.argmin(axis=1)
        each = np.arange(len(X))
        row = rows[each, best]
        same = distance[:, 0] == 0
        row[same] = rows[same, 0]
        return row, 1 / np.maximum(reach[each, best], 1e-12), same


def knee(ascending: NDArray[np.floating]) -> float:
    """Give the value at which a rising convex curve bends most: farthest below the line between its ends.

    Examples
    --------
    >>> round(knee(np.array([1.0, 1.1, 1.2, 1.3, 5.0, 9.0])), 2)
    1.3
    """
    low, high = float(ascending[0]), float(ascending[-1])
    if high <= low:
        return high
    height = (ascending - low) / (high - low)
    return float(ascending[np.argmax(np.linspace(0, 1, len(ascending)) - height)])
