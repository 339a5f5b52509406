"""What the report of a screen is made from: the strangest recordings, the points of the map, the clusters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.app.cluster_cards import MOST_CARDS, ClusterCard, describe_clusters
from ssl_ecg.app.inputs import Anomaly, MapPoints, Quality, Recording, Thumbnails
from ssl_ecg.app.map_data import MOST_POINTS, MOST_THUMBNAILS, choose_points
from ssl_ecg.app.mapping import fitting_task, label_colours
from ssl_ecg.data.archive import Archive
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.plot.thumbnail import SECONDS, choose_leads, shrink
from ssl_ecg.screen.folder import record_keys, record_names

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.explain.reasons import Reasons

_BATCH = 256  # recordings made small at a time
_MOST_GROUPED = 20_000  # a larger archive is sampled to find groups


def strangest(table: pd.DataFrame, top: int) -> NDArray[np.int64]:
    """Give the rows of the strangest records that have a score, strangest first."""
    values = table["anomaly_score"].to_numpy()
    finite = int(np.isfinite(values).sum())
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    return np.asarray(order[: max(0, min(top, finite))])


def find_anomalies(
    table: pd.DataFrame,
    records: Embeddings,
    archive: Archive,
    top: int,
    *,
    usual: Embeddings | None = None,
    usual_archive: Archive | None = None,
    reasons: Mapping[int, Reasons] | None = None,
) -> list[Anomaly]:
    """Give the strangest recordings, each with the nearest usual one.

    Parameters
    ----------
    table : DataFrame
        As `screen_folder` gives it for `records`.
    records : Embeddings
    archive : Archive
        Of the records; ``records.index["row"]`` says where each lies in it.
    top : int
    usual : Embeddings, optional
        The reference; without it the usual ones are the screened records that are not flagged.
    usual_archive : Archive, optional
        Of the reference.
    reasons : mapping, optional
        Row of the table -> its reasons.
    """
    values = table["anomaly_score"].to_numpy()
    finite = np.isfinite(values)
    where = records.index["row"].to_numpy(int)
    vectors = np.asarray(records.vectors)
    scale = vectors[finite].std(axis=0) + 1e-9
    if usual is None or usual_archive is None:
        kind, rows, among, places = (
            "Nearest typical recording",
            np.flatnonzero(~table["flagged"] & finite),
            vectors,
            where,
        )
        usual_archive, own = archive, np.arange(len(table))
    else:
        among, kind = np.asarray(usual.vectors), "Nearest reference recording"
        rows, places = np.flatnonzero(np.isfinite(among).all(axis=1)), usual.index["row"].to_numpy(int)
        known = {key: k for k, key in enumerate(record_keys(usual).tolist())}
        own = np.array([known.get(key, -1) for key in record_keys(records).tolist()])
    codes_of = _codes_by_name((usual or records).index)
    anomalies, candidates = [], among[rows]
    for row in strangest(table, top).tolist():
        distances = np.linalg.norm((candidates - vectors[row]) / scale, axis=1)
        distances[rows == own[row]] = np.inf  # a record says nothing of itself
        nearest = int(distances.argmin()) if np.isfinite(distances).any() else -1
        anomalies.append(
            Anomaly(
                read_recording(archive, int(where[row])),
                float(values[row]),
                typical=read_recording(usual_archive, int(places[rows[nearest]])) if nearest >= 0 else None,
                distance=float(distances[nearest]) if nearest >= 0 else None,
                neighbours=[(str(name), codes_of.get(str(name), ())) for name in table["nearest"].iloc[row]],
                row=row,
                reasons=(reasons or {}).get(row),
                p_value=_p_value(table, row),
                kind=kind,
            )
        )
    return anomalies


def _codes_by_name(index: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    return {name: tuple(codes) for name, codes in zip(record_names(index), index["codes"], strict=True)}


def _p_value(table: pd.DataFrame, row: int) -> float | None:
    value = float(table["p_value"].iloc[row]) if "p_value" in table else float("nan")
    return value if value == value else None


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
    flags = zip(record_names(archive.index), archive.index["quality"], strict=True)
    return Quality(quarantined, {name: tuple(flag) for name, flag in flags if len(flag)})


def make_points(
    table: pd.DataFrame,
    records: Embeddings,
    archive: Archive | None,
    clusters: NDArray[np.int64],
    *,
    task: str | None = None,
    most: int = MOST_POINTS,
    seed: int = 0,
) -> MapPoints:
    """Choose the points of the map, project them, and read the small ECGs.

    Parameters
    ----------
    table : DataFrame
        As `screen_folder` gives it for `records`.
    records : Embeddings
    archive : Archive or None
        Without it the map has no ECGs.
    clusters : int array (record,)
    task : str, optional
        Its classes are the labels; found by the codes unless given.
    most : int
        More records are sampled.
    seed : int
    """
    from ssl_ecg.map import project

    scores, flagged = table["anomaly_score"].to_numpy(float), table["flagged"].to_numpy(bool)
    finite = np.flatnonzero(np.isfinite(scores))
    rows = finite[choose_points(scores[finite], flagged[finite], most, seed)]
    shown = records.select(rows)
    ranks = np.zeros(len(table), np.int32)
    ranks[strangest(table, len(table))] = np.arange(1, len(finite) + 1)
    xy = project(np.asarray(shown.vectors), seed=seed)
    points = MapPoints(
        xy,
        clusters=clusters[rows],
        scores=scores[rows],
        how=f"UMAP of {'the' if len(rows) == len(finite) else 'their'} embeddings",
        record_ids=record_names(records.index)[rows].tolist(),
        rows=rows,
        total=len(table),
        flagged=flagged[rows],
        ranks=ranks[rows],
        thumbnails=read_thumbnails(archive, shown, scores[rows], flagged[rows], seed) if archive is not None else None,
    )
    return replace(points, **_labels(shown, task))


def _labels(shown: Embeddings, task: str | None) -> dict[str, Any]:
    codes = [tuple(map(str, item)) for item in shown.index["codes"]]
    if not any(codes):
        return {}
    return {**label_colours(shown, task or fitting_task(codes)), "texts": [", ".join(item) for item in codes]}


def read_thumbnails(
    archive: Archive,
    shown: Embeddings,
    scores: NDArray[np.float64],
    flagged: NDArray[np.bool_],
    seed: int,
    most: int = MOST_THUMBNAILS,
) -> Thumbnails:
    """Read the first seconds of some leads: of the flagged records, then of any."""
    points = choose_points(scores, flagged, most, seed)
    where = shown.index["row"].to_numpy(int)[points]
    leads = choose_leads(archive.leads)
    length = round(SECONDS * archive.fs)
    values, scales = [], []
    for first in range(0, len(points), _BATCH):
        batch = np.full((len(where[first : first + _BATCH]), len(leads), length), np.nan, np.float32)
        for place, row in zip(batch, where[first : first + _BATCH].tolist(), strict=True):
            window = archive.read_window(row, 0, min(length, int(archive.n_samples[row])))[leads]
            place[:, : window.shape[1]] = window
            place[~archive.lead_masks[row][leads]] = np.nan
        small, scale = shrink(batch, archive.fs)
        values.append(small)
        scales.append(scale)
    names = [archive.leads[k] for k in leads]
    return Thumbnails(np.concatenate(values), np.concatenate(scales), points, names, SECONDS)


def group(
    vectors: NDArray[np.floating], clusters: NDArray[np.int64], finite: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.int64], bool]:
    """Give the detector's clusters, or groups found by K-means where it has none, and whether the latter."""
    if (clusters >= 0).any() or finite.sum() < 20:
        return clusters, False
    from ssl_ecg.screen.base import subsample
    from ssl_ecg.screen.kmeans import KMeansScreen

    rows = np.flatnonzero(finite)
    screen = KMeansScreen(seed=seed)
    try:
        screen.fit(vectors[rows[subsample(len(rows), _MOST_GROUPED, seed)]])
    except SignalError:  # all are equal
        return clusters, False
    groups = np.full(len(clusters), -1, np.int64)
    groups[rows] = screen.cluster(vectors[rows])
    return groups, True


def make_cards(
    table: pd.DataFrame,
    records: Embeddings,
    archive: Archive | None,
    space: NDArray[np.floating],
    clusters: NDArray[np.int64],
) -> list[ClusterCard]:
    """Describe the clusters and read their prototypes; `space` holds the records with a score, projected."""
    rows = np.flatnonzero(np.isfinite(table["anomaly_score"].to_numpy()))
    codes = [tuple(map(str, records.index["codes"].iloc[row])) for row in rows]
    scored = table.iloc[rows]
    cards = describe_clusters(space, clusters[rows], scored["anomaly_score"], scored["flagged"], codes)
    if archive is None:
        return cards
    where = records.index["row"].to_numpy(int)[rows]
    return [replace(card, recording=read_recording(archive, int(where[card.prototype]))) for card in cards[:MOST_CARDS]]
