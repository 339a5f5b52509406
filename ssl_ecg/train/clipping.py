"""Clips gradients where Lightning will not."""

from __future__ import annotations

import pytorch_lightning as pl
import torch


class Clipping(pl.LightningModule):
    """A module of Lightning whose gradients are clipped to a norm, whatever the precision and the optimiser.

    Under mixed precision Lightning refuses to clip for a fused optimiser, which may scale its gradients within. Only
    float16 needs that; bfloat16 has no scaler.
    """

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients together to ``gradient_clip_val``; 0 and none leave them."""
        if gradient_clip_val:
            learnt = [p for group in optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(learnt, gradient_clip_val)
