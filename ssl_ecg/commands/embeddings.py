"""Commands on embeddings: embed, probe, map."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import (
    BASELINES,
    command,
    engine,
    folds,
    labels,
    not_negative,
    overrides,
    positive,
    quiet,
)
from ssl_ecg.commands.probe_values import value_lines
from ssl_ecg.errors import RecipeError


def add_embed(commands: Any) -> None:
    """Add `embed`."""
    parser = command(commands, "embed", embed_archive, "Embed every record of an archive.")
    parser.add_argument("archive", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", metavar="C", help="run folder, checkpoint folder or released name")
    source.add_argument("--random", metavar="RECIPE", help="the untrained encoder of a recipe or RUN/recipe.yaml")
    source.add_argument("--expert", action="store_true", help="expert features in place of embeddings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--workers", type=positive, default=1, help="processes for expert features (default 1)")
    parser.add_argument("--batch-size", type=positive, default=256, help="records at a time (default %(default)s)")
    engine(parser)
    parser.add_argument("--seed", type=not_negative, default=0, help="of the untrained encoder")
    overrides(parser, "of the untrained encoder's recipe, such as encoder.n_leads=2")
    quiet(parser)


def add_probe(commands: Any) -> None:
    """Add `probe`."""
    parser = command(commands, "probe", probe_embeddings, "Measure embeddings by linear and kNN probes.")
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument(
        "--task", required=True, help="such as superclass, cpsc9, age or 'my.csv:kind=multiclass,columns=NAME'"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--baseline", type=Path, metavar="DIR", help="embeddings of the same records to compare with")
    parser.add_argument("--train-folds", type=folds, metavar="1-8")
    parser.add_argument("--val-folds", type=folds, metavar="9")
    parser.add_argument("--test-folds", type=folds, metavar="10")
    parser.add_argument("--labels", type=labels, metavar="N", help="also probe with N, or 10%%, labelled records")
    parser.add_argument("--draws", type=positive, default=10, help="draws of N labelled records (default %(default)s)")
    parser.add_argument("--seed", type=not_negative, default=0)
    parser.add_argument("--no-knn", action="store_true", help="leave the nearest-neighbour probe out")
    parser.add_argument(
        "--also", nargs="+", default=[], choices=BASELINES,
        help="further classifiers, such as for the expert features of 'ssl-ecg embed --expert'",
    )  # fmt: skip


def add_map(commands: Any) -> None:
    """Add `map`."""
    parser = command(commands, "map", map_embeddings, "Draw embeddings as a UMAP picture.")
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE", help=".png or .svg")
    parser.add_argument("--task", help="colour by the classes of this task")
    parser.add_argument("--scores", type=Path, help="scores.parquet of 'ssl-ecg screen', or its folder")
    parser.add_argument(
        "--colour", "--color", dest="colour", choices=("label", "cluster", "score"),
        help="default: label with --task, score with --scores",
    )  # fmt: skip
    parser.add_argument("--method", choices=("umap", "pca"), default="umap")
    parser.add_argument("--seed", type=not_negative, default=0)


def embed_archive(options: argparse.Namespace) -> None:
    """Embed an archive with a checkpoint or an untrained encoder, or compute its expert features."""
    _check_source(options)
    if options.expert:
        _expert_features(options)
        return
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.embedding.run import embed
    from ssl_ecg.pretraining import random_encoder
    from ssl_ecg.train.checkpoint import load_encoder

    archive = Archive(options.archive)
    if options.random:
        encoder = random_encoder(options.random, archive, overrides=options.overrides, seed=options.seed)
        card = {"random": options.random}
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


def _check_source(options: argparse.Namespace) -> None:
    """Refuse what changes nothing of that by which is embedded."""
    if not options.random and (options.overrides or options.seed):
        given = "--set" if options.overrides else "--seed"
        problem = f"changes nothing of {'expert features' if options.expert else 'a trained encoder'}"
        raise RecipeError(given, problem, "leave it out, or give --random")
    if options.expert and options.engine:
        raise RecipeError("--engine", "is not for expert features", "leave it out, or give --workers N")
    if not options.expert and options.workers > 1:
        raise RecipeError("--workers", "is for expert features", "leave it out, or give --engine processes")


def _expert_features(options: argparse.Namespace) -> None:
    """Compute the expert features of an archive; what is unknown stays NaN."""
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.embedding.expert import kept_embeddings

    archive = Archive(options.archive)
    found = kept_embeddings(archive, options.out, workers=options.workers, progress=not options.quiet)
    print(f"{options.out}: {found.dim} expert features of {len(found)} records")


def probe_embeddings(options: argparse.Namespace) -> None:
    """Probe embeddings and print the macro figures."""
    from ssl_ecg.probing.folder import probe_folder

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
        also=options.also,
        seed=options.seed,
    )
    for line in probe_lines(metrics):
        print(line)
    print(f"{options.out / 'metrics.json'}")


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


def probe_lines(metrics: dict[str, Any]) -> list[str]:
    """Give the macro figures of a probe as lines of text."""
    if metrics.get("kind") == "continuous":
        return value_lines(metrics)
    lines = []
    for name in ("linear", "knn", *BASELINES):
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
    >>> interval({"value": float("nan"), "low": float("nan"), "high": float("nan")})
    'unknown: no class has test records with and without it'
    """
    if math.isnan(estimate["value"]):
        return "unknown: no class has test records with and without it"
    sign = "+" if signed else ""
    return f"{estimate['value']:{sign}.3f} [{estimate['low']:{sign}.3f}, {estimate['high']:{sign}.3f}]"
