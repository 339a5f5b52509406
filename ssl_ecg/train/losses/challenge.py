"""The score of the PhysioNet/CinC Challenge 2021 as a loss."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.processes import sum_of_all, world_size
from ssl_ecg.tasks.cinc2021 import challenge_weights
from ssl_ecg.train.losses.base import Logits, Mask, SupervisedLoss


def soft_challenge_score(
    proba: Float[Tensor, "batch target"],
    target: Float[Tensor, "batch target"],
    mask: Bool[Tensor, "batch target"],
    weights: Float[Tensor, "target target"],
) -> Float[Tensor, ""]:
    """Give the challenge's score before it is normalised, of probabilities in place of decisions.

    With y the labels and p the probabilities of record i,

    ``score = sum_i sum_(j, k) W_jk y_ij p_ik / n_i``, ``n_i = max(1, sum_k (y_ik + p_ik - y_ik p_ik))``.

    Where all p are 0 or 1, n_i is the number of classes that are in the labels or in the answer, and the score is the
    challenge's. Unknown labels, and the answers for them, are left out.

    References
    ----------
    Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687 (the score).

    Examples
    --------
    >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> known = torch.ones(2, 2, dtype=torch.bool)
    >>> float(soft_challenge_score(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), rows, known, torch.eye(2)))
    0.5
    """
    y, p = torch.where(mask, target, 0.0), torch.where(mask, proba, 0.0)
    either = (y + p - y * p).sum(dim=1).clamp(min=1)
    score: Tensor = (((y @ weights) * p).sum(dim=1) / either).sum()
    return score


class ChallengeScore(SupervisedLoss):
    """Cross-entropy less the challenge's score, with a term that draws probabilities to 0 and 1; for `cinc26`.

    ``bce * BCE - score * (score of the batch / records with a known label) + sparsity * mean 4 p (1 - p)``

    Parameters
    ----------
    bce, score, sparsity : float >= 0
        Weights of the three parts.

    Notes
    -----
    The winner of 2021 optimised these three; how it weighed and wrote the first and the last is not copied here.

    References
    ----------
    Nejedly et al. 2021, doi 10.23919/CinC53138.2021.9662723.
    """

    weights: Tensor

    def __init__(self, *, bce: float = 1.0, score: float = 1.0, sparsity: float = 0.0) -> None:
        super().__init__()
        if not (min(bce, score, sparsity) >= 0 and max(bce, score, sparsity) > 0):
            problem = f"weights {bce}, {score}, {sparsity}"
            raise RecipeError("loss", problem, "give 0 or more for bce, score and sparsity, and not 0 for all")
        self.bce, self.score, self.sparsity = bce, score, sparsity
        self.register_buffer("weights", torch.from_numpy(challenge_weights()).float())

    def forward(self, logits: Logits, target: Float[Tensor, "batch target"], mask: Mask) -> Float[Tensor, ""]:
        """Give the loss over known labels; see `SupervisedLoss.forward`.

        Raises
        ------
        LabelError
            If the classes are not those of the challenge.
        """
        if logits.shape[1] != len(self.weights):
            problem = f"weighs the {len(self.weights)} classes of cinc26, the task has {logits.shape[1]}"
            raise LabelError("loss 'challenge'", problem, "take the task cinc26, or another loss")
        value = super().forward(logits, target, mask)
        if not self.score:
            return value
        known = sum_of_all(mask.any(dim=1).sum()).clamp(min=1)
        gained = soft_challenge_score(logits.float().sigmoid(), target, mask, self.weights) * world_size()
        return value - self.score * gained / known

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return self.bce * entropy + self.sparsity * 4 * p * torch.sigmoid(-logits)
