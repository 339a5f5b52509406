"""Screen a folder of embeddings: score every record, flag at an operating point, name nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.screen.base import Detector, in_blocks, subsample
from ssl_ecg.screen.conformal import CALIBRATION_SHARE, calibration_rows
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.screen.neighbours import build_index, search_index
from ssl_ecg.screen.operating import OperatingPoint

if TYPE_CHECKING:
    import pandas as pd

_NEIGHBOURS_AMONG = 100_000  # a larger reference is sampled for the names of neighbours


def screen_folder(
    embeddings_dir: str | Path,
    out: str | Path,
    *,
    detector: str = "mahalanobis",
    reference: str | Path | None = None,
    operating: OperatingPoint | None = None,
    alert_budget: float = 20.0,
    n_nearest: int = 3,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Score the records of a folder; write ``scores.parquet``, ``screen.json`` and ``detector/``.

    Parameters
    ----------
    embeddings_dir, out : path
    detector : str
        Name in ``ssl_ecg.screen.detectors.DETECTORS``.
    reference : path, optional
        Embeddings of usual recordings to learn from; without it the records are judged by one another.
    operating : OperatingPoint, optional
        What makes a score an alert; by default ``OperatingPoint("budget", alert_budget)``.
    alert_budget : float
        Alerts for every 1,000 records: the strangest so many are flagged, at least one.
    n_nearest : int
        Nearest reference records to name.
    seed : int
    options : mapping, optional
        Further arguments of the detector, such as ``{"k": 8}``.

    Returns
    -------
    DataFrame
        One row a record, in the folder's order: record_id, corpus, patient_id, row, anomaly_score (higher is
        stranger), percentile (share of the reference that scores lower), p_value (NaN unless the operating
        point is conformal), cluster (-1: none), flagged, nearest (record ids, as `record_names` gives them). A
        record whose embedding is not finite has no score.

    Raises
    ------
    SignalError
        If the detector, an option or the budget is not valid, records are too few, or a conformal operating
        point has no reference or too small a one.
    ArchiveError
        If a folder cannot be read or written.
    """
    operating = OperatingPoint("budget", alert_budget) if operating is None else operating
    chosen = _build(detector, seed, operating, options or {})
    records = load_embeddings(embeddings_dir)
    usual = None if reference is None else load_embeddings(reference)
    table = score_table(chosen, records, usual, operating=operating, n_nearest=n_nearest)
    out = Path(out)
    chosen.save(out / "detector")
    write_whole(out / "scores.parquet", lambda file: table.to_parquet(file, index=False))
    card = {
        "detector": detector, "params": chosen.get_params(), "threshold": chosen.threshold_,
        "operating": operating.to_dict(),
        "alert_budget_per_1000": operating.level if operating.kind == "budget" else None,
        "n_records": len(table), "n_flagged": int(table["flagged"].sum()),
        "n_without_score": int(table["anomaly_score"].isna().sum()), "seed": seed,
        "fingerprint": records.fingerprint, "reference_fingerprint": usual.fingerprint if usual else None,
        "n_reference": len(chosen.reference_scores_), "n_trimmed": int((~chosen.kept_).sum()),
        "n_calibration": len(getattr(chosen, "calibration_scores_", ())), "version": __version__,
    }  # fmt: skip
    write_json(out / "screen.json", card)
    return table


def score_table(
    detector: Detector,
    records: Embeddings,
    reference: Embeddings | None = None,
    *,
    operating: OperatingPoint | None = None,
    alert_budget: float = 20.0,
    n_nearest: int = 3,
) -> pd.DataFrame:
    """Fit a detector and give the table that ``screen_folder`` writes; without reference, on the records."""
    operating = OperatingPoint("budget", alert_budget) if operating is None else operating
    finite = _finite(records)
    judged = records if finite.all() else records.select(finite)
    usual = _usual(reference, judged, operating)
    if reference is None:
        score = detector.fit_score(judged.vectors)
    else:
        _fit(detector, usual, operating)
        score = detector.anomaly_score(judged.vectors)
    threshold = operating.threshold(detector.reference_scores_, getattr(detector, "calibration_scores_", None))
    detector.threshold_ = threshold if np.isfinite(threshold) else detector.threshold_
    names = _nearest_names(detector, judged, usual, n_nearest, own=reference is None)
    table = records.index[["record_id", "corpus", "patient_id", "row"]].reset_index(drop=True)
    columns: dict[str, tuple[NDArray[Any], Any]] = {
        "anomaly_score": (score, np.nan),
        "percentile": (detector.percentile(score), np.nan),
        "p_value": (detector.p_value(score), np.nan),
        "cluster": (detector.cluster(judged.vectors), -1),
        "flagged": (operating.flag(score, threshold), False),
    }
    for name, (values, absent) in columns.items():
        column = np.full(len(records), absent, dtype=values.dtype)
        column[finite] = values
        table[name] = column
    nearest_names: list[list[str]] = [[] for _ in range(len(records))]
    for row, found in zip(np.flatnonzero(finite), names, strict=True):
        nearest_names[row] = found
    table["nearest"] = nearest_names
    return table


def _usual(reference: Embeddings | None, judged: Embeddings, operating: OperatingPoint) -> Embeddings:
    """Give the finite records that tell what is usual."""
    if reference is not None:
        finite = _finite(reference)
        return reference if finite.all() else reference.select(finite)
    if operating.kind == "conformal":
        problem = "records judged by one another have no p-values"
        raise SignalError("operating point", problem, "give a reference of usual recordings, or another kind")
    return judged


def _fit(detector: Detector, usual: Embeddings, operating: OperatingPoint) -> None:
    """Fit on the reference; for conformal p-values on two thirds of its patients, the others are the standard."""
    if operating.kind != "conformal":
        detector.fit(usual.vectors)
        return
    index = usual.index
    patients = (index["corpus"].astype(str) + "/" + index["patient_id"].astype(str)).to_numpy()
    held = calibration_rows(patients, share=CALIBRATION_SHARE, seed=detector.seed)
    operating.threshold(np.empty(0), np.zeros(int(held.sum())))  # too few are refused before the work begins
    detector.fit(usual.vectors[~held]).calibrate(usual.vectors[held])


def _finite(embeddings: Embeddings) -> NDArray[np.bool_]:
    return in_blocks(lambda block: np.asarray(np.isfinite(block).all(axis=1)), embeddings.vectors, np.bool_)


def _build(name: str, seed: int, operating: OperatingPoint, options: Mapping[str, Any]) -> Detector:
    if name not in DETECTORS:
        raise SignalError("screen", f"unknown detector {name!r}", f"choose from {', '.join(DETECTORS)}")
    detector = DETECTORS[name]()
    detector.set_params(**{"seed": seed, "alert_rate": operating.false_alarm_rate, **options})
    return detector


def _nearest_names(
    detector: Detector, judged: Embeddings, usual: Embeddings, n_nearest: int, *, own: bool
) -> list[list[str]]:
    """Name the nearest reference records of each record, in the detector's space; none is its own neighbour."""
    if n_nearest < 1:
        return [[] for _ in range(len(judged))]
    rows = subsample(len(usual), _NEIGHBOURS_AMONG, 0)
    queries, among = detector.transform(judged.vectors), detector.transform(usual.vectors[rows])
    names = record_names(usual.index)[rows]
    index = build_index(among)
    if own and len(rows) == len(judged):
        found = search_index(index, queries, n_nearest, own=True)[1]
        return [names[each].tolist() for each in found]
    found = search_index(index, queries, n_nearest + 1)[1]
    if own:
        return [names[each[rows[each] != k][:n_nearest]].tolist() for k, each in enumerate(found)]
    place = {key: k for k, key in enumerate(record_keys(usual)[rows].tolist())}  # the screened may be in it
    same = [place.get(key, -1) for key in record_keys(judged).tolist()]
    return [names[each[each != k][:n_nearest]].tolist() for k, each in zip(same, found, strict=True)]


def record_names(index: pd.DataFrame) -> NDArray[np.object_]:
    """Give the ids of records, with their corpus before them, as "mitdb/103", where an id stands more than once."""
    ids = index["record_id"].astype(str)
    names = ids.where(~ids.duplicated(keep=False), index["corpus"].astype(str) + "/" + ids)
    return names.to_numpy(dtype=object)


def record_keys(embeddings: Embeddings) -> NDArray[np.object_]:
    """Name records by corpus, patient and id."""
    parts = (embeddings.index[name].astype(str) for name in ("corpus", "patient_id", "record_id"))
    return np.array(["/".join(key) for key in zip(*parts, strict=True)], dtype=object)
