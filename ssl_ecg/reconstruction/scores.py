"""Scores by reconstruction, in the table that screening writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import SignalError
from ssl_ecg.reconstruction.reconstruct import ErrorScale, Reconstructor, load_reconstructor, reconstruct
from ssl_ecg.screen.conformal import conformal_p_values
from ssl_ecg.screen.operating import OperatingPoint

if TYPE_CHECKING:
    import pandas as pd


def reconstruction_table(
    run: str | Path | Reconstructor,
    archive: Archive,
    reference: Archive | ArrayLike | None = None,
    operating: OperatingPoint | None = None,
    *,
    scale: ErrorScale = "relative",
    batch_size: int = 64,
    progress: bool = False,
) -> pd.DataFrame:
    """Score the records of an archive by how badly they are reconstructed.

    Parameters
    ----------
    run : path or Reconstructor
        See `reconstruct`, also for `scale` and `batch_size`.
    archive : Archive
    reference : Archive or int array, optional
        Usual recordings that percentiles and a quantile refer to: another archive, or rows of this one; all records
        of this one unless given.
    operating : OperatingPoint, optional
        Which records are flagged; by default 20 in 1,000. "conformal" needs p-values, which there are none of.
    scale : {"relative", "mv"}
    batch_size : int
    progress : bool

    Returns
    -------
    DataFrame
        One row a record, with the columns of `screen_folder`: record_id, corpus, patient_id, row, anomaly_score,
        percentile, p_value (NaN), cluster (-1), flagged, nearest (empty). A record without a valid sample has no score.

    Raises
    ------
    CheckpointError, SignalError
        As `reconstruct` does, and if the operating point is conformal or the reference has no score.
    """
    point = OperatingPoint() if operating is None else operating
    if point.kind == "conformal":
        remedy = "choose a budget or a quantile, or screen embeddings"
        raise SignalError("operating point", "reconstruction has no p-values for a conformal one", remedy)
    model = run if isinstance(run, Reconstructor) else load_reconstructor(run, archive)
    score = reconstruct(model, archive, scale=scale, batch_size=batch_size, progress=progress).score
    if isinstance(reference, Archive):
        usual = reconstruct(model, reference, scale=scale, batch_size=batch_size, progress=progress).score
    else:
        usual = score if reference is None else score[_rows(reference, len(score))]
    if not np.isfinite(usual).any():
        raise SignalError(
            "reconstruct", "no record of the reference has a score", "give a reference with valid samples"
        )
    columns, _ = error_columns(score, usual, point)
    table = archive.index[["record_id", "corpus", "patient_id"]].reset_index(drop=True)
    table["row"] = np.arange(len(archive))
    for name in ("anomaly_score", "percentile", "p_value"):
        table[name] = columns[name]
    table["cluster"] = np.full(len(score), -1, np.int64)
    table["flagged"] = columns["flagged"]
    table["nearest"] = [[] for _ in range(len(score))]
    return table


def error_columns(
    score: NDArray[np.float64], usual: NDArray[np.float64], operating: OperatingPoint
) -> tuple[dict[str, NDArray[Any]], float]:
    """Judge reconstruction errors by those of the reference.

    Parameters
    ----------
    score, usual : float64 array (record,)
        Of the screened and of the usual records; NaN where there is none.
    operating : OperatingPoint
        For "conformal" all usual records are the standard, as the autoencoder is not fitted on them.

    Returns
    -------
    columns : dict
        anomaly_score, percentile, p_value (NaN unless conformal) and flagged; a record without a score is not flagged.
    threshold : float
        NaN for a budget.
    """
    usual, known = np.sort(usual[np.isfinite(usual)]), np.isfinite(score)
    threshold = operating.threshold(usual, usual)
    flagged, p_value = np.zeros(len(score), bool), np.full(len(score), np.nan)
    flagged[known] = operating.flag(score[known], threshold)
    if operating.kind == "conformal":
        p_value[known] = conformal_p_values(usual, score[known])
    percentile = np.where(known, 100.0 * np.searchsorted(usual, score) / max(1, len(usual)), np.nan)
    return {"anomaly_score": score, "percentile": percentile, "p_value": p_value, "flagged": flagged}, threshold


def _rows(reference: ArrayLike, n: int) -> np.ndarray:
    """Give row numbers for numbers or a mask.

    Raises
    ------
    SignalError
        If they do not belong to the archive.
    """
    given = np.asarray(reference)
    rows = np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64).reshape(-1)
    if (given.dtype == bool and given.shape != (n,)) or not (len(rows) and rows.min() >= 0 and rows.max() < n):
        problem = f"reference does not name rows of an archive with {n} records"
        raise SignalError("reconstruct", problem, "give row numbers from 0, or a mask with one value a record")
    return rows
