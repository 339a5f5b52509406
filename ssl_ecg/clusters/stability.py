"""Whether clusters come back when the data are drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg.clusters.agreement import adjusted_rand
from ssl_ecg.errors import SignalError


@dataclass(frozen=True, slots=True)
class Stability:
    """Agreement of a clustering with those of bootstrap samples.

    Attributes
    ----------
    ari : float64 array (resample,)
        Adjusted Rand index over the records of each sample; records in no cluster count as a group.
    jaccard : float64 array (cluster, resample)
        Of each cluster, its part in the sample against the cluster there that is most like it; NaN where the sample
        has none of its records. By Hennig's rule of thumb a mean of 0.75 or more is stable, below 0.5 dissolved.
    """

    ari: NDArray[np.float64]
    jaccard: NDArray[np.float64]

    @property
    def mean_jaccard(self) -> NDArray[np.float64]:
        """Mean over the resamples of each cluster; NaN if there is none."""
        known = np.isfinite(self.jaccard)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.where(known, self.jaccard, 0).sum(axis=1) / known.sum(axis=1))


def measure_stability(
    fit: Callable[[NDArray[np.int64]], NDArray[np.int64]],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    resamples: int,
    seed: int,
    *,
    progress: bool = False,
) -> Stability:
    """Cluster bootstrap samples of patients and compare.

    Patients are drawn with replacement, and those drawn count once, with all their records: about 63 % of them.

    Parameters
    ----------
    fit : callable
        Rows -> their clusters, -1 for none.
    labels : int64 array (record,)
        The clustering that is judged.
    patients : int64 array (record,)
    resamples, seed : int
    progress : bool

    References
    ----------
    Hennig 2007, doi 10.1016/j.csda.2006.11.025, section 2.
    """
    rng = np.random.default_rng(seed)
    unique = np.unique(patients)
    ari = np.full(resamples, np.nan)
    jaccard = np.full((int(labels.max(initial=-1)) + 1, resamples), np.nan)
    for b in tqdm(range(resamples), desc="stability", unit="resample", disable=not progress):
        drawn = np.unique(rng.choice(unique, len(unique)))
        rows = np.flatnonzero(np.isin(patients, drawn))
        try:
            again = fit(rows)
        except SignalError:  # a density method may find no dense place in a sample: nothing came back
            again = np.full(len(rows), -1, np.int64)
        ari[b] = adjusted_rand(labels[rows], again)
        jaccard[:, b] = _jaccard(labels[rows], again, len(jaccard))
    return Stability(ari, jaccard)


def _jaccard(labels: NDArray[np.int64], again: NDArray[np.int64], n_clusters: int) -> NDArray[np.float64]:
    """Give each cluster's largest overlap with one of the other clustering, over their union."""
    others = np.unique(again[again >= 0])
    out = np.full(n_clusters, np.nan)
    for label in range(n_clusters):
        member = labels == label
        if member.any():
            shared = [(member & (again == other)).sum() / (member | (again == other)).sum() for other in others]
            out[label] = max(shared, default=0.0)
    return out
