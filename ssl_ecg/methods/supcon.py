"""Supervised contrast for several labels: strips attract each other by how many labels they share."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, contrast, gate, targets_of
from ssl_ecg.methods.gathering import gathered
from ssl_ecg.methods.positives import multi_positive_loss, strip_numbers
from ssl_ecg.methods.projector import make_projector


class SupCon(nn.Module):
    """Contrast in which labelled strips attract those that share labels, and unlabelled ones their other view.

    For an unlabelled strip the loss is that of SimCLR. For a labelled one the target is a mixture: `label_weight` of
    it is spread over the views of all labelled strips of the batch in proportion to the overlap of labels, and the
    rest is its own other view, which keeps apart what the labels do not tell apart.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the projector's hidden layers and of its output.
    layers : int
        Layers of the projector.
    temperature : float
        Divides the cosines.
    label_weight : float
        From 0, which is SimCLR, to 1, which is supervised contrast wherever labels are known.

    References
    ----------
    Khosla et al. 2020, arXiv 2004.11362, eq. 2. Zhang and Wu 2024, Multi-Label Supervised Contrastive Learning,
    AAAI (weights by the overlap of labels; here their Jaccard index).
    """

    learns_from_labels: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
        label_weight: float = 0.5,
    ) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        if not 0 <= label_weight <= 1:
            raise RecipeError("method.label_weight", f"is {label_weight}", "give a share, from 0 to 1")
        self.encoder = encoder
        self.views = views
        self.projector = make_projector(encoder, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)
        self.temperature, self.label_weight = temperature, label_weight

    def loss(self, batch: Batch) -> Tensor:
        """Contrast two views of every strip with those of all others.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips, is not finite or has no targets.
        """
        gate(batch, at_least=2)
        weights = self.pair_weights(*targets_of(batch))

        def criterion(first: Tensor, second: Tensor) -> Tensor:
            return multi_positive_loss(torch.cat([first, second]), None, self.temperature, weights=weights)

        return contrast(self.encoder, self.projector, self.views, criterion, batch)

    def pair_weights(
        self, target: Float[Tensor, "local class"], known: Bool[Tensor, "local class"]
    ) -> Float[Tensor, "views all"]:
        """Weigh every view of every process as a positive of each view of this one; rows add up to one."""
        n = len(target)
        target, known = (target * known).repeat(2, 1), known.float().repeat(2, 1)
        targets, knowns = gathered(target), gathered(known)
        places = torch.arange(len(targets), device=target.device)  # of the views: both of each process, by rank
        strips = places // (2 * n) * n + places % n
        here = strip_numbers(2 * n, target.device)
        itself = here[:, None] == places
        own = ((strips[here, None] == strips) & ~itself).float()
        overlap = label_overlap(target, known, targets, knowns) * ~itself
        total = overlap.sum(1, keepdim=True)
        mixed = (1 - self.label_weight) * own + self.label_weight * overlap / total.clamp(min=1e-12)
        return torch.where(total > 0, mixed, own)


def label_overlap(
    a: Float[Tensor, "n class"],
    known_a: Float[Tensor, "n class"],
    b: Float[Tensor, "m class"],
    known_b: Float[Tensor, "m class"],
) -> Float[Tensor, "n m"]:
    """Give the Jaccard index of the labels of each pair, over the classes that are known of both.

    Two that are known to have none of the classes are alike; two of which no class is known in common are not.

    Parameters
    ----------
    a, b : Tensor (n, class), (m, class)
        1 where a class is present, 0 elsewhere, also where it is not known.
    known_a, known_b : Tensor (n, class), (m, class)
        1 where it is known, 0 elsewhere.

    Examples
    --------
    >>> labels = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    >>> known = torch.ones(3, 2)
    >>> label_overlap(labels, known, labels, known)[0].tolist()
    [1.0, 0.5, 0.0]
    """
    shared = a @ b.T
    either = a @ known_b.T + known_a @ b.T - shared
    alike = torch.where(either > 0, shared / either.clamp(min=1), 1.0)
    return torch.where(known_a @ known_b.T > 0, alike, 0.0)
