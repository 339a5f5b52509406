"""The whole line in one call: prepare, pretrain, embed, probe, screen, map, report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ecg._version import __version__
from ssl_ecg.app.mapping import fitting_task
from ssl_ecg.app.screen_parts import find_anomalies, find_quality, make_points
from ssl_ecg.app.screen_words import make_scores
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.prepare import prepare
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, LabelError
from ssl_ecg.files import plain, write_json
from ssl_ecg.recipes import load_recipe

if TYPE_CHECKING:
    from ssl_ecg.app.inputs import MapPoints, Scores
    from ssl_ecg.data.corpora.base import Corpus

_FEWEST = 10
"""Recordings below which there is nothing to learn or to screen."""


def demo(
    out: str | Path,
    *,
    data: str | Path | None = None,
    recipe: str | Path = "demo",
    overrides: Sequence[str] = (),
    task: str | None = None,
    records: int = 1200,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Do the whole line on simulated recordings, or on your own.

    Parameters
    ----------
    out : path
        Gets `archive/`, `run/` (with the checkpoint `run/encoder`), `embeddings/`, `baseline/` (the untrained
        encoder's), `probe/`, `screen/`, `figures/`, `metrics.json`, `report.html` and `demo.json` (what was asked
        for). An interrupted demo goes on where it was; a finished one is given back.
    data : path or str, optional
        A folder of recordings, or corpus:folder; simulated recordings if None.
    recipe : str or Path
        Its batches are made as small as the recordings demand, unless `overrides` set `train.batch_size`.
    overrides : sequence of str
        Such as ``"train.steps=500"``.
    task : str, optional
        By default the first of superclass, cpsc9 and cinc26 that the recordings' codes fit; without any, no probe.
    records : int
        Simulated recordings.
    seed : int
        Of the simulation, the pretraining, the probe and the screen.
    progress : bool

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    SSLECGError
        As the data, the recipe or the folder demand.
    """
    out = Path(out)
    say: Callable[[str], None] = print if progress else lambda text: None
    bound = load_recipe(recipe, [f"train.seed={seed}", *overrides])
    if not (out / "archive").exists() and any((out / name).exists() for name in ("metrics.json", "report.html")):
        raise ArchiveError(str(out), "holds results that are not of a demo", "choose another --out")

    say("1/5 prepare")
    archive = prepare([_source(data, records, seed)], out / "archive", progress=progress)
    if len(archive) < _FEWEST:
        problem = f"holds {len(archive)} recordings that can be used"
        raise ArchiveError(str(data or archive.path), problem, f"give at least {_FEWEST}")
    task = task or find_task(archive)
    held_out = held_out_folds(archive) if task else ()
    if held_out and bound["data"]["folds"] is None:
        known = archive.index["fold"].dropna().unique()
        bound["data"]["folds"] = sorted(int(fold) for fold in known if int(fold) not in held_out)
    if not any(override.partition("=")[0].strip() == "train.batch_size" for override in overrides):
        _shrink_batch(bound, archive)
    order = plain({"version": __version__, "archive": archive.fingerprint, "task": task, "seed": seed, "recipe": bound})
    if _finished(out, order):
        say("finished before")
        return out
    (out / "demo.json").unlink(missing_ok=True)

    say("2/5 pretrain")
    seconds = _pretrain(bound, archive, out / "run", task, progress)

    say("3/5 embed")
    trained = _embed_both(bound, archive, out, seed, progress)

    say("4/5 probe and screen")
    metrics = _probe(out, task, seed) if task else None
    scores, table = _screen(out, trained, seed)

    say("5/5 map and report")
    clusters = table["cluster"].to_numpy(int)
    points = make_points(table, trained, archive, clusters, task=task, seed=seed)
    _write(out, archive, trained, bound, metrics, scores, table, points, seconds, simulated=data is None)
    write_json(out / "demo.json", order)
    return out


def _finished(out: Path, order: Any) -> bool:
    """Tell whether the folder holds the report that is asked for."""
    try:
        asked = json.loads((out / "demo.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(asked == order) and all((out / name).is_file() for name in ("metrics.json", "report.html"))


def _shrink_batch(bound: dict[str, Any], archive: Archive) -> None:
    """Fit the batches of a recipe to few recordings, in place."""
    from ssl_ecg.train.selection import open_strips

    train = bound["train"]
    strips = open_strips(archive, **bound["data"], measuring="later")
    train["batch_size"] = min(train["batch_size"], len(strips))


def _source(data: str | Path | None, records: int, seed: int) -> Corpus:
    if data is not None:
        return open_corpus(str(data))
    from ssl_ecg.data.simulate import SimulatedCorpus

    return SimulatedCorpus(records, seed=seed)


def find_task(archive: Archive) -> str | None:
    """Give the first task that enough recordings have codes of, at least two classes with five positives each."""
    return fitting_task(list(archive.index["codes"]))


def held_out_folds(archive: Archive) -> tuple[int, ...]:
    """Give the folds that pretraining must not see: the last one, on which the probe is judged."""
    folds = archive.index["fold"].dropna()
    return (int(folds.max()),) if folds.nunique() >= 3 else ()


def _pretrain(bound: dict[str, Any], archive: Archive, run: Path, task: str | None, progress: bool) -> float | None:
    """Pretrain; give the wall time, or None where the run was finished before."""
    from ssl_ecg.pretraining import pretrain

    before = (run / "encoder" / "card.json").is_file()
    started = time.perf_counter()
    pretrain(bound, archive, run, task=task, progress=progress)
    return None if before else time.perf_counter() - started


def _embed_both(bound: dict[str, Any], archive: Archive, out: Path, seed: int, progress: bool) -> Embeddings:
    """Embed with the pretrained and with the untrained encoder; give the former."""
    from ssl_ecg.embedding.run import embed
    from ssl_ecg.pretraining import random_encoder
    from ssl_ecg.train.checkpoint import load_encoder

    embed(random_encoder(bound, archive, seed=seed), archive, out=out / "baseline", card={"random": seed})
    return embed(
        load_encoder(out / "run"),
        archive,
        out=out / "embeddings",
        progress=progress,
        card={"checkpoint": "run"},
    )


def _probe(out: Path, task: str, seed: int) -> dict[str, Any] | None:
    """Probe both embeddings; None where the labels do not allow it."""
    from ssl_ecg.probing.folder import probe_folder

    try:
        return probe_folder(out / "embeddings", task, out / "probe", baseline=out / "baseline", seed=seed)
    except LabelError as error:
        print(f"no probe: {error}")
        return None


def _screen(out: Path, trained: Embeddings, seed: int) -> tuple[Scores, Any]:
    from ssl_ecg.screen.detectors import load_detector
    from ssl_ecg.screen.folder import screen_folder
    from ssl_ecg.screen.operating import OperatingPoint

    operating = OperatingPoint("budget", 20.0)
    table = screen_folder(out / "embeddings", out / "screen", operating=operating, seed=seed)
    fitted = load_detector(out / "screen" / "detector")
    return make_scores(table, trained, fitted, "kmeans", operating, "the screened recordings themselves"), table


def _write(
    out: Path,
    archive: Archive,
    trained: Embeddings,
    bound: dict[str, Any],
    metrics: dict[str, Any] | None,
    scores: Scores,
    table: Any,
    points: MapPoints,
    seconds: float | None,
    *,
    simulated: bool,
) -> None:
    """Write metrics.json, the figures and the report."""
    from ssl_ecg.app.report import write_report
    from ssl_ecg.plot.curves import plot_curves
    from ssl_ecg.plot.map import plot_map
    from ssl_ecg.plot.scores import plot_scores
    from ssl_ecg.plot.style import save_figure
    from ssl_ecg.train.checkpoint import read_card

    card = read_card(out / "run")
    summary = {
        "records": len(archive),
        "patients": int(archive.index["patient_id"].nunique()),
        "corpora": sorted(map(str, archive.index["corpus"].unique())),
        "simulated": simulated,
        "n_leads": len(archive.leads),
        "seconds": bound["data"]["seconds"],
        "fs": archive.fs,
        "band": archive.band,
        "method": bound["method"]["name"],
        "encoder": bound["encoder"]["name"],
        "parameters": card["parameters"],
        "dim": trained.dim,
        "pretrained_on": card["pretrained_on"]["records"],
        "pretraining_seconds": seconds,
    }
    content = {
        "summary": summary,
        "simulated": simulated,
        "probe": metrics,
        "screen": {"n_flagged": scores.n_flagged},
    }
    write_json(out / "metrics.json", content)
    figures = {
        "curves": plot_curves(out / "run" / "log.csv", title="Pretraining"),
        "map": plot_map(points.xy, labels=points.labels, order=points.order, title="UMAP by label"),
        "map_score": plot_map(points.xy, scores=points.scores, title="UMAP by anomaly score"),
        "scores": plot_scores(scores.array, scores.threshold, title="Anomaly scores"),
    }
    for name, figure in figures.items():
        save_figure(figure, out / "figures" / name)
    write_report(
        out,
        title="ECG embeddings without labels",
        summary=summary,
        metrics=metrics,
        curves=out / "run" / "log.csv",
        map_points=points,
        scores=scores,
        anomalies=find_anomalies(table, trained, archive, 8),
        quality=find_quality(archive),
        provenance={"recipe": bound, "archive": archive.fingerprint, "versions": card["versions"]},
    )
