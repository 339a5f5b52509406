"""Screening an archive with a report: embed, divide, score, explain, draw."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ecg.app.inputs import Quality
from ssl_ecg.app.operation_sections import Verdict, judge
from ssl_ecg.app.report import write_screen_report
from ssl_ecg.app.screen_by_error import RECONSTRUCTION, SPACE, note_errors, rescore
from ssl_ecg.app.screen_parts import (
    find_anomalies,
    find_quality,
    group,
    make_cards,
    make_points,
)
from ssl_ecg.app.screen_reasons import autoencoder, explain, find_judge, with_reasons
from ssl_ecg.app.screen_sources import Selection, Source, check_same_encoder, divide, narrow, open_source
from ssl_ecg.app.screen_words import make_scores, reference_words, summarise
from ssl_ecg.errors import SignalError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.screen.choice import load_choices
from ssl_ecg.screen.detectors import DETECTORS, load_detector
from ssl_ecg.screen.drift import drift_folders
from ssl_ecg.screen.folder import record_names, screen_folder
from ssl_ecg.screen.operating import OperatingPoint
from ssl_ecg.tasks import get_task

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from ssl_ecg.explain.reasons import Reasons
    from ssl_ecg.screen.base import Detector

ALL = Selection()


def screen_with_report(
    source: str | Path,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    reference: str | Path | None = None,
    usual: Selection = ALL,
    screened: Selection = ALL,
    archive: str | Path | None = None,
    reference_archive: str | Path | None = None,
    detector: str = "mahalanobis",
    options: Mapping[str, Any] | None = None,
    operating: OperatingPoint | None = None,
    top: int = 12,
    reasons: bool = True,
    reconstruction: str | Path | None = None,
    drift: bool = True,
    task: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> pd.DataFrame:
    """Screen an archive or embeddings; write `scores.parquet`, `screen.json`, `detector/` and `report.html`.

    Called again it goes on: what has been embedded is not embedded again.

    Parameters
    ----------
    source : path
        An archive, which is embedded into `out/embeddings`, or a folder written by `embed`.
    out : path
    checkpoint : path or str, optional
        The encoder; needed for an archive, and for reasons.
    reference : path, optional
        Recordings that count as usual: an archive, embedded into `out/embeddings_reference`, or embeddings.
    usual : Selection
        Which records of the reference count as usual; without a reference, which of the source, and these are
        not screened. If neither is given, the recordings are judged by one another.
    screened : Selection
        Which records of the source are screened.
    archive, reference_archive : path, optional
        Where recordings are read from to be drawn, if embeddings are given.
    detector : str
        A key of `ssl_ecg.screen.detectors.DETECTORS`; or "reconstruction", the error of the autoencoder
        `reconstruction` or, if none is named, of the checkpoint.
    options : mapping, optional
        Further arguments of the detector, such as ``{"k": 8}``.
    operating : OperatingPoint, optional
        What makes a score an alert; 20 of 1,000 recordings by default.
    top : int
        Recordings drawn.
    reasons : bool
        Say which leads and seconds make the flagged and the drawn recordings strange, `MOST_REASONS` at most;
        needs the archive, and the checkpoint or `reconstruction`.
    reconstruction : path, optional
        Run folder of an autoencoder: reasons then are where its error lies, not what lowers the score if silenced.
    drift : bool
        With a reference, check whether the screened recordings as a whole are like it.
    task : str, optional
        The map is coloured by its classes; by those that fit the codes unless given.
    seed : int
    progress : bool

    Returns
    -------
    DataFrame
        As `screen_folder` gives it, with `leads` and `seconds`, the reasons in words, empty where none were sought.

    Raises
    ------
    ArchiveError, CheckpointError, SignalError
        As the folders, the encoder or the detector demand.
    """
    out, operating = Path(out), operating or OperatingPoint()
    _check(detector, options or {}, operating, task, alone=reference is None and not usual)
    encoder = _load(checkpoint)
    name = str(checkpoint or "")
    whole = open_source(
        source, out / "embeddings", encoder=encoder, checkpoint=name, archive=archive, progress=progress
    )
    if reference is None:
        found, typical = divide(whole, out, screened, usual if usual else None)
    else:
        found, _ = divide(whole, out, screened, None)
        given = open_source(
            reference, out / "embeddings_reference", encoder=encoder, checkpoint=name, archive=reference_archive,
            progress=progress,
        )  # fmt: skip
        typical = narrow(given, out, usual)
    if typical is not None:
        check_same_encoder(found, typical)
    by_error = detector == RECONSTRUCTION
    if by_error and reconstruction is None:
        reconstruction = checkpoint
    model = autoencoder(reconstruction, found.archive)
    if by_error and model is None:
        raise SignalError(RECONSTRUCTION, "no autoencoder, or no signal", "give --reconstruction RUN and an archive")
    _forget(out)
    table = screen_folder(
        found.folder, out, detector=SPACE if by_error else detector, reference=typical.folder if typical else None,
        operating=OperatingPoint() if by_error else operating, seed=seed, options=options,
    )  # fmt: skip
    fitted = load_detector(out / "detector")
    if by_error and model is not None:
        table, fitted.threshold_ = rescore(table, model, found, typical, operating, progress=progress)
        usual_records = found.records if typical is None else typical.records
        note_errors(out, str(reconstruction), table, fitted.threshold_, operating, len(usual_records))
    judge_row = find_judge(encoder, fitted, model) if reasons else None
    where = found.records.index["row"].to_numpy(np.int64)
    why = explain(table, found.archive, where, judge_row, top, progress)
    table = with_reasons(table, why)
    write_whole(out / "scores.parquet", lambda file: table.to_parquet(file, index=False))
    verdict = _check_drift(out, found, typical, seed) if drift and typical is not None else None
    order = {
        "source": str(source), "checkpoint": name or None, "reference": str(reference) if reference else None,
        "reference_selection": str(usual) or None, "screened_selection": str(screened) or None,
    }  # fmt: skip
    _note(out, order, verdict)
    _report(out, table, found, typical, fitted, why, verdict, detector, operating, top, task, seed, order)
    return table


def _check(
    detector: str, options: Mapping[str, Any], operating: OperatingPoint, task: str | None, *, alone: bool
) -> None:
    """Refuse what cannot work before anything is embedded."""
    if detector not in (*DETECTORS, RECONSTRUCTION):
        known = ", ".join((*DETECTORS, RECONSTRUCTION))
        raise SignalError("screen", f"unknown detector {detector!r}", f"choose from {known}")
    DETECTORS[SPACE if detector == RECONSTRUCTION else detector]().set_params(**options)
    if operating.kind == "conformal" and alone:
        problem = "records judged by one another have no p-values"
        raise SignalError("--false-alarms", problem, "give --reference, --reference-folds or --reference-codes")
    if task is not None:
        get_task(task)


def _forget(out: Path) -> None:
    """Remove what an earlier screen left: its arguments were others, and this one may not finish or not write it."""
    for path in (out / "report.html", out / "drift.json", out / "scores.csv"):
        if path.is_file():
            path.unlink()


def _load(checkpoint: str | Path | None) -> nn.Module | None:
    if checkpoint is None:
        return None
    from ssl_ecg.train.checkpoint import load_encoder

    return load_encoder(checkpoint)


def _check_drift(out: Path, found: Source, typical: Source, seed: int) -> Verdict:
    """Test the whole against the reference; the figures go to drift.json."""
    try:
        drift = drift_folders(typical.folder, found.folder, seed=seed)
    except SignalError as error:  # too few patients
        return Verdict(None, "Whether the screened recordings are like the reference could not be told", str(error))
    drift.to_json(out / "drift.json")
    return judge(drift)


def _note(out: Path, order: Mapping[str, Any], verdict: Verdict | None) -> None:
    """Add to screen.json what was asked for and whether there is drift."""
    card = json.loads((out / "screen.json").read_text(encoding="utf-8"))
    write_json(out / "screen.json", {**card, **order, "drifted": verdict.drifted if verdict is not None else None})


def _report(
    out: Path,
    table: pd.DataFrame,
    found: Source,
    typical: Source | None,
    fitted: Detector,
    why: Mapping[int, Reasons],
    verdict: Verdict | None,
    detector: str,
    operating: OperatingPoint,
    top: int,
    task: str | None,
    seed: int,
    order: Mapping[str, Any],
) -> None:
    records, archive = found.records, found.archive
    finite = np.isfinite(table["anomaly_score"].to_numpy())
    clusters, own = group(records.vectors, table["cluster"].to_numpy(), finite, seed)
    remark = "The detector has no clusters; these groups were found by K-means, for orientation. " if own else ""
    space = fitted.transform(records.vectors[np.flatnonzero(finite)])
    lost = record_names(table)[~finite].tolist()
    quality = find_quality(archive) if archive is not None else Quality()
    anomalies = (
        find_anomalies(
            table,
            records,
            archive,
            top,
            usual=typical.records if typical else None,
            usual_archive=typical.archive if typical else None,
            reasons=why,
        )
        if archive is not None
        else []
    )
    write_screen_report(
        out,
        summary=summarise(table, found, typical, order),
        scores=make_scores(table, records, fitted, detector, operating, reference_words(typical, order)),
        anomalies=anomalies,
        map_points=make_points(table, records, archive, clusters, task=task, seed=seed),
        clusters=make_cards(table, records, archive, space, clusters),
        cluster_remark=remark,
        choices=load_choices(out / "detector"),
        drift=verdict,
        quality=replace(quality, without_score=lost),
        provenance={"embeddings": records.card, "detector": detector, "seed": seed, "asked for": dict(order)},
    )
