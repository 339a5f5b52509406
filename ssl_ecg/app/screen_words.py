"""What a screen did and found, in the words and forms that its report takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ecg.app.inputs import Scores, Summary
from ssl_ecg.app.screen_by_error import RECONSTRUCTION
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.screen.folder import record_names
from ssl_ecg.screen.operating import OperatingPoint

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.app.screen_sources import Source
    from ssl_ecg.screen.base import Detector


def reference_words(typical: Source | None, order: Mapping[str, Any]) -> str:
    """Say in words what the reference is.

    Parameters
    ----------
    typical : Source or None
    order : dict
        What was asked for: "reference" and "reference_selection".
    """
    if typical is None:
        return "the screened recordings themselves"
    part = order["reference_selection"] or ""
    where = f"of {order['reference']}" if order["reference"] else "of the same archive, which are not screened"
    return f"{len(typical.records):,} recordings {where}{f' ({part})' if part else ''}"


def summarise(table: pd.DataFrame, found: Source, typical: Source | None, order: Mapping[str, Any]) -> Summary:
    """Summarise a screen for the opening of its report."""
    records, archive = found.records, found.archive
    remarks = [f"Usual is what resembles {reference_words(typical, order)}."] if typical is not None else []
    if typical is not None:
        shared = _patients(records) & _patients(typical.records)
        if shared:
            remarks.append(
                f"Patients with recordings on both sides: {len(shared):,}; theirs score lower than they should."
            )
    if archive is None:
        remarks.append("Give --archive to have the strangest recordings drawn.")
    return Summary(
        records=len(table),
        patients=len(_patients(records)),
        corpora=sorted(map(str, records.index["corpus"].unique())),
        simulated=set(records.index["corpus"]) == {"simulated"},
        n_leads=len(archive.leads) if archive else None,
        dim=records.dim,
        fs=archive.fs if archive else None,
        band=archive.band if archive else None,
        remarks=tuple(remarks),
    )


def _patients(records: Embeddings) -> set[tuple[str, str]]:
    """Name the patients by their corpus too: corpora number theirs alike."""
    index = records.index
    return set(zip(index["corpus"].astype(str), index["patient_id"].astype(str), strict=True))


def make_scores(
    table: pd.DataFrame,
    records: Embeddings,
    fitted: Detector,
    detector: str,
    operating: OperatingPoint,
    reference: str,
) -> Scores:
    """Put the scores into the form that reports take."""
    flagged = table.loc[table["flagged"], "anomaly_score"]
    threshold = float(flagged.min()) if len(flagged) else None
    if threshold is None and operating.kind != "budget":
        threshold = float(np.nextafter(fitted.threshold_, np.inf))
    said = table[["leads", "seconds"]].to_numpy().tolist() if "leads" in table else []
    judged = "p_value" in table and bool(table["p_value"].notna().any())
    return Scores(
        values=table["anomaly_score"].to_numpy(),
        threshold=threshold,
        how=str(operating),
        detector=detector_words(detector),
        reference=reference,
        record_ids=record_names(table).tolist(),
        codes=[tuple(codes) for codes in records.index["codes"]],
        p_values=table["p_value"].tolist() if judged else (),
        reasons=[f"{leads}; {seconds} s" if leads else "" for leads, seconds in said],
        marks=table["flagged"].tolist(),
    )


def detector_words(name: str) -> str:
    """Say in words what a detector measures: the first line of its description.

    Examples
    --------
    >>> detector_words("knn")
    'knn (mean distance to the k nearest reference embeddings, in whitened space)'
    """
    if name == RECONSTRUCTION:
        return "reconstruction (error of an autoencoder, relative to the amplitude of each lead)"
    factory: Any = DETECTORS[name]
    described = (getattr(factory, "func", factory).__doc__ or "").strip().partition("\n")[0].rstrip(".")
    return f"{name} ({described[:1].lower()}{described[1:]})" if described else name
