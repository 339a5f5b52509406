"""How good a density clustering is, to choose its settings by: density-based validity, or stability."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

CRITERIA = ("dbcv", "stability")
_DRAWN_SHARE = 0.8


def dbcv(X: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Give the density-based validity of a clustering, from -1 to 1; NaN below two clusters.

    Parameters
    ----------
    X : array (record, dim)
    labels : int array (record,)
        -1 is noise; it lowers the validity by its share.

    References
    ----------
    Moulavi et al. 2014, doi:10.1137/1.9781611973440.96, eq. 5; computed by the hdbscan package.
    """
    from hdbscan.validity import validity_index

    if labels.max(initial=-1) < 1:
        return float("nan")
    with np.errstate(all="ignore"):  # powers of distances overflow in many dimensions: no validity then
        try:
            value = float(validity_index(np.asarray(X, dtype=np.float64), labels))
        except ValueError:
            return float("nan")
    return value if np.isfinite(value) else float("nan")


def stability(
    cluster: Callable[[NDArray[np.float32]], NDArray[np.int64]],
    X: NDArray[np.float32],
    *,
    draws: int = 5,
    seed: int = 0,
) -> float:
    """Cluster samples of 80 % of the records and give the mean adjusted Rand index of all pairs of samples.

    Compared are the records that two samples share; noise counts as a cluster. NaN when most samples have
    fewer than two clusters: nothing is as stable as no clustering at all.

    Parameters
    ----------
    cluster : callable
        Gives the labels (record,) of a sample (record, dim); -1 is noise.
    X : array (record, dim)
    draws : int
    seed : int

    References
    ----------
    Ben-Hur, Elisseeff and Guyon 2002, doi:10.1142/9789812799623_0002.
    Hubert and Arabie 1985, doi:10.1007/BF01908075, eq. 5 (adjusted Rand index).

    Examples
    --------
    >>> X = np.concatenate([np.zeros((20, 1)), np.ones((20, 1))]).astype(np.float32)
    >>> stability(lambda sample: sample[:, 0].astype(np.int64), X)
    1.0
    """
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(seed)
    found = np.full((draws, len(X)), -2)
    for number in range(draws):
        rows = np.sort(rng.choice(len(X), max(2, round(_DRAWN_SHARE * len(X))), replace=False))
        found[number, rows] = cluster(X[rows])
    if np.median(found.max(axis=1)) < 1:
        return float("nan")
    agreements = []
    for first, second in combinations(found, 2):
        shared = (first > -2) & (second > -2)
        agreements.append(adjusted_rand_score(first[shared], second[shared]))
    return float(np.mean(agreements))
