"""What scoring needs from HDBSCAN's condensed tree, as plain arrays that can be saved without pickle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def tree_arrays(tree: NDArray[Any], labels: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Read densities (lambda, the inverse of a distance) of every clustered record from the condensed tree.

    Parameters
    ----------
    tree : structured array
        Fields parent, child, lambda_val, child_size; records are the children below the smallest parent.
    labels : int64 array (record,)
        Cluster chosen for each record; -1 is noise.

    Returns
    -------
    top : float64 array (record,)
        Highest density in the smallest cluster that held the record, or in clusters split from it.
    own : float64 array (record,)
        Density at which the record left that cluster.
    birth : float64 array (record,)
        Density above which a newcomer that joins the record belongs to the record's chosen cluster.

    References
    ----------
    Campello et al. 2015, doi:10.1145/2733381, section 5.2 (GLOSH).
    """
    root = int(tree["parent"].min())
    density = np.where(np.isfinite(tree["lambda_val"]), tree["lambda_val"], 1e12)
    highest = np.zeros(int(tree["parent"].max()) + 1)
    np.maximum.at(highest, tree["parent"], density)
    above = np.full(len(highest), -1)
    born = np.zeros(len(highest))
    clusters = tree["child"] >= root
    branches = zip(tree["parent"][clusters], tree["child"][clusters], density[clusters], strict=True)
    for parent, child, value in sorted(branches, key=lambda branch: -branch[1]):
        highest[parent] = max(highest[parent], highest[child])  # children have larger numbers than parents
        above[child], born[child] = parent, value
    records = ~clusters
    home = np.empty(len(labels), np.int64)
    own = np.empty(len(labels))
    home[tree["child"][records]] = tree["parent"][records]
    own[tree["child"][records]] = density[records]
    return highest[home], own, _births(labels, home, above, born)


def outlier_scores(density: FloatArray, top: FloatArray) -> FloatArray:
    """Give GLOSH = 1 - density / top, from 0 (as dense as its cluster gets) to 1."""
    return np.asarray(np.clip(1 - density / np.where(top > 0, top, 1.0), 0.0, 1.0))


def _births(
    labels: NDArray[np.int64], home: NDArray[np.int64], above: NDArray[np.int64], born: FloatArray
) -> FloatArray:
    """Give the density at which each record's chosen cluster, its records' common ancestor, came to be."""
    births = np.zeros(len(labels))
    for label in range(int(labels.max(initial=-1)) + 1):
        member = labels == label
        homes = set(home[member].tolist())
        while len(homes) > 1:  # clusters are numbered from the root down: lift the deepest
            deepest = max(homes)
            homes = (homes - {deepest}) | {int(above[deepest])}
        births[member] = born[homes.pop()]
    return births
