"""Fine-tuning with lead-set dropout, tested with twelve leads down to one; README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl_ecg import Archive, finetune
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.files import write_json
from ssl_ecg.finetuning_results import predictions_name
from ssl_ecg.leads import LEAD_SETS
from ssl_ecg.pretraining import versions
from ssl_ecg.tasks import get_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, rotation  # noqa: E402

CLASSES = get_task("superclass").classes
SETS = {str(n): LEAD_SETS[n] for n in (8, 6, 4, 3, 2)} | {"I": ("I",), "II": ("II",)}
GAIN, MASK = "{name: gain, largest: 1.1}", "{name: time_mask, share: 0.3, spans: 1, p: 0.5}"
VIEWS = {
    "lead sets": f"[{GAIN}, {{name: lead_sets}}, {MASK}]",
    "lead I": f"[{GAIN}, {{name: lead_sets, sizes: [1]}}, {MASK}]",
}


def scores(run: Path, leads: tuple[str, ...], rows: np.ndarray) -> np.ndarray:
    """Give the probabilities of the test records (record, class) with some leads."""
    table = pd.read_parquet(run / predictions_name(leads)).set_index("row").loc[rows]
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
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for name, r in cuts.items():
        plain = options.work / "finetuned" / f"finetuned_{options.method}-{name}-{options.seed}-all-0"
        found.setdefault(("twelve leads", "12"), []).append(scores(plain, (), r.test))
        for kind, views in VIEWS.items():
            out = options.work / "finetuned" / f"{kind.replace(' ', '_')}-{options.method}-{name}-{options.seed}"
            tested = SETS if kind == "lead sets" else {"I": ("I",)}
            finetune(
                "finetune/default", archive, out,
                checkpoint=options.work / "runs" / f"{options.method}-{name}-{options.seed}",
                rows={"train": r.train, "val": r.val, "test": r.test},
                overrides=[f"train.seed={options.seed}", f"views.transforms={views}"],
                test_leads=list(tested.values()), progress=False,
            )  # fmt: skip
            for size, leads in ({"12": ()} | tested).items():
                found.setdefault((kind, size), []).append(scores(out, tuple(leads), r.test))
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    joined = {key: np.concatenate(parts)[None] for key, parts in found.items()}
    whole = joined["twelve leads", "12"]
    table = []
    for (kind, size), score in joined.items():
        value = bootstrap_intervals(truth, score, **how)[0].to_dict()
        less = paired_difference(truth, score, whole, **how).to_dict()
        table.append({"trained with": kind, "tested with": size, "macro_auroc": value, "less twelve leads": less})
        interval = f"{less['value']:+.3f} [{less['low']:+.3f}, {less['high']:+.3f}]"
        print(f"{kind}, tested with {size}: {value['value']:.3f}, {interval}")
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
