"""Fixed strips of a run: what the monitor embeds, and what batch normalisation is settled on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_ecg.data.strips import Strips
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips

_FIXED = 512
"""Number of the fixed strips."""


def fixed_strips(strips: Strips, preprocessing: Preprocessing) -> Tensor:
    """Read and scale evenly spaced strips, the same in every run."""
    rows = torch.linspace(0, len(strips) - 1, min(_FIXED, len(strips))).long().tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batch = strips.__getitems__(rows)
    return scale_strips(batch["signal"], preprocessing.scale)


@torch.no_grad()
def settle_norms(encoder: nn.Module, signal: Tensor, *, batch_size: int = 256) -> None:
    """Set the running statistics of batch normalisation from clean strips.

    In training they follow augmented views, which are noisier than the recordings to be embedded.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place; left in evaluation mode.
    signal : Tensor (strip, lead, time)
        Scaled strips, several hundred.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    encoder.train()
    for part in torch.split(signal, batch_size):
        if len(part) > 1:
            encoder(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    encoder.eval()
