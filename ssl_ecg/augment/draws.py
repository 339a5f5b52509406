"""Random draws for augmentations: one small tensor a transform, from torch's generator.

Draws are made where the generator lives, the processor by default, and then moved: they are a few
numbers per strip, the same seed gives the same views on every device, and choosing the strips that a
transform touches needs no wait for the accelerator. Torch seeds its generator anew in every worker and
epoch, which a NumPy generator held on a transform does not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def uniform(*shape: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw from [0, 1) on the processor.

    Examples
    --------
    >>> uniform(2, 3).shape
    torch.Size([2, 3])
    """
    if generator is None:
        return torch.rand(shape)
    return torch.rand(shape, generator=generator, device=generator.device).cpu()


def normal(*shape: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw from the standard normal distribution on the processor."""
    if generator is None:
        return torch.randn(shape)
    return torch.randn(shape, generator=generator, device=generator.device).cpu()


def between(draw: Tensor, low: float, high: float) -> Tensor:
    """Map draws from [0, 1) to [low, high).

    Examples
    --------
    >>> between(torch.tensor([0.0, 0.5]), 2.0, 4.0).tolist()
    [2.0, 3.0]
    """
    return draw * (high - low) + low


def factor(draw: Tensor, largest: float) -> Tensor:
    """Map draws from [0, 1) to factors in [1 / largest, largest), even on a logarithmic scale.

    Examples
    --------
    >>> factor(torch.tensor([0.0, 0.5]), 2.0).tolist()
    [0.5, 1.0]
    """
    return torch.exp(between(draw, -1.0, 1.0) * math.log(largest))


def integers(draw: Tensor, count: int) -> Tensor:
    """Map draws from [0, 1) to int64 in 0 .. count - 1.

    Examples
    --------
    >>> integers(torch.tensor([0.0, 0.99]), 5).tolist()
    [0, 4]
    """
    return (draw.double() * count).long().clamp_(max=count - 1)
