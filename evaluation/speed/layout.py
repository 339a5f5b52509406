"""What keeping the feature maps of a step together saves: our convolutions against torch's own, in turn.

Processor time, which other programs on the machine change less than the time of the clock. The protocol is in README.md
beside this file.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from compile import in_turn, low, method_of, step_of
from torch import nn
from torch.nn import functional as F

from ssl_ecg.files import write_json
from ssl_ecg.models.convolution import Conv1d, DoublingConv1d
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.train.precision import resolve_precision

BACKBONES: dict[str, dict[str, Any]] = {
    "conv1d": {},
    "conv1d, kernels of 3, 7, 15": {"kernels": [3, 7, 15]},
    "conv1d, separable": {"kernels": [5, 9], "separable": True},
    "resnet18": {},
    "resnet34": {},
    "xresnet1d50": {},
    "xresnet1d101": {},
    "resnet_lstm": {},
}

RECIPES = ("simclr", "denoising")


class UpSampled(nn.Conv1d):
    """Up-sampling by two, then torch's own convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, feature, step) -> (batch, feature, 2 step)."""
        return super().forward(F.interpolate(x, scale_factor=2))


OWN: dict[type[nn.Module], type[nn.Module]] = {Conv1d: nn.Conv1d, DoublingConv1d: UpSampled}


def with_torchs_own(module: nn.Module) -> nn.Module:
    """Give a copy whose convolutions are torch's own, with the same weights."""
    copy = deepcopy(module)
    for part in copy.modules():
        part.__class__ = OWN.get(type(part), type(part))
    return copy


def compared(module: nn.Module, use: Callable[[nn.Module], Callable[[], object]], rounds: int) -> dict[str, Any]:
    """Time what `use` makes of a module with torch's convolutions and with ours."""
    return in_turn({"torch": use(with_torchs_own(module)), "ours": use(module)}, rounds)


def training(x: torch.Tensor) -> Callable[[nn.Module], Callable[[], object]]:
    """Forward and backward."""

    def use(encoder: nn.Module) -> Callable[[], object]:
        encoder.train()

        def step() -> None:
            with low():
                z = encoder(x)
            z.float().square().sum().backward()

        return step

    return use


def embedding(x: torch.Tensor) -> Callable[[nn.Module], Callable[[], object]]:
    """Forward alone, in float32."""

    def use(encoder: nn.Module) -> Callable[[], object]:
        encoder.eval()
        return torch.inference_mode()(lambda: encoder(x))

    return use


def backbones(rounds: int) -> dict[str, Any]:
    """Compare forward and backward of crops of 1.5 s, and of strips of 10 s, and embedding of the latter."""
    crops, strips = torch.randn(128, 12, 150), torch.randn(32, 12, 1000)
    found = {}
    for label, arguments in BACKBONES.items():
        encoder = build_encoder(label.partition(",")[0], **arguments)
        found[label] = {
            "train_crops": compared(encoder, training(crops), rounds),
            "train_strips": compared(encoder, training(strips), rounds),
            "embed": compared(encoder, embedding(strips), rounds),
        }
        print(label, {key: round(value["ratio"], 2) for key, value in found[label].items()}, flush=True)
    return found


def pretraining(rounds: int) -> dict[str, Any]:
    """Compare a whole step of recipes: views, encoder, loss, backward, AdamW."""
    found = {}
    for recipe in RECIPES:
        method, batch = method_of(recipe, 256)
        found[recipe] = compared(method, partial(step_of, batch=batch), rounds)
        print(recipe, round(found[recipe]["ratio"], 2), flush=True)
    return found


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("layout.json"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results = {
        "pretraining": pretraining(options.rounds),
        "backbones": backbones(options.rounds),
        "precision": resolve_precision("auto", "cpu"),
        "threads": options.threads,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.out, results)


if __name__ == "__main__":
    main()
