"""PCA and whitening: after it, one unit is one standard deviation in every direction that is kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

_RECORDS_PER_COMPONENT = 10
_SMALLEST_VARIANCE = 1e-6  # relative to the largest: below it a direction is rounding error


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

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Project embeddings (record, dim) to (record, component)."""
        return np.ascontiguousarray((vectors - self.mean) @ self.projection, dtype=np.float32)


def fit_whitening(vectors: NDArray[np.floating], n_components: int | None, *, whiten: bool = True) -> Whitening:
    """Fit a whitening.

    Parameters
    ----------
    vectors : array (record, dim)
    n_components : int or None
        At most so many principal directions, fewer when there are fewer than ten records for each. None
        keeps all directions as they are, divided by their root mean variance.
    whiten : bool
        Give all kept directions the same variance; otherwise their mean variance is one.

    Raises
    ------
    SignalError
        If all embeddings are equal.

    Examples
    --------
    >>> vectors = np.random.default_rng(0).normal(size=(500, 4)) * [10, 5, 1, 1]
    >>> white = fit_whitening(vectors, 2)(vectors)
    >>> white.std(axis=0).round(2).tolist()
    [1.0, 1.0]
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    centred = vectors - mean
    covariance = centred.T @ centred / len(vectors)
    variance, directions = np.linalg.eigh(covariance)
    variance, directions = variance[::-1], directions[:, ::-1]
    total = float(variance.sum())
    if total <= 1e-12 * max(1.0, float(mean @ mean)):
        problem = f"all {len(vectors)} embeddings are equal"
        raise SignalError("screen", problem, "check that the encoder has not collapsed")
    if n_components is None:
        return Whitening(mean, np.eye(len(mean)) / np.sqrt(total / len(mean)))
    most = max(1, min(n_components, len(vectors) // _RECORDS_PER_COMPONENT))
    keep = np.flatnonzero(variance[:most] > _SMALLEST_VARIANCE * variance[0])
    return Whitening(mean, directions[:, keep] / np.sqrt(variance[keep] if whiten else variance[keep].mean()))
