"""The arguments of `fit_supervised`, checked and resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ssl_ecg.errors import RecipeError
from ssl_ecg.train.precision import Precision
from ssl_ecg.train.supervised.model import MODES, Mode, Norms

Schedule = Literal["cosine", "plateau", "step"]

_LEAST = {
    "steps": 1, "batch_size": 1, "lr": 0, "encoder_lr": 0, "layer_decay": 0, "weight_decay": 0, "warmup": 0,
    "linear_share": 0, "clip": 0, "ema": 0, "patience": 0, "plateau_patience": 0, "plateau_factor": 0, "stages": 1,
    "validate_every": 1, "checkpoint_every": 1, "seed": 0, "workers": 0,
}  # fmt: skip
_MOST = {"layer_decay": 1, "warmup": 1, "linear_share": 1, "ema": 1, "plateau_factor": 1}


@dataclass(frozen=True)
class Plan:
    """Settings of a fine-tuning run; see `fit_supervised`."""

    steps: int
    batch_size: int
    lr: float
    encoder_lr: float
    layer_decay: float
    weight_decay: float
    schedule: Schedule
    warmup: float
    linear_share: float
    clip: float
    mode: Mode
    norms: Norms
    ema: float
    patience: int
    plateau_patience: int
    plateau_factor: float
    stages: int
    validate_every: int
    checkpoint_every: int
    precision: Precision
    seed: int
    workers: int

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            most = _MOST.get(name, math.inf)
            if not (math.isfinite(value) and least <= value <= most):
                remedy = f"give {least} or more" if most == math.inf else f"give a value from {least} to {most}"
                raise RecipeError(f"train.{name}", f"is {value}", remedy)
        if self.mode not in MODES:
            raise RecipeError("train.mode", f"unknown {self.mode!r}", f"choose from {', '.join(MODES)}")

    @property
    def linear_steps(self) -> int:
        """Steps in which the head alone learns."""
        return round(self.linear_share * self.steps) if self.mode == "linear_then_full" else 0

    @property
    def warmup_steps(self) -> int:
        """Steps of the linear warm-up."""
        return round(self.warmup * self.steps)
