"""What every loss of multi-label classification does: what is unknown is masked, in no way negative."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

Logits = Float[Tensor, "batch target"]
Mask = Bool[Tensor, "batch target"]


class SupervisedLoss(nn.Module):
    """Base of the losses: a value for every label, averaged over the known ones."""

    def set_priors(self, positive: Float[Tensor, " target"], negative: Float[Tensor, " target"]) -> None:
        """Tell the numbers of positive and negative training records of each class."""

    def forward(self, logits: Logits, target: Float[Tensor, "batch target"], mask: Mask) -> Float[Tensor, ""]:
        """Give the mean over known labels; zero, with a gradient of zero, where none is known.

        Parameters
        ----------
        logits : Tensor (batch, target)
        target : Tensor (batch, target)
            0 or 1; anything where the mask is False.
        mask : bool Tensor (batch, target)
            True where a label is known.
        """
        values = self._each(logits.float(), torch.where(mask, target, 0.0))
        total: Tensor = torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)
        return total

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError
