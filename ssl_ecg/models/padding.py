"""Records of different length in one batch: which steps are padding, and pooling that leaves them out.

A strip that is shorter than its batch stands at the start of its row, followed by zeros. Every encoder takes
`lengths` and then gives what it would give for each strip alone.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import SignalError


def step_mask(lengths: Int[Tensor, " batch"] | None, length: int, stride: int) -> Bool[Tensor, "batch 1 step"] | None:
    """Tell which steps of a feature map belong to a strip.

    Parameters
    ----------
    lengths : int Tensor (batch,) or None
        Samples of each strip; None if all are whole.
    length : int
        Samples of the batch.
    stride : int
        Samples per step; ``step = ceil(length / stride)``.

    Raises
    ------
    SignalError
        If a length is below one or beyond the batch.

    Examples
    --------
    >>> step_mask(torch.tensor([5, 8]), 8, 4).int()[:, 0].tolist()
    [[1, 1], [1, 1]]
    >>> step_mask(torch.tensor([4, 8]), 8, 4).int()[:, 0].tolist()
    [[1, 0], [1, 1]]
    """
    if lengths is None:
        return None
    if bool((lengths < 1).any()) or bool((lengths > length).any()):
        problem = f"lengths from {int(lengths.min())} to {int(lengths.max())} in a batch of {length} samples"
        raise SignalError("batch", problem, "give for each strip the number of its samples before the padding")
    steps = torch.arange(-(-length // stride), device=lengths.device)
    return (steps[None] * stride < lengths[:, None])[:, None]


def halve_mask(mask: Bool[Tensor, "batch 1 step"] | None, stride: int) -> Bool[Tensor, "batch 1 shorter"] | None:
    """Give the mask of a feature map after a stride."""
    return mask if mask is None or stride == 1 else mask[..., ::stride]


def average_pool(
    x: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None, stride: int
) -> Float[Tensor, "batch feature shorter"]:
    """Average over `stride` steps, at a strip's end over those that are left; padding is zero in `x`."""
    if mask is None:
        return F.avg_pool1d(x, stride, stride, ceil_mode=True)
    share = F.avg_pool1d(mask.to(x.dtype), stride, stride, ceil_mode=True)
    pooled: Tensor = F.avg_pool1d(x, stride, stride, ceil_mode=True) / share.clamp(min=1 / (stride + 1))
    return pooled


def pool_mean(
    x: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None = None
) -> Float[Tensor, "batch feature"]:
    """Average over the steps of each strip."""
    if mask is None:
        return x.mean(dim=2)
    return (x * mask).sum(dim=2) / mask.sum(dim=2)


def pool_max(
    x: Float[Tensor, "batch feature step"], mask: Bool[Tensor, "batch 1 step"] | None = None
) -> Float[Tensor, "batch feature"]:
    """Take the largest value over the steps of each strip."""
    return (x if mask is None else x.masked_fill(~mask, -torch.inf)).amax(dim=2)


def present_leads(x: Float[Tensor, "batch lead time"]) -> Bool[Tensor, "batch lead"]:
    """Tell which leads were recorded: an absent or masked lead is zero throughout.

    A strip without any lead counts as having all, so that attention has something to attend to.
    """
    present = (x != 0).any(dim=2)
    return present | ~present.any(dim=1, keepdim=True)
