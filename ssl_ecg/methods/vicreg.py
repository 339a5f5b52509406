"""VICReg: views agree, every dimension keeps its variance, dimensions do not repeat each other."""

from __future__ import annotations

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, contrast, gate
from ssl_ecg.methods.projector import check_layers


class VICReg(nn.Module):
    """Variance-invariance-covariance regularisation between two augmented views; needs no negatives.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the expander's hidden layers and of its output.
    layers : int
        Layers of the expander.
    invariance, variance, covariance : float
        Weights of the three terms (lambda, mu and nu of the paper), on the scales of its authors' code: the squared
        distance is a mean over the numbers of an embedding, not their sum, and the variance a mean over both views.

    References
    ----------
    Bardes et al. 2022, arXiv 2105.04906, eq. 6.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 512,
        layers: int = 3,
        invariance: float = 25.0,
        variance: float = 25.0,
        covariance: float = 1.0,
    ) -> None:
        super().__init__()
        check_positive(hidden_dim=hidden_dim, out_dim=out_dim)
        check_layers(layers)
        from lightly.loss import VICRegLoss
        from lightly.models.modules.heads import VICRegProjectionHead

        self.encoder = encoder
        self.views = views
        self.projector = VICRegProjectionHead(int(encoder.dim), hidden_dim, out_dim, num_layers=layers)  # type: ignore[arg-type]
        self.criterion = VICRegLoss(
            lambda_param=invariance, mu_param=variance, nu_param=covariance, gather_distributed=True
        )

    def loss(self, batch: Batch) -> Tensor:
        """Regularise two views of every strip.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        gate(batch, at_least=2)
        return contrast(self.encoder, self.projector, self.views, self.criterion, batch)
