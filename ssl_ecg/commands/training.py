"""Commands that train: pretrain, finetune."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, folds, labels, not_negative, overrides, positive, quiet


def add_pretrain(commands: Any) -> None:
    """Add `pretrain`."""
    parser = command(commands, "pretrain", pretrain_encoder, "Pretrain an encoder without labels.")
    parser.add_argument("recipe", help="name (see 'ssl-ecg recipes list') or YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--checkpoint", metavar="C", help="go on from this encoder: run folder, checkpoint or name")
    overrides(parser, "such as train.lr=1e-3")
    parser.add_argument("--task", help="log an online probe on this task, such as superclass")
    parser.add_argument("--devices", type=positive, default=1, help="processes on this host, each with a GPU if there")
    quiet(parser)


def add_finetune(commands: Any) -> None:
    """Add `finetune`."""
    parser = command(commands, "finetune", finetune_classifier, "Train a classifier or a regression.")
    parser.add_argument("recipe", help="finetune/default, finetune/scratch, finetune/regression or a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--checkpoint", metavar="C", help="run folder, checkpoint folder or released name")
    parser.add_argument(
        "--task", default="superclass",
        help="such as superclass, age, my.csv or 'my.csv:kind=multiclass,columns=NAME' (default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--train-folds", type=folds, metavar="1-8")
    parser.add_argument("--val-folds", type=folds, metavar="9")
    parser.add_argument("--test-folds", type=folds, metavar="10")
    parser.add_argument(
        "--folds", type=positive, metavar="N", help="N folds by patient; without --fold one run for each"
    )
    parser.add_argument("--fold", type=positive, metavar="K", help="the one that tests; the next validates")
    parser.add_argument("--fold-seed", type=not_negative, default=0, help="of the division into folds")
    parser.add_argument("--labels", type=labels, metavar="N", help="train on N, or 10%%, of the labelled records")
    parser.add_argument("--draw", type=not_negative, default=0, help="which N of them")
    parser.add_argument(
        "--seeds", type=not_negative, nargs="+", metavar="S", help="one run for each, in RUN/seed-S, and their ensemble"
    )
    parser.add_argument(
        "--test-leads", action="append", default=[], metavar="I,II", help="test with these leads only, too; repeatable"
    )
    parser.add_argument(
        "--forest", action="store_true", help="a random forest on expert features answers beside the network"
    )
    parser.add_argument("--devices", type=positive, default=1, help="processes on this host, each with a GPU if there")
    overrides(parser, "such as train.lr=1e-3")
    quiet(parser)


def pretrain_encoder(options: argparse.Namespace) -> None:
    """Pretrain from a recipe."""
    from ssl_ecg.pretraining import pretrain
    from ssl_ecg.train.launch import find_place

    run = pretrain(
        options.recipe,
        options.data,
        options.out,
        checkpoint=options.checkpoint,
        overrides=options.overrides,
        task=options.task,
        progress=not options.quiet,
        devices=options.devices,
    )
    if find_place().rank == 0:
        print(f"encoder: {run / 'encoder'}")


def finetune_classifier(options: argparse.Namespace) -> None:
    """Fine-tune from a recipe and print the macro figures."""
    from ssl_ecg.finetuning.folds import finetune_folds
    from ssl_ecg.finetuning.run import finetune
    from ssl_ecg.finetuning.seeds import finetune_seeds
    from ssl_ecg.train.launch import find_place

    names = ("checkpoint", "task", "train_folds", "val_folds", "test_folds", "labels", "draw", "overrides")
    given: dict[str, Any] = {name: getattr(options, name) for name in (*names, "test_leads", "devices", "fold_seed")}
    given["progress"] = not options.quiet
    if options.forest:
        given["overrides"] = ["forest=true", *options.overrides]
    place, one = (options.recipe, options.data, options.out), {"folds": options.folds, "fold": options.fold}
    if options.folds is not None and options.fold is None:
        run = finetune_folds(*place, options.folds, seeds=options.seeds, **given)
    elif options.seeds is None:
        run = finetune(*place, **given | one)
    else:
        run = finetune_seeds(*place, options.seeds, **given | one)
    if find_place().rank:
        return
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    for leads, found in {"": metrics, **metrics["reduced_leads"]}.items():
        for part in (name for name in ("validation", "test") if name in found):
            print(f"{part:>10}{leads and ' ' + leads}: {_figures(found[part])}")
    print(f"{run / 'metrics.json'}")


def _figures(found: dict[str, Any]) -> str:
    """Put the macro figures of a set of records into words."""

    def written(values: dict[str, float | None], name: str) -> str:
        value = values[name]
        return "-" if value is None else f"{value:.3f}"

    together = next((name for name in ("ensemble", "pooled") if name in found), None)
    whole = found if together is None else found[together]
    macro = whole["macro"]
    names = {"AUROC": "auroc", "F1": "f1"} if "auroc" in macro else {"R2": "r2", "error": "mean_absolute_error"}
    every = ", ".join(f"{title} {written(macro, name)}" for title, name in names.items())
    every = f"{'macro' if 'auroc' in macro else 'mean'} {every}"
    if "accuracy" in whole:
        every += f", accuracy {written(whole, 'accuracy')}"
    if together is None:
        return f"{every} ({found['records']} records)"
    one = ", ".join(
        f"{title} {written(found['mean'], name)} ({written(found['spread'], name)})" for title, name in names.items()
    )
    return f"{together} {every} ({whole['records']} records); one {'run' if together == 'ensemble' else 'fold'} {one}"
