"""Nearest-neighbour search with faiss: exact, by inverted lists, or on a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

SEARCHES = ("auto", "exact", "ivf", "hnsw")
_EXACT_UP_TO = 50_000  # reference vectors: comparing all with all takes seconds
_BLOCK = 65_536  # queries at once
_LINKS, _BUILD_BREADTH = 32, 100  # of the graph


def nearest(
    queries: NDArray[np.floating],
    reference: NDArray[np.floating],
    k: int,
    *,
    own: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest reference vectors of each query by Euclidean distance, exactly.

    Parameters
    ----------
    queries : array (query, dim)
    reference : array (record, dim)
    k : int
        Cut to the number of reference vectors.
    own : bool
        The queries are the reference, row by row: leave each one's own row out.

    Returns
    -------
    distance : float64 array (query, k), nearest first
    row : int64 array (query, k)

    Raises
    ------
    SignalError
        If there is no reference vector, or none but a query's own.

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [3.0]])
    >>> nearest(points, points, 1, own=True)[1].ravel().tolist()
    [1, 0, 1]
    """
    return search_index(build_index(reference, "exact"), queries, k, own=own)


def chosen_search(search: str, n: int) -> str:
    """Give the way to search n vectors: "auto" is exact up to 50,000, inverted lists beyond.

    Raises
    ------
    SignalError
        If there is no such way.
    """
    if search not in SEARCHES:
        raise SignalError("neighbours", f"unknown search {search!r}", f"choose from {', '.join(SEARCHES)}")
    if search == "auto":
        return "exact" if n <= _EXACT_UP_TO else "ivf"
    return search


def build_index(reference: NDArray[np.floating], search: str = "auto", *, breadth: int = 32, seed: int = 0) -> Any:
    """Build a faiss index of reference vectors (record, dim).

    Parameters
    ----------
    reference : array (record, dim)
    search : {"auto", "exact", "ivf", "hnsw"}
        Inverted lists and graph miss some neighbours and find others a little farther away. A graph built by
        several threads is not the same each time.
    breadth : int
        Lists ("ivf", of 2 sqrt(n)) or candidates ("hnsw", at least k) that are looked at for a query.
    seed : int
        Of the lists' centres.

    References
    ----------
    Jegou et al. 2011, doi:10.1109/TPAMI.2010.57 (inverted lists).
    Malkov and Yashunin 2020, doi:10.1109/TPAMI.2018.2889473 (HNSW).
    """
    import faiss

    points = np.ascontiguousarray(reference, dtype=np.float32)
    n, dim = points.shape
    search = chosen_search(search, n)
    index: Any
    if search == "hnsw":
        index = faiss.IndexHNSWFlat(dim, _LINKS)
        index.hnsw.efConstruction, index.hnsw.efSearch = _BUILD_BREADTH, breadth
    elif search == "ivf":
        lists = max(1, min(int(2 * n**0.5), n))
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(dim), dim, lists)
        index.nprobe = min(breadth, lists)
        index.cp.seed, index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = seed, 1, 64
        index.train(points)
    else:
        index = faiss.IndexFlatL2(dim)
    index.add(points)
    return index


def search_index(
    index: Any, queries: NDArray[np.floating], k: int, *, own: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest vectors of an index for each query; arguments and results as for ``nearest``."""
    k = min(k, index.ntotal - int(own))
    if k < 1:
        raise SignalError("neighbours", f"no neighbour among {index.ntotal} records", "give more records")
    distance, row = np.empty((len(queries), k)), np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), _BLOCK):
        block = np.ascontiguousarray(queries[start : start + _BLOCK], dtype=np.float32)
        squared, rows = _search(index, block, k + int(own))
        if own:
            others = rows != np.arange(start, start + len(rows))[:, None]
            others[others.all(axis=1), -1] = False  # among many equal vectors the own row may not come up
            squared, rows = (a[others].reshape(len(rows), k) for a in (squared, rows))
        distance[start : start + _BLOCK] = np.sqrt(np.maximum(squared, 0), dtype=np.float64)
        row[start : start + _BLOCK] = rows
    return distance, row


def index_bytes(index: Any) -> NDArray[np.uint8]:
    """Give an index, its vectors included, as bytes."""
    import faiss

    return np.asarray(faiss.serialize_index(index), dtype=np.uint8)


def index_from_bytes(content: NDArray[np.uint8]) -> Any:
    """Rebuild an index from ``index_bytes``.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    import faiss

    try:
        return faiss.deserialize_index(np.asarray(content, dtype=np.uint8))
    except RuntimeError as error:
        raise ValueError("the index is damaged") from error


def _search(index: Any, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Search; where too few were found in the lists looked at, all are looked at."""
    squared, rows = index.search(queries, k)
    few = np.flatnonzero((rows < 0).any(axis=1))
    if len(few):
        squared[few], rows[few] = index.search(queries[few], k, params=_everything(index))
    return squared, rows


def _everything(index: Any) -> Any:
    import faiss

    kinds: Any = faiss  # its stubs lack these
    if hasattr(index, "nlist"):
        return kinds.SearchParametersIVF(nprobe=index.nlist)
    return kinds.SearchParametersHNSW(efSearch=index.ntotal)
