"""Records per second of every backbone, in training and embedding, beside those of torch_ecg; all in one run.

Each round visits all networks in turn, so that whatever else the machine does falls on all of them. Further, three
loops on the same records: fine-tuning against torch_ecg's trainer, pretraining against a per-record pipeline with
lightly's loss. The protocol is in README.md beside this file.
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
from loops import finetuning_loop, per_record_loop, pretraining_loop, torch_ecg_loop
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ssl_ecg import Archive, build_encoder
from ssl_ecg.files import write_json
from ssl_ecg.models.registry import ENCODERS
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.train.precision import resolve_precision

N_CLASSES = 5


class Pooled(nn.Module):
    """A peer's feature maps, averaged over time: what its encoder would be."""

    def __init__(self, features: nn.Module, dim: int) -> None:
        super().__init__()
        self.features, self.dim = features, dim

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, lead, time) -> (batch, dim)."""
        return self.features(x).mean(dim=2)


def networks() -> dict[str, nn.Module]:
    """Give ours with their defaults, and the peer's ResNet-34: as it comes, and with our kernel lengths."""
    found: dict[str, nn.Module] = {name: build_encoder(name) for name in ENCODERS}
    try:
        from torch_ecg.model_configs import resnet_vanilla_34
        from torch_ecg.models.cnn import ResNet
    except ImportError:
        return found
    same = deepcopy(resnet_vanilla_34)
    same.filter_lengths, same.stem.filter_lengths = 7, 15
    for name, config in (
        ("torch_ecg ResNet-34", deepcopy(resnet_vanilla_34)),
        ("torch_ecg ResNet-34, our kernels", same),
    ):
        found[name] = Pooled(ResNet(12, **config), 512)
    return found


def train_once(
    model: nn.Module, optimiser: torch.optim.Optimizer, x: torch.Tensor, y: torch.Tensor, low: bool
) -> float:
    """Give the time of one step [s]."""
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16) if low else nullcontext():
        logits = model(x)
    binary_cross_entropy_with_logits(logits.float(), y).backward()
    optimiser.step()
    optimiser.zero_grad()
    return time.perf_counter() - started


def embed_once(model: nn.Module, x: torch.Tensor) -> float:
    """Give the time of one batch [s]."""
    started = time.perf_counter()
    with torch.inference_mode():
        model(x)
    return time.perf_counter() - started


def backbones(rounds: int, size: int, fs: int) -> dict[str, Any]:
    """Measure steps of all networks in turn."""
    torch.manual_seed(0)
    x, y = torch.randn(size, 12, 10 * fs), torch.randint(0, 2, (size, N_CLASSES)).float()
    low = resolve_precision("auto", "cpu") == "bfloat16"
    made = networks()
    times: dict[str, dict[str, list[float]]] = {name: {} for name in made}
    for number in range(rounds + 1):
        for name, encoder in made.items():
            model = nn.Sequential(encoder, nn.Linear(int(encoder.dim), N_CLASSES))
            optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)
            few = size if name != "lead_attention" else max(1, size // 8)
            model.train()
            found = {"train": train_once(model, optimiser, x[:few], y[:few], False) / few}
            if low:
                found["train_bfloat16"] = train_once(model, optimiser, x[:few], y[:few], True) / few
            encoder.eval()
            found["embed"] = embed_once(encoder, x[:few]) / few
            if number:  # the first round warms up
                for kind, seconds in found.items():
                    times[name].setdefault(kind, []).append(seconds)
        print(f"round {number} of {rounds}", flush=True)
    return {
        name: {
            "parameters": sum(p.numel() for p in made[name].parameters()),
            "dim": int(made[name].dim),
            **{f"{kind}_per_s": 1 / statistics.median(seconds) for kind, seconds in kinds.items()},
        }
        for name, kinds in times.items()
    }


def loops(archive: Archive, rounds: int, steps: int) -> dict[str, Any]:
    """Measure whole training loops in turn, and their ratios pair by pair."""
    pairs: dict[str, tuple[Callable[..., float], Callable[..., float]]] = {
        "pretraining against records one by one": (pretraining_loop, per_record_loop),
        "fine-tuning against torch_ecg's trainer": (finetuning_loop, torch_ecg_loop),
    }
    found: dict[str, Any] = {}
    for name, (ours, theirs) in pairs.items():
        try:
            rates = [(ours(archive, steps), theirs(archive, steps)) for _ in range(rounds)]
        except ImportError as error:
            found[name] = f"not measured: {error}"
            continue
        ratios = [a / b for a, b in rates]
        found[name] = {
            "ours_per_s": statistics.median(a for a, _ in rates),
            "theirs_per_s": statistics.median(b for _, b in rates),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
        print(name, found[name], flush=True)
    return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="records of 10 s at 100 Hz")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--loop-rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12, help="of each loop")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    results = {
        "records": "12 leads, 10 s at 100 Hz",
        "backbones": backbones(options.rounds, options.batch_size, 100),
        "loops": loops(Archive(options.archive), options.loop_rounds, options.steps),
        "batch_size": options.batch_size,
        "rounds": options.rounds,
        "threads": options.threads,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
