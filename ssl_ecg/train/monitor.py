"""Watches a run: collapse of the embedding, an online probe, and the log as CSV."""

from __future__ import annotations

import csv
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

COLUMNS = ("step", "loss", "lr", "strips_per_s", "rank", "std", "probe_auroc")
Probe = Callable[[torch.nn.Module], float]


def effective_rank(z: Float[Tensor, "record dim"]) -> float:
    """Give the effective rank of embeddings: exp of the entropy of the normalised singular values.

    References
    ----------
    Garrido et al. 2023, RankMe, arXiv 2210.02885, eq. 1; here of the centred embeddings.

    Examples
    --------
    >>> round(effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])), 3)
    4.0
    """
    singular = torch.linalg.svdvals(z.double() - z.double().mean(dim=0))
    share = singular / singular.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))


def normalised_std(z: Float[Tensor, "record dim"]) -> float:
    """Give the mean standard deviation of the unit-length embeddings' coordinates, times sqrt(dim).

    About 1 for embeddings spread over the sphere, 0 when all are alike.

    References
    ----------
    Chen & He 2021, SimSiam, arXiv 2011.10566, section 4.1.
    """
    unit = torch.nn.functional.normalize(z.double(), dim=1)
    return float(unit.std(dim=0).mean() * z.shape[1] ** 0.5)


class CollapseMonitor(pl.Callback):
    """Embeds the same strips every now and then, and warns when their embeddings become alike.

    Parameters
    ----------
    strips : Tensor (strip, lead, time)
        Clean strips, already scaled.
    every : int
        Steps between two looks.
    probe : callable, optional
        Encoder -> macro AUROC of a probe on labelled records.
    """

    def __init__(self, strips: Tensor, *, every: int, probe: Probe | None = None) -> None:
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
        encoder: torch.nn.Module = pl_module.method.encoder  # type: ignore[union-attr, assignment]
        was_training = encoder.training
        encoder.eval()
        with torch.inference_mode():
            z = encoder(self.strips.to(pl_module.device)).float().cpu()
        self.latest = {"rank": effective_rank(z), "std": normalised_std(z)}
        if self.probe is not None:
            self.latest["probe_auroc"] = self.probe(encoder)
        encoder.train(was_training)
        if self.latest["std"] < 0.05 or self.latest["rank"] < 2:
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
        self._since = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the log, cut back to the step at which the run goes on."""
        if not trainer.is_global_zero:
            return
        kept = [row for row in read_log(self.path) if int(row["step"]) <= trainer.global_step]
        part = self.path.with_suffix(".part")
        with open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)
        os.replace(part, self.path)
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Add a row if it is time."""
        self._losses.append(outputs["loss"].detach())
        step = trainer.global_step
        if (step % self.every and step != trainer.max_steps) or not trainer.is_global_zero:
            return
        now = time.perf_counter()
        row: dict[str, Any] = {
            "step": step,
            "loss": f"{float(torch.stack(self._losses).mean()):.6g}",
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}",
            "strips_per_s": f"{len(self._losses) * self.batch_size / max(now - self._since, 1e-9):.1f}",
            **{name: f"{value:.6g}" for name, value in self.monitor.latest.items()},
        }
        self.monitor.latest = {}
        self._losses, self._since = [], now
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, COLUMNS).writerow(row)


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the rows of `log.csv`; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit() and None not in row.values()]


def log_curves(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read `log.csv` as arrays by column; NaN where a row has no value."""
    rows = read_log(path)
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
