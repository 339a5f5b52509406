"""Regression of what is known of a whole recording from the embedding of a view of it."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.methods.gathering import mean_of_all


def make_guide(encoder: nn.Module, hidden_dim: int, n_targets: int) -> nn.Sequential:
    """Build the regression that stands on an encoder and is thrown away afterwards: one hidden layer.

    Examples
    --------
    >>> encoder = nn.Identity()
    >>> encoder.dim = 4
    >>> [type(layer).__name__ for layer in make_guide(encoder, 8, 3)]
    ['BatchNorm1d', 'Linear', 'ReLU', 'Linear']
    """
    dim = int(encoder.dim)  # type: ignore[arg-type]
    return nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Linear(hidden_dim, n_targets))


def guide_error(
    guide: nn.Module,
    embeddings: Float[Tensor, "rows dim"],
    target: Float[Tensor, "rows target"],
    known: Bool[Tensor, "rows target"],
) -> Float[Tensor, ""]:
    """Give the mean squared error of the targets that are known."""
    return mean_of_all((guide(embeddings) - target).square(), known)
