"""Measurements of recordings as targets of pretraining: expert features, put on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Targets
from ssl_ecg.features.expert import expert_vectors
from ssl_ecg.features.kept import kept_table
from ssl_ecg.features.table import TableFile

FARTHEST = 4.0
"""Values are cut off at so many standard deviations."""
_KNOWN = 0.3
"""A measurement that fewer of the records have is left out."""
_AT_ONCE = 2**27  # bytes of a table's columns


def measure_targets(
    archive: Archive,
    rows: Int64[np.ndarray, " item"],
    *,
    folder: str | Path | None = None,
    compute: bool = True,
    workers: int = 1,
    progress: bool = False,
) -> Targets:
    """Measure the records that are trained on.

    Each feature is put on the scale of its median and quartiles over these records, so that one with a heavy tail
    does not rule the others. No label is looked at.

    Parameters
    ----------
    archive : Archive
    rows : int64 array (item,)
        The records that are trained on.
    folder : path, optional
        Where the features are kept, and found when a run goes on; see `kept_table`. With it they are read as
        batches need them, and memory does not grow with them.
    compute : bool
        Of several processes one computes, and the others wait for what it keeps.
    workers : int
        Processes.
    progress : bool

    Returns
    -------
    ScaledTargets
        For every row of `archive.index`; NaN where a feature could not be measured, where too few records have it or
        all have the same, and for records that are not trained on.

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    TrainingError
        If the process that is waited for has failed or is gone.
    """
    chosen = np.unique(rows)
    table: TableFile | NDArray[np.float32]
    if folder is None:
        table = expert_vectors(archive, chosen, workers=workers, progress=progress)
    else:
        table = kept_table(archive, chosen, folder, compute=compute, workers=workers, progress=progress)
    places = np.full(len(archive), -1)
    places[chosen] = np.arange(len(chosen))
    middle, deviation = robust_scales(table)
    return ScaledTargets(table, places, middle, deviation, farthest=FARTHEST)


class ScaledTargets:
    """Targets of all records, read and scaled when they are asked for; indexed as an array (record, target).

    Parameters
    ----------
    table : TableFile or float32 array (item, target)
        Values before scaling.
    places : int64 array (record,)
        Row of the table that holds each record's values; -1 where none does.
    middle, deviation : float64 array (target,)
        What is subtracted, and what is divided by; NaN where a target is to be left out.
    farthest : float
        Where scaled values are cut off.

    Examples
    --------
    >>> column = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]], np.float32)
    >>> targets = ScaledTargets(column, np.array([0, 1, 4, -1]), *robust_scales(column), farthest=4.0)
    >>> print(targets[np.array([3, 2, 1])].ravel().round(2), targets.shape)
    [  nan  4.   -0.67] (4, 1)
    """

    def __init__(
        self,
        table: TableFile | NDArray[np.float32],
        places: NDArray[np.int64],
        middle: NDArray[np.float64],
        deviation: NDArray[np.float64],
        *,
        farthest: float = np.inf,
    ) -> None:
        self.table, self.places, self.middle, self.deviation = table, places, middle, deviation
        self.farthest = farthest
        self.shape = (len(places), int(table.shape[1]))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """Give the targets of some records, or of one."""
        places = np.asarray(self.places[rows])
        wanted = places.ravel()
        out = np.full((len(wanted), self.shape[1]), np.nan, np.float32)
        there = wanted >= 0
        scaled = (self.table[wanted[there]].astype(np.float64) - self.middle) / self.deviation
        out[there] = np.clip(scaled, -self.farthest, self.farthest)
        return out.reshape(*places.shape, -1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        """Give all of them."""
        return self[:] if dtype is None else self[:].astype(dtype)


def robust_scales(table: TableFile | NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the median of each column, and the deviation of a normal distribution with its quartiles.

    NaN where fewer than 30 % of the values are known, or the quartiles are the same.
    """
    middle, deviation = np.full((2, table.shape[1]), np.nan)
    step = max(1, _AT_ONCE // (4 * max(1, len(table))))
    for first in range(0, table.shape[1], step):
        last = min(first + step, table.shape[1])
        columns = table.columns(first, last) if isinstance(table, TableFile) else table[:, first:last]
        for k, column in enumerate(columns.T, first):
            known = column[np.isfinite(column)].astype(np.float64)
            if len(known) < max(2, _KNOWN * len(column)):
                continue
            low, centre, high = np.percentile(known, [25, 50, 75])
            if high > low:
                middle[k], deviation[k] = centre, (high - low) / 1.349  # so far apart are a normal one's quartiles
    return middle, deviation
