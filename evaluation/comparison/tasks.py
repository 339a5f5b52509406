"""Any label system on PTB-XL, with the encoders of the comparison and all labels: TASK.json with every metric.

Each rotation is judged by the encoder that was pretrained without its test folds. A class with fewer than ten positives
in all is left out of the macro mean.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from run import expert_features

from ssl_ecg import Archive, LinearProbe, embed, load_encoder
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.features.hybrid import HybridProbe
from ssl_ecg.files import write_json
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.probing.folder import task_labels
from ssl_ecg.provenance import hardware, versions

HERE = Path(__file__).parent
LEAST = 10


def main() -> None:
    """Probe, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of run.py")
    parser.add_argument("--task", default="cpsc9")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    archive, everything = Archive(options.work / "ptbxl"), Archive(options.work / "everything")
    _, classes, labels, known = task_labels(options.task, archive.index)
    labels = np.where(known[:, None], labels, np.nan)
    enough = np.nansum(labels, axis=0) >= LEAST
    splits = Protocol(split="rotations").splits(archive.index, labels, known)
    y, f = labels[:, enough], expert_features(archive, options.work)
    patients = archive.index["patient_id"].astype(str).to_numpy()
    kept = [c for c, keep in zip(classes, enough, strict=True) if keep]
    judge = Judge(splits, y, patients, kept)
    scored: dict[str, Scored] = {}
    for name, split in splits.items():
        run = options.work / "runs" / f"{options.method}-{name}-{options.seed}"
        recipe = json.loads((run / "encoder" / "card.json").read_text())["recipe"]
        encoders = {
            options.method: load_encoder(run), "untrained": random_encoder(recipe, everything, seed=options.seed)
        }  # fmt: skip
        for model, encoder in encoders.items():
            z, sets = embed(encoder, archive).vectors, (split.train, split.val)
            linear = LinearProbe().fit(*(part for rows in sets for part in (z[rows], y[rows])))
            hybrid = HybridProbe().fit(*(part for rows in sets for part in (z[rows], f[rows], y[rows])))
            answers = {
                "linear": (linear.predict_proba(z[split.test]), linear.thresholds_),
                "hybrid": (hybrid.predict_proba(z[split.test], f[split.test]), hybrid.thresholds_),
            }
            for kind, (proba, thresholds) in answers.items():
                entry = scored.setdefault(f"{model} {kind}", Scored([], []))
                entry.proba.append(proba[None].astype(np.float32))
                entry.decisions.append((proba >= thresholds)[None])
    tables = {name: judge.table(found, whole=True) for name, found in scored.items()}
    for name, table in tables.items():
        print(name, {metric: round(value["value"], 3) for metric, value in table["macro"].items()})
    write_json(
        HERE / f"{options.task}.json",
        {
            "classes": kept,
            "left_out": [c for c in classes if c not in kept],
            "positives": dict(zip(classes, np.nansum(labels, axis=0).astype(int), strict=True)),
            "results": {name: {part: table[part] for part in ("macro", "per_class")} for name, table in tables.items()},
            "difference": {
                kind: judge.difference(scored[f"{options.method} {kind}"], scored[f"untrained {kind}"])
                for kind in ("linear", "hybrid")
            },
            "method": options.method,
            "seed": options.seed,
            "archive": archive.fingerprint,
            "versions": versions(),
            "hardware": hardware(),
        },
    )


if __name__ == "__main__":
    main()
