"""AdamW, and which parameters its weight decay may pull towards zero."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


def undecayed(module: nn.Module) -> set[int]:
    """Give the ids of the parameters that have no weight decay.

    These are vectors (biases, normalisation), and what a module within names in an attribute `without_decay`, such as
    the poles of a state space.

    Examples
    --------
    >>> layer = nn.Linear(2, 3)
    >>> undecayed(layer) == {id(layer.bias)}
    True
    """
    found = {id(p) for p in module.parameters() if p.ndim <= 1}
    for part in module.modules():
        names: Iterable[str] = getattr(part, "without_decay", ())
        found |= {id(getattr(part, name)) for name in names}
    return found


def decay_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Split the parameters that learn into those with weight decay and those without; see `undecayed`."""
    free = undecayed(module)
    learnt = [p for p in module.parameters() if p.requires_grad]
    decayed, others = [p for p in learnt if id(p) not in free], [p for p in learnt if id(p) in free]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def adamw(groups: list[dict[str, Any]], lr: float) -> torch.optim.AdamW:
    """Make the optimiser of every run; one pass over all numbers of a parameter in place of a dozen.

    References
    ----------
    Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    return torch.optim.AdamW(groups, lr=lr, fused=True)
