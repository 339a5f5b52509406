"""Masked modelling of patches: fill in single patches of leads and time from those that are seen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, gate
from ssl_ecg.methods.masking import (
    check_whole_leads,
    draw_leads,
    draw_tokens,
    put_tokens,
    strip_lengths,
    take_tokens,
)
from ssl_ecg.methods.predictor import Predictor, hidden_mean
from ssl_ecg.models.padding import present_leads
from ssl_ecg.models.patches import TokenEncoder, patchify


class MaskedPatches(nn.Module):
    """Spatio-temporal masked modelling (ST-MEM): most patches are hidden, the encoder sees the others only.

    With one token per lead and step, a small decoder fills in each lead from that lead's own tokens, so that the
    encoder has to bring over what the leads have in common.

    Parameters
    ----------
    encoder : TokenEncoder
        Such as the transformer.
    mask_ratio : float
        Share of the tokens that are hidden, between 0 and 1.
    whole_leads : float
        Largest share of the recorded leads that are hidden from end to end; each number up to it is as likely. They
        count in `mask_ratio`. The decoder then fills in a lead from the tokens of all, as a hidden lead has none of its
        own. Needs one token per lead and step.
    width, depth, heads : int
        Of the decoder.
    normalise : bool
        Each patch is to be reconstructed with mean 0 and standard deviation 1 (He et al. 2022). Its voltage, which is
        a finding, then counts for nothing.

    Raises
    ------
    RecipeError
        If the encoder has no tokens, or none of single leads to hide whole leads, or a parameter is out of range.

    References
    ----------
    Na et al. 2024, ST-MEM, arXiv 2402.09450; He et al. 2022, arXiv 2111.06377.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        mask_ratio: float = 0.75,
        whole_leads: float = 0.0,
        width: int = 96,
        depth: int = 2,
        heads: int = 4,
        normalise: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(encoder, TokenEncoder):
            remedy = "take the transformer, or pretrain this one with the method autoencoder and corruption mask"
            raise RecipeError("masked", f"{type(encoder).__name__} has no tokens to hide", remedy)
        if not 0 < mask_ratio < 1:
            raise RecipeError("masked.mask_ratio", f"is {mask_ratio}", "give a share between 0 and 1")
        check_whole_leads("masked", whole_leads)
        by_lead = encoder.tokens == "lead"
        if whole_leads > 0 and not by_lead:
            problem = f"is {whole_leads}, but a token of the encoder holds all leads"
            raise RecipeError("masked.whole_leads", problem, "set encoder.tokens to lead, or whole_leads to 0")
        self.encoder = encoder
        self.mask_ratio, self.whole_leads, self.normalise = mask_ratio, whole_leads, normalise
        rows, n_out = (encoder.n_leads, encoder.stride) if by_lead else (1, encoder.n_leads * encoder.stride)
        self.decoder = Predictor(
            encoder.width, n_out, rows=rows, width=width, depth=depth, heads=heads,
            by_row=by_lead and not whole_leads,
        )  # fmt: skip

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error over the hidden patches of the leads that were recorded.

        Raises
        ------
        SignalError
            If the batch is empty or not finite.
        """
        x = gate(batch)
        encoder, lengths = self.encoder, strip_lengths(batch)
        present = present_leads(x) if (leads := batch.get("lead_mask")) is None else present_leads(x) & leads
        counts = present[:, :, None].expand_as(x)
        if lengths is not None:
            counts = counts & (torch.arange(x.shape[-1], device=x.device) < lengths[:, None, None])
        keep = encoder.tokenise(x, lengths)[1]
        hidden = self.draw_mask(keep, x.shape[-1])
        decoded = self.reconstruct(x, hidden, keep, lengths)
        with torch.autocast(x.device.type, enabled=False):
            target, counts = self.to_patches(x), self.to_patches(counts.float()) > 0
            if self.normalise:
                target = _standardise(target, counts)
            error = (decoded.float() - target).square()
            return hidden_mean(error.flatten(1), (counts & hidden[..., None]).flatten(1))

    def draw_mask(self, keep: Bool[Tensor, "batch token"], length: int) -> Bool[Tensor, "batch token"]:
        """Draw the tokens to hide in strips of `length` samples: those of whole leads first."""
        if not self.whole_leads:
            return draw_tokens(keep, self.mask_ratio)
        plane = keep.view(-1, *self.encoder.grid(length))
        leads = draw_leads(plane.any(dim=2), self.whole_leads)
        return draw_tokens(keep, self.mask_ratio, leads[..., None].expand_as(plane).flatten(1))

    def reconstruct(
        self,
        x: Float[Tensor, "batch lead time"],
        hidden: Bool[Tensor, "batch token"],
        keep: Bool[Tensor, "batch token"],
        lengths: Int[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch token sample"]:
        """Encode the tokens that are kept and not hidden, and decode all."""
        encoder, grid = self.encoder, self.encoder.grid(x.shape[-1])
        if not encoder.local:  # its tokens see a little of their neighbours
            silent = hidden.reshape(-1, *grid).repeat_interleave(int(encoder.stride), dim=2)[..., : x.shape[-1]]
            x = x.masked_fill(silent, 0.0)
        fewer, kept, index = take_tokens(encoder.tokenise(x, lengths)[0], keep & ~hidden)
        encoded = put_tokens(encoder.encode(fewer, kept), index, hidden.shape[1])
        decoded: Tensor = self.decoder(encoded, hidden, grid, keep)
        return decoded

    def to_patches(self, x: Tensor) -> Tensor:
        """Cut (batch, lead, time) into what each token stands for: (batch, token, sample), lead by lead within it."""
        patches = patchify(x, int(self.encoder.stride))
        return patches.flatten(1, 2) if self.encoder.tokens == "lead" else patches.transpose(1, 2).flatten(2)


def _standardise(
    target: Float[Tensor, "batch token sample"], counts: Bool[Tensor, "batch token sample"]
) -> Float[Tensor, "batch token sample"]:
    """Bring each patch to mean 0 and standard deviation 1 over the samples that count."""
    n = counts.sum(dim=2, keepdim=True).clamp(min=1)
    centred = (target - (target * counts).sum(dim=2, keepdim=True) / n) * counts
    variance = centred.square().sum(dim=2, keepdim=True) / n
    return centred * torch.rsqrt(variance + 1e-6)
