"""Lightning callbacks: collapse monitor, CSV log, saved states."""

from __future__ import annotations

import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from ssl_ecg.methods.base import encode, released_encoder
from ssl_ecg.train.monitor import COLUMNS, Probe, add_row, effective_rank, normalised_std, reopen_log
from ssl_ecg.train.settle import FixedStrips
from ssl_ecg.train.state import writing

_SETTLED = 30
"""Steps after which running statistics, with a momentum of 0.1, are 95 % those of the batches and not those of the
start, under which all embeddings look alike."""


class CollapseMonitor(pl.Callback):
    """Embeds the same strips every now and then, and warns when their embeddings become alike.

    It measures from the start, and warns after 30 steps: by then running statistics mean something. Of several
    processes only the first looks.

    Parameters
    ----------
    strips : FixedStrips
        Clean strips, already scaled.
    every : int
        Steps between two looks.
    probe : callable, optional
        Encoder -> macro AUROC of a probe on labelled records.
    """

    def __init__(self, strips: FixedStrips, *, every: int, probe: Probe | None = None) -> None:
        self.strips = strips
        self.every = every
        self.probe = probe
        self.latest: dict[str, float] = {}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look if it is time."""
        step = trainer.global_step
        if (step % self.every and step != trainer.max_steps) or not trainer.is_global_zero:
            return
        encoder = released_encoder(pl_module.method)
        was_training = encoder.training
        encoder.eval()
        with torch.inference_mode():
            z = encode(encoder, *self.strips.to(pl_module.device)).cpu()
        self.latest = {"rank": effective_rank(z), "std": normalised_std(z)}
        if self.probe is not None:
            self.latest["probe_auroc"] = self.probe(encoder)
        encoder.train(was_training)
        if step >= _SETTLED and (self.latest["std"] < 0.05 or self.latest["rank"] < 2):
            warnings.warn(
                f"step {step}: the embedding is collapsing (rank {self.latest['rank']:.1f}, standard deviation "
                f"{self.latest['std']:.3f}); try a lower learning rate, a larger batch or stronger views",
                stacklevel=2,
            )
        for logger in trainer.loggers:
            logger.log_metrics(self.latest, step=step)


class StepLog(pl.Callback):
    """Writes `log.csv`; after a resume, rows past the resumed step are dropped and written again.

    Parameters
    ----------
    path : Path
    every : int
        Steps between two rows.
    batch_size : int
        Strips per step, over all processes.
    monitor : CollapseMonitor
    """

    def __init__(self, path: Path, *, every: int, batch_size: int, monitor: CollapseMonitor) -> None:
        self.path = path
        self.every = every
        self.batch_size = batch_size
        self.monitor = monitor
        self._losses: list[Tensor] = []
        self._earlier = 0
        self._since = 0.0

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save what the next row will tell of the steps until now."""
        checkpoint["log"] = {"losses": averaged(trainer, self._losses), "monitor": dict(self.monitor.latest)}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take it back."""
        begun = checkpoint.get("log", {"losses": torch.empty(0), "monitor": {}})
        self._losses, self.monitor.latest = list(begun["losses"]), dict(begun["monitor"])
        self._earlier = len(self._losses)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the log, cut back to the step at which the run goes on."""
        self._losses = [loss.to(pl_module.device) for loss in self._losses]  # those of a saved state
        if not trainer.is_global_zero:
            return
        reopen_log(self.path, COLUMNS, trainer.global_step)
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a row if it is time."""
        self._losses.append(outputs["loss"].detach())
        step = trainer.global_step
        if step % self.every and step != trainer.max_steps:
            return
        loss = float(averaged(trainer, self._losses).mean())
        n_steps, self._losses, self._earlier = len(self._losses) - self._earlier, [], 0
        if not trainer.is_global_zero:
            return
        now = time.perf_counter()
        row: dict[str, Any] = {
            "step": step,
            "loss": f"{loss:.6g}",
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}",
            "strips_per_s": f"{n_steps * self.batch_size / max(now - self._since, 1e-9):.1f}",
            **{name: f"{value:.6g}" for name, value in self.monitor.latest.items()},
        }
        self.monitor.latest = {}
        self._since = now
        add_row(self.path, COLUMNS, row)


def averaged(trainer: pl.Trainer, losses: list[Tensor]) -> Float[Tensor, " step"]:
    """Average losses over all processes, step by step."""
    if not losses:  # in one process as in the others
        return torch.empty(0)
    means: Tensor = trainer.strategy.reduce(torch.stack(losses), reduce_op="mean")
    return means.cpu()


class StateSaver(pl.Callback):
    """Saves the whole state of a run, in one atomic step; when the run is stopped, `StopTogether` asks for it."""

    def __init__(self, path: Path, *, every: int) -> None:
        self.path = path
        self.every = every
        self._saved = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, and after the last step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write beside, then rename."""
        if trainer.global_step == self._saved:
            return
        part = self.path.with_suffix(".part")
        with writing(part):
            trainer.save_checkpoint(part)
            if trainer.is_global_zero:
                os.replace(part, self.path)
        self._saved = trainer.global_step
