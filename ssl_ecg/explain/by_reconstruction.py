"""Reasons by reconstruction: where an autoencoder's error lies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.explain.reasons import Reasons, share_out
from ssl_ecg.explain.segments import cut_segments
from ssl_ecg.reconstruction.reconstruct import ErrorScale, Reconstructor, error_map


def reconstruction_reasons(
    run: str | Path | Reconstructor,
    archive: Archive,
    row: int,
    *,
    segment: float = 1.0,
    overlap: float = 0.0,
    scale: ErrorScale = "relative",
) -> Reasons:
    """Say which leads and spans make up a record's reconstruction error.

    A piece's share is its part of the sum of squared errors.

    Parameters
    ----------
    run : path or Reconstructor
        See `ssl_ecg.reconstruct`, also for `scale`.
    archive : Archive
    row : int
    segment : float
        Length of a segment [s].
    overlap : float
        Share of a segment by which it reaches into each of its neighbours, from 0 to below 1.
    scale : {"relative", "mv"}

    Raises
    ------
    CheckpointError, SignalError
        As `reconstruct` does, and if the segments are impossible.
    """
    squared = np.square(error_map(run, archive, row, scale=scale).astype(np.float64))
    present = np.flatnonzero(archive.lead_mask(row))
    spans = cut_segments(squared.shape[1], archive.fs, segment, overlap)
    values = np.stack([np.nansum(squared[present, start:stop], axis=1) for start, stop in spans], axis=1)
    leads = tuple(archive.leads[lead] for lead in present)
    return Reasons(share_out(values), spans / archive.fs, leads, "reconstruction")
