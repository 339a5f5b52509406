"""SimCLR: two views of a strip attract, views of different strips repel."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, contrast, gate
from ssl_ecg.methods.projector import make_projector


class SimCLR(nn.Module):
    """Normalised temperature-scaled cross-entropy between two augmented views.

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
        Small: hard negatives dominate; large: the embedding is spread more evenly.

    References
    ----------
    Chen et al. 2020, arXiv 2002.05709, eq. 1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        from lightly.loss import NTXentLoss

        self.encoder = encoder
        self.views = views
        self.projector = make_projector(encoder, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)
        self.criterion = NTXentLoss(temperature=temperature, gather_distributed=True)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast two views of every strip.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        gate(batch, at_least=2)
        return contrast(self.encoder, self.projector, self.views, self.criterion, batch)
