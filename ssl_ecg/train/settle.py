"""Fixed strips of a run: what the monitor embeds, and what batch normalisation is settled on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import where_padded
from ssl_ecg.data.strips import Strips
from ssl_ecg.methods.base import encode
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips
from ssl_ecg.train.order import Sampling, own_strips

_FIXED = 512
"""Number of the fixed strips."""


class FixedStrips(NamedTuple):
    """Scaled strips (strip, lead, time), and their lengths (strip,) if some are followed by zeros."""

    signal: Tensor
    lengths: Tensor | None

    def to(self, device: torch.device) -> FixedStrips:
        """Move to a device."""
        return FixedStrips(self.signal.to(device), None if self.lengths is None else self.lengths.to(device))


def fixed_strips(
    strips: Strips, preprocessing: Preprocessing, *, sampling: Sampling = "strips", world: int = 1
) -> FixedStrips:
    """Read and scale evenly spaced strips, the same in every run.

    Parameters
    ----------
    strips : Strips
    preprocessing : Preprocessing
    sampling, world
        Of the run: if each of several processes has shards of its own, they are from those of the first.
    """
    own = own_strips(strips, sampling, world=world)
    rows = own[torch.linspace(0, len(own) - 1, min(_FIXED, len(own))).long().numpy()].tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batch = strips.pairing_within(own).__getitems__(rows)
    lengths = where_padded(batch["length"], batch["signal"].shape[-1])
    return FixedStrips(scale_strips(batch["signal"], preprocessing.scale, lengths), lengths)


@torch.no_grad()
def settle_norms(encoder: nn.Module, strips: FixedStrips, *, batch_size: int = 256) -> None:
    """Set the running statistics of batch normalisation from clean strips.

    In training they follow augmented views, which are noisier than the recordings to be embedded. All else is as in
    evaluation: dropout would widen what the layers behind it see, and leave the statistics to chance.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place; left in evaluation mode.
    strips : FixedStrips
        Several hundred.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    encoder.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    for rows in torch.split(torch.arange(len(strips.signal)), batch_size):
        if len(rows) > 1:
            encode(encoder, strips.signal[rows], None if strips.lengths is None else strips.lengths[rows])
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    encoder.eval()
