"""The projector of the methods that contrast embeddings; it is thrown away afterwards."""

from __future__ import annotations

from torch import nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import check_positive


def make_projector(encoder: nn.Module, *, hidden_dim: int, out_dim: int, layers: int) -> nn.Module:
    """Make a perceptron with batch normalisation, from embeddings to what is compared.

    Parameters
    ----------
    encoder : nn.Module
        With `.dim`.
    hidden_dim, out_dim : int
        Width of the hidden layers and of the output.
    layers : int
        1: a linear map.

    Raises
    ------
    RecipeError
        If a parameter is not above zero.

    References
    ----------
    Chen et al. 2020, arXiv 2002.05709, section 2.1; with batch normalisation, arXiv 2006.10029.
    """
    check_positive(hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)
    from lightly.models.modules.heads import ProjectionHead, SimCLRProjectionHead

    dim = int(encoder.dim)  # type: ignore[arg-type]
    head: nn.Module = (
        ProjectionHead([(dim, out_dim, nn.BatchNorm1d(out_dim), None)])  # of one, SimCLRProjectionHead makes two
        if layers == 1
        else SimCLRProjectionHead(dim, hidden_dim, out_dim, num_layers=layers)
    )
    return head


def check_layers(layers: int) -> None:
    """Refuse fewer than two layers where the projector has a hidden one at least.

    Raises
    ------
    RecipeError
    """
    if layers < 2:
        raise RecipeError("method.layers", f"is {layers}", "give 2 or more")
