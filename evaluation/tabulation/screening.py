"""Tables of screening."""

from __future__ import annotations

from typing import Any

from .formats import change, count, interval, near_one, score
from .layout import Cell, Column, Results, Row, Table, bold, value
from .supervised import NOISES, rows_of

DOCUMENT = "evaluation/screening/README.md"
DETECTORS = "evaluation/screening/ptbxl.json"
QUALITY = "evaluation/screening/quality.json"
BEATS = "evaluation/screening/mitdb.json"
SCALE = "evaluation/screening/scale.json"

NAMES = {
    "mahalanobis": "Mahalanobis",
    "ensemble": "rank-averaged ensemble",
    "kmeans": "K-means",
    "knn": "k nearest neighbours",
    "dbscan": "DBSCAN",
    "hdbscan": "HDBSCAN (GLOSH)",
    "gmm": "Gaussian mixture",
    "isolation": "isolation forest",
}
RECONSTRUCTION = "reconstruction error, "
PREDICTORS = {
    "distance": "distance of the embedding from acceptable recordings (Mahalanobis)",
    "distance and flags": "the larger of the ranks of that distance and of the number of quality flags",
    "flags": "forest on quality flags",
    "embedding": "forest on embeddings",
    "embedding and flags": "forest on embeddings and quality flags",
    "expert features and flags": "forest on expert features and quality flags",
    "embedding, expert features and flags": "forest on all three",
}
COUNTERPARTS = {
    "mahalanobis": "LedoitWolf",
    "isolation": "IsolationForest",
    "kmeans 8": "KMeans",
    "kmeans": "",
    "gmm 4": "GaussianMixture",
    "gmm": "",
    "knn exact": "NearestNeighbors",
    "knn ivf": "",
    "knn hnsw": "",
}


def encoders(results: Results) -> list[str]:
    """List the encoders, the untrained one first."""
    return list(results.find(DETECTORS, "seeds") or ())


def detector_rows(results: Results) -> list[Row]:
    """Make one row for each detector, the best on the encoder of the best first, and one for the autoencoder itself."""
    entries = results.find(DETECTORS, "auroc") or {}
    there = [key.partition(" ")[2] for key in entries]
    names = dict.fromkeys(name for name in there if not name.startswith(RECONSTRUCTION))
    best = str(results.find(DETECTORS, "best")).partition(" ")[0]
    ranked = sorted(names, key=lambda name: -entries.get(f"{best} {name}", {"value": 0.0})["value"])
    rows = [Row(name, NAMES.get(name, name)) for name in ranked]
    error = Row(RECONSTRUCTION, "reconstruction error of the autoencoder: in mV, relative to the lead")
    return [*rows, error] if len(there) > len(names) and f"autoencoder {RECONSTRUCTION}mv" in entries else rows


def detector_columns(results: Results) -> list[Column]:
    """Make one column for each encoder."""
    plain = ("untrained", "autoencoder")
    return [Column(name if name in plain else f"`{name}`", detected(name)) for name in encoders(results)]


def detected(encoder: str) -> Cell:
    """AUROC of the detectors on an encoder; the best of all and the best on the untrained one with intervals."""

    def cell(results: Results, row: str) -> str:
        entries: dict[str, Any] = results.find(DETECTORS, "auroc") or {}
        if row == RECONSTRUCTION:
            errors = [entries.get(f"{encoder} {RECONSTRUCTION}{unit}") for unit in ("mv", "relative")]
            return ", ".join(score(error) for error in errors if error)
        entry = entries.get(f"{encoder} {row}")
        if entry is None:
            return ""
        same = [other for key, other in entries.items() if key.startswith("untrained ")]
        best_untrained = encoder == "untrained" and entry["value"] == max(other["value"] for other in same)
        marked = best_untrained or f"{encoder} {row}" == results.find(DETECTORS, "best")
        return bold(interval(entry)) if marked else score(entry)

    return cell


def contamination_rows(results: Results) -> list[Row]:
    """Make one row for each share of abnormal records in the reference."""
    keys = results.find(DETECTORS, "contamination") or {}
    shares = dict.fromkeys(key.partition("%")[0] for key in keys)
    return [Row(percent, f"{percent} %") for percent in shares]


def _contaminated(trim: str) -> list[Column]:
    key = f"{{}}% of the reference abnormal, trim {trim}"
    return [
        Column("trimmed" if trim != "0" else "plain", value(score, DETECTORS, "contamination", key, "auroc")),
        Column("change", value(change, DETECTORS, "contamination", key, "change")),
    ]


def beat_rows(results: Results) -> list[Row]:
    """Make one row for each kind of noise."""
    rows = []
    for key, entry in (results.find(BEATS) or {}).items():
        if isinstance(entry, dict) and "summary" in entry:
            noise, _, level = key.partition(" ")
            rows.append(Row(key, f"{NOISES[noise]} {level}" if noise in NOISES else key))
    return rows


def _cost(size: str, counterpart: bool = False) -> Cell:
    def cell(results: Results, row: str) -> str:
        name = f"sklearn {COUNTERPARTS.get(row)}" if counterpart else row
        entry = results.find(SCALE, "results", name, size)
        return "" if entry is None else f"{entry['fit']:.3g} s, {count(entry['peak_mib'])} MiB"

    return cell


def cost_rows(results: Results) -> list[Row]:
    """Make one row for each detector; scikit-learn's stand beside ours."""
    entries = results.find(SCALE, "results") or {}
    ours = [key for key in entries if not key.startswith("sklearn ")]
    return [Row(key, key) for key in sorted(ours, key=lambda key: ([*COUNTERPARTS, key].index(key), key))]


TABLES = (
    Table("detectors", DOCUMENT, "detector", detector_rows, detector_columns),
    Table(
        "contamination",
        DOCUMENT,
        "abnormal in the reference",
        contamination_rows,
        (*_contaminated("0"), *_contaminated("0.1")),
    ),
    Table(
        "quality",
        DOCUMENT,
        "what",
        rows_of(PREDICTORS, QUALITY, "auroc"),
        (Column("AUROC", value(interval, QUALITY, "auroc", "{}")),),
        best_of_rows=(("embedding and flags",),),
    ),
    Table(
        "beats",
        DOCUMENT,
        "",
        beat_rows,
        (
            Column(
                "median AUROC (lowest record)",
                value(
                    lambda entry: f"{near_one(entry['auroc_median'])} ({near_one(entry['auroc_lowest'])})",
                    *(BEATS, "{}", "summary", "all"),
                ),
            ),
            Column(
                "false alarms per hour at 90 % sensitivity: mean, median",
                value(
                    lambda entry: (
                        f"{count(entry['false_per_hour_at_90_mean'])}, {count(entry['false_per_hour_at_90_median'])}"
                    ),
                    *(BEATS, "{}", "summary", "all"),
                ),
            ),
            Column(
                "at the default threshold: mean (sensitivity)",
                value(
                    lambda entry: f"{count(entry['false_per_hour_default'])} ({score(entry['sensitivity_default'])})",
                    *(BEATS, "{}", "summary", "all"),
                ),
            ),
        ),
        best_of_rows=(("clean",),),
    ),
    Table(
        "detectors' cost",
        DOCUMENT,
        "detector",
        cost_rows,
        (
            Column("100,000", _cost("100000")),
            Column("scikit-learn", _cost("100000", counterpart=True)),
            Column("1,000,000", _cost("1000000")),
            Column("scikit-learn", _cost("1000000", counterpart=True)),
        ),
    ),
)
