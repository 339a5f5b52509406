"""Leads and scaling of strips, in torch, as an encoder's preprocessing says."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssl_ecg.preprocessing import Preprocessing, Scale

_TINY = 1e-6
"""Below this a lead counts as flat [mV]."""


def scale_strips(
    x: Float[Tensor, "batch lead time"], mode: Scale, lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch lead time"]:
    """Scale a batch of strips; absent and flat leads and padding stay zero.

    Parameters
    ----------
    x : Tensor (batch, lead, time) [mV]
    mode : {"none", "record", "lead"}
        As in `Preprocessing.scale`. "record" divides by the root mean square over the leads that are not all
        zero, so that the proportions between leads stay.
    lengths : int Tensor (batch,), optional
        Samples of each strip, where shorter ones are followed by zeros: these do not count.

    Examples
    --------
    >>> scale_strips(torch.full((1, 2, 4), 3.0), "record")[0, 0, 0].item()
    1.0
    """
    if mode == "none":
        return x
    n = torch.full((len(x), 1, 1), x.shape[2], device=x.device) if lengths is None else lengths[:, None, None]
    if mode == "lead":
        inside = torch.arange(x.shape[2], device=x.device) < n
        x = (x - x.sum(dim=2, keepdim=True) / n) * inside
        size = (x.square().sum(dim=2, keepdim=True) / n).sqrt()
    else:
        energy = torch.linalg.vector_norm(x, dim=2, keepdim=True).square()
        n_samples = (energy > 0).sum(dim=1, keepdim=True) * n
        size = (energy.sum(dim=1, keepdim=True) / n_samples.clamp(min=1)).sqrt()
    return x / size.masked_fill(size < _TINY, torch.inf)


def show_strips(x: Float[Tensor, "batch lead time"], preprocessing: Preprocessing) -> Float[Tensor, "batch lead time"]:
    """Take the leads that an encoder has never been shown as absent, and scale the strips.

    Examples
    --------
    >>> form = Preprocessing(leads=("I", "II"), shown=("II",), scale="none")
    >>> show_strips(torch.ones(1, 2, 1), form).flatten().tolist()
    [0.0, 1.0]
    """
    if preprocessing.shown is not None:
        x = x * torch.tensor(preprocessing.is_shown(), device=x.device)[:, None]
    return scale_strips(x, preprocessing.scale)
