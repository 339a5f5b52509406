"""Which records of an archive a pretraining run sees."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError
from ssl_ecg.preprocessing import Scale


def open_strips(
    archive: Archive,
    *,
    seconds: float = 10.0,
    scale: Scale = "none",
    folds: list[int] | None = None,
    corpora: list[str] | None = None,
    exclude_codes: list[str] | None = None,
    exclude_quality: Sequence[str] = ("nan", "amplitude"),
) -> Strips:
    """Open the strips for pretraining.

    Parameters
    ----------
    archive : Archive
    seconds : float
        Length of a strip [s]; longer records give a random crop each time.
    scale : {"none", "record", "lead"}
        How strips are scaled; see `Preprocessing`. It is applied on the device and kept with the encoder.
    folds : list of int, optional
        Only records of these folds; records without a fold are always in. Leave the test folds out.
    corpora : list of str, optional
        Only these corpora.
    exclude_codes : list of str, optional
        Leave out records that carry any of these codes, such as "unacceptable".
    exclude_quality : sequence of str
        Leave out records with any of these quality flags (`flat`, `saturated`, `nan`, `amplitude`, `einthoven`).

    Raises
    ------
    ArchiveError
        If nothing is left.
    """
    index = archive.index
    keep = np.ones(len(index), bool)
    if folds is not None:
        keep &= index["fold"].isna().to_numpy() | index["fold"].isin(folds).to_numpy(bool)
    if corpora is not None:
        keep &= index["corpus"].isin(corpora).to_numpy(bool)
    if exclude_codes:
        unwanted = set(exclude_codes)
        keep &= np.array([unwanted.isdisjoint(codes) for codes in index["codes"]], bool)
    if exclude_quality:
        bad = set(exclude_quality)
        keep &= np.array([bad.isdisjoint(flag.split(":")[0] for flag in flags) for flags in index["quality"]], bool)
    rows = np.flatnonzero(keep)
    if not len(rows):
        remedy = "loosen data.folds, data.corpora, data.exclude_codes or data.exclude_quality"
        raise ArchiveError(str(archive.path), f"none of {len(index)} records is left to train on", remedy)
    return Strips(archive, seconds, rows=rows)
