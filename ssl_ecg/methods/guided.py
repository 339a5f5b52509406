"""SimCLR whose embeddings must also tell what can be measured on a recording."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, encode, gate, make_views, targets_of
from ssl_ecg.methods.guide import guide_error, make_guide
from ssl_ecg.methods.simclr import SimCLR


class Guided(SimCLR):
    """Contrast of two views, and regression of measurements of the whole recording from each of them.

    The measurements, such as rates, amplitudes and intervals, are computed from the signal without labels
    (`data.measures` in a recipe; with `data.teacher` a teacher's embedding takes their place). A view that is short,
    noisy or lacks leads has to tell what the whole recording shows, so that the embedding keeps what physicians measure
    beside what tells recordings apart.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    n_targets : int
        Measurements of a recording; given by the archive in a recipe.
    guidance : float
        Weight of the regression beside the contrast.
    guide_dim : int
        Width of the hidden layer of the regression, which is thrown away afterwards.
    hidden_dim, out_dim : int
        Width of the projector's hidden layers and of its output.
    layers : int
        Layers of the projector.
    temperature : float
        Divides the cosines.

    References
    ----------
    Chen et al. 2020, arXiv 2002.05709, eq. 1, for the contrast.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        n_targets: int,
        guidance: float = 5.0,
        guide_dim: int = 512,
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
    ) -> None:
        check_positive(n_targets=n_targets, guidance=guidance, guide_dim=guide_dim)
        super().__init__(encoder, views, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers, temperature=temperature)
        self.guidance = guidance
        self.guide = make_guide(encoder, guide_dim, n_targets)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast two views of every strip, and add the weighted squared error of the measurements.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips, is not finite or has no targets.
        """
        gate(batch, at_least=2)
        target, known = targets_of(batch)
        embeddings = encode(self.encoder, *make_views(self.views, batch, n_views=2))
        with torch.autocast(embeddings.device.type, enabled=False):
            first, second = self.projector(embeddings).chunk(2)
            contrast: Tensor = self.criterion(first, second)
            error = guide_error(self.guide, embeddings, target.repeat(2, 1), known.repeat(2, 1))
            return contrast + self.guidance * error
