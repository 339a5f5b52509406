"""Classifiers for fewer leads: one for each lead set, or one for all, beside one of twelve; README.md says how."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl_ecg import Archive, finetune, predict, pretrain
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.files import write_json
from ssl_ecg.leads import LEAD_SETS
from ssl_ecg.prediction.members import predictions_name
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.tasks import get_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, Rotation, finetuned_run, rotation  # noqa: E402

CLASSES = get_task("superclass").classes
VIEWS = "[{name: gain, largest: 1.1}, {name: time_mask, share: 0.3, spans: 1, p: 0.5}]"
"""Those of finetune/default but for the masking of leads."""
TAUGHT = ("II", "I")
SETS = {str(n): LEAD_SETS[n] for n in (8, 6, 3, 2)} | {"I": ("I",), "II": ("II",)}


def own(r: Rotation, start: Path, archive: Archive, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Fine-tune a classifier of its own for each lead set, and one of twelve leads with a forest."""
    runs, rows, name = options.work / "finetuned", rows_of(r), f"{options.method}-{r.name}-{options.seed}"
    seed = f"train.seed={options.seed}"
    found = {"12, with forest": twelve_with_forest(r, start, archive, options)}
    found["I, of the classifier of 12"] = shown(twelve(r, options), archive, ("I",))[r.test]
    for size, leads in SETS.items():
        run = runs / f"leads_{size}-{name}"
        changes = [seed, f"data.leads={[*leads]}", f"views.transforms={VIEWS}"]
        finetune("finetune/default", archive, run, checkpoint=start, rows=rows, overrides=changes, progress=False)
        found[size] = scores(run, r.test)
    return found


def taught(r: Rotation, start: Path, archive: Archive, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Teach encoders that are shown one lead what another tells from twelve, and fine-tune them, with a forest."""
    everything = Archive(options.work / "everything")
    found = {"12, with forest": twelve_with_forest(r, start, archive, options)}
    for lead in TAUGHT:
        name = f"{lead}-{start.name}"
        student, run = options.work / "runs" / f"taught_{name}", options.work / "finetuned" / f"taught_{name}"
        seed, only = f"train.seed={options.seed}", f"data.leads=[{lead}]"
        changes = [seed, only, f"data.teacher={start}", f"data.folds={r.seen_folds}"]
        pretrain("distillation", everything, student, checkpoint=start, overrides=changes, progress=False)
        changes = [seed, only, f"views.transforms={VIEWS}", "forest=true"]
        finetune(
            "finetune/default", archive, run, checkpoint=student, rows=rows_of(r), overrides=changes, progress=False
        )
        table = pd.read_parquet(run / "predictions.parquet").set_index("row").loc[r.test]
        for what, prefix in (("taught", "network"), ("taught, with forest", "proba")):
            found[f"{lead}, {what}"] = table[[f"{prefix}_{c}" for c in CLASSES]].to_numpy(np.float32)
    return found


def reduced(r: Rotation, start: Path, archive: Archive, options: argparse.Namespace) -> dict[str, np.ndarray]:
    """Fine-tune one classifier for all lead sets; beside it, what the usual one of twelve leads says of them."""
    run = options.work / "finetuned" / f"reduced_leads-{options.method}-{r.name}-{options.seed}"
    sets = {str(n): leads for n, leads in LEAD_SETS.items() if 1 < n < 12} | {"I": ("I",), "II": ("II",)}
    finetune(
        "finetune/reduced_leads", archive, run,
        checkpoint=start,
        rows=rows_of(r),
        overrides=[f"train.seed={options.seed}", *options.overrides],
        test_leads=[",".join(leads) for leads in sets.values()],
        progress=False,
    )  # fmt: skip
    found = {"12, one classifier for all": scores(run, r.test)}
    for size, leads in sets.items():
        found[f"{size}, one classifier for all"] = scores(run, r.test, leads)
        found[f"{size}, of the classifier of 12"] = shown(twelve(r, options), archive, leads)[r.test]
    return found


GROUPS = {"own": own, "taught": taught, "reduced": reduced}


def twelve(r: Rotation, options: argparse.Namespace) -> Path:
    """Give the run of the comparison that was fine-tuned with twelve leads."""
    return finetuned_run(options.work, f"finetuned_{options.method}", r.name, options.seed)


def twelve_with_forest(r: Rotation, start: Path, archive: Archive, options: argparse.Namespace) -> np.ndarray:
    """Fine-tune with twelve leads and a forest."""
    run = options.work / "finetuned" / f"leads_12_forest-{options.method}-{r.name}-{options.seed}"
    changes = [f"train.seed={options.seed}", "forest=true"]
    finetune("finetune/default", archive, run, checkpoint=start, rows=rows_of(r), overrides=changes, progress=False)
    return scores(run, r.test)


def rows_of(r: Rotation) -> dict[str, np.ndarray]:
    return {"train": r.train, "val": r.val, "test": r.test}


def scores(run: Path, rows: np.ndarray, leads: tuple[str, ...] = ()) -> np.ndarray:
    """Give the probabilities of the test records (record, class), with all leads or with some."""
    table = pd.read_parquet(run / predictions_name(leads)).set_index("row").loc[rows]
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


def shown(run: Path, archive: Archive, leads: tuple[str, ...]) -> np.ndarray:
    """Let a classifier of twelve leads answer with fewer."""
    table = predict(archive, run, leads=",".join(leads), progress=False)
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


def judged(found: dict[str, list[np.ndarray]], cuts: dict[str, Rotation]) -> dict[str, Any]:
    """Give macro AUROC over the rotations, and what is lost against twelve leads, with intervals over patients."""
    truth = np.concatenate([r.labels[r.test] for r in cuts.values()])
    how: dict[str, Any] = {
        "groups": np.concatenate([r.patients[r.test] for r in cuts.values()]),
        "parts": np.concatenate([np.full(len(r.test), name) for name, r in cuts.items()]),
        "n_resamples": 1000,
    }
    joined = {key: np.concatenate(parts)[None] for key, parts in found.items()}
    table: dict[str, Any] = {}
    for size, score in joined.items():
        value = bootstrap_intervals(truth, score, **how)[0].to_dict()
        less = paired_difference(truth, score, joined["12"], **how).to_dict()
        table[size] = {"macro_auroc": value, "less twelve leads": less}
        own_set = size.partition(",")[0]
        bases = {
            "less twelve leads, with forest": "12, with forest" if "forest" in size else None,
            "less one of its own": own_set if "one classifier" in size and own_set != "12" else None,
            "less the classifier of 12": f"{own_set}, of the classifier of 12" if "one classifier" in size else None,
        }
        for name, base in bases.items():
            if base in joined:
                table[size][name] = paired_difference(truth, score, joined[base], **how).to_dict()
        interval = f"{less['value']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]"
        print(f"{size} leads: {value['value']:.3f}, {interval}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="working folder of evaluation/comparison/run.py")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), help="what else is in --out stays")
    parser.add_argument("--rotations", nargs="+", choices=ROTATIONS, default=list(ROTATIONS))
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", help="of finetune/reduced_leads; for trials only"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()

    started = time.perf_counter()
    archive = Archive(options.work / "ptbxl")
    cuts = {name: rotation(archive, name) for name in options.rotations}
    found: dict[str, list[np.ndarray]] = {}
    for name, r in cuts.items():
        start = options.work / "runs" / f"{options.method}-{name}-{options.seed}"
        said = {"12": scores(twelve(r, options), r.test)}
        for group in options.only:
            said |= GROUPS[group](r, start, archive, options)
        for key, score in said.items():
            found.setdefault(key, []).append(score)
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    before = {"rotations": list(ROTATIONS), **(json.loads(options.out.read_text()) if options.out.exists() else {})}
    asked = {"method": options.method, "seed": options.seed, "rotations": list(cuts)}
    same = all(before.get(key) == value for key, value in asked.items())
    took = {**(before.get("seconds_of", {}) if same else {}), " ".join(options.only): time.perf_counter() - started}
    results = {**(before.get("results", {}) if same else {}), **judged(found, cuts)}
    write_json(
        options.out, {"results": results, **asked, "versions": versions(), "hardware": hardware(), "seconds_of": took}
    )


if __name__ == "__main__":
    main()
