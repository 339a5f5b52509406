"""Screening by the reconstruction error of an autoencoder in the place of a detector on embeddings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.app.screen_sources import Source
from ssl_ecg.errors import SignalError
from ssl_ecg.files import write_json
from ssl_ecg.screen.operating import OperatingPoint

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.reconstruction.reconstruct import Reconstructor

RECONSTRUCTION = "reconstruction"
"""Takes the place of a detector's name."""
SPACE = "knn"
"""The detector on the encoder's embeddings that then names neighbours and gives the space of the map."""


def rescore(
    table: pd.DataFrame,
    model: Reconstructor,
    found: Source,
    typical: Source | None,
    operating: OperatingPoint,
    *,
    progress: bool = False,
) -> tuple[pd.DataFrame, float]:
    """Put reconstruction errors in the place of a detector's scores.

    The autoencoder is not fitted on the reference, so that all of it serves as the standard of conformal p-values;
    their promise holds if pretraining has seen neither the reference nor the screened records.

    Parameters
    ----------
    table : DataFrame
        As `screen_folder` gives it.
    model : Reconstructor
    found, typical : Source
        What is screened and what is usual, if that is something else; both with their archives.
    operating : OperatingPoint
    progress : bool

    Returns
    -------
    table : DataFrame
    threshold : float
        NaN for a budget.

    Raises
    ------
    SignalError
        If an archive is not known.
    """
    from ssl_ecg.reconstruction.scores import error_columns

    score = _errors(model, found, progress)
    usual = score if typical is None else _errors(model, typical, progress)
    columns, threshold = error_columns(score, usual, operating)
    return table.assign(**columns), threshold


def note_errors(
    out: Path, run: str | Path, table: pd.DataFrame, threshold: float, operating: OperatingPoint, n_reference: int
) -> None:
    """Say in screen.json that the scores are reconstruction errors."""
    card = json.loads((out / "screen.json").read_text(encoding="utf-8"))
    card |= {
        "detector": RECONSTRUCTION, "reconstruction": str(run), "params": {"scale": "relative"}, "space": SPACE,
        "threshold": threshold if np.isfinite(threshold) else None, "n_flagged": int(table["flagged"].sum()),
        "n_without_score": int(table["anomaly_score"].isna().sum()), "n_reference": n_reference,
        "operating": operating.to_dict(),
        "alert_budget_per_1000": operating.level if operating.kind == "budget" else None,
        "n_calibration": n_reference if operating.kind == "conformal" else 0,
    }  # fmt: skip
    write_json(out / "screen.json", card)


def _errors(model: Reconstructor, source: Source, progress: bool) -> NDArray[np.float64]:
    from ssl_ecg.reconstruction.reconstruct import reconstruct

    if source.archive is None:
        remedy = "screen archives, or give --archive and --reference-archive"
        raise SignalError(RECONSTRUCTION, "embeddings hold no signal to reconstruct", remedy)
    rows = source.records.index["row"].to_numpy(np.int64)
    return reconstruct(model, source.archive, rows, progress=progress).score
