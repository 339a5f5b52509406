"""What compiling a pretraining step saves, and what keeping the leads of a sample together (channels-last) does.

Both are measured against what the library does, in turn, in processor time, which other programs on the machine change
less than the time of the clock. The protocol is in README.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from speed import processor
from torch import Tensor, nn

from ssl_ecg.augment.views import build_views
from ssl_ecg.files import write_json
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.pretraining import versions
from ssl_ecg.recipes import load_recipe
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


def compiled_step(size: int, rounds: int) -> dict[str, Any]:
    """Compare a whole step of SimCLR (views, encoder, loss, backward, AdamW) with and without a compiled encoder."""
    recipe = load_recipe("simclr")
    arguments = {key: value for key, value in recipe["encoder"].items() if key != "name"}
    views = build_views(recipe["views"], fs=FS, leads=STANDARD_LEADS)
    plain = METHODS["simclr"](build_encoder(recipe["encoder"]["name"], **arguments), views=views).train()
    compiled = deepcopy(plain)
    compiled.encoder.compile()
    signal = torch.randn(size, 12, round(recipe["data"]["seconds"] * FS))
    batch = {"signal": signal, "lead_mask": torch.ones(size, 12, dtype=torch.bool)}
    batch |= {"length": torch.full((size,), signal.shape[-1]), "patient": torch.arange(size)}

    def step_of(method: nn.Module) -> Callable[[], None]:
        optimiser = torch.optim.AdamW(method.parameters())

        def step() -> None:
            with low():
                loss = method.loss(batch)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()

        return step

    ways = {"plain": step_of(plain), "compiled": step_of(compiled)}
    started = time.perf_counter()
    ways["compiled"]()
    compiling = time.perf_counter() - started
    return {"first_step_by_the_clock_s": compiling, **in_turn(ways, rounds)}


def convolutions(size: int) -> list[tuple[nn.Conv1d, tuple[int, ...]]]:
    """Give the convolutions of the recipe's encoder and the shapes of what they get."""
    recipe = load_recipe("simclr")
    arguments = {key: value for key, value in recipe["encoder"].items() if key != "name"}
    encoder = build_encoder(recipe["encoder"]["name"], **arguments)
    found: list[tuple[nn.Conv1d, tuple[int, ...]]] = []
    hooks = [
        module.register_forward_hook(lambda conv, given, out: found.append((conv, tuple(given[0].shape))))
        for module in encoder.modules()
        if isinstance(module, nn.Conv1d)
    ]
    encoder(torch.randn(size, 12, int(recipe["views"]["crop"])))
    for hook in hooks:
        hook.remove()
    return found


def leads_last(size: int, rounds: int) -> dict[str, Any]:
    """Compare forward and backward of the encoder's convolutions with the same in two dimensions, channels-last."""
    pairs: list[tuple[nn.Module, nn.Module, Tensor, Tensor]] = []
    for conv, shape in convolutions(size):
        (width,), (stride,), (dilation,) = conv.kernel_size, conv.stride, conv.dilation
        ahead = int(conv.padding[0])  # type: ignore[arg-type]
        flat = nn.Conv2d(
            conv.in_channels, conv.out_channels, (1, width), (1, stride), (0, ahead), (1, dilation), conv.groups,
            conv.bias is not None,
        )  # fmt: skip
        flat.weight.data = conv.weight.data[:, :, None].contiguous(memory_format=torch.channels_last)
        if conv.bias is not None and flat.bias is not None:
            flat.bias.data = conv.bias.data
        x = torch.randn(shape, requires_grad=True)
        y = x.detach()[:, :, None].contiguous(memory_format=torch.channels_last).requires_grad_()
        torch.testing.assert_close(conv(x), flat(y)[:, :, 0], rtol=1e-3, atol=1e-3)
        pairs.append((conv, flat, x, y))

    def run(convolution: int, given: int) -> None:
        for pair in pairs:
            with low():
                out = pair[convolution](pair[given])  # type: ignore[operator]
            out.sum().backward()

    return in_turn({"one_dimension": lambda: run(0, 2), "channels_last": lambda: run(1, 3)}, rounds)


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
        "channels_last": leads_last(options.batch_size, options.rounds),
        "compile": compiled_step(options.batch_size, options.rounds),
        "recipe": "simclr",
        "precision": resolve_precision("auto", "cpu"),
        "batch_size": options.batch_size,
        "threads": 1,
        "hardware": f"{processor()}, {os.cpu_count()} cores",
        "versions": versions(),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
