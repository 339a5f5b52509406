"""The encoders by name."""

from __future__ import annotations

import difflib
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.lead_attention import LeadAttentionEncoder
from ssl_ecg.models.resnet import ResNet18, ResNet34
from ssl_ecg.models.resnet_lstm import ResNetLSTMEncoder
from ssl_ecg.models.s4 import S4Encoder
from ssl_ecg.models.transformer import TransformerEncoder
from ssl_ecg.models.xresnet import XResNet1d50, XResNet1d101
from ssl_ecg.preprocessing import Preprocessing


@runtime_checkable
class Encoder(Protocol):
    """What every encoder has (after timm): strips in, embeddings out."""

    dim: int
    n_leads: int
    n_features: int
    stride: int
    preprocessing: Preprocessing

    def forward_features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, lead, time) -> (batch, feature, step); `lengths` (batch,) where padding follows shorter strips."""

    def __call__(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, lead, time) -> (batch, dim)."""


ENCODERS: dict[str, type[nn.Module]] = {
    "conv1d": Conv1DEncoder,
    "resnet18": ResNet18,
    "resnet34": ResNet34,
    "xresnet1d50": XResNet1d50,
    "xresnet1d101": XResNet1d101,
    "resnet_lstm": ResNetLSTMEncoder,
    "lead_attention": LeadAttentionEncoder,
    "s4": S4Encoder,
    "transformer": TransformerEncoder,
}


def build_encoder(name: str, **kwargs: Any) -> nn.Module:
    """Build an untrained encoder.

    Parameters
    ----------
    name : str
        A key of `ENCODERS`.
    **kwargs
        Parameters of its class.

    Raises
    ------
    RecipeError
        If the name or a parameter is unknown.

    Examples
    --------
    >>> build_encoder("conv1d", widths=(8, 16)).dim
    16
    """
    if name not in ENCODERS:
        near = difflib.get_close_matches(name, ENCODERS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(ENCODERS)}"
        raise RecipeError("encoder", f"unknown encoder {name!r}", hint)
    try:
        return ENCODERS[name](**kwargs)
    except TypeError as error:
        raise RecipeError(f"encoder {name}", str(error), "see its parameters with help()") from None
