"""A picture of the embedding space: two coordinates for each record."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.estimator import check_vectors

METHODS = ("umap", "pca")
_FEWEST_FOR_UMAP = 10
_MOST_FOR_UMAP = 20_000
_ANCHORS = 5  # fitted neighbours between which a record outside the sample is placed


def project(
    Z: ArrayLike, *, method: str = "umap", seed: int = 0, neighbours: int = 15, min_dist: float = 0.1
) -> NDArray[np.float32]:
    """Project embeddings onto the plane.

    UMAP gets its neighbours from faiss and starts from the principal components, which makes it several times
    faster than on its own. Beyond 20,000 records a sample is projected and the others are placed among
    their nearest sampled neighbours. Fewer than ten records are projected by PCA.

    Parameters
    ----------
    Z : array (record, dim)
    method : {"umap", "pca"}
    seed : int
        The same seed gives the same picture.
    neighbours : int
        Records that count as near: more shows the whole, fewer the details.
    min_dist : float
        How close points may lie in the picture.

    Returns
    -------
    float32 array (record, 2)

    Raises
    ------
    SignalError
        If the method is unknown or embeddings are not finite.

    References
    ----------
    McInnes et al. 2018, arXiv:1802.03426.

    Examples
    --------
    >>> project(np.diag([3.0, 2.0, 1.0]), method="pca").shape
    (3, 2)
    """
    vectors = check_vectors(Z, "map")
    if method not in METHODS:
        raise SignalError("map", f"unknown method {method!r}", f"choose from {', '.join(METHODS)}")
    if seed < 0:
        raise SignalError("map", f"seed {seed}", "give 0 or more")
    if neighbours < 2:
        raise SignalError("map", f"{neighbours} neighbours", "give at least 2")
    plane = _principal_plane(vectors)
    if method == "pca" or len(vectors) < _FEWEST_FOR_UMAP:
        return plane
    rng = np.random.default_rng(seed)
    n = len(vectors)
    rows = np.arange(n) if n <= _MOST_FOR_UMAP else np.sort(rng.choice(n, _MOST_FOR_UMAP, replace=False))
    sample = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    picture = _umap(sample, plane[rows], seed, min(neighbours, len(rows) - 1), min_dist)
    return picture if len(rows) == n else _place_others(vectors, rows, sample, picture)


def _principal_plane(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Give the first two principal components, signs fixed, zero where there are fewer."""
    if len(vectors) == 0:
        return np.zeros((0, 2), np.float32)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, :2]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
    plane = np.zeros((len(vectors), 2), np.float32)
    plane[:, : axes.shape[1]] = centred @ axes
    return plane


def _umap(
    sample: NDArray[np.float32], plane: NDArray[np.float32], seed: int, neighbours: int, min_dist: float
) -> NDArray[np.float32]:
    import umap

    from ssl_ecg.screen.neighbours import nearest

    distance, rows = nearest(sample, sample, neighbours - 1, own=True)
    own = np.arange(len(sample))[:, None]
    known = (
        np.hstack([own, rows]),
        np.hstack([np.zeros_like(distance[:, :1]), distance]).astype(np.float32),
        None,
    )
    spread = np.maximum(plane.std(axis=0), 1e-12)
    jitter = np.random.default_rng(seed).normal(scale=1e-4, size=plane.shape)  # equal records must not coincide
    start = (plane / spread.max() * 10 + jitter).astype(np.float32)
    reducer = umap.UMAP(
        n_neighbors=neighbours,
        min_dist=min_dist,
        init=start,
        precomputed_knn=known,
        random_state=seed,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*precomputed_knn.*")  # a search index serves transform only
        warnings.filterwarnings("ignore", message=".*not fully connected.*")
        return np.asarray(reducer.fit_transform(sample), dtype=np.float32)


def _place_others(
    vectors: NDArray[np.floating],
    rows: NDArray[np.int64],
    sample: NDArray[np.float32],
    picture: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Put each record outside the sample at the weighted mean place of its nearest sampled records."""
    from ssl_ecg.screen.neighbours import nearest

    out = np.empty((len(vectors), 2), np.float32)
    out[rows] = picture
    others = np.setdiff1d(np.arange(len(vectors)), rows)
    distance, found = nearest(vectors[others], sample, _ANCHORS)
    weight = 1 / (distance + 1e-9 + 1e-3 * distance.mean())
    weight /= weight.sum(axis=1, keepdims=True)
    out[others] = np.einsum("nk,nkd->nd", weight, picture[found])
    return out
