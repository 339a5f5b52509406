"""MoCo v3: a view's query finds the key that a momentum encoder makes of the other view."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.gathering import info_nce
from ssl_ecg.methods.projector import check_layers
from ssl_ecg.methods.teacher import TaughtMethod


class MoCo(TaughtMethod):
    """Momentum contrast, version 3: the keys of the batch are the negatives; there is no queue.

    Released is the encoder that learns, as in the paper, not the teacher.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the hidden layers of projector and predictor, and of their output.
    layers : int
        Layers of the projector; the predictor has two.
    temperature : float
        Divides the cosines; 0.2 in the paper.
    momentum : float
        Of the teacher in the first step; it rises to 1 over the run.

    References
    ----------
    Chen et al. 2021, arXiv 2104.02057, eq. 1 and algorithm 1 (whence the factor 2 temperature).
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 3,
        temperature: float = 0.2,
        momentum: float = 0.99,
    ) -> None:
        check_positive(hidden_dim=hidden_dim, out_dim=out_dim, temperature=temperature)
        check_layers(layers)
        from lightly.models.modules.heads import MoCoProjectionHead

        width = int(encoder.dim)  # type: ignore[arg-type]
        projector = MoCoProjectionHead(width, hidden_dim, out_dim, num_layers=layers, batch_norm=True)
        super().__init__(encoder, views, projector, momentum=momentum)
        self.predictor = MoCoProjectionHead(out_dim, hidden_dim, out_dim, num_layers=2, batch_norm=True)
        self.temperature = temperature

    def loss(self, batch: Batch) -> Tensor:
        """Contrast the queries of each view with the keys of the other.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        signal = gate(batch, at_least=2)
        pair = make_views(self.views, batch, n_views=2)
        projected, keys = self.project(*pair), self.teach(*pair)
        with torch.autocast(signal.device.type, enabled=False):
            queries = self.predictor(projected)
            return contrast_crosswise(queries, keys, self.temperature)


def contrast_crosswise(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Sum over the two views of 2 temperature InfoNCE(queries of the one, keys of the other).

    Parameters
    ----------
    queries, keys : Tensor (2 local, dim)
        The first view of all strips, then the second.
    temperature : float
    """
    (query_a, query_b), (key_a, key_b) = queries.chunk(2), keys.chunk(2)
    return 2 * temperature * (info_nce(query_a, key_b, temperature) + info_nce(query_b, key_a, temperature))
