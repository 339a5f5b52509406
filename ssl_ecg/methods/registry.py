"""The pretraining methods by name."""

from __future__ import annotations

from torch import nn

from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.methods.barlow_twins import BarlowTwins
from ssl_ecg.methods.byol import BYOL
from ssl_ecg.methods.clocs import CLOCS
from ssl_ecg.methods.combined import Combined
from ssl_ecg.methods.cpc import CPC
from ssl_ecg.methods.dino import DINO
from ssl_ecg.methods.distillation import Distillation
from ssl_ecg.methods.fixmatch import FixMatch
from ssl_ecg.methods.guided import Guided
from ssl_ecg.methods.jepa import JEPA
from ssl_ecg.methods.lead_contrast import LeadContrast
from ssl_ecg.methods.masked import MaskedPatches
from ssl_ecg.methods.moco import MoCo
from ssl_ecg.methods.nnclr import NNCLR
from ssl_ecg.methods.polywindow import PolyWindow
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.methods.supcon import SupCon
from ssl_ecg.methods.vicreg import VICReg

METHODS: dict[str, type[nn.Module]] = {
    "autoencoder": Autoencoder,
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "clocs": CLOCS,
    "combined": Combined,
    "cpc": CPC,
    "dino": DINO,
    "distillation": Distillation,
    "fixmatch": FixMatch,
    "guided": Guided,
    "jepa": JEPA,
    "lead_contrast": LeadContrast,
    "masked": MaskedPatches,
    "moco": MoCo,
    "nnclr": NNCLR,
    "polywindow": PolyWindow,
    "simclr": SimCLR,
    "supcon": SupCon,
    "vicreg": VICReg,
}
