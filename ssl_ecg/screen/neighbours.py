"""Exact nearest-neighbour search with faiss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError


def nearest(
    queries: NDArray[np.floating],
    reference: NDArray[np.floating],
    k: int,
    *,
    own: bool = False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Find the k nearest reference vectors of each query by Euclidean distance.

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
    import faiss

    k = min(k, len(reference) - int(own))
    if k < 1:
        raise SignalError("neighbours", f"no neighbour among {len(reference)} records", "give more records")
    index = faiss.IndexFlatL2(reference.shape[1])
    index.add(np.ascontiguousarray(reference, dtype=np.float32))
    squared, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), k + int(own))
    if own:
        others = rows != np.arange(len(rows))[:, None]
        others[others.all(axis=1), -1] = False  # among many equal vectors the own row may not come up
        squared, rows = (a[others].reshape(len(rows), k) for a in (squared, rows))
    return np.sqrt(np.maximum(squared, 0).astype(np.float64)), rows.astype(np.int64)
