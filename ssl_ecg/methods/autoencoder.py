"""Conv1D autoencoder: plain, denoising, masked."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, gate
from ssl_ecg.methods.gathering import mean_of_all
from ssl_ecg.methods.masking import check_whole_leads, draw_leads, strip_lengths
from ssl_ecg.models.decoder import Conv1DDecoder
from ssl_ecg.models.padding import step_mask

Corruption = Literal["none", "noise", "mask"]


class Autoencoder(nn.Module):
    """Reconstruct a strip from itself, from a noisy copy, or from a copy with spans taken out.

    Parameters
    ----------
    encoder : nn.Module
        With `.forward_features`, `.n_features`, `.stride` and `.n_leads`.
    corruption : {"none", "noise", "mask"}
        "none": plain; "noise": Gaussian noise is added (Vincent et al. 2008, doi 10.1145/1390156.1390294);
        "mask": patches of single leads, spans over all leads and perhaps whole leads are set to zero and only these
        count in the loss (He et al. 2022, arXiv 2111.06377; spans on ECG: Na et al. 2024, ST-MEM, arXiv 2402.09450).
    noise : float
        Standard deviation of the noise, in units of the scaled signal.
    mask_ratio : float
        Expected share of a strip that is masked, between 0 and 1.
    patch : int
        Length of a masked patch [samples].
    lead_share : float
        Share of the masking that takes patches lead by lead; the rest takes spans out of all leads at once.
    whole_leads : float
        Largest share of the recorded leads that are hidden from end to end, so that they must be told from the others;
        each number up to it is as likely. They count in `mask_ratio`: the more of them, the less is hidden of the rest.
    kernel : int
        Kernel length of the decoder [samples].

    Raises
    ------
    RecipeError
        If a parameter is out of range, or the encoder's stride is not a power of two.
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
        whole_leads: float = 0.0,
        kernel: int = 7,
    ) -> None:
        super().__init__()
        if corruption not in ("none", "noise", "mask"):
            raise RecipeError("autoencoder.corruption", f"unknown {corruption!r}", "choose none, noise or mask")
        if not 0 < mask_ratio < 1 or not 0 <= lead_share <= 1 or patch < 1:
            problem = f"mask_ratio {mask_ratio}, lead_share {lead_share}, patch {patch}"
            raise RecipeError("autoencoder", problem, "give ratios between 0 and 1 and a patch of at least one sample")
        check_whole_leads("autoencoder", whole_leads)
        stride = int(encoder.stride)  # type: ignore[arg-type]
        if stride & (stride - 1):
            problem = f"{type(encoder).__name__} gives one step for {stride} samples, and the decoder doubles steps"
            raise RecipeError("autoencoder", problem, "take an encoder with a stride or patch of 8, 16, 32 ... samples")
        self.encoder = encoder
        self.corruption = corruption
        self.noise = noise
        self.mask_ratio = mask_ratio
        self.patch = patch
        self.lead_share, self.whole_leads = lead_share, whole_leads
        self.decoder = Conv1DDecoder(
            int(encoder.n_features), int(encoder.n_leads), stride, kernel=kernel  # type: ignore[arg-type]
        )  # fmt: skip

    def reconstruct(
        self, x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
    ) -> Float[Tensor, "batch lead time"]:
        """Encode and decode; with `lengths`, the samples of each strip before its padding, each as if alone."""
        features_of = self.encoder.forward_features
        features = features_of(x) if lengths is None else features_of(x, lengths)  # type: ignore[operator]
        decoded: Tensor = self.decoder(features, x.shape[-1], lengths)
        return decoded

    def draw_mask(self, x: Float[Tensor, "batch lead time"]) -> Bool[Tensor, "batch lead time"]:
        """Draw what to hide: whole leads, and of the others patches of single leads and spans of all leads.

        All are drawn independently so that their union covers `mask_ratio` of the recorded leads on average, or whole
        leads alone where these are more.
        """
        batch, n_leads, length = x.shape
        n_patches = -(-length // self.patch)
        left: Tensor | float = 1 - self.mask_ratio
        if self.whole_leads > 0:
            present = (x != 0).any(dim=2)
            leads = draw_leads(present, self.whole_leads)
            others = 1 - leads.sum(dim=1) / present.sum(dim=1).clamp(min=1)
            left = (left / others).clamp(max=1)[:, None, None]
        patches = torch.rand(batch, n_leads, n_patches, device=x.device) < 1 - left**self.lead_share
        spans = torch.rand(batch, 1, n_patches, device=x.device) < 1 - left ** (1 - self.lead_share)
        hidden = (patches | spans).repeat_interleave(self.patch, dim=2)[..., :length]
        return hidden | leads[..., None] if self.whole_leads > 0 else hidden

    def corrupt(
        self, x: Float[Tensor, "batch lead time"], counts: Bool[Tensor, "batch lead time"]
    ) -> tuple[Float[Tensor, "batch lead time"], Bool[Tensor, "batch lead time"]]:
        """Give what the encoder sees, and which of the recorded samples count in the loss."""
        if self.corruption == "noise":
            return torch.where(counts, x + self.noise * torch.randn_like(x), x), counts
        if self.corruption == "mask":
            hidden = self.draw_mask(x)
            return x.masked_fill(hidden, 0.0), counts & hidden
        return x, counts

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of the reconstruction over what was recorded: neither absent leads nor padding count.

        With masking it is taken over the hidden samples only.

        Raises
        ------
        SignalError
            If the batch is empty or not finite.
        """
        x, lengths = gate(batch), strip_lengths(batch)
        counts = torch.ones_like(x, dtype=torch.bool)
        if (present := batch.get("lead_mask")) is not None:
            counts = counts & present[:, :, None]
        if (inside := step_mask(lengths, x.shape[-1], 1)) is not None:
            counts = counts & inside
        corrupted, counts = self.corrupt(x, counts)
        error = (self.reconstruct(corrupted, lengths).float() - x).square()
        return mean_of_all(error, counts)
