"""Measurements of recordings as targets of pretraining: expert features, put on one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.features.expert import expert_vectors
from ssl_ecg.features.kept import kept_vectors

FARTHEST = 4.0
"""Values are cut off at so many standard deviations."""
_KNOWN = 0.3
"""A measurement that fewer of the records have is left out."""


def measure_targets(
    archive: Archive,
    rows: Int64[np.ndarray, " item"],
    *,
    folder: str | Path | None = None,
    compute: bool = True,
    workers: int = 1,
    progress: bool = False,
) -> Float32[np.ndarray, "record feature"]:
    """Measure the records that are trained on.

    Each feature is put on the scale of its median and quartiles over these records, so that one with a heavy tail
    does not rule the others. No label is looked at.

    Parameters
    ----------
    archive : Archive
    rows : int64 array (item,)
        The records that are trained on.
    folder : path, optional
        Where the features are kept, and found when a run goes on; see `kept_vectors`.
    compute : bool
        Of several processes one computes, and the others wait for what it keeps.
    workers : int
        Processes.
    progress : bool

    Returns
    -------
    float32 array (record, feature)
        For every row of `archive.index`; NaN where a feature could not be measured, where too few records have it or
        all have the same, and for records that are not trained on.

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    """
    chosen = np.unique(rows)
    if folder is None:
        values = expert_vectors(archive, chosen, workers=workers, progress=progress)
    else:
        values = kept_vectors(archive, chosen, folder, compute=compute, workers=workers, progress=progress)
    targets = np.full((len(archive), values.shape[1]), np.nan, np.float32)
    targets[chosen] = robust_scores(values)
    return targets


def robust_scores(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Put columns on the scale of their median and quartiles, as if they were normal; NaN stays NaN.

    Examples
    --------
    >>> print(robust_scores(np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])).ravel().round(2))
    [-1.35 -0.67  0.    0.67  4.  ]
    """
    out = np.full(values.shape, np.nan, np.float32)
    for k, column in enumerate(np.asarray(values, np.float64).T):
        known = column[np.isfinite(column)]
        if len(known) < max(2, _KNOWN * len(column)):
            continue
        low, middle, high = np.percentile(known, [25, 50, 75])
        if high > low:  # 1.349 standard deviations of a normal distribution lie between its quartiles
            out[:, k] = np.clip((column - middle) * 1.349 / (high - low), -FARTHEST, FARTHEST)
    return out
