"""The arguments of a run; apart from the trainer, so that the process that starts others need not load Lightning."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_ecg.train.order import Sampling
from ssl_ecg.train.precision import Precision


@dataclass(frozen=True)
class Plan:
    """The arguments of `fit`, resolved."""

    steps: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup_steps: int
    clip: float
    precision: Precision
    seed: int
    workers: int
    log_every: int
    monitor_every: int
    checkpoint_every: int
    tensorboard: bool
    progress: bool
    sampling: Sampling = "strips"
