"""Scaling of strips, in torch, as an encoder's preprocessing says."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ssl_ecg.preprocessing import Scale

_TINY = 1e-6
"""Below this a lead counts as flat [mV]."""


def scale_strips(x: Float[Tensor, "batch lead time"], mode: Scale) -> Float[Tensor, "batch lead time"]:
    """Scale a batch of strips; absent and flat leads stay zero.

    Parameters
    ----------
    x : Tensor (batch, lead, time) [mV]
    mode : {"none", "record", "lead"}
        As in `Preprocessing.scale`. "record" divides by the root mean square over the leads that are not all
        zero, so that the proportions between leads stay.

    Examples
    --------
    >>> scale_strips(torch.full((1, 2, 4), 3.0), "record")[0, 0, 0].item()
    1.0
    """
    if mode == "none":
        return x
    if mode == "lead":
        x = x - x.mean(dim=2, keepdim=True)
        size = x.square().mean(dim=2, keepdim=True).sqrt()
    else:
        energy = torch.linalg.vector_norm(x, dim=2).square()
        n_samples = (energy > 0).sum(dim=1) * x.shape[2]
        size = (energy.sum(dim=1) / n_samples.clamp(min=1)).sqrt()[:, None, None]
    return x / size.masked_fill(size < _TINY, torch.inf)
