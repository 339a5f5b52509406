"""Classifiers for fewer leads, fine-tuned with those only, beside one of twelve leads; README.md says how."""

from __future__ import annotations

import argparse
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
from ssl_ecg.pretraining import versions
from ssl_ecg.tasks import get_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, rotation  # noqa: E402

CLASSES = get_task("superclass").classes
VIEWS = "[{name: gain, largest: 1.1}, {name: time_mask, share: 0.3, spans: 1, p: 0.5}]"
"""Those of finetune/default but for the masking of leads."""
TAUGHT = ("II", "I")
SETS = {str(n): LEAD_SETS[n] for n in (8, 6, 3, 2)} | {"I": ("I",), "II": ("II",)}


def scores(run: Path, rows: np.ndarray) -> np.ndarray:
    """Give the probabilities of the test records (record, class)."""
    table = pd.read_parquet(run / "predictions.parquet").set_index("row").loc[rows]
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


def shown_one(run: Path, archive: Archive) -> np.ndarray:
    """Let the classifier of twelve leads answer with lead I alone."""
    table = predict(archive, run, leads="I", progress=False)
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


def taught(
    lead: str,
    teacher: Path,
    everything: Archive,
    archive: Archive,
    rows: dict[str, np.ndarray],
    folds: list[int],
    options: argparse.Namespace,
) -> dict[str, np.ndarray]:
    """Teach an encoder that is shown one lead what another tells from twelve, and fine-tune it, with a forest."""
    name = f"{lead}-{teacher.name}"
    student, run = options.work / "runs" / f"taught_{name}", options.work / "finetuned" / f"taught_{name}"
    only = f"data.leads=[{lead}]"
    changes = [f"train.seed={options.seed}", only, f"data.teacher={teacher}", f"data.folds={folds}"]
    pretrain("distillation", everything, student, checkpoint=teacher, overrides=changes, progress=False)
    changes = [f"train.seed={options.seed}", only, f"views.transforms={VIEWS}", "forest=true"]
    finetune("finetune/default", archive, run, checkpoint=student, rows=rows, overrides=changes, progress=False)
    table = pd.read_parquet(run / "predictions.parquet").set_index("row").loc[rows["test"]]
    parts = {"taught": "network", "taught, with forest": "proba"}
    return {what: table[[f"{prefix}_{c}" for c in CLASSES]].to_numpy(np.float32) for what, prefix in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="working folder of evaluation/comparison/run.py")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()

    started = time.perf_counter()
    archive = Archive(options.work / "ptbxl")
    cuts = {name: rotation(archive, name) for name in ROTATIONS}
    truth = np.concatenate([r.labels[r.test] for r in cuts.values()])
    how: dict[str, Any] = {
        "groups": np.concatenate([r.patients[r.test] for r in cuts.values()]),
        "parts": np.concatenate([np.full(len(r.test), name) for name, r in cuts.items()]),
        "n_resamples": 1000,
    }
    found: dict[str, list[np.ndarray]] = {}
    everything = Archive(options.work / "everything")
    for name, r in cuts.items():
        runs = options.work / "finetuned"
        start = options.work / "runs" / f"{options.method}-{name}-{options.seed}"
        rows = {"train": r.train, "val": r.val, "test": r.test}
        with_forest = runs / f"leads_12_forest-{options.method}-{name}-{options.seed}"
        changes = [f"train.seed={options.seed}", "forest=true"]
        finetune(
            "finetune/default", archive, with_forest, checkpoint=start, rows=rows, overrides=changes, progress=False
        )
        found.setdefault("12, with forest", []).append(scores(with_forest, r.test))
        for lead in TAUGHT:
            said = taught(lead, start, everything, archive, rows, r.seen_folds, options)
            for what, score in said.items():
                found.setdefault(f"{lead}, {what}", []).append(score)
        whole = runs / f"finetuned_{options.method}-{name}-{options.seed}-all-0"
        found.setdefault("12", []).append(scores(whole, r.test))
        found.setdefault("I, of the classifier of 12", []).append(shown_one(whole, archive)[r.test])
        for size, leads in SETS.items():
            out = runs / f"leads_{size}-{options.method}-{name}-{options.seed}"
            finetune(
                "finetune/default", archive, out,
                checkpoint=start,
                rows=rows,
                overrides=[f"train.seed={options.seed}", f"data.leads={[*leads]}", f"views.transforms={VIEWS}"],
                progress=False,
            )  # fmt: skip
            found.setdefault(size, []).append(scores(out, r.test))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    joined = {key: np.concatenate(parts)[None] for key, parts in found.items()}
    table = {}
    for size, score in joined.items():
        value = bootstrap_intervals(truth, score, **how)[0].to_dict()
        less = paired_difference(truth, score, joined["12"], **how).to_dict()
        table[size] = {"macro_auroc": value, "less twelve leads": less}
        if "forest" in size:
            base = joined["12, with forest"]
            table[size]["less twelve leads, with forest"] = paired_difference(truth, score, base, **how).to_dict()
        interval = f"{less['value']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]"
        print(f"{size} leads: {value['value']:.3f}, {interval}")
    write_json(
        options.out,
        {
            "results": table,
            "method": options.method,
            "seed": options.seed,
            "versions": versions(),
            "seconds": time.perf_counter() - started,
        },
    )


if __name__ == "__main__":
    main()
