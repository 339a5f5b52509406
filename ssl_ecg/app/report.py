"""Writes the reports of the library: one HTML file each, for a reader who knows ECGs and not the software."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ssl_ecg.app.screen_sections as screen_sections
import ssl_ecg.app.sections as sections
from ssl_ecg.app.anomaly_sections import add_anomalies
from ssl_ecg.app.cluster_cards import ClusterCard, add_clusters
from ssl_ecg.app.code_names import code_names
from ssl_ecg.app.html import Page
from ssl_ecg.app.inputs import Anomaly, MapPoints, Quality, Recording, Scores, Summary
from ssl_ecg.app.map_data import cluster_colours
from ssl_ecg.app.operation_sections import Verdict, add_choices, add_drift
from ssl_ecg.app.probe_sections import add_probe, by_task, dig, estimate, probe_in_words
from ssl_ecg.screen.choice import Choice

__all__ = [
    "Anomaly",
    "MapPoints",
    "Quality",
    "Recording",
    "Scores",
    "Summary",
    "write_report",
    "write_screen_report",
]


def write_report(
    out: str | Path,
    *,
    title: str = "Self-supervised ECG embeddings",
    summary: Summary | Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    curves: str | Path | None = None,
    map_points: MapPoints | None = None,
    scores: Scores | None = None,
    anomalies: Sequence[Anomaly] = (),
    quality: Quality | None = None,
    provenance: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of a whole run: pretraining, probes, map, screen.

    Parameters
    ----------
    out : path
        The file, or the folder in which ``report.html`` is written.
    title : str
    summary : Summary or dict with its fields
    metrics : dict or None
        As `ssl_ecg.probing.folder.run_probe` gives it, or {task: such a dict}.
    curves : path or None
        CSV log of the training, or the run folder.
    map_points : MapPoints or None
    scores : Scores or None
    anomalies : sequence of Anomaly
        Strangest first.
    quality : Quality or None
    provenance : dict or None
        Recipe, seed, versions, fingerprint and the like; nested dicts are folded.
    names : dict or None
        Full names of classes and codes that are in no table of the package.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ArchiveError
        If the file cannot be written.
    SSLECGError
        If points, labels and scores of the map do not fit together.

    Examples
    --------
    >>> import tempfile
    >>> path = write_report(tempfile.mkdtemp(), summary=Summary(records=12, simulated=True))
    >>> path.name, "SIMULATED DATA" in path.read_text(encoding="utf-8")
    ('report.html', True)
    """
    about = summary if isinstance(summary, Summary) else Summary(**summary)
    tasks, known = by_task(metrics), code_names() | dict(names or {})
    page = Page(title, _subtitle(about))
    sections.add_warnings(page, about.simulated)
    page.section("Summary").text(sections.what_was_done(about), kind="lead")
    first = next(iter(tasks.values()), {})
    best = estimate(dig(first, "linear", "macro", "auroc")).value
    sections.add_tiles(page, about, scores, f"{best:.3f}" if best == best else "")
    page.text(*(words for item in tasks.values() if (words := probe_in_words(item))))
    page.text(*about.remarks)
    _add_meaning(page, tasks, scores)
    if curves is not None:
        sections.add_curves(page, curves)
    if tasks:
        page.section("What the embeddings know")
        for task, item in tasks.items():
            add_probe(page, task, item, known)
    _add_screen(page, about, map_points, scores, anomalies, known)
    _add_end(page, quality, provenance)
    return page.write(_target(out))


def write_screen_report(
    out: str | Path,
    *,
    title: str = "Screening for unusual ECGs",
    summary: Summary | Mapping[str, Any],
    scores: Scores,
    anomalies: Sequence[Anomaly] = (),
    map_points: MapPoints | None = None,
    clusters: Sequence[ClusterCard] = (),
    cluster_remark: str = "",
    choices: Sequence[Choice] = (),
    drift: Verdict | None = None,
    quality: Quality | None = None,
    provenance: Mapping[str, object] | None = None,
    names: Mapping[str, str] | None = None,
) -> Path:
    """Write the report of a screen: map, scores, operating point, clusters, and the strangest recordings drawn.

    Parameters and errors are those of `write_report`, and

    Parameters
    ----------
    clusters : sequence of ClusterCard
    cluster_remark : str
        A sentence about where the clusters come from.
    choices : sequence of Choice
        What the detector chose by the data.
    drift : Verdict or None
        How the screened recordings compare with the reference as a whole.
    """
    about = summary if isinstance(summary, Summary) else Summary(**summary)
    page = Page(title, _subtitle(about))
    sections.add_warnings(page, about.simulated)
    page.section("Summary").text(sections.what_was_done(about), kind="lead")
    sections.add_tiles(page, about, scores)
    page.text(*about.remarks)
    _add_meaning(page, {}, scores)
    if drift is not None:
        add_drift(page, drift)
    known = code_names() | dict(names or {})
    if map_points is not None:
        screen_sections.add_map(page, map_points, anomalies)
    screen_sections.add_scores(page, scores, known)
    if anomalies:
        add_anomalies(page, anomalies, scores, about, known)
    if clusters:
        shown = map_points.clusters if map_points is not None else None
        add_clusters(page, clusters, {} if shown is None else cluster_colours(shown), cluster_remark)
    if choices:
        add_choices(page, choices)
    _add_end(page, quality, provenance)
    return page.write(_target(out))


def _add_meaning(page: Page, tasks: Mapping[str, Any], scores: Scores | None) -> None:
    baseline = any(dig(item, "baseline", "linear") for item in tasks.values())
    points = list(sections.meaning(probed=bool(tasks), baseline=baseline, screened=scores is not None))
    if points:
        page.subsection("What the figures mean, and what they do not").bullets(points)


def _add_screen(
    page: Page,
    summary: Summary,
    map_points: MapPoints | None,
    scores: Scores | None,
    anomalies: Sequence[Anomaly],
    names: dict[str, str],
) -> None:
    if map_points is not None:
        screen_sections.add_map(page, map_points, anomalies)
    if scores is not None:
        screen_sections.add_scores(page, scores, names)
    if anomalies:
        add_anomalies(page, anomalies, scores, summary, names)


def _add_end(page: Page, quality: Quality | None, provenance: Mapping[str, object] | None) -> None:
    if quality is not None:
        sections.add_quality(page, quality)
    sections.add_provenance(page, provenance or {})
    page.text(sections.NOT_CLINICAL, kind="note")


def _subtitle(summary: Summary) -> str:
    return "Simulated recordings" if summary.simulated else ", ".join(summary.corpora)


def _target(out: str | Path) -> Path:
    path = Path(out)
    return path if path.suffix.lower() in (".html", ".htm") and not path.is_dir() else path / "report.html"
