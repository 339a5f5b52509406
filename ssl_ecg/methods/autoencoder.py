"""Conv1D autoencoder: plain, denoising, masked."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, gate
from ssl_ecg.methods.gathering import mean_of_all
from ssl_ecg.models.decoder import Conv1DDecoder

Corruption = Literal["none", "noise", "mask"]


class Autoencoder(nn.Module):
    """Reconstruct a strip from itself, from a noisy copy, or from a copy with spans taken out.

    Parameters
    ----------
    encoder : nn.Module
        With `.forward_features`, `.n_features`, `.stride` and `.n_leads`.
    corruption : {"none", "noise", "mask"}
        "none": plain; "noise": Gaussian noise is added (Vincent et al. 2008, doi 10.1145/1390156.1390294);
        "mask": patches of single leads and spans over all leads are set to zero and only these count in the
        loss (He et al. 2022, arXiv 2111.06377; spans on ECG: Na et al. 2024, ST-MEM, arXiv 2402.09450).
    noise : float
        Standard deviation of the noise, in units of the scaled signal.
    mask_ratio : float
        Expected share of a strip that is masked, between 0 and 1.
    patch : int
        Length of a masked patch [samples].
    lead_share : float
        Share of the masking that takes patches lead by lead; the rest takes spans out of all leads at once.
    kernel : int
        Kernel length of the decoder [samples].

    Raises
    ------
    RecipeError
        If a parameter is out of range.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        corruption: Corruption = "mask",
        noise: float = 0.5,
        mask_ratio: float = 0.5,
        patch: int = 25,
        lead_share: float = 0.5,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        if corruption not in ("none", "noise", "mask"):
            raise RecipeError("autoencoder.corruption", f"unknown {corruption!r}", "choose none, noise or mask")
        if not 0 < mask_ratio < 1 or not 0 <= lead_share <= 1 or patch < 1:
            problem = f"mask_ratio {mask_ratio}, lead_share {lead_share}, patch {patch}"
            raise RecipeError("autoencoder", problem, "give ratios between 0 and 1 and a patch of at least one sample")
        self.encoder = encoder
        self.corruption = corruption
        self.noise = noise
        self.mask_ratio = mask_ratio
        self.patch = patch
        self.lead_share = lead_share
        self.decoder = Conv1DDecoder(
            int(encoder.n_features), int(encoder.n_leads), int(encoder.stride), kernel=kernel  # type: ignore[arg-type]
        )  # fmt: skip

    def reconstruct(self, x: Float[Tensor, "batch lead time"]) -> Float[Tensor, "batch lead time"]:
        """Encode and decode."""
        features = self.encoder.forward_features(x)  # type: ignore[operator]
        decoded: Tensor = self.decoder(features, x.shape[-1])
        return decoded

    def draw_mask(self, x: Float[Tensor, "batch lead time"]) -> Bool[Tensor, "batch lead time"]:
        """Draw what to hide: patches of single leads, and spans of all leads.

        The two are drawn independently so that their union covers `mask_ratio` of a strip on average.
        """
        batch, n_leads, length = x.shape
        n_patches = -(-length // self.patch)
        by_lead = 1 - (1 - self.mask_ratio) ** self.lead_share
        by_span = 1 - (1 - self.mask_ratio) ** (1 - self.lead_share)
        patches = torch.rand(batch, n_leads, n_patches, device=x.device) < by_lead
        spans = torch.rand(batch, 1, n_patches, device=x.device) < by_span
        hidden: Tensor = (patches | spans).repeat_interleave(self.patch, dim=2)[..., :length]
        return hidden

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of the reconstruction over the leads that were recorded.

        With masking it is taken over the hidden samples only.

        Raises
        ------
        SignalError
            If the batch is empty or not finite.
        """
        x = gate(batch)
        counts = torch.ones_like(x, dtype=torch.bool)
        if (present := batch.get("lead_mask")) is not None:
            counts = counts & present[:, :, None]
        corrupted = x
        if self.corruption == "noise":
            corrupted = torch.where(counts, x + self.noise * torch.randn_like(x), x)
        elif self.corruption == "mask":
            hidden = self.draw_mask(x)
            corrupted = x.masked_fill(hidden, 0.0)
            counts = counts & hidden
        error = (self.reconstruct(corrupted).float() - x).square()
        return mean_of_all(error, counts)
