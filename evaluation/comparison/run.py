"""Works through the cells of the comparison: pretrain, embed, probe, fine-tune; each cell once, whole or not at all.

Several processes may share the work (each takes the next cell that nobody holds); run it again to go on after an
interruption. The protocol is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from protocol import INNER, ROTATIONS, Rotation, archives, finetuned_run, probe_scores, rotation

from ssl_ecg import Archive, embed, load_encoder, pretrain
from ssl_ecg.features.expert import expert_embeddings
from ssl_ecg.features.hybrid import HybridProbe, averaged_odds
from ssl_ecg.files import write_json
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.provenance import versions
from ssl_ecg.recipes import load_recipe
from ssl_ecg.tasks import get_task
from ssl_ecg.train.monitor import effective_rank, normalised_std

HERE = Path(__file__).parent


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Try to hold a cell for this process; the lock goes with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def encoder_run(cell: dict[str, Any], r: Rotation, seed: int, everything: Archive, runs: Path) -> tuple[Path, float]:
    """Pretrain, or find the finished run; give its folder and how long it took [s]."""
    run = runs / f"{cell['name']}-{r.name}-{seed}"
    folds = list(r.train_folds) if "labels" in cell else r.seen_folds  # the validation fold's labels choose the probe
    overrides = [*cell.get("set", ()), f"train.seed={seed}", f"data.folds={folds}"]
    started = time.perf_counter()
    pretrain(recipe_of(cell), everything, run, overrides=overrides, progress=False)
    took = run / "seconds.json"
    if not took.exists():
        write_json(took, {"seconds": time.perf_counter() - started})
    return run, float(json.loads(took.read_text())["seconds"])


def recipe_of(cell: dict[str, Any]) -> Any:
    """Give a cell's recipe: by name, or with another encoder."""
    return {**load_recipe(cell["recipe"]), "encoder": cell["encoder"]} if "encoder" in cell else cell["recipe"]


def probed(cell: dict[str, Any], r: Rotation, seed: int, labelled: Archive, everything: Archive, options: Any) -> Any:
    """Scores and facts of a cell whose frozen encoder is probed."""
    facts: dict[str, Any] = {}
    if cell["kind"] == "untrained":
        overrides = [*cell.get("set", ()), f"data.folds={r.seen_folds}"]
        encoder = random_encoder(load_recipe(recipe_of(cell), overrides), everything, seed=seed)
    else:
        run, facts["seconds"] = encoder_run(cell, r, seed, everything, options.work / "runs")
        encoder = load_encoder(run)
    z = embed(encoder, labelled).vectors
    facts |= {
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "dim": int(encoder.dim),
        "effective_rank": effective_rank(torch.from_numpy(z[r.train])),
        "std": normalised_std(torch.from_numpy(z[r.train])),
    }
    if "labels" in cell:  # those that the encoder has seen
        return probe_scores(z, r, 1, cell["labels"]), facts
    return probe_scores(z, r, cell.get("draws", options.draws)), facts


def finetuned(
    cell: dict[str, Any], r: Rotation, seed: int, labelled: Archive, everything: Archive, options: Any
) -> Any:
    """Scores and facts of a cell whose encoder is trained with the labels, from a checkpoint or from scratch."""
    checkpoint, facts = None, {}
    if "pretrained" in cell:
        source = next(c for c in cells(options) if c["name"] == cell["pretrained"])
        checkpoint, facts["pretraining_seconds"] = encoder_run(source, r, seed, everything, options.work / "runs")
    scores: dict[str, list[np.ndarray]] = {}
    started = time.perf_counter()
    for size, draws in cell["sizes"].items():
        for draw in range(draws):
            out = finetuned_run(options.work, cell["name"], r.name, seed, size, draw)
            rows = {"train": r.subsets(draw)[size], "val": r.val, "test": r.test}
            overrides = [*cell.get("set", ()), f"train.seed={seed}"]
            finetune(
                recipe_of(cell), labelled, out, checkpoint=checkpoint, rows=rows, overrides=overrides, progress=False
            )
            table = pd.read_parquet(out / "predictions.parquet").set_index("row").loc[r.test]
            found = table[[f"proba_{c}" for c in get_task("superclass").classes]].to_numpy(np.float32)
            scores.setdefault(f"finetuned/{size}", []).append(found)
    return {name: np.stack(values) for name, values in scores.items()}, facts | {
        "seconds": time.perf_counter() - started
    }


def hybrid(cell: dict[str, Any], r: Rotation, seed: int, labelled: Archive, everything: Archive, options: Any) -> Any:
    """Scores of an encoder beside expert features: forest, and its average with the linear probe and fine-tuning."""
    source = next(c for c in cells(options) if c["name"] == cell["pretrained"])
    run, _ = encoder_run(source, r, seed, everything, options.work / "runs")
    z, f = embed(load_encoder(run), labelled).vectors, expert_features(labelled, options.work)
    tuned = options.work / "scores" / f"{cell['finetuned']}-{r.name}-{seed}.npz"
    scores: dict[str, list[np.ndarray]] = {}
    for size, draws in cell["sizes"].items():
        for draw in range(draws):
            rows = r.subsets(draw)[size]
            probe = HybridProbe().fit(z[rows], f[rows], r.labels[rows], z[r.val], f[r.val], r.labels[r.val])
            scores.setdefault(f"hybrid/{size}", []).append(probe.predict_proba(z[r.test], f[r.test]))
            forest = probe.forest_.predict_proba(np.hstack([f[r.test], z[r.test]]))
            scores.setdefault(f"forest/{size}", []).append(forest)
            if tuned.exists():
                with np.load(tuned) as found:
                    network = found[f"finetuned/{size}"]
                if draw < len(network):
                    scores.setdefault(f"finetuned/{size}", []).append(averaged_odds(network[draw], forest))
    return {name: np.stack(values).astype(np.float32) for name, values in scores.items()}, {}


def ensemble(cell: dict[str, Any], r: Rotation, seed: int, labelled: Archive, everything: Archive, options: Any) -> Any:
    """Scores of the seeds of another cell, averaged by their log-odds."""
    members = []
    for member in cell["members"]:
        with np.load(options.work / "scores" / f"{cell['of']}-{r.name}-{member}.npz") as found:
            members.append({name: found[name] for name in found.files if name.startswith("finetuned/")})
    return {name: averaged_odds(*(m[name] for m in members)).astype(np.float32) for name in members[0]}, {}


def expert_features(labelled: Archive, work: Path) -> np.ndarray:
    """Compute the expert features of the labelled records once."""
    path = work / "expert.npy"
    if not path.exists():
        np.save(path, expert_embeddings(labelled, impute=False, progress=True).vectors)
    return np.load(path)


def cells(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Read the cells; the head of the file says what one may have."""
    text = options.cells.read_text().replace("{data}", str(options.data))
    return [{"kind": "pretrained", **cell} for cell in yaml.safe_load(text)["cells"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with ptbxl, ptbxl_zscored, cinc2011, cinc2021")
    parser.add_argument("--work", type=Path, required=True, help="folder for archives, runs and scores")
    parser.add_argument("--cells", type=Path, default=HERE / "cells.yaml")
    parser.add_argument("--only", nargs="+", help="names of cells")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of those of the cells")
    parser.add_argument("--rotations", nargs="+", choices=[*ROTATIONS, *INNER], help="instead of those of the cells")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()

    labelled, everything = archives(options.data, options.work)
    cut = {name: rotation(labelled, name) for name in (*ROTATIONS, *INNER)}
    chosen = [c for c in cells(options) if not options.only or c["name"] in options.only]
    for seed in sorted({seed for cell in chosen for seed in options.seeds or cell["seeds"]}):
        for cell in chosen:
            for name in options.rotations or cell.get("rotations", list(ROTATIONS)):
                r = cut[name]
                out = options.work / "scores" / f"{cell['name']}-{name}-{seed}.npz"
                if out.exists() or seed not in (options.seeds or cell["seeds"]):
                    continue
                with held(out.with_suffix(".lock")) as mine:
                    if not mine or out.exists():
                        continue
                    work = {"finetuned": finetuned, "hybrid": hybrid, "ensemble": ensemble}.get(cell["kind"], probed)
                    scores, facts = work(cell, r, seed, labelled, everything, options)
                    write_json(out.with_suffix(".json"), {"cell": cell, "versions": versions(), **facts})
                    part = out.with_suffix(".part.npz")
                    np.savez(part, **scores)
                    os.replace(part, out)
                    print(f"{cell['name']} rotation {name} seed {seed}: {facts}", flush=True)


if __name__ == "__main__":
    main()
