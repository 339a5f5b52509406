"""Losses of continuous targets such as age, on the scale of the training records."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError
from ssl_ecg.train.losses.base import Logits, SupervisedLoss


class ValueLoss(SupervisedLoss):
    """Base of the losses of numbers: what a head puts out is the answer, in standard deviations from the mean."""

    continuous: ClassVar[bool] = True

    def answers(self, logits: Logits) -> Tensor:
        """Give the outputs as they are."""
        return logits.double()


class MSE(ValueLoss):
    """Squared error."""

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        return (logits - target).square()


class Huber(ValueLoss):
    """Squared error of small errors, absolute error of large ones.

    Parameters
    ----------
    delta : float
        Where it goes from one to the other, in standard deviations of the target.

    References
    ----------
    Huber 1964, doi 10.1214/aoms/1177703732.
    """

    def __init__(self, *, delta: float = 1.0) -> None:
        super().__init__()
        if not delta > 0:
            raise RecipeError("loss.delta", f"is {delta}", "give a number above zero")
        self.delta = delta

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(logits, target, reduction="none", delta=self.delta)
