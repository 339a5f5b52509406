"""Clusters of embeddings: k-means, Gaussian mixture, DBSCAN, HDBSCAN."""

# ruff: noqa: N803, N806 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.clusters.stability import Stability, measure_stability
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import subsample
from ssl_ecg.screen.density import DensityScreen
from ssl_ecg.screen.whiten import Whitening, fit_whitening

METHODS = ("kmeans", "gmm", "hdbscan", "dbscan")
CANDIDATES = (2, 3, 4, 6, 8, 12, 16, 24)
"""Numbers of clusters that are tried when none is given."""

_MAX_FIT = 20_000  # more records are assigned to clusters found on a sample
_SILHOUETTE_RECORDS = 2_000


@dataclass(frozen=True, slots=True)
class Clustering:
    """Clusters of records, the largest first.

    Attributes
    ----------
    labels : int64 array (record,)
        Cluster of each record, from 0; -1 belongs to none (density methods) or has no finite embedding.
    distance : float64 array (record,)
        Distance to the centroid of the record's cluster in the projected space; NaN for -1.
    method : str
    n_clusters : int
    params : mapping
        Everything that gives the same clusters again.
    chosen_by : mapping from int to float
        For each number of clusters that was tried, the silhouette (k-means, larger is better) or the Bayesian
        information criterion (mixture, smaller is better); empty if k was given or the method finds it.
    stability : Stability or None
    """

    labels: NDArray[np.int64]
    distance: NDArray[np.float64]
    method: str
    n_clusters: int
    params: Mapping[str, Any]
    chosen_by: Mapping[int, float] = field(default_factory=dict)
    stability: Stability | None = None


def cluster(
    embeddings: Embeddings,
    *,
    method: str = "kmeans",
    k: int | None = None,
    n_components: int | None = 16,
    min_cluster_size: int | None = None,
    resamples: int = 20,
    seed: int = 0,
    progress: bool = False,
) -> Clustering:
    """Find groups among embeddings, and measure how stable they are.

    Parameters
    ----------
    embeddings : Embeddings
    method : {"kmeans", "gmm", "hdbscan", "dbscan"}
        The last two leave records in sparse places out (-1).
    k : int, optional
        Number of clusters, for kmeans and gmm; by default the best among `CANDIDATES` by silhouette or Bayesian
        information criterion.
    n_components : int or None
        Principal directions in which distances are measured, not whitened; None keeps the embeddings as they are.
    min_cluster_size : int, optional
        Smallest cluster of hdbscan, and records that make a place dense for both; by default 1 % of the records,
        from 5 to 50.
    resamples : int
        Bootstrap samples of patients for the stability; 0 for none.
    seed : int
    progress : bool
        Show a bar over the resamples.

    Raises
    ------
    SignalError
        If the method is unknown, a number is out of range, or records are too few.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=(90, 4)) + 20 * np.repeat([0, 1, 2], 30)[:, None]
    >>> found = cluster(Embeddings(Z, pd.DataFrame({"record_id": range(90)})), resamples=5)
    >>> found.n_clusters, np.bincount(found.labels).tolist(), found.stability.ari.round(2).tolist()
    (3, [30, 30, 30], [1.0, 1.0, 1.0, 1.0, 1.0])
    """
    if method not in METHODS:
        raise SignalError("cluster", f"unknown method {method!r}", f"choose from {', '.join(METHODS)}")
    finite = np.flatnonzero(np.isfinite(embeddings.vectors).all(axis=1))
    _check(method, k, len(finite), resamples)
    Z = embeddings.vectors[finite]
    size = min_cluster_size or int(np.clip(round(0.01 * len(finite)), 5, 50))
    settings = _Settings(method, k, n_components, size, seed)
    labels, X, tried = _fit(Z, settings)
    settings = settings.with_k(int(labels.max(initial=-1)) + 1)
    labels = by_size(labels)
    distance = centroid_distance(X, labels)
    stability = None
    if resamples and settings.k:
        patients = _patients(embeddings, finite)
        stability = measure_stability(
            lambda rows: _fit(Z[rows], settings)[0], labels, patients, resamples, seed, progress=progress
        )
    whole = np.full(len(embeddings), -1, np.int64), np.full(len(embeddings), np.nan)
    whole[0][finite], whole[1][finite] = labels, distance
    params = {"method": method, "k": k, "n_components": n_components, "min_cluster_size": size, "seed": seed}
    return Clustering(*whole, method, int(labels.max(initial=-1)) + 1, params, tried, stability)


@dataclass(frozen=True, slots=True)
class _Settings:
    method: str
    k: int | None
    n_components: int | None
    size: int
    seed: int

    def with_k(self, k: int) -> _Settings:
        return _Settings(self.method, k, self.n_components, self.size, self.seed)


def by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give clusters new numbers, the largest first; -1 stays.

    Examples
    --------
    >>> by_size(np.array([4, 7, 7, -1])).tolist()
    [1, 0, 0, -1]
    """
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    rank = {int(name): place for place, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    return np.array([rank.get(int(label), -1) for label in labels], np.int64)


def centroid_distance(X: NDArray[np.floating], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give the distance of each record to its cluster's mean; NaN for -1."""
    distance = np.full(len(X), np.nan)
    for label in range(int(labels.max(initial=-1)) + 1):
        member = labels == label
        centre = X[member].mean(axis=0, dtype=np.float64)
        distance[member] = np.linalg.norm(X[member] - centre, axis=1)
    return distance


def _check(method: str, k: int | None, n: int, resamples: int) -> None:
    if resamples < 0 or (k is not None and k < 1):
        raise SignalError(
            "cluster", f"k {k}, {resamples} resamples", "give at least one cluster and no negative number"
        )
    if k is not None and method in ("hdbscan", "dbscan"):
        raise SignalError("cluster", f"{method} finds the number of clusters itself", "leave k out, or take kmeans")
    if n < max(20, 2 * (k or 1)):
        problem = f"{n} records with finite embeddings"
        raise SignalError("cluster", problem, "give at least 20, and two a cluster")


def _patients(embeddings: Embeddings, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give patients numbers; those of two corpora are not the same, however named."""
    import pandas as pd

    index = embeddings.index.iloc[rows]  # an unknown patient has a name of its own in it
    return np.asarray(pd.factorize(index["corpus"].astype(str) + "/" + index["patient_id"].astype(str))[0], np.int64)


def _fit(
    Z: NDArray[np.float32], settings: _Settings
) -> tuple[NDArray[np.int64], NDArray[np.float32], dict[int, float]]:
    """Project and cluster: labels, projected embeddings, and what each number of clusters was worth."""
    if settings.method in ("hdbscan", "dbscan"):
        screen = DensityScreen(
            settings.method, settings.size, min_cluster_size=settings.size, n_components=settings.n_components,
            whiten=False, max_fit=_MAX_FIT, seed=settings.seed,
        ).fit(Z)  # fmt: skip
        return screen.cluster(Z), screen.transform(Z), {}
    whitening: Whitening = fit_whitening(Z, settings.n_components, whiten=False)
    X = whitening(Z)
    sample = X[subsample(len(X), _MAX_FIT, settings.seed)]
    models, tried = {}, {}
    if len(sample) < (settings.k or 1):  # a resample of few patients
        raise SignalError("cluster", f"{len(sample)} records for {settings.k} clusters", "give fewer clusters")
    wanted = [settings.k] if settings.k else [c for c in CANDIDATES if c <= len(X) // 10]
    for k in wanted:
        models[k] = (_kmeans if settings.method == "kmeans" else _mixture)(sample, k, settings.seed)
        if settings.k is None:
            tried[k] = _worth(models[k], sample, settings)
    best = wanted[0] if not tried else max(tried, key=lambda k: tried[k] if settings.method == "kmeans" else -tried[k])
    return np.asarray(models[best].predict(X), np.int64), X, tried


def _kmeans(X: NDArray[np.float32], k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=5, random_state=seed).fit(X)


def _mixture(X: NDArray[np.float32], k: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    floor = 1e-3 * float(X.var(axis=0).mean())
    return GaussianMixture(k, covariance_type="diag", reg_covar=floor, max_iter=1000, random_state=seed).fit(X)


def _worth(model: Any, X: NDArray[np.float32], settings: _Settings) -> float:
    if settings.method == "gmm":
        return float(model.bic(X))
    from sklearn.metrics import silhouette_score

    sample = X[subsample(len(X), _SILHOUETTE_RECORDS, settings.seed)]
    labels = model.predict(sample)
    return float(silhouette_score(sample, labels)) if 1 < len(np.unique(labels)) < len(sample) else -1.0
