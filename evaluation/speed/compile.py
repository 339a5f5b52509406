"""What compiling a pretraining step saves.

It is measured against what the library does, in turn, in processor time, which other programs on the machine change
less than the time of the clock. The protocol is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ssl_ecg.augment.views import build_views
from ssl_ecg.files import write_json
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.optimiser import adamw, decay_groups
from ssl_ecg.train.precision import resolve_precision

FS = 100.0


def seconds(function: Callable[[], object]) -> float:
    """Give the processor time of a call [s]."""
    started = time.process_time()
    function()
    return time.process_time() - started


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, Any]:
    """Time two ways in turn; give the medians and the ratio, second to first, pair by pair."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            took = seconds(way)
            if number:  # the first round warms up
                times[name].append(took)
    first, second = times.values()
    ratios = [b / a for a, b in zip(first, second, strict=True)]
    medians = {f"{name}_s": statistics.median(found) for name, found in times.items()}
    return {**medians, "ratio": statistics.median(ratios), "ratio_range": [min(ratios), max(ratios)], "rounds": rounds}


def low() -> Any:
    """Compute in bfloat16 where training would."""
    there = resolve_precision("auto", "cpu") == "bfloat16"
    return torch.autocast("cpu", torch.bfloat16) if there else nullcontext()


def method_of(name: str, size: int) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """Give the method of a recipe, and a batch for it."""
    recipe = load_recipe(name)
    encoder, arguments = ({**recipe[part]} for part in ("encoder", "method"))
    if "views" in recipe:
        arguments["views"] = build_views(recipe["views"], fs=FS, leads=STANDARD_LEADS)
    method = METHODS[arguments.pop("name")](build_encoder(encoder.pop("name"), **encoder), **arguments).train()
    signal = torch.randn(size, 12, round(recipe["data"]["seconds"] * FS))
    batch = {"signal": signal, "lead_mask": torch.ones(size, 12, dtype=torch.bool)}
    return method, batch | {"length": torch.full((size,), signal.shape[-1]), "patient": torch.arange(size)}


def step_of(method: nn.Module, batch: dict[str, torch.Tensor]) -> Callable[[], None]:
    """Make a whole step: views, encoder, loss, backward, AdamW."""
    optimiser = adamw(decay_groups(method, 0.01), 1e-3)

    def step() -> None:
        with low():
            loss = method.loss(batch)  # type: ignore[operator]
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def compiled_step(size: int, rounds: int) -> dict[str, Any]:
    """Compare a whole step of SimCLR with and without a compiled encoder."""
    plain, batch = method_of("simclr", size)
    compiled = deepcopy(plain)
    compiled.encoder.compile()  # type: ignore[union-attr]
    ways = {"plain": step_of(plain, batch), "compiled": step_of(compiled, batch)}
    started = time.perf_counter()
    ways["compiled"]()
    compiling = time.perf_counter() - started
    return {"first_step_by_the_clock_s": compiling, **in_turn(ways, rounds)}


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("compile.json"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch-size", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    results = {
        "compile": compiled_step(options.batch_size, options.rounds),
        "recipe": "simclr",
        "precision": resolve_precision("auto", "cpu"),
        "batch_size": options.batch_size,
        "threads": 1,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
