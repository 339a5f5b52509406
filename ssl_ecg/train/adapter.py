"""Joins a method to Lightning: optimiser, schedule, seeds, and the check that the loss stays finite."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from lightly.utils.scheduler import CosineWarmupScheduler
from torch import Tensor

from ssl_ecg.methods.base import Batch, Method, begin_step
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips
from ssl_ecg.train.clipping import Clipping
from ssl_ecg.train.monitor import check_loss
from ssl_ecg.train.optimiser import adamw, decay_groups
from ssl_ecg.train.stream import step_seed


class MethodModule(Clipping):
    """A method as Lightning sees it.

    Before every step torch is seeded from (seed, step, rank), so that augmentation and dropout after a
    resume are what they would have been.

    Parameters
    ----------
    method : Method
    lr : float
        Peak learning rate of AdamW.
    weight_decay : float
        For weights; biases and normalisation have none.
    steps, warmup_steps : int
        Length of the run and of the linear warm-up before the cosine decay.
    seed : int
    """

    def __init__(
        self, method: Method, *, lr: float, weight_decay: float, steps: int, warmup_steps: int, seed: int
    ) -> None:
        super().__init__()
        self.method = method
        self.lr = lr
        self.weight_decay = weight_decay
        self.steps = steps
        self.warmup_steps = warmup_steps
        self.seed = seed
        preprocessing: Preprocessing = method.encoder.preprocessing  # type: ignore[assignment]
        self.scale = preprocessing.scale
        self._looked = False

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Scale the strips and give the method's loss.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        self.train()  # an encoder out of a checkpoint comes in evaluation mode, and Lightning leaves it there
        torch.manual_seed(step_seed(self.seed, self.global_step, -1 - self.global_rank & 0xFFFF))
        begin_step(self.method, self.global_step, self.steps)
        sizes = {"signal": "length", "partner": "partner_length"}
        strips = {x: scale_strips(batch[x], self.scale, batch.get(n)) for x, n in sizes.items() if x in batch}
        loss = self.method.loss({**batch, **strips})
        check_loss(loss, self.global_step)
        self.log("loss", loss, prog_bar=True)
        return loss

    def on_after_backward(self) -> None:
        """Say once which layers of the encoder the loss does not reach."""
        if self._looked:
            return
        self._looked = True
        parts = self.method.encoder.named_parameters()
        idle = dict.fromkeys(name.split(".")[0] for name, p in parts if p.requires_grad and p.grad is None)
        if idle and self.global_rank == 0:
            warnings.warn(
                f"the method learns from features over time and does not reach {', '.join(idle)} of the encoder: its "
                "embedding is a random projection of what is learnt; fine-tune it, or pretrain another encoder",
                stacklevel=2,
            )

    def configure_optimizers(self) -> dict[str, Any]:
        """AdamW with a cosine schedule after a linear warm-up, stepped with every batch."""
        optimizer = adamw(decay_groups(self.method, self.weight_decay), self.lr)  # type: ignore[arg-type]
        scheduler = CosineWarmupScheduler(optimizer, self.warmup_steps, self.steps, end_value=1e-3)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
