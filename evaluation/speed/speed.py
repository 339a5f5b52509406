"""How busy pretraining and embedding keep the processor: each against the bare network, in one run.

The protocol is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl_ecg import Archive, embed
from ssl_ecg.files import write_json
from ssl_ecg.pretraining import build_method, random_encoder
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.recipes import load_recipe
from ssl_ecg.scaling import scale_strips
from ssl_ecg.train.fit import fit
from ssl_ecg.train.monitor import log_curves
from ssl_ecg.train.precision import resolve_precision
from ssl_ecg.train.selection import open_strips


def trainer_rate(method: nn.Module, strips: Any, train: dict[str, Any], steps: int) -> float:
    """Give strips per second of the Trainer loop, start-up left out: the median over its log."""
    with tempfile.TemporaryDirectory() as folder:
        changes = {"steps": steps, "log_every": 5, "monitor_every": 10**6, "checkpoint_every": 10**6}
        fit(method, strips, folder, progress=False, **{**train, **changes})
        curves = log_curves(Path(folder) / "log.csv")
    return float(np.median(curves["strips_per_s"][1:]))


def bare_rate(method: nn.Module, pairs: list[torch.Tensor], precision: str) -> float:
    """Give strips per second of forward and backward on views made beforehand, nothing else."""
    rates = []
    for pair in pairs:
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext():
            embeddings = method.encoder(pair)
        first, second = method.projector(embeddings.float()).chunk(2)
        method.criterion(first, second).backward()
        rates.append(len(pair) / 2 / (time.perf_counter() - started))
        method.zero_grad(set_to_none=True)
    return statistics.median(rates[1:])


def training(archive: Archive, rounds: int, steps: int, recipe: str) -> dict[str, Any]:
    """Interleave the Trainer loop and the bare network."""
    bound = load_recipe(recipe)
    strips = open_strips(archive, **bound["data"])
    method = build_method(bound, archive).train()
    size, scale = bound["train"]["batch_size"], bound["data"]["scale"]
    precision = resolve_precision(bound["train"]["precision"], "cpu")
    torch.manual_seed(0)
    pairs = []
    for _ in range(steps):
        batch = strips.__getitems__(torch.randint(len(strips), (size,)).tolist())
        pairs.append(torch.cat(method.views(scale_strips(batch["signal"], scale), batch["lead_mask"])))
    loop, bare = [], []
    for _ in range(rounds):
        loop.append(trainer_rate(method, strips, bound["train"], steps))
        bare.append(bare_rate(method.train(), pairs, precision))
        print(f"training: loop {loop[-1]:.0f}, bare {bare[-1]:.0f} strips/s", flush=True)
    return {"recipe": recipe, "precision": precision, "batch_size": size, **compared(loop, bare)}


def embedding(archive: Archive, rounds: int, recipe: str) -> dict[str, Any]:
    """Interleave `embed` and the bare forward pass over the same batches, held in memory."""
    encoder = random_encoder(recipe, archive)
    signal = torch.from_numpy(np.stack([np.nan_to_num(archive.read(i)) for i in range(len(archive))]))
    size = 256

    def bare_once() -> None:
        with torch.inference_mode():
            for part in torch.split(signal, size):
                encoder(part)

    ours, bare = [], []
    for number in range(rounds + 1):
        started = time.perf_counter()
        embed(encoder, archive, batch_size=size)
        middle = time.perf_counter()
        bare_once()
        ended = time.perf_counter()
        if number:
            ours.append(len(archive) / (middle - started))
            bare.append(len(archive) / (ended - middle))
            print(f"embedding: embed {ours[-1]:.0f}, bare {bare[-1]:.0f} records/s", flush=True)
    return {"recipe": recipe, "records": len(archive), "seconds": 10, **compared(ours, bare)}


def compared(ours: list[float], bare: list[float]) -> dict[str, Any]:
    """Give both rates and the ratio pair by pair."""
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    return {
        "ours_per_s": statistics.median(ours),
        "bare_per_s": statistics.median(bare),
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "rounds": len(ratios),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="records of 10 s at 100 Hz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--recipe", default="simclr")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    archive = Archive(options.archive)
    results = {
        "training": training(archive, options.rounds, options.steps, options.recipe),
        "embedding": embedding(archive, options.rounds, options.recipe),
        "seed": 0,
        "threads": options.threads,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
