"""What every loss of fine-tuning does: what is unknown is masked, in no way negative."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.methods.gathering import mean_of_all

Logits = Float[Tensor, "batch target"]
Mask = Bool[Tensor, "batch target"]


class SupervisedLoss(nn.Module):
    """Base of the losses: a value for every label, averaged over the known ones of the batch.

    Where several processes have a part of the batch each, the mean of what they give is that of one process.
    """

    continuous: ClassVar[bool] = False
    """Whether targets are numbers; else they are classes."""
    exclusive: ClassVar[bool] = False
    """Whether a record has one class and no other."""

    def answers(self, logits: Logits) -> Tensor:
        """Give what the outputs mean: probabilities, in float64."""
        return torch.sigmoid(logits.double())

    def set_priors(self, positive: Float[Tensor, " target"], negative: Float[Tensor, " target"]) -> None:
        """Tell the numbers of positive and negative training records of each class."""

    def forward(self, logits: Logits, target: Float[Tensor, "batch target"], mask: Mask) -> Float[Tensor, ""]:
        """Give the mean over known labels; zero, with a gradient of zero, where none is known.

        Parameters
        ----------
        logits : Tensor (batch, target)
        target : Tensor (batch, target)
            0 or 1, or numbers; anything where the mask is False.
        mask : bool Tensor (batch, target)
            True where a label is known.
        """
        values = self._each(logits.float(), torch.where(mask, target, 0.0))
        return mean_of_all(torch.where(mask, values, 0.0), mask)

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        raise NotImplementedError


def balance(
    positive: Float[Tensor, " target"], negative: Float[Tensor, " target"], power: float, largest: float
) -> Float[Tensor, " target"]:
    """Give ``(negative / positive) ** power`` for each class, from ``1 / largest`` to `largest`.

    Examples
    --------
    >>> balance(torch.tensor([2.0, 5.0]), torch.tensor([8.0, 5.0]), 1.0, 3.0).tolist()
    [3.0, 1.0]
    """
    ratio = negative.clamp(min=1) / positive.clamp(min=1)
    return (ratio**power).clamp(1 / largest, largest)
