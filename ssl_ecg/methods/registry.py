"""The pretraining methods by name."""

from __future__ import annotations

from torch import nn

from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.methods.vicreg import VICReg

METHODS: dict[str, type[nn.Module]] = {
    "autoencoder": Autoencoder,
    "simclr": SimCLR,
    "vicreg": VICReg,
}
