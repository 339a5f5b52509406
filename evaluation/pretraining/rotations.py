"""Three rotations over PTB-XL folds 1-9: linear probe of a pretrained encoder against the untrained one.

The protocol is in README.md beside this file. Run it again to go on after an interruption.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import torch

from ssl_ecg import Archive, LinearProbe, embed, load_encoder, open_corpus, prepare, pretrain
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.sampling import nested_subsets
from ssl_ecg.files import write_json
from ssl_ecg.pretraining import random_encoder, versions
from ssl_ecg.recipes import load_recipe
from ssl_ecg.tasks import get_task

ROTATIONS = {"1-3": ((1, 2, 3), 9), "4-6": ((4, 5, 6), 9), "7-9": ((7, 8, 9), 6)}
"""Name -> test folds and validation fold; the other five train."""
SIZES = (50, 100, 200, 500)


def archives(data: Path, work: Path) -> tuple[Archive, Archive]:
    """Prepare the labelled records (PTB-XL) and all records for pretraining."""
    labelled = prepare([open_corpus(f"ptbxl:{data / 'ptbxl'}")], work / "ptbxl")
    everything = prepare(
        [
            open_corpus(f"ptbxl:{data / 'ptbxl'}"),
            # z-scored leads have standard deviation 1; a fifth of it is about that of leads in mV
            open_corpus(f"arrays:{data / 'ptbxl_zscored'}", fs=100, scale=2e-4, namespace="ptbxl"),
            open_corpus(f"cinc2011:{data / 'cinc2011'}"),
            open_corpus(f"cinc2021:{data / 'cinc2021'}"),
        ],
        work / "everything",
    )
    return labelled, everything


def probe_scores(z, labels, rows, draws: int) -> dict[str, np.ndarray]:
    """Probabilities of the test records, (draw, record, class), with all labels and with few."""
    train, val, test = rows
    scores = {"all": [fit(z, labels, train, val, test)]}
    for draw in range(draws):
        for size, subset in nested_subsets(labels[train], SIZES, seed=1000 * draw).items():
            scores.setdefault(str(size), []).append(fit(z, labels, train[subset], val, test))
    return {name: np.stack(values) for name, values in scores.items()}


def fit(z, labels, train, val, test) -> np.ndarray:
    """Fit a linear probe, its regularisation chosen on the validation fold."""
    return LinearProbe().fit(z[train], labels[train], z[val], labels[val]).predict_proba(z[test])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl, ptbxl_zscored, cinc2011, cinc2021")
    parser.add_argument("--work", type=Path, required=True, help="folder for archives and runs")
    parser.add_argument("--out", type=Path, required=True, help="results as JSON")
    parser.add_argument("--recipe", default="simclr")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--rotations", nargs="+", default=list(ROTATIONS), choices=list(ROTATIONS))
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()

    labelled, everything = archives(options.data, options.work)
    labels, known = get_task("superclass").labels(list(labelled.index["codes"]))
    fold = labelled.index["fold"].to_numpy(int)
    patients = labelled.index["patient_id"].to_numpy()
    truth, groups, parts, seconds = [], [], [], []
    scores: dict[str, dict[str, list[np.ndarray]]] = {"pretrained": {}, "random": {}}
    for name in options.rotations:
        test_folds, val_fold = ROTATIONS[name]
        train_folds = [f for f in range(1, 10) if f not in test_folds and f != val_fold]
        rows = [np.flatnonzero(known & np.isin(fold, f)) for f in (train_folds, [val_fold], test_folds)]
        truth.append(labels[rows[2]])
        groups.append(patients[rows[2]])
        parts.append(np.full(len(rows[2]), name))
        by_seed: dict[str, dict[str, list[np.ndarray]]] = {"pretrained": {}, "random": {}}
        for seed in options.seeds:
            run = options.work / "runs" / f"{Path(options.recipe).stem}-{name}-{seed}"
            overrides = [*options.overrides, f"train.seed={seed}", f"data.folds={[*train_folds, val_fold]}"]
            started = time.perf_counter()
            pretrain(options.recipe, everything, run, overrides=overrides)
            took = run / "seconds.json"
            if not took.exists():
                write_json(took, {"seconds": time.perf_counter() - started})
            seconds.append(json.loads(took.read_text())["seconds"])
            recipe = load_recipe(options.recipe, overrides)
            for kind, encoder in (
                ("pretrained", load_encoder(run)),
                ("random", random_encoder(recipe, everything, seed=seed)),
            ):
                z = embed(encoder, labelled).vectors
                for size, value in probe_scores(z, labels, rows, options.draws).items():
                    by_seed[kind].setdefault(size, []).append(value)
                    auroc = bootstrap_intervals(truth[-1], value, n_resamples=1)[0].value
                    print(f"rotation {name} seed {seed} {kind:>10} {size:>4} labels: {auroc:.4f}", flush=True)
        for kind, sizes in by_seed.items():
            for size, values in sizes.items():
                scores[kind].setdefault(size, []).append(np.concatenate(values))
    write_json(options.out, summary(options, scores, truth, groups, parts, seconds, labelled, everything))


def summary(options, scores, truth, groups, parts, seconds, labelled, everything) -> dict:
    """Macro AUROC by rotation and over all, with intervals over patients and paired differences."""
    resampling = {"groups": np.concatenate(groups), "parts": np.concatenate(parts), "n_resamples": 2000}
    y = np.concatenate(truth)
    table = {}
    for size in scores["random"]:
        ours, base = (np.concatenate(scores[kind][size], axis=1) for kind in ("pretrained", "random"))
        by_rotation = {
            name: {
                kind: bootstrap_intervals(truth[k], scores[kind][size][k], n_resamples=1)[0].value for kind in scores
            }
            for k, name in enumerate(options.rotations)
        }
        table[size] = {
            "pretrained": bootstrap_intervals(y, ours, **resampling)[0].to_dict(),
            "random": bootstrap_intervals(y, base, **resampling)[0].to_dict(),
            "difference": paired_difference(y, ours, base, **resampling).to_dict(),
            "by_rotation": by_rotation,
        }
    card = json.loads((next(iter((options.work / "runs").glob("*"))) / "encoder" / "card.json").read_text())
    return {
        "protocol": "linear probe, macro AUROC of five superclasses, mean of the rotations",
        "recipe": load_recipe(options.recipe, options.overrides),
        "seeds": options.seeds,
        "draws": options.draws,
        "rotations": options.rotations,
        "labels": table,
        "pretraining_seconds": seconds,
        "encoder": {key: card[key] for key in ("parameters", "dim")},
        "archives": {"labelled": labelled.fingerprint, "pretraining": everything.fingerprint},
        "versions": versions(),
        "hardware": f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
    }


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
