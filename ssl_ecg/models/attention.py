"""Pre-norm transformer blocks, for encoders, predictors and decoders."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError


def attend(
    q: Float[Tensor, "*batch query size"],
    k: Float[Tensor, "*batch key size"],
    v: Float[Tensor, "*batch key size"],
    mask: Bool[Tensor, "#*batch #query key"] | None = None,
) -> Float[Tensor, "*batch query size"]:
    """Give ``softmax(q k' / sqrt(size)) v`` over the keys where the mask, which broadcasts, is True.

    References
    ----------
    Vaswani et al. 2017, arXiv 1706.03762, equation 1.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:  # its backward pass takes three times as long
        q, k, v = q.float(), k.float(), v.float()
    with torch.autocast(q.device.type, enabled=False):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to those that are kept."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise SignalError("attention", f"width {width} for {heads} heads", "give a width that the heads divide")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "batch token width"], keep: Bool[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch token width"]:
        """Attend; a token that is not kept is attended to by none."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = attend(q, k, v, None if keep is None else keep[:, None, None])
        out: Tensor = self.out(y.transpose(1, 2).flatten(2))
        return out


class DropPath(nn.Module):
    """Leave a residual branch out for whole strips in training (Huang et al. 2016, arXiv 1603.09382)."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0 <= rate < 1:
            raise SignalError("drop path", f"rate {rate}", "give a rate from 0 to below 1")
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """Set the branch to zero with probability `rate`, and scale what is left so that the mean stays."""
        if not self.training or self.rate == 0:
            return x
        stays = torch.rand(x.shape[0], *[1] * (x.ndim - 1), device=x.device) >= self.rate
        return x * (stays / (1 - self.rate)).to(x.dtype)


def drop_path_rates(last: float, blocks: int) -> list[float]:
    """Give the rate of each block: from none in the first to `last` in the last, which a single block is.

    Examples
    --------
    >>> drop_path_rates(0.5, 3), drop_path_rates(0.5, 1)
    ([0.0, 0.25, 0.5], [0.5])
    """
    return [last * block / (blocks - 1) for block in range(blocks)] if blocks > 1 else [last] * blocks


class TransformerBlock(nn.Module):
    """Attention and a two-layer perceptron, each behind a layer normalisation and beside a shortcut.

    Parameters
    ----------
    width, heads : int
    ratio : float
        Hidden units of the perceptron per unit of `width`.
    drop_path : float

    Examples
    --------
    >>> TransformerBlock(16, 2)(torch.zeros(3, 7, 16)).shape
    torch.Size([3, 7, 16])

    References
    ----------
    Dosovitskiy et al. 2021, arXiv 2010.11929, equations 2 and 3.
    """

    def __init__(self, width: int, heads: int, *, ratio: float = 4.0, drop_path: float = 0.0) -> None:
        super().__init__()
        hidden = int(width * ratio)
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.drop_path = DropPath(drop_path)

    def forward(
        self, x: Float[Tensor, "batch token width"], keep: Bool[Tensor, "batch token"] | None = None
    ) -> Float[Tensor, "batch token width"]:
        """Apply the block."""
        x = x + self.drop_path(self.attention(self.norm1(x), keep))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


def init_transformer(module: nn.Module) -> None:
    """Draw linear weights as vision transformers do: truncated normal of 0.02, no bias; for `Module.apply`."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
