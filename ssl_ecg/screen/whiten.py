"""PCA and whitening: after it, one unit is one standard deviation in every direction that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

_RECORDS_PER_COMPONENT = 10
_SMALLEST_VARIANCE = 1e-6  # relative to the largest: below it a direction is rounding error
_MEDIAN_RECORDS = 20_000  # a median needs no more
BLOCK = 8192  # records in float64 at once


@dataclass(frozen=True, slots=True)
class Whitening:
    """A fitted projection.

    Attributes
    ----------
    mean : float64 array (dim,)
    projection : float64 array (dim, component)
    """

    mean: NDArray[np.float64]
    projection: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.floating], rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Project embeddings (record, dim), or some rows of them, to (record, component)."""
        n = len(vectors) if rows is None else len(rows)
        projected = np.empty((n, self.projection.shape[1]), np.float32)
        for start, block in blocks(vectors, rows):
            projected[start : start + len(block)] = (block - self.mean) @ self.projection
        return projected


def fit_whitening(
    vectors: NDArray[np.floating],
    n_components: int | None,
    *,
    whiten: bool = True,
    rows: NDArray[np.int64] | None = None,
    suspect: float = 0.0,
) -> Whitening:
    """Fit a whitening; a million embeddings are read in blocks and never copied as a whole.

    Parameters
    ----------
    vectors : array (record, dim)
    n_components : int or None
        At most so many principal directions, fewer when there are fewer than ten records for each. None
        keeps all directions as they are, divided by their root mean variance.
    whiten : bool
        Give all kept directions the same variance; otherwise their mean variance is one.
    rows : int array, optional
        Rows to learn from, in this order; all by default.
    suspect : float
        Share of records that may be strange: those so far from the median are drawn in to the distance that
        the others keep, so that no few of them turn the directions.

    Raises
    ------
    SignalError
        If all embeddings are equal.

    References
    ----------
    Raymaekers and Rousseeuw 2019, arXiv:1805.01417, eq. 5 ("Winsor" radial function), for ``suspect``.

    Examples
    --------
    >>> vectors = np.random.default_rng(0).normal(size=(500, 4)) * [10, 5, 1, 1]
    >>> white = fit_whitening(vectors, 2)(vectors)
    >>> white.std(axis=0).round(2).tolist()
    [1.0, 1.0]
    """
    n = len(vectors) if rows is None else len(rows)
    mean, covariance = _moments(vectors, rows) if suspect <= 0 else _robust_moments(vectors, rows, suspect)
    variance, directions = np.linalg.eigh(covariance)
    variance, directions = variance[::-1], directions[:, ::-1]
    largest = directions[np.abs(directions).argmax(axis=0), np.arange(len(directions))]
    directions = directions * np.where(largest < 0, -1.0, 1.0)  # a sign of their own, not that of the solver
    total = float(variance.sum())
    if total <= 1e-12 * max(1.0, float(mean @ mean)):
        problem = f"all {n} embeddings are equal"
        raise SignalError("screen", problem, "check that the encoder has not collapsed")
    if n_components is None:
        return Whitening(mean, np.eye(len(mean)) / np.sqrt(total / len(mean)))
    most = max(1, min(n_components, n // _RECORDS_PER_COMPONENT))
    keep = np.flatnonzero(variance[:most] > _SMALLEST_VARIANCE * variance[0])
    return Whitening(mean, directions[:, keep] / np.sqrt(variance[keep] if whiten else variance[keep].mean()))


def blocks(
    vectors: NDArray[np.floating], rows: NDArray[np.int64] | None = None
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Give the embeddings, or some rows of them, as float64 blocks with the place of each."""
    n = len(vectors) if rows is None else len(rows)
    for start in range(0, n, BLOCK):
        chosen = vectors[start : start + BLOCK] if rows is None else vectors[rows[start : start + BLOCK]]
        yield start, chosen.astype(np.float64)


def _moments(
    vectors: NDArray[np.floating], rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    n = len(vectors) if rows is None else len(rows)
    mean = sum((block.sum(axis=0) for _, block in blocks(vectors, rows)), np.zeros(vectors.shape[1])) / n
    covariance = np.zeros((len(mean), len(mean)))
    for _, block in blocks(vectors, rows):
        block -= mean
        covariance += block.T @ block
    return mean, covariance / n


def _robust_moments(
    vectors: NDArray[np.floating], rows: NDArray[np.int64] | None, suspect: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows = np.arange(len(vectors)) if rows is None else rows
    every = max(1, len(rows) // _MEDIAN_RECORDS)
    middle = np.median(vectors[rows[::every]].astype(np.float64), axis=0)
    length = np.concatenate([np.linalg.norm(block - middle, axis=1) for _, block in blocks(vectors, rows)])
    radius = np.quantile(length, 1 - suspect)
    shrink = np.minimum(1.0, radius / np.maximum(length, np.finfo(np.float64).tiny))
    total, products = np.zeros(len(middle)), np.zeros((len(middle), len(middle)))
    for start, block in blocks(vectors, rows):
        drawn = (block - middle) * shrink[start : start + len(block), None]
        total += drawn.sum(axis=0)
        products += drawn.T @ drawn
    shift = total / len(rows)
    return middle + shift, products / len(rows) - np.outer(shift, shift)
