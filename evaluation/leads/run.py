"""Classifiers for fewer leads, fine-tuned with those only, beside one of twelve leads; README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl_ecg import Archive, finetune, predict
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
SETS = {str(n): LEAD_SETS[n] for n in (8, 6, 3, 2)} | {"I": ("I",), "II": ("II",)}


def scores(run: Path, rows: np.ndarray) -> np.ndarray:
    """Give the probabilities of the test records (record, class)."""
    table = pd.read_parquet(run / "predictions.parquet").set_index("row").loc[rows]
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


def shown_one(run: Path, archive: Archive) -> np.ndarray:
    """Let the classifier of twelve leads answer with lead I alone."""
    table = predict(archive, run, leads="I", progress=False)
    return table[[f"proba_{c}" for c in CLASSES]].to_numpy(np.float32)


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
    for name, r in cuts.items():
        runs = options.work / "finetuned"
        whole = runs / f"finetuned_{options.method}-{name}-{options.seed}-all-0"
        found.setdefault("12", []).append(scores(whole, r.test))
        found.setdefault("I, of the classifier of 12", []).append(shown_one(whole, archive)[r.test])
        for size, leads in SETS.items():
            out = runs / f"leads_{size}-{options.method}-{name}-{options.seed}"
            finetune(
                "finetune/default", archive, out,
                checkpoint=options.work / "runs" / f"{options.method}-{name}-{options.seed}",
                rows={"train": r.train, "val": r.val, "test": r.test},
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
