"""The recipes of three published systems on PTB-XL in rotation, from scratch and pretrained; README.md says how."""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl_ecg import Archive, finetune, open_corpus, prepare, pretrain
from ssl_ecg.evaluate.judge import Judge, Scored, add_split
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.sampling import nested_subsets
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluation.told import answer_of
from ssl_ecg.files import write_json
from ssl_ecg.probing.folder import task_labels
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.recipes import load_recipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS  # noqa: E402

LEAST = 10
"""A class with fewer positives in all is left out of the means."""
SETTINGS = ("epochs", "overrides", "pretraining", "records", "seed")
GENTLE = ["head.start=probe", "train.norms=fixed", "train.mode=layerwise"]
"""What the recipes say of fine-tuning pretrained weights."""


@dataclass(frozen=True)
class System:
    """A recipe of fine-tuning, the archive that it asks for, and the task here."""

    recipe: str
    fs: float
    band: tuple[float, float] | None
    task: str

    def archive(self, data: Path, work: Path) -> Archive:
        """Prepare PTB-XL as the recipe says, its records of 500 Hz where they are there."""
        name = f"ptbxl-{self.fs:g}-{'none' if self.band is None else '-'.join(f'{f:g}' for f in self.band)}"
        return prepare(
            [open_corpus(f"ptbxl:{data / 'ptbxl'}", rate=int(self.fs))], work / name, fs=self.fs, band=self.band
        )


SYSTEMS = {
    "s1": System("finetune/resnet34_cpsc", 500.0, None, "cpsc9"),
    "s2": System("finetune/resnet_lstm_ptbxl", 100.0, None, "superclass"),
    "s3": System("finetune/lead_attention_cinc", 500.0, (1.0, 47.0), "superclass"),
}


@dataclass(frozen=True)
class Bench:
    """A system's archive with the labels of its task, and the rotations."""

    name: str
    system: System
    archive: Archive
    task: str
    classes: tuple[str, ...]
    labels: np.ndarray
    splits: dict[str, Split]

    @classmethod
    def of(cls, name: str, options: argparse.Namespace) -> Bench:
        """Prepare the archive, and divide its labelled records."""
        system = SYSTEMS[name]
        archive, task = system.archive(options.data, options.work), options.task or system.task
        _, classes, labels, known = task_labels(task, archive.index)
        labels = np.where(known[:, None], labels, np.nan)
        splits = Protocol(split="rotations", only=options.rotations).splits(archive.index, labels, known)
        return cls(name, system, archive, task, classes, labels, splits)

    def rows(self, split: Split, records: int | None) -> dict[str, np.ndarray]:
        """Give the sets of a rotation, of the training records so many if that is asked for."""
        train = split.train
        if records is not None and records < len(train):
            train = train[nested_subsets(self.labels[train], [records], seed=0)[records]]
        return {"train": train, "val": split.val, "test": split.test}

    def judge(self) -> tuple[Judge, np.ndarray]:
        """Give the judge of the classes that have enough positives, and which these are."""
        enough = np.nansum(self.labels, axis=0) >= LEAST
        patients = self.archive.index["patient_id"].astype(str).to_numpy()
        kept = [c for c, keep in zip(self.classes, enough, strict=True) if keep]
        return Judge(self.splits, self.labels[:, enough], patients, kept), enough


def changes_of(bench: Bench, n_train: int, options: argparse.Namespace) -> list[str]:
    """Give a recipe as many passes through the records here as it has through its own."""
    train = load_recipe(bench.system.recipe)["train"]
    epoch = math.ceil(n_train / train["batch_size"])
    epochs = options.epochs or round(train["steps"] / train["validate_every"])
    look = [f"train.{name}={epoch}" for name in ("validate_every", "checkpoint_every")]
    return [f"train.steps={epochs * epoch}", *look, f"train.seed={options.seed}", *options.overrides]


def pretrained(bench: Bench, rotation: str, options: argparse.Namespace) -> Path:
    """Pretrain the system's backbone with SimCLR on the folds of a rotation that it may see."""
    recipe, own = load_recipe("simclr"), load_recipe(bench.system.recipe)
    crop = int(recipe["views"]["crop"] * bench.system.fs / 100)  # as many seconds
    recipe = {**recipe, "encoder": own["encoder"]}
    tested = ROTATIONS[rotation][0]
    folds = [fold for fold in range(1, 10) if fold not in tested]
    overrides = [
        f"views.crop={crop}", f"data.scale={own['data']['scale']}", f"data.folds={folds}", f"train.seed={options.seed}",
        *options.pretraining,
    ]  # fmt: skip
    run = options.work / "runs" / f"{bench.name}-{rotation}-{options.seed}"
    return pretrain(recipe, bench.archive, run, overrides=overrides, progress=not options.quiet)


def tuned(bench: Bench, how: str, options: argparse.Namespace) -> tuple[Scored, dict[str, Any]]:
    """Train on every rotation, or find the finished runs; what was said of the test records, and how long it took."""
    found: dict[str, Scored] = {}
    facts: dict[str, Any] = {"records": {}, "steps": {}, "seconds": {}}
    for rotation, split in bench.splits.items():
        rows = bench.rows(split, options.records)
        checkpoint = pretrained(bench, rotation, options) if how == "pretrained" else None
        changes = changes_of(bench, len(rows["train"]), options)
        few = "" if options.records is None else f"-{options.records}"
        run = options.work / "finetuned" / f"{bench.name}-{bench.task}-{how}-{rotation}-{options.seed}{few}"
        finetune(
            bench.system.recipe, bench.archive, run,
            checkpoint=checkpoint,
            task=bench.task,
            rows=rows,
            overrides=[*(GENTLE if checkpoint else []), *changes],
            progress=not options.quiet,
        )  # fmt: skip
        table = pd.read_parquet(run / "predictions.parquet")
        table = table[table["set"] == "test"].set_index("row").loc[rows["test"]]
        add_split(found, {"all": [answer_of(table, json.loads((run / "metrics.json").read_text()), bench.classes)]})
        log = pd.read_csv(run / "log.csv")
        facts["records"][rotation] = {name: len(part) for name, part in rows.items()}
        facts["steps"][rotation], facts["seconds"][rotation] = int(log["step"].max()), float(log["seconds"].max())
        print(f"{run.name}: {facts['steps'][rotation]} steps, {facts['seconds'][rotation]:.0f} s", flush=True)
    return found["all"], facts


def measured(bench: Bench, options: argparse.Namespace) -> dict[str, Any]:
    """Train from scratch and pretrained, and judge the classes that can be judged."""
    judge, enough = bench.judge()
    scored, results = {}, {}
    for how in options.how:
        said, facts = tuned(bench, how, options)
        scored[how] = Scored(
            *([part[..., enough] for part in parts] for parts in (said.proba, said.decisions)), said.chosen
        )
        table = judge.judged("all", scored[how])
        results[how] = {
            "macro": table["macro"],
            "per_class": table["per_class"],
            "by_split": table["by_split"],
            **facts,
        }
        auroc, f1 = (table["macro"][name] for name in ("auroc", "f1"))
        print(f"{bench.name} {how}: AUROC {words(auroc)}, F1 {words(f1)}")
    gain = {}
    if len(scored) > 1:
        gain = {"pretrained - scratch": judge.differences("all", scored["pretrained"], scored["scratch"])}
    positives = dict(zip(bench.classes, np.nansum(bench.labels, axis=0).astype(int), strict=True))
    rates = bench.archive.index["fs_source"].value_counts()
    return {
        "recipe": bench.system.recipe, "task": bench.task, "fs": bench.system.fs, "positives": positives,
        "left_out": [c for c, keep in zip(bench.classes, enough, strict=True) if not keep],
        "came_at": {f"{rate:g}": int(n) for rate, n in rates.items()},
        "archive": bench.archive.fingerprint, "rotations": list(bench.splits),
        "settings": {name: getattr(options, name) for name in SETTINGS},
        "results": results, "differences": gain,
    }  # fmt: skip


def words(found: Mapping[str, Any]) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"


def timed(bench: Bench, steps: int) -> float:
    """Give the seconds that a step of the recipe as it is shipped takes, after as many to warm up."""
    split = next(iter(bench.splits.values()))
    rows = {"train": split.train, "val": split.val[:8]}
    changes = [f"train.steps={2 * steps}", f"train.validate_every={steps}", f"train.checkpoint_every={2 * steps}"]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        finetune(bench.system.recipe, bench.archive, run, task=bench.task, rows=rows, overrides=changes, progress=False)
        log = pd.read_csv(run / "log.csv").set_index("step")["seconds"]
    return float(log[2 * steps] - log[steps]) / steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl")
    parser.add_argument("--work", type=Path, required=True, help="folder for archives and runs, which go on there")
    parser.add_argument("--only", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--how", nargs="+", choices=("scratch", "pretrained"), default=["scratch", "pretrained"])
    parser.add_argument("--rotations", nargs="+", choices=ROTATIONS, default=[], help="all unless given")
    parser.add_argument("--task", help="in place of each system's own here")
    parser.add_argument("--epochs", type=int, help="in place of the published number")
    parser.add_argument("--records", type=int, metavar="N", help="train on N of the records")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="of the recipes of fine-tuning")
    parser.add_argument("--set-pretraining", action="append", default=[], dest="pretraining", help="of simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", type=int, metavar="STEPS", help="measure the seconds of a step, and nothing else")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--out", type=Path, default=HERE / "results.json", help="what else is in it stays")
    options = parser.parse_args()

    for name in options.only:
        started, bench = time.perf_counter(), Bench.of(name, options)
        content = json.loads(options.out.read_text()) if options.out.exists() else {}
        if options.time:
            seconds = timed(bench, options.time)
            print(f"{name}: {seconds:.2f} s a step", flush=True)
            content.setdefault("seconds_per_step", {})[name] = seconds
        else:
            found = measured(bench, options)
            content.setdefault("systems", {})[f"{name}/{bench.task}"] = {
                **found, "wall_seconds": time.perf_counter() - started
            }  # fmt: skip
        write_json(options.out, {**content, "versions": versions(), "hardware": hardware()})


if __name__ == "__main__":
    main()
