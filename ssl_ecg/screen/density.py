"""Strange is what lies where recordings are rare: DBSCAN and HDBSCAN, with scores for unseen records."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray, subsample
from ssl_ecg.screen.choice import Choice, best_choice
from ssl_ecg.screen.condensed import outlier_scores, tree_arrays
from ssl_ecg.screen.neighbours import nearest
from ssl_ecg.screen.selection import CRITERIA, dbcv, stability

ALGORITHMS = ("dbscan", "hdbscan")
_MIN_SAMPLES, _SAMPLES = 10, (5, 10, 20, 40)
_MIN_CLUSTER_SIZE, _CLUSTER_SIZES = 15, (5, 10, 15, 25, 50, 100)
_CRITERION_NAMES = {"dbcv": "DBCV", "stability": "stability"}
_JUDGED_RECORDS = 2000  # the validity of more takes minutes


class DensityScreen(Detector):
    """Density-based clustering of whitened embeddings, extended to records that were not clustered.

    With "dbscan" the score is the mean distance to the nearest core embeddings (``min_samples`` of them) in
    units of eps. With "hdbscan" it is GLOSH, from 0 to 1: how far the density at a record is below the
    highest density of the cluster it is nearest to.

    Both compare all records with one another, which takes a time that grows with the square of their number:
    beyond ``max_fit`` a random sample is clustered and all other records, those of the reference too, are
    judged by it as unseen ones are. Kinds of recordings rarer than ``min_samples`` in ``max_fit`` are then
    not found; use another detector where they matter.

    Parameters
    ----------
    algorithm : {"dbscan", "hdbscan"}
    min_samples : int or None
        Records, the record itself included, that make a neighbourhood dense; None takes the best of 5, 10,
        20 and 40 by ``criterion``.
    eps : float or None
        DBSCAN's radius in projected units; None takes the knee of the sorted distances to the
        ``min_samples``-th neighbour.
    min_cluster_size : int or None
        HDBSCAN's smallest cluster; None takes the best of 5, 10, 15, 25, 50 and 100 by ``criterion``.
    criterion : {"dbcv", "stability"}
        Density-based validity, or mean adjusted Rand index between samples; measured on 2,000 records, sizes
        in proportion.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are. Fewer show clusters better, more
        tell strange recordings better.
    whiten : bool
        Give all kept directions the same variance.
    trim : float
        Share of the reference left out as suspect.
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
    min_samples_, min_cluster_size_ : int
        As given or chosen.
    choice_ : list of Choice
        Of eps, ``min_samples`` and ``min_cluster_size``, as far as they were None.

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
        min_samples: int | None = 10,
        eps: float | None = None,
        min_cluster_size: int | None = 15,
        criterion: str = "dbcv",
        n_components: int | None = 64,
        whiten: bool = True,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        max_fit: int = 10_000,
        seed: int = 0,
    ) -> None:
        self.algorithm = algorithm
        self.min_samples = min_samples
        self.eps = eps
        self.min_cluster_size = min_cluster_size
        self.criterion = criterion
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.max_fit = max_fit
        self.seed = seed

    def _minimum(self) -> int:
        if self.algorithm not in ALGORITHMS:
            problem = f"unknown algorithm {self.algorithm!r}"
            raise SignalError("DensityScreen", problem, f"choose from {', '.join(ALGORITHMS)}")
        if self.criterion not in CRITERIA:
            problem = f"unknown criterion {self.criterion!r}"
            raise SignalError("DensityScreen", problem, f"choose from {', '.join(CRITERIA)}")
        samples = _MIN_SAMPLES if self.min_samples is None else self.min_samples
        size = _MIN_CLUSTER_SIZE if self.min_cluster_size is None else self.min_cluster_size
        if samples < 2 or size < 2:
            raise SignalError(
                "DensityScreen", f"min_samples {samples}, min_cluster_size {size}", "give at least 2 of each"
            )
        return 2 * (samples if self.algorithm == "dbscan" else max(samples, size))

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        rows = subsample(len(X), self.max_fit, self.seed)
        scores = np.empty(len(X))
        self._choose(X[rows])
        fit = self._fit_dbscan if self.algorithm == "dbscan" else self._fit_hdbscan
        scores[rows] = fit(X[rows])
        rest = np.setdiff1d(np.arange(len(X)), rows)
        if len(rest):
            scores[rest] = self._score_blocks(X[rest])
        self.n_clusters_ = int(self.labels_.max(initial=-1)) + 1
        return scores

    def _choose(self, X: NDArray[np.float32]) -> None:
        """Set ``min_samples_`` and ``min_cluster_size_``, as given or by the criterion."""
        self.min_samples_ = self.min_samples or _MIN_SAMPLES
        self.min_cluster_size_ = self.min_cluster_size or _MIN_CLUSTER_SIZE
        if self.algorithm == "hdbscan" and self.min_cluster_size is None:
            self.min_cluster_size_ = self._best(X, "min_cluster_size", _CLUSTER_SIZES, _MIN_CLUSTER_SIZE)
        if self.min_samples is None:
            self.min_samples_ = self._best(X, "min_samples", _SAMPLES, _MIN_SAMPLES)

    def _best(self, X: NDArray[np.float32], name: str, candidates: tuple[int, ...], fallback: int) -> int:
        sample = X[subsample(len(X), _JUDGED_RECORDS, self.seed)]
        share = len(sample) / len(X)
        possible = [size for size in candidates if 4 * size <= len(X)]
        values = []
        for size in possible:
            sizes = {"min_samples": self.min_samples_, "min_cluster_size": self.min_cluster_size_, name: size}
            scaled = {key: max(2, round(share * number)) for key, number in sizes.items()}
            cluster = partial(self._labels, sizes=scaled)
            by_stability = self.criterion == "stability"
            values.append(stability(cluster, sample, seed=self.seed) if by_stability else dbcv(sample, cluster(sample)))
        choice = best_choice(name, _CRITERION_NAMES[self.criterion], "highest", possible, values, fallback)
        self.choice_ = [*self.choice_, choice]
        return int(choice.chosen)

    def _labels(self, X: NDArray[np.float32], sizes: Mapping[str, int]) -> NDArray[np.int64]:
        """Cluster a sample; -1 is noise."""
        min_samples, min_cluster_size = sizes["min_samples"], sizes["min_cluster_size"]
        if self.algorithm == "hdbscan":
            return np.asarray(_hdbscan(X, min_samples, min_cluster_size).labels_, dtype=np.int64)
        distance = np.sort(nearest(X, X, min_samples - 1, own=True)[0][:, -1])
        eps = knee(distance) if self.eps is None else self.eps
        return _dbscan(X, eps, min_samples)[1] if eps > 0 else np.full(len(X), -1, np.int64)

    def _fit_dbscan(self, X: NDArray[np.float32]) -> FloatArray:
        distance = np.sort(nearest(X, X, self.min_samples_ - 1, own=True)[0][:, -1])
        self.eps_ = float(knee(distance) if self.eps is None else self.eps)
        if self.eps is None:
            self.choice_ = [*self.choice_, _knee_choice(distance, self.eps_)]
        if self.eps_ <= 0:
            raise SignalError("DensityScreen", f"eps is {self.eps_:g}", "give a distance greater than zero")
        core, labels = _dbscan(X, self.eps_, self.min_samples_)
        if len(core) <= self.min_samples_:
            problem = f"eps {self.eps_:g} leaves {len(core)} records in dense places"
            raise SignalError("DensityScreen", problem, "use a larger eps or a smaller min_samples")
        self.points_, self.labels_ = X[core], labels[core]
        scores = self._score_blocks(X)
        others = nearest(self.points_, self.points_, self.min_samples_, own=True)[0]
        scores[core] = others.mean(axis=1) / self.eps_
        return scores

    def _fit_hdbscan(self, X: NDArray[np.float32]) -> FloatArray:
        clusterer = _hdbscan(X, self.min_samples_, self.min_cluster_size_)
        self.points_, self.labels_ = X, clusterer.labels_.astype(np.int64)
        core_distance = nearest(X, X, self.min_samples_ - 1, own=True)[0][:, -1]
        arrays = tree_arrays(clusterer.condensed_tree_._raw_tree, self.labels_)
        self.core_distance_, self.eps_ = core_distance, float(np.median(core_distance))
        self.top_density_, self.density_, self.birth_density_ = arrays
        return outlier_scores(self.density_, self.top_density_)

    def unpack(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> None:
        """Take back what ``pack`` gave."""
        self.min_samples_ = self.min_samples or _MIN_SAMPLES  # older detectors were given it
        super().unpack(arrays, numbers)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        if self.algorithm == "dbscan":
            return np.asarray(nearest(X, self.points_, self.min_samples_)[0].mean(axis=1) / self.eps_)
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
        distance, rows = nearest(X, self.points_, 2 * self.min_samples_)
        reach = np.maximum(np.maximum(self.core_distance_[rows], distance[:, [self.min_samples_]]), distance)
        best = reach.argmin(axis=1)
        each = np.arange(len(X))
        row = rows[each, best]
        same = distance[:, 0] == 0
        row[same] = rows[same, 0]
        return row, 1 / np.maximum(reach[each, best], 1e-12), same


def _hdbscan(X: NDArray[np.float32], min_samples: int, min_cluster_size: int) -> Any:
    import hdbscan

    settings: dict[str, Any] = {"min_cluster_size": min_cluster_size, "min_samples": min_samples}
    clusterer = hdbscan.HDBSCAN(**settings, core_dist_n_jobs=1, gen_min_span_tree=False)
    return clusterer.fit(X.astype(np.float64))


def _dbscan(X: NDArray[np.float32], eps: float, min_samples: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give the rows of core records and the labels of all."""
    from sklearn.cluster import DBSCAN

    clustering = DBSCAN(eps=eps * (1 + 1e-6), min_samples=min_samples).fit(X)
    return clustering.core_sample_indices_, clustering.labels_.astype(np.int64)


def _knee_choice(ascending: FloatArray, eps: float) -> Choice:
    """Give the curve of which the knee was taken: the share of records that have neighbours within a distance."""
    shown = np.union1d(np.linspace(0, len(ascending) - 1, 200).astype(int), np.searchsorted(ascending, eps))
    share = (shown + 1) / len(ascending)
    return Choice("eps", "share of dense records", "knee", tuple(ascending[shown].tolist()), tuple(share.tolist()), eps)


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
