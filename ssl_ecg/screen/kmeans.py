"""Strange is what is far from every common kind of recording."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import BLOCK, Detector, FloatArray, subsample, usual_kinds
from ssl_ecg.screen.choice import best_choice

_SILHOUETTE_RECORDS = 2000
_LEARNED_RECORDS = 100_000  # centroids of more records move no more
_PSEUDO_MEMBERS = 20  # members of average spread that each cluster gets, so that small ones are not trusted


class KMeansScreen(Detector):
    """Distance to the nearest K-means centroid, scaled by the cluster's spread in each direction.

    Clusters with fewer than ``smallest_share`` of the records do not count as usual: a few outliers that got
    a centroid of their own stay strange.

    Parameters
    ----------
    k : int or None
        Clusters; None takes the number with the best silhouette.
    candidates : sequence of int
        Numbers of clusters to try when k is None.
    smallest_share : float
        Share of the records below which a cluster is not usual; never fewer than three records.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are.
    whiten : bool
        Give all kept directions the same variance before clustering. Groups that differ along the main
        directions are found better without; the score is scaled by the spread within clusters in any case.
    trim : float
        Share of the reference left out as suspect.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    seed : int

    Attributes
    ----------
    centroids_ : float32 array (cluster, component)
        The usual ones.
    spread_ : float64 array (cluster, component)
        Standard deviation of the members, that of small clusters drawn towards the average over clusters.
    silhouette_ : float
        Of the number of clusters chosen; NaN when k was given.
    choice_ : list of Choice
        Silhouette of each number of clusters, if k was None.

    References
    ----------
    Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7 (silhouette).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(200, 4)) + 20 * rng.integers(0, 2, (200, 1))
    >>> screen = KMeansScreen().fit(Z)
    >>> len(screen.centroids_), screen.predict([[10.0] * 4, [20.0] * 4]).tolist()
    (2, [True, False])
    """

    def __init__(
        self,
        k: int | None = None,
        candidates: Sequence[int] = (2, 3, 4, 6, 8, 12, 16, 24),
        smallest_share: float = 0.01,
        n_components: int | None = 64,
        whiten: bool = False,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.k = k
        self.candidates = candidates
        self.smallest_share = smallest_share
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.seed = seed

    def _minimum(self) -> int:
        return max(10, 2 * self.k if self.k is not None else 2 * min(self.candidates))

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        if self.k is not None and self.k < 1:
            raise SignalError("KMeansScreen", f"k is {self.k}", "give at least one cluster")
        learned = X[subsample(len(X), _LEARNED_RECORDS, self.seed)]
        centroids, self.silhouette_ = (
            self._best(learned) if self.k is None else (self._centroids(learned, self.k), float("nan"))
        )
        size, total = _deviations(X, centroids)
        usual = usual_kinds(size, max(3, self.smallest_share * len(X)), self._suspect * len(X))
        prior = total[usual].sum(axis=0) / size[usual].sum()
        spread = np.sqrt((total + _PSEUDO_MEMBERS * prior) / (size[:, None] + _PSEUDO_MEMBERS))
        self.centroids_ = centroids[usual]
        self.spread_ = np.maximum(spread[usual], 1e-6)
        return self._score_blocks(X)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        return np.asarray(self._scaled(X).min(axis=1))

    def _cluster(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        return np.asarray(self._scaled(X).argmin(axis=1), dtype=np.int64)

    def _scaled(self, X: NDArray[np.float32]) -> FloatArray:
        squared = _squared_distances(X, self.centroids_, self.spread_)
        return np.asarray(np.sqrt(squared / X.shape[1]))

    def _best(self, X: NDArray[np.float32]) -> tuple[NDArray[np.float32], float]:
        """Try the candidates and keep the clustering with the best silhouette on a sample."""
        from sklearn.metrics import silhouette_score

        sample = X[subsample(len(X), _SILHOUETTE_RECORDS, self.seed)]
        candidates = sorted({k for k in self.candidates if 2 <= k <= len(X) // 2})
        tried = {k: self._centroids(X, k) for k in candidates}
        values = []
        for centroids in tried.values():
            member = _squared_distances(sample, centroids).argmin(axis=1)
            judged = 1 < len(np.unique(member)) < len(sample)
            values.append(float(silhouette_score(sample, member)) if judged else float("nan"))
        choice = best_choice("k", "silhouette", "highest", candidates, values, fallback=1)
        self.choice_ = [choice]
        if choice.chosen == 1:
            return self._centroids(X, 1), float("nan")
        return tried[int(choice.chosen)], float(np.nanmax(values))

    def _centroids(self, X: NDArray[np.float32], k: int) -> NDArray[np.float32]:
        import faiss

        settings: dict[str, Any] = {"niter": 50, "nredo": 3, "seed": self.seed, "verbose": False}
        kmeans = faiss.Kmeans(
            X.shape[1], k, min_points_per_centroid=1, max_points_per_centroid=_LEARNED_RECORDS, **settings
        )
        kmeans.train(X)
        return np.array(kmeans.centroids, dtype=np.float32)


def _deviations(X: NDArray[np.float32], centroids: NDArray[np.float32]) -> tuple[NDArray[np.int64], FloatArray]:
    """Give the members of each cluster and the sums of their squared deviations (cluster, component)."""
    size, total = np.zeros(len(centroids), np.int64), np.zeros(centroids.shape)
    for start in range(0, len(X), BLOCK):
        block = X[start : start + BLOCK]
        member = _squared_distances(block, centroids).argmin(axis=1)
        deviation = (block - centroids[member]).astype(np.float64) ** 2
        belongs = (member == np.arange(len(centroids))[:, None]).astype(np.float64)
        size += belongs.sum(axis=1).astype(np.int64)
        total += belongs @ deviation
    return size, total


def _squared_distances(
    X: NDArray[np.float32], centroids: NDArray[np.float32], spread: FloatArray | None = None
) -> FloatArray:
    """Give (record, cluster), without the cancellation of |x|^2 + |c|^2 - 2 x.c."""
    scale = np.ones(centroids.shape) if spread is None else spread
    pairs = zip(centroids, scale, strict=True)
    return np.stack([(((X - c) / s) ** 2).sum(axis=1, dtype=np.float64) for c, s in pairs], axis=1)
