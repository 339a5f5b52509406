"""Lightning's Trainer, set up for one run."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import Tensor
from torch.utils.data import DataLoader

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Method
from ssl_ecg.train.adapter import MethodModule
from ssl_ecg.train.callbacks import CollapseMonitor, StateSaver, StepLog
from ssl_ecg.train.monitor import Probe
from ssl_ecg.train.precision import Precision, resolve_precision
from ssl_ecg.train.stream import BatchStream


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


def run(
    method: Method, strips: Strips, out: Path, plan: Plan, *, start: int, fixed: Tensor, probe: Probe | None
) -> None:
    """Train from step `start` to the end.

    Raises
    ------
    KeyboardInterrupt
        If the user stops the run; its state is saved by then.
    """
    quiet_lightning()
    module = MethodModule(
        method,
        lr=plan.lr,
        weight_decay=plan.weight_decay,
        steps=plan.steps,
        warmup_steps=plan.warmup_steps,
        seed=plan.seed,
    )
    monitor = CollapseMonitor(fixed, every=plan.monitor_every, probe=probe)
    log = StepLog(out / "log.csv", every=plan.log_every, batch_size=plan.batch_size, monitor=monitor)
    state = out / "last.ckpt"
    callbacks: list[pl.Callback] = [monitor, log, StateSaver(state, every=plan.checkpoint_every)]
    if plan.progress:
        callbacks.append(TQDMProgressBar(refresh_rate=1))
    trainer = pl.Trainer(
        max_steps=plan.steps,
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        precision=lightning_precision(plan.precision),
        gradient_clip_val=plan.clip,
        logger=tensorboard_logger(out) if plan.tensorboard else False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=plan.progress,
        log_every_n_steps=plan.log_every,
        default_root_dir=out,
        callbacks=callbacks,
    )
    stream = BatchStream(strips, batch_size=plan.batch_size, seed=plan.seed, steps=plan.steps, start=start)
    loader = DataLoader(stream, batch_size=None, num_workers=plan.workers)
    try:
        trainer.fit(module, loader, ckpt_path=state if start else None, weights_only=True)
    except SystemExit:
        raise KeyboardInterrupt from None  # what Lightning makes of Ctrl-C


def lightning_precision(precision: Precision) -> str:
    """Translate into Lightning's name."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bf16-mixed" if resolve_precision(precision, device) == "bfloat16" else "32-true"


def tensorboard_logger(out: Path) -> Any:
    """Make a TensorBoard logger.

    Raises
    ------
    RecipeError
        If the package is not installed.
    """
    try:
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(out, name="tensorboard", version="")
    except ModuleNotFoundError:
        raise RecipeError(
            "train.tensorboard", "the package tensorboard is missing", "pip install 'ssl_ecg[log]'"
        ) from None


def quiet_lightning() -> None:
    """Silence Lightning's advice; its warnings about things that are so on purpose."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    advice = (
        "does not have many workers",
        "IterableDataset",
        "Checkpoint directory",
        "LeafSpec",
        "number of training batches",
        "isinstance",
    )
    for text in advice:
        warnings.filterwarnings("ignore", message=f".*{text}.*")
