"""Tokens of strips: what masked and predictive pretraining asks of an encoder."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.preprocessing import Preprocessing


@runtime_checkable
class TokenEncoder(Protocol):
    """An encoder whose tokens can be masked, encoded in part and predicted (JEPA, masked autoencoders).

    A token stands for `stride` samples of one lead or of all. Tokens are ordered row by row, (row, step) with the
    step running fastest, so that ``tokens.unflatten(1, encoder.grid(length))`` is the plane they lie in. Any subset
    of tokens may be passed on to `encode`, as positions are added before. For every encoder
    ``encoder(x, lengths) == encoder.pool(encoder.encode(*encoder.tokenise(x, lengths)), keep)``.

    Attributes
    ----------
    width : int
        Length of a token.
    dim, n_leads, n_features, stride, preprocessing
        As in `ssl_ecg.models.registry.Encoder`.
    tokens : {"lead", "joint"}
        Whether a row is a lead, or one row holds all.
    local : bool
        Whether a token sees its own samples only. If not, hidden patches have to be set to zero in the strip too.

    References
    ----------
    Na et al. 2024, ST-MEM, arXiv 2402.09450: patches over leads and time.
    """

    dim: int
    n_leads: int
    n_features: int
    stride: int
    preprocessing: Preprocessing
    width: int
    tokens: str
    local: bool

    def grid(self, length: int) -> tuple[int, int]:
        """Rows and steps of the tokens of strips of `length` samples."""

    def tokenise(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(batch, lead, time) -> tokens with their positions (batch, token, width), and which count (batch, token)."""

    def positions(self, x: Tensor) -> Tensor:
        """Embeddings of position and lead without content (token, width), for predictors and decoders."""

    def encode(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        """(batch, token, width) -> (batch, token, width); tokens that are not kept are not seen, and come out zero."""

    def pool(self, encoded: Tensor, keep: Tensor | None = None) -> Tensor:
        """(batch, token, width) -> (batch, dim)."""

    def forward_features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, lead, time) -> (batch, feature, step)."""

    def __call__(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, lead, time) -> (batch, dim)."""


def sincos(steps: int, width: int, device: torch.device | str | None = None) -> Float[Tensor, "step width"]:
    """Embed time steps by sines and cosines, any number of them; `width` is even.

    References
    ----------
    Vaswani et al. 2017, arXiv 1706.03762, section 3.5; sines first, then cosines.

    Examples
    --------
    >>> sincos(2, 4).double().numpy().round(2).tolist()
    [[0.0, 0.0, 1.0, 1.0], [0.84, 0.01, 0.54, 1.0]]
    """
    step = torch.arange(steps, dtype=torch.float64, device=device)
    wave = torch.arange(width // 2, dtype=torch.float64, device=device)
    angle = step[:, None] * 10000.0 ** (-2 * wave / width)
    return torch.cat([angle.sin(), angle.cos()], dim=1).float()


def patchify(x: Float[Tensor, "batch lead time"], patch: int) -> Float[Tensor, "batch lead step patch"]:
    """Cut strips into patches of `patch` samples; the last one is filled up with zeros.

    Examples
    --------
    >>> patchify(torch.arange(5.0).view(1, 1, 5), 2).tolist()
    [[[[0.0, 1.0], [2.0, 3.0], [4.0, 0.0]]]]
    """
    whole = F.pad(x, (0, -x.shape[-1] % patch))
    return whole.reshape(*x.shape[:2], -1, patch)
