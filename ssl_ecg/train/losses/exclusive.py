"""The loss of classes of which a record has one."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.gathering import mean_of_all
from ssl_ecg.train.losses.base import Logits, Mask, SupervisedLoss, balance

_NEVER = -1e30
"""Logit of a class of which nothing is known."""


class CrossEntropy(SupervisedLoss):
    """Cross-entropy of the softmax over all classes, averaged over the records whose class is known.

    A class of which nothing is known for a record is left out of its softmax.

    Parameters
    ----------
    smoothing : float in [0, 1)
        The class gets ``1 - smoothing``, and all classes alike share the rest (Szegedy et al. 2016, arXiv 1512.00567,
        section 7).
    power : float
        Records of a class weigh ``(records of others / its records) ** power``, counted in training; 0 weighs all
        alike.
    largest : float
        No such weight is beyond this, nor below its inverse.

    Examples
    --------
    >>> known = torch.ones(1, 4, dtype=torch.bool)
    >>> round(float(CrossEntropy()(torch.zeros(1, 4), torch.eye(4)[:1], known)), 4)  # log 4
    1.3863
    """

    exclusive: ClassVar[bool] = True
    weight: Tensor

    def __init__(self, *, smoothing: float = 0.0, power: float = 0.0, largest: float = 20.0) -> None:
        super().__init__()
        if not (0 <= smoothing < 1 and largest >= 1):
            problem = f"smoothing {smoothing}, largest {largest}"
            raise RecipeError("loss", problem, "give a smoothing from 0 to below 1, and 1 or more for largest")
        self.smoothing, self.power, self.largest = smoothing, power, largest
        self.register_buffer("weight", torch.ones(1))

    def answers(self, logits: Logits) -> Tensor:
        """Give probabilities that sum to one, in float64."""
        return torch.softmax(logits.double(), dim=1)

    def set_priors(self, positive: Float[Tensor, " target"], negative: Float[Tensor, " target"]) -> None:
        """Set the weights of the classes."""
        self.weight = balance(positive, negative, self.power, self.largest).to(self.weight)

    def forward(self, logits: Logits, target: Float[Tensor, "batch target"], mask: Mask) -> Float[Tensor, ""]:
        """Give the mean over records with a known class; zero, with a gradient of zero, where there is none.

        Parameters are those of `SupervisedLoss.forward`.
        """
        present = torch.where(mask, target, 0.0)
        told = present.sum(dim=1) > 0
        wanted = present / present.sum(dim=1, keepdim=True).clamp(min=1)
        if self.smoothing:
            even = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
            wanted = (1 - self.smoothing) * wanted + self.smoothing * even
        log_proba = F.log_softmax(torch.where(mask, logits.float(), _NEVER), dim=1)
        entropy = -torch.where(mask & told[:, None], wanted * log_proba, 0.0).sum(dim=1)
        weights = (present * self.weight).sum(dim=1) / present.sum(dim=1).clamp(min=1)
        return mean_of_all(entropy * weights, told)
