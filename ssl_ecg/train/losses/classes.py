"""Losses of classification; what is unknown is masked, in no way negative."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import RecipeError
from ssl_ecg.train.losses.base import SupervisedLoss, balance
from ssl_ecg.train.losses.challenge import ChallengeScore
from ssl_ecg.train.losses.exclusive import CrossEntropy
from ssl_ecg.train.losses.values import MSE, Huber

_TINY = 1e-12
"""Floor of an error under a power: below 1 the power has no derivative at 0."""


class BCE(SupervisedLoss):
    """Binary cross-entropy, for every class on its own.

    Parameters
    ----------
    smoothing : float in [0, 1)
        Targets become ``(1 - smoothing) * target + smoothing / 2`` (Szegedy et al. 2016, arXiv 1512.00567,
        section 7, for two classes).

    Examples
    --------
    >>> known = torch.tensor([[True, False]])
    >>> round(float(BCE()(torch.zeros(1, 2), torch.ones(1, 2), known)), 4)
    0.6931
    """

    def __init__(self, *, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise RecipeError("loss.smoothing", f"is {smoothing}", "give a value from 0 to below 1")
        self.smoothing = smoothing

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        soft = target * (1 - self.smoothing) + self.smoothing / 2
        return F.binary_cross_entropy_with_logits(logits, soft, reduction="none")


class WeightedBCE(SupervisedLoss):
    """Binary cross-entropy in which the positives of a rare class weigh more.

    Parameters
    ----------
    power : float
        Positives weigh ``(negatives / positives) ** power``, counted in training: 1 balances every class, 0 is
        plain cross-entropy.
    largest : float
        No weight is beyond this, nor below its inverse.
    negative : float > 0
        Weight of negatives, those of positives apart: with ``power=0`` and 0.1, positives weigh ten times as much.
    """

    weight: Tensor

    def __init__(self, *, power: float = 1.0, largest: float = 20.0, negative: float = 1.0) -> None:
        super().__init__()
        if not (largest >= 1 and negative > 0):
            problem = f"largest {largest}, negative {negative}"
            raise RecipeError("loss", problem, "give 1 or more for the largest weight, and more than 0 for negatives")
        self.power = power
        self.largest = largest
        self.negative = negative
        self.register_buffer("weight", torch.ones(1))

    def set_priors(self, positive: Float[Tensor, " target"], negative: Float[Tensor, " target"]) -> None:
        """Set the weights of the positives."""
        self.weight = balance(positive, negative, self.power, self.largest).to(self.weight)

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        values = F.binary_cross_entropy_with_logits(logits, target, pos_weight=self.weight, reduction="none")
        return values if self.negative == 1 else values * torch.where(target > 0.5, 1.0, self.negative)


class Focal(SupervisedLoss):
    """Cross-entropy in which what is already right weighs little.

    Parameters
    ----------
    alpha : float in [0, 1], optional
        Weight of positives, and ``1 - alpha`` that of negatives; none unless given.
    gamma : float >= 0
        Exponent of the error ``1 - p``.
    power : float
        Classes, positives and negatives alike, weigh ``(negatives / positives) ** power``, counted in training;
        0 weighs all alike. (In `WeightedBCE` it is the positives alone.)
    largest : float
        No such weight is beyond this, nor below its inverse.

    References
    ----------
    Lin et al. 2017, arXiv 1708.02002, eq. 5.
    """

    weight: Tensor

    def __init__(
        self, *, alpha: float | None = None, gamma: float = 2.0, power: float = 0.0, largest: float = 20.0
    ) -> None:
        super().__init__()
        if gamma < 0 or not (alpha is None or 0 <= alpha <= 1) or not largest >= 1:
            problem = f"alpha {alpha}, gamma {gamma}, largest {largest}"
            raise RecipeError("loss", problem, "give alpha from 0 to 1, gamma of 0 or more, largest of 1 or more")
        self.alpha = alpha
        self.gamma = gamma
        self.power = power
        self.largest = largest
        self.register_buffer("weight", torch.ones(1))

    def set_priors(self, positive: Float[Tensor, " target"], negative: Float[Tensor, " target"]) -> None:
        """Set the weights of the classes."""
        self.weight = balance(positive, negative, self.power, self.largest).to(self.weight)

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        # 1 - p of the true answer, as the sigmoid of the logit against it: exact where p is near 1
        error = torch.sigmoid(torch.where(target > 0.5, -logits, logits)).clamp(min=_TINY)
        values = entropy * error**self.gamma * self.weight
        if self.alpha is None:
            return values
        return values * torch.where(target > 0.5, self.alpha, 1 - self.alpha)


class Asymmetric(SupervisedLoss):
    """Focal loss with its own exponents for positives and negatives, in which easy negatives count nothing.

    Parameters
    ----------
    gamma_positive, gamma_negative : float >= 0
    margin : float in [0, 1)
        Negatives with a probability below it are left out.

    References
    ----------
    Ridnik et al. 2021, arXiv 2009.14119, eq. 7.
    """

    def __init__(self, *, gamma_positive: float = 0.0, gamma_negative: float = 4.0, margin: float = 0.05) -> None:
        super().__init__()
        if min(gamma_positive, gamma_negative) < 0 or not 0 <= margin < 1:
            problem = f"gamma {gamma_positive} and {gamma_negative}, margin {margin}"
            raise RecipeError("loss", problem, "give gammas of 0 or more and a margin from 0 to below 1")
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.margin = margin

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        miss = torch.sigmoid(-logits).clamp(min=_TINY)
        positive = -F.logsigmoid(logits) * miss**self.gamma_positive
        # log(1 - p_m) = log(1 - p + margin) where p is above the margin, and 0 below
        shifted = (torch.sigmoid(logits) - self.margin).clamp(min=0)
        negative = -torch.log((miss + self.margin).clamp(max=1)) if self.margin else -F.logsigmoid(-logits)
        easy = torch.where(shifted > 0, shifted.clamp(min=_TINY) ** self.gamma_negative, 0.0)
        return torch.where(target > 0.5, positive, negative * (easy if self.gamma_negative else 1.0))


LOSSES: dict[str, type[SupervisedLoss]] = {
    "bce": BCE,
    "weighted_bce": WeightedBCE,
    "focal": Focal,
    "asymmetric": Asymmetric,
    "challenge": ChallengeScore,
    "cross_entropy": CrossEntropy,
    "mse": MSE,
    "huber": Huber,
}
"""The losses by name; the last two are for continuous targets, "cross_entropy" for one class of several."""
