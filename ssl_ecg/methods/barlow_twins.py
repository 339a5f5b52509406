"""Barlow Twins: the cross-correlation of two views is the identity matrix."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, contrast, gate
from ssl_ecg.methods.gathering import gathered


class BarlowTwins(nn.Module):
    """Redundancy reduction: each dimension agrees between views, and no two dimensions say the same.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the hidden layers of the projector, which has three, and of its output.
    redundancy : float
        Weight of the entries off the diagonal (lambda of the paper).

    References
    ----------
    Zbontar et al. 2021, arXiv 2103.03230, eq. 1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 512,
        redundancy: float = 5e-3,
    ) -> None:
        super().__init__()
        check_positive(hidden_dim=hidden_dim, out_dim=out_dim, redundancy=redundancy)
        from lightly.loss import BarlowTwinsLoss
        from lightly.models.modules.heads import BarlowTwinsProjectionHead

        self.encoder = encoder
        self.views = views
        self.projector = BarlowTwinsProjectionHead(int(encoder.dim), hidden_dim, out_dim)  # type: ignore[arg-type]
        self.criterion = BarlowTwinsLoss(lambda_param=redundancy)

    def loss(self, batch: Batch) -> Tensor:
        """Compare the cross-correlation of two views with the identity.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        gate(batch, at_least=2)
        return contrast(self.encoder, self.projector, self.views, self.correlate, batch)

    def correlate(self, first: Tensor, second: Tensor) -> Tensor:
        """Give the loss of the projections (local, dim) of two views."""
        # lightly's own gathering averages matrices, each standardised by the statistics of one process
        value: Tensor = self.criterion(gathered(first), gathered(second))
        return value
