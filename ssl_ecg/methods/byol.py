"""BYOL: predict what a slowly moving teacher makes of the other view; there are no negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.teacher import TaughtMethod


class BYOL(TaughtMethod):
    """Bootstrap your own latent: regression of a teacher's projection, in both directions.

    Released is the encoder that learns, as in the paper, not the teacher.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the hidden layer of projector and predictor, and of their output.
    momentum : float
        Of the teacher in the first step; it rises to 1 over the run. The paper's 0.996 is for runs of many thousand
        steps.

    References
    ----------
    Grill et al. 2020, arXiv 2006.07733, eq. 2, and the sum of both directions below it.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 128,
        momentum: float = 0.99,
    ) -> None:
        check_positive(hidden_dim=hidden_dim, out_dim=out_dim)
        from lightly.loss import NegativeCosineSimilarity
        from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead

        projector = BYOLProjectionHead(int(encoder.dim), hidden_dim, out_dim)  # type: ignore[arg-type]
        super().__init__(encoder, views, projector, momentum=momentum)
        self.predictor = BYOLPredictionHead(out_dim, hidden_dim, out_dim)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, batch: Batch) -> Tensor:
        """Give the squared distance of prediction and teacher, both of length one: from 0 to 8, as two are added.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips, which batch normalisation needs, or is not finite.
        """
        signal = gate(batch, at_least=2)
        pair = make_views(self.views, batch, n_views=2)
        projected, targets = self.project(*pair), self.teach(*pair)
        with torch.autocast(signal.device.type, enabled=False):
            first, second = targets.chunk(2)
            # the mean over both directions, twice; a squared distance on the sphere is 2 - 2 cosine
            cosine = -self.criterion(self.predictor(projected), torch.cat([second, first]))
            distance: Tensor = 2 * (2 - 2 * cosine)
            return distance
