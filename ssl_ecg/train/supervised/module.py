"""Fine-tuning as Lightning sees it: steps, rates, moving averages, and the watch over validation."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from ssl_ecg.methods.base import Batch
from ssl_ecg.train.callbacks import StateSaver, averaged
from ssl_ecg.train.clipping import Clipping
from ssl_ecg.train.monitor import add_row, check_loss, reopen_log
from ssl_ecg.train.optimiser import adamw
from ssl_ecg.train.stream import step_seed
from ssl_ecg.train.supervised.model import Supervised, parameter_groups
from ssl_ecg.train.supervised.plan import Plan


def log_columns(figure: str) -> tuple[str, ...]:
    """Name the columns of `log.csv`.

    Examples
    --------
    >>> log_columns("auroc")
    ('step', 'loss', 'lr', 'val_auroc', 'best_auroc', 'seconds')
    """
    return ("step", "loss", "lr", f"val_{figure}", f"best_{figure}", "seconds")


class SupervisedModule(Clipping):
    """Optimiser, schedules and moving average of a `Supervised` model.

    Parameters
    ----------
    model : Supervised
    plan : Plan

    Attributes
    ----------
    average : Supervised or None
        The moving average of the weights.
    reductions : int
        How often the rate was lowered on a plateau.
    """

    def __init__(self, model: Supervised, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self.plan = plan
        self.average = copy.deepcopy(model).requires_grad_(False).eval() if plan.ema else None
        self.reductions = 0

    @property
    def judged(self) -> Supervised:
        """The model that is validated and kept."""
        return self.model if self.average is None else self.average

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Give the loss of a batch.

        Raises
        ------
        TrainingError
            If it is not finite.
        """
        step, plan = self.global_step, self.plan
        torch.manual_seed(step_seed(plan.seed, step, -1 - self.global_rank & 0xFFFF))
        self.model.frozen = plan.mode == "frozen" or step < plan.linear_steps
        self.model.fixed_norms = plan.norms == "fixed"
        self.model.train()
        loss = self.model.loss(batch)
        check_loss(loss, step)
        return loss

    def follow(self) -> None:
        """Let the moving average follow, quickly in the first steps.

        Called by `Watch`, as Lightning calls a module's own hook only after the callbacks have saved the state.
        """
        if self.average is None:
            return
        step = self.global_step
        share = 1 - min(self.plan.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, value in zip(_state(self.average), _state(self.model), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value.to(mean), share)
                else:
                    mean.copy_(value)

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a rate for each part, stepped with every batch."""
        plan = self.plan
        groups = parameter_groups(
            self.model, mode=plan.mode, lr=plan.lr, encoder_lr=plan.encoder_lr, layer_decay=plan.layer_decay,
            weight_decay=plan.weight_decay,
        )  # fmt: skip
        optimizer = adamw(groups, plan.lr)
        factors = [self._factor(plan.linear_steps if group["part"] == "encoder" else 0) for group in groups]
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def _factor(self, first: int) -> Callable[[int], float]:
        """Make the schedule of a part that begins to learn at step `first`."""

        def factor(step: int) -> float:
            return rate_factor(self.plan, step, first) * self.plan.plateau_factor**self.reductions

        return factor

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what Lightning does not know of."""
        checkpoint["reductions"] = self.reductions

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        self.reductions = int(checkpoint["reductions"])


def rate_factor(plan: Plan, step: int, first: int) -> float:
    """Give the factor of the learning rate: a linear warm-up from step `first` on, then the schedule of the run."""
    if step < first:
        return 0.0
    warm = min(1.0, (step - first + 1) / max(1, plan.warmup_steps))
    if plan.schedule == "plateau":
        return warm
    if plan.schedule == "step":
        return warm * plan.plateau_factor ** min(plan.stages - 1, step * plan.stages // plan.steps)
    return warm * max(1e-3, 0.5 * (1 + math.cos(math.pi * min(1.0, step / plan.steps))))


def _state(model: Supervised) -> list[Tensor]:
    """Give parameters and buffers that are saved."""
    return list(model.state_dict().values())


class Watch(pl.Callback):
    """Validates every now and then: keeps the best weights, lowers the rate, stops the run, writes `log.csv`.

    Of several processes the first validates and tells the others, so that all keep, lower and stop alike.

    Parameters
    ----------
    path : Path
        The log.
    validate : callable
        Model -> figure on validation, larger is better.
    plan : Plan
    saver : StateSaver
        Saves the state when the run is stopped before its time.
    figure : str
        Its name in the log.
    """

    def __init__(
        self,
        path: Path,
        validate: Callable[[Supervised], float],
        plan: Plan,
        saver: StateSaver,
        *,
        figure: str = "auroc",
    ) -> None:
        self.path = path
        self.figure = figure
        self.validate = validate
        self.plan = plan
        self.saver = saver
        self.best = -math.inf
        self.best_step = 0
        self.best_weights: dict[str, Tensor] = {}
        self.since = 0
        self.waited = 0
        self.finished = False
        self._losses: list[Tensor] = []
        self._begun = 0.0
        self._spent = 0.0

    @property
    def state_key(self) -> str:
        """Name of its part of a saved state."""
        return "watch"

    def state_dict(self) -> dict[str, Any]:
        """Give everything that a resumed run needs but the losses, see `on_save_checkpoint`."""
        names = ("best", "best_step", "best_weights", "since", "waited", "finished")
        return {**{name: getattr(self, name) for name in names}, "seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        for name in ("best", "best_step", "best_weights", "since", "waited", "finished"):
            setattr(self, name, state_dict[name])
        self._losses = list(state_dict["losses"])
        self._spent = float(state_dict["seconds"])

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the losses since the last row too, means of all processes: a state may lie between two rows."""
        checkpoint["callbacks"][self.state_key]["losses"] = averaged(trainer, self._losses)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the log at the step at which the run goes on; validate the start of a new run."""
        self._begun = time.perf_counter()
        self._losses = [loss.to(pl_module.device) for loss in self._losses]  # those of a saved state
        if trainer.is_global_zero:
            reopen_log(self.path, log_columns(self.figure), trainer.global_step)
        if trainer.global_step == 0:
            self._look(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Let the average follow, and look if it is time."""
        pl_module.follow()
        self._losses.append(outputs["loss"].detach())
        step = trainer.global_step
        if step % self.plan.validate_every == 0 or step == trainer.max_steps:
            self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, module: Any) -> None:
        step, plan = trainer.global_step, self.plan
        first = self.validate(module.judged) if trainer.is_global_zero else 0.0
        value = float(trainer.strategy.broadcast(first))
        if value > self.best or not self.best_weights:
            better = value if math.isfinite(value) else -math.inf
            self.best, self.best_step, self.best_weights = better, step, module.judged.weights()
            self.since = self.waited = 0
        elif step > plan.linear_steps:  # the encoder has begun to learn
            self.since += 1
            self.waited += 1
        if plan.schedule == "plateau" and self.waited > plan.plateau_patience:
            module.reductions, self.waited = module.reductions + 1, 0
        self.finished = step >= plan.steps or bool(plan.patience and self.since >= plan.patience)
        self._write(step, value, trainer)
        if self.finished and step < plan.steps:
            trainer.should_stop = True
            self.saver.save(trainer)

    def _write(self, step: int, value: float, trainer: pl.Trainer) -> None:
        loss = float("nan")
        if self._losses:
            loss = float(averaged(trainer, self._losses).mean())
        row = {
            "step": step,
            "loss": f"{loss:.6g}" if self._losses else "",
            "lr": f"{trainer.optimizers[0].param_groups[0]['lr']:.6g}",
            f"val_{self.figure}": f"{value:.6g}",
            f"best_{self.figure}": f"{self.best:.6g}",
            "seconds": f"{self._seconds():.2f}",
        }
        self._losses = []
        if trainer.is_global_zero:
            add_row(self.path, log_columns(self.figure), row)

    def _seconds(self) -> float:
        """Give the time spent in training, over all its parts [s]."""
        return self._spent + (time.perf_counter() - self._begun if self._begun else 0.0)
