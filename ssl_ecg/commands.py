"""What each sub-command does; heavy libraries are imported by the one that needs them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from ssl_ecg.errors import CorpusError, RecipeError


def download_corpus(options: argparse.Namespace) -> None:
    """Fetch a corpus."""
    from ssl_ecg.data.download import download

    folder = download(
        options.corpus,
        options.out or options.corpus,
        base_url=options.base_url,
        workers=options.workers,
        files=options.only,
        progress=not options.quiet,
    )
    print(f"{options.corpus} is in {folder}")


def prepare_archive(options: argparse.Namespace) -> None:
    """Prepare an archive and say what became of the records."""
    from ssl_ecg.data.corpora import open_corpus
    from ssl_ecg.data.prepare import prepare
    from ssl_ecg.leads import STANDARD_LEADS, parse_leads

    extra = corpus_options(options.option)
    archive = prepare(
        [open_corpus(source, **extra) for source in options.source],
        options.out,
        fs=options.fs,
        band=parse_band(options.band),
        leads=STANDARD_LEADS if options.leads is None else parse_leads(options.leads),
        workers=options.workers,
        resume=not options.no_resume,
        engine=options.engine,
        progress=not options.quiet,
    )
    failed = archive.failed
    print(f"{options.out}: {len(archive)} records at {archive.fs:g} Hz")
    if len(failed):
        print(f"{len(failed)} records could not be used:")
        for reason, count in failed["reason"].str.split(": ", n=1).str[-1].value_counts().head(5).items():
            print(f"  {count} x {reason}")
        print("  all of them with their reasons: Archive(path).failed")


def pretrain_encoder(options: argparse.Namespace) -> None:
    """Pretrain from a recipe."""
    from ssl_ecg.pretraining import pretrain
    from ssl_ecg.train.launch import find_place

    run = pretrain(
        options.recipe,
        options.data,
        options.out,
        overrides=options.overrides,
        task=options.task,
        progress=not options.quiet,
        devices=options.devices,
    )
    if find_place().rank == 0:
        print(f"encoder: {run / 'encoder'}")


def finetune_classifier(options: argparse.Namespace) -> None:
    """Fine-tune from a recipe and print the macro figures."""
    import json

    from ssl_ecg.finetuning import finetune

    names = ("checkpoint", "task", "train_folds", "val_folds", "test_folds", "labels", "draw", "overrides")
    given = {name: getattr(options, name) for name in names}
    run = finetune(options.recipe, options.data, options.out, progress=not options.quiet, **given)
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for part in (name for name in ("validation", "test") if name in metrics):
        found = {key: "-" if value is None else f"{value:.3f}" for key, value in metrics[part]["macro"].items()}
        print(f"{part:>10}: macro AUROC {found['auroc']}, F1 {found['f1']} ({metrics[part]['records']} records)")
    print(f"{run / 'metrics.json'}")


def embed_archive(options: argparse.Namespace) -> None:
    """Embed an archive with a checkpoint, or with an untrained encoder."""
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.embedding import embed
    from ssl_ecg.pretraining import random_encoder
    from ssl_ecg.train.checkpoint import load_encoder

    archive = Archive(options.archive)
    if options.random:
        encoder = random_encoder(options.random, archive, overrides=options.overrides, seed=options.seed)
        card = {"random": options.random}
    elif options.overrides:
        raise RecipeError("--set", "changes nothing of a trained encoder", "leave it out, or give --random")
    else:
        encoder, card = load_encoder(options.checkpoint), {"checkpoint": options.checkpoint}
    embeddings = embed(
        encoder,
        archive,
        out=options.out,
        batch_size=options.batch_size,
        progress=not options.quiet,
        card=card,
        engine=options.engine,
    )
    print(f"{options.out}: {len(embeddings)} embeddings of {embeddings.dim} numbers")


def probe_embeddings(options: argparse.Namespace) -> None:
    """Probe embeddings and print the macro figures."""
    from ssl_ecg.probe import probe_folder

    metrics = probe_folder(
        options.embeddings,
        options.task,
        options.out,
        train_folds=options.train_folds,
        val_folds=options.val_folds,
        test_folds=options.test_folds,
        baseline=options.baseline,
        n_labels=options.labels,
        draws=options.draws,
        knn=not options.no_knn,
        seed=options.seed,
    )
    for line in probe_lines(metrics):
        print(line)
    print(f"{options.out / 'metrics.json'}")


def probe_lines(metrics: dict[str, Any]) -> list[str]:
    """Give the macro figures of a probe as lines of text."""
    lines = []
    for name in ("linear", "knn"):
        if name in metrics:
            lines.append(f"{name:>6} probe: macro AUROC {interval(metrics[name]['macro']['auroc'])}")
        if name in metrics.get("baseline", {}):
            lines.append(f"    baseline: {interval(metrics['baseline'][name]['macro']['auroc'])}")
            lines.append(f"  difference: {interval(metrics['difference'][name], signed=True)}")
    for entry in metrics.get("label_efficiency", []):
        auroc = interval(entry["linear"]["macro_auroc"])
        lines.append(
            f"  with {entry['n_labels']} labels: macro AUROC {auroc} (mean of {len(entry['linear']['draws'])} draws)"
        )
    return lines


def interval(estimate: dict[str, float], *, signed: bool = False) -> str:
    """Write a figure with its interval.

    Examples
    --------
    >>> interval({"value": 0.9, "low": 0.85, "high": 0.94})
    '0.900 [0.850, 0.940]'
    """
    sign = "+" if signed else ""
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"


def screen_embeddings(options: argparse.Namespace) -> None:
    """Score embeddings and write the report."""
    from ssl_ecg.app.screening import screen_with_report

    table = screen_with_report(
        options.embeddings,
        options.out,
        detector=options.detector,
        reference=options.reference,
        archive=options.archive,
        alert_budget=options.budget,
        top=options.top,
        seed=options.seed,
    )
    flagged = table[table["flagged"]]
    print(f"{len(flagged)} of {len(table)} recordings flagged; strangest first:")
    for _, row in table.sort_values("anomaly_score", ascending=False).head(10).iterrows():
        print(f"  {row['record_id']}  score {row['anomaly_score']:.3f}")
    print(f"{options.out / 'report.html'}")


def map_embeddings(options: argparse.Namespace) -> None:
    """Draw the UMAP picture."""
    from ssl_ecg.app.mapping import draw_map

    path = draw_map(
        options.embeddings,
        options.out,
        task=options.task,
        scores=options.scores,
        colour=options.colour,
        method=options.method,
        seed=options.seed,
    )
    print(path)


def run_demo(options: argparse.Namespace) -> None:
    """Do the whole line."""
    from ssl_ecg.app.demo import demo

    out = demo(
        options.out,
        data=options.data,
        recipe=options.recipe,
        overrides=options.overrides,
        task=options.task,
        records=options.records,
        seed=options.seed,
        progress=not options.quiet,
    )
    print(f"open {out / 'report.html'}")


def list_recipes(options: argparse.Namespace) -> None:
    """List the recipes with the first line of what each is about."""
    from ssl_ecg.recipes import list_recipes as shipped
    from ssl_ecg.recipes import read_about

    for name, path in shipped().items():
        print(f"{name:24} {read_about(path)}")


def show_recipe(options: argparse.Namespace) -> None:
    """Print a bound recipe."""
    from ssl_ecg.recipes import dump_recipe, load_recipe

    print(dump_recipe(load_recipe(options.recipe, options.overrides)), end="")


def copy_recipe(options: argparse.Namespace) -> None:
    """Copy a recipe."""
    from ssl_ecg.recipes import copy_recipe as copy

    print(copy(options.recipe, options.target))


def check_recipe(options: argparse.Namespace) -> None:
    """Check a recipe; errors say what is wrong with it."""
    from ssl_ecg.recipes import load_recipe

    load_recipe(options.recipe, options.overrides)
    print(f"{options.recipe}: fine")


def parse_band(values: Sequence[str]) -> tuple[float, float] | None:
    """Read "0.5 40" or "none".

    Raises
    ------
    CorpusError
        If it is neither.

    Examples
    --------
    >>> parse_band(["0.5", "40"]), parse_band(["none"])
    ((0.5, 40.0), None)
    """
    parts = [part for value in values for part in value.replace(",", " ").split()]
    if [part.lower() for part in parts] == ["none"]:
        return None
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        raise CorpusError("--band", f"is {' '.join(values)!r}", "give LOW HIGH in Hz, or none") from None
    return low, high


def corpus_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; values are YAML, so that numbers and lists are what they look like.

    Raises
    ------
    CorpusError
        If one is not.

    Examples
    --------
    >>> corpus_options(["rate=500", "name=mine"])
    {'rate': 500, 'name': 'mine'}
    """
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CorpusError(f"--option {pair}", "is not KEY=VALUE", "for example --option rate=500")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CorpusError(f"--option {pair}", "the value is not valid YAML", "quote it") from None
    return found
