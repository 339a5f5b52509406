"""Screen a folder of embeddings: score every record, flag within a budget, name nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.embeddings import Embeddings, load_embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.screen.base import Detector, subsample
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.screen.neighbours import nearest

if TYPE_CHECKING:
    import pandas as pd

_NEIGHBOURS_AMONG = 100_000  # a larger reference is sampled for the names of neighbours


def screen_folder(
    embeddings_dir: str | Path,
    out: str | Path,
    *,
    detector: str = "kmeans",
    reference: str | Path | None = None,
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
        stranger), percentile (share of the reference that scores lower), cluster (-1: none), flagged, nearest
        (record ids). A record whose embedding is not finite has no score.

    Raises
    ------
    SignalError
        If the detector, an option or the budget is not valid, or records are too few.
    ArchiveError
        If a folder cannot be read or written.
    """
    chosen = _build(detector, seed, alert_budget, options or {})
    records = load_embeddings(embeddings_dir)
    usual = None if reference is None else load_embeddings(reference)
    table = score_table(chosen, records, usual, alert_budget=alert_budget, n_nearest=n_nearest)
    out = Path(out)
    chosen.save(out / "detector")
    write_whole(out / "scores.parquet", lambda file: table.to_parquet(file, index=False))
    card = {
        "detector": detector, "params": chosen.get_params(), "threshold": chosen.threshold_,
        "alert_budget_per_1000": alert_budget,
        "n_records": len(table), "n_flagged": int(table["flagged"].sum()),
        "n_without_score": int(table["anomaly_score"].isna().sum()), "seed": seed,
        "fingerprint": records.fingerprint, "reference_fingerprint": usual.fingerprint if usual else None,
        "n_reference": len(chosen.reference_scores_), "version": __version__,
    }  # fmt: skip
    write_json(out / "screen.json", card)
    return table


def score_table(
    detector: Detector,
    records: Embeddings,
    reference: Embeddings | None = None,
    *,
    alert_budget: float = 20.0,
    n_nearest: int = 3,
) -> pd.DataFrame:
    """Fit a detector and give the table that ``screen_folder`` writes; without reference, on the records."""
    finite = _finite(records)
    vectors = records.vectors[finite]
    if reference is None:
        score, usual = detector.fit_score(vectors), records.select(finite)
    else:
        usual = reference.select(_finite(reference))
        detector.fit(usual.vectors)
        score = detector.anomaly_score(vectors)
    names = _nearest_names(detector, vectors, usual, n_nearest, own=reference is None)
    table = records.index[["record_id", "corpus", "patient_id", "row"]].reset_index(drop=True)
    columns: dict[str, tuple[NDArray[Any], Any]] = {
        "anomaly_score": (score, np.nan),
        "percentile": (detector.percentile(score), np.nan),
        "cluster": (detector.cluster(vectors), -1),
        "flagged": (within_budget(score, alert_budget), False),
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


def within_budget(scores: NDArray[np.floating], per_thousand: float) -> NDArray[np.bool_]:
    """Flag the strangest records: so many for every 1,000, rounded down, at least one.

    Examples
    --------
    >>> within_budget(np.array([0.1, 0.9, 0.2]), 10).tolist()
    [False, True, False]
    """
    flagged = np.zeros(len(scores), dtype=bool)
    count = max(1, int(per_thousand * len(scores) / 1000)) if per_thousand > 0 else 0
    flagged[np.argsort(-scores, kind="stable")[:count]] = True
    return flagged


def _finite(embeddings: Embeddings) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(embeddings.vectors).all(axis=1))


def _build(name: str, seed: int, alert_budget: float, options: Mapping[str, Any]) -> Detector:
    if name not in DETECTORS:
        raise SignalError("screen", f"unknown detector {name!r}", f"choose from {', '.join(DETECTORS)}")
    if not 0 <= alert_budget < 1000:
        raise SignalError("screen", f"alert budget is {alert_budget} per 1000", "give 0 to below 1000")
    detector = DETECTORS[name]()
    detector.set_params(**{"seed": seed, "alert_rate": alert_budget / 1000, **options})
    return detector


def _nearest_names(
    detector: Detector, vectors: NDArray[np.floating], usual: Embeddings, n_nearest: int, *, own: bool
) -> list[list[str]]:
    """Name the nearest reference records of each record, in the detector's space."""
    if n_nearest < 1:
        return [[] for _ in range(len(vectors))]
    rows = subsample(len(usual), _NEIGHBOURS_AMONG, 0)
    queries, among = detector.transform(vectors), detector.transform(usual.vectors[rows])
    names = usual.index["record_id"].astype(str).to_numpy()[rows]
    if own and len(rows) == len(vectors):
        found = nearest(queries, among, n_nearest, own=True)[1]
        return [names[each].tolist() for each in found]
    found = nearest(queries, among, n_nearest + int(own))[1]
    if not own:
        return [names[each].tolist() for each in found]
    return [names[each[rows[each] != k][:n_nearest]].tolist() for k, each in enumerate(found)]
