"""Screening with a report: scores by `screen_folder`, the strangest recordings drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ecg.app.inputs import Anomaly, Quality, Recording, Scores, Summary
from ssl_ecg.app.report import write_screen_report
from ssl_ecg.data.archive import Archive
from ssl_ecg.embeddings import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError
from ssl_ecg.screen.folder import screen_folder

if TYPE_CHECKING:
    import pandas as pd

DETECTOR_NAMES = {
    "kmeans": "distance to the nearest K-means centre",
    "knn": "distance to the nearest neighbours",
    "dbscan": "distance to the nearest DBSCAN core recording",
    "hdbscan": "HDBSCAN outlier score (GLOSH)",
}


def screen_with_report(
    embeddings: str | Path,
    out: str | Path,
    *,
    detector: str = "kmeans",
    reference: str | Path | None = None,
    archive: str | Path | None = None,
    alert_budget: float = 20.0,
    top: int = 12,
    seed: int = 0,
) -> pd.DataFrame:
    """Score embeddings and write `scores.parquet` and `report.html`.

    Parameters
    ----------
    embeddings : path
        Folder written by `embed`.
    out : path
    detector : str
        A key of `ssl_ecg.screen.detectors.DETECTORS`.
    reference : path, optional
        Embeddings of what counts as usual; by default the screened recordings themselves.
    archive : path, optional
        Where the strangest recordings are read from, to be drawn.
    alert_budget : float
        Alerts per 1,000 recordings.
    top : int
        Recordings drawn.
    seed : int

    Returns
    -------
    DataFrame
        As `screen_folder` gives it.

    Raises
    ------
    ArchiveError, SSLECGError
        As the folders or the detector demand.
    """
    out = Path(out)
    opened = Archive(archive) if archive is not None else None
    records = load_embeddings(embeddings)
    if opened is not None:
        check_same_records(records, opened)
    table = screen_folder(embeddings, out, detector=detector, reference=reference, alert_budget=alert_budget, seed=seed)
    scores = make_scores(table, records, detector, alert_budget, str(reference) if reference else "")
    summary = Summary(
        records=len(table),
        patients=int(records.index["patient_id"].nunique()),
        corpora=sorted(map(str, records.index["corpus"].unique())),
        simulated=set(records.index["corpus"]) == {"simulated"},
        dim=records.dim,
        fs=opened.fs if opened else None,
        band=opened.band if opened else None,
        remarks=() if opened else ("Give --archive to have the strangest recordings drawn.",),
    )
    write_screen_report(
        out,
        summary=summary,
        scores=scores,
        anomalies=find_anomalies(table, records, opened, top) if opened else (),
        quality=find_quality(opened) if opened else None,
        provenance={"embeddings": records.card, "detector": detector, "seed": seed},
    )
    return table


def check_same_records(records: Embeddings, archive: Archive) -> None:
    """Make sure that row i of the embeddings is record i of the archive.

    Raises
    ------
    ArchiveError
        If it is not.
    """
    same = len(records) == len(archive) and bool(
        (records.index["record_id"].to_numpy() == archive.index["record_id"].to_numpy()).all()
    )
    if not same:
        remedy = "give the archive that was embedded"
        raise ArchiveError(str(archive.path), "does not hold the records of the embeddings", remedy)


def make_scores(table: pd.DataFrame, records: Embeddings, detector: str, alert_budget: float, reference: str) -> Scores:
    """Put the scores into the form that reports take."""
    flagged = table.loc[table["flagged"], "anomaly_score"]
    return Scores(
        values=table["anomaly_score"].to_numpy(),
        threshold=float(flagged.min()) if len(flagged) else None,
        how=f"the alert budget: {alert_budget:g} of 1,000 recordings",
        detector=DETECTOR_NAMES.get(detector, detector),
        reference=reference or "the screened recordings themselves",
        record_ids=table["record_id"].astype(str).tolist(),
        codes=[tuple(codes) for codes in records.index["codes"]],
    )


def find_anomalies(table: pd.DataFrame, records: Embeddings, archive: Archive, top: int) -> list[Anomaly]:
    """Give the strangest recordings, each with the nearest that is not flagged."""
    values = table["anomaly_score"].to_numpy()
    finite = np.isfinite(values)
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[: max(0, min(top, int(finite.sum())))]
    usual = np.flatnonzero(~table["flagged"].to_numpy() & finite)
    spread = np.asarray(records.vectors)[finite].std(axis=0) + 1e-9
    scaled = np.asarray(records.vectors) / spread
    row_of = {str(name): row for row, name in enumerate(table["record_id"])}
    anomalies = []
    for row in order:
        distances = np.linalg.norm(scaled[usual] - scaled[row], axis=1)
        nearest = int(distances.argmin()) if len(usual) else -1
        names = [str(name) for name in table["nearest"].iloc[row]]
        anomalies.append(
            Anomaly(
                read_recording(archive, int(row)),
                float(values[row]),
                typical=read_recording(archive, int(usual[nearest])) if nearest >= 0 else None,
                distance=float(distances[nearest]) if nearest >= 0 else None,
                neighbours=[(name, _codes(records, row_of.get(name))) for name in names],
                row=int(row),
            )
        )
    return anomalies


def read_recording(archive: Archive, row: int) -> Recording:
    """Read one record of an archive for drawing, its first minute at most."""
    about: Any = archive.index.iloc[row]
    length = min(int(archive.n_samples[row]), round(60 * archive.fs))
    age = about["age"]
    return Recording(
        str(about["record_id"]),
        archive.read_window(row, 0, length),
        archive.fs,
        archive.leads,
        codes=tuple(about["codes"]),
        lead_mask=archive.lead_masks[row],
        age=float(age) if age == age and age is not None else None,
        sex=about["sex"] if isinstance(about["sex"], str) else None,
        quality=tuple(about["quality"]),
        corpus=str(about["corpus"]),
    )


def find_quality(archive: Archive) -> Quality:
    """Collect quarantined records and quality flags."""
    failed = archive.failed
    names = failed["corpus"].astype(str) + "/" + failed["record_id"].astype(str)
    quarantined = list(zip(names, failed["reason"].astype(str), strict=True))
    flagged = archive.index[archive.index["quality"].str.len() > 0]
    flags = {str(name): tuple(flag) for name, flag in zip(flagged["record_id"], flagged["quality"], strict=True)}
    return Quality(quarantined, flags)


def _codes(records: Embeddings, row: int | None) -> tuple[str, ...]:
    return tuple(records.index["codes"].iloc[row]) if row is not None else ()
