"""What the processes of one run know of each other."""

from __future__ import annotations

import torch
import torch.distributed
from jaxtyping import Shaped
from torch import Tensor


def world_size() -> int:
    """Give the number of processes of this run."""
    parallel = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if parallel else 1


def rank() -> int:
    """Give the number of this process, from 0."""
    return torch.distributed.get_rank() if world_size() > 1 else 0


def sum_of_all(x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
    """Sum over the processes; gradients flow back to each of them.

    Examples
    --------
    >>> sum_of_all(torch.ones(2)).tolist()
    [1.0, 1.0]
    """
    if world_size() == 1:
        return x
    summed: Tensor = _Sum.apply(x)
    return summed


class _Sum(torch.autograd.Function):
    """The sum over the processes, which all have as their own; so its gradient is the sum of their gradients."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total
