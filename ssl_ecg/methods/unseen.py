"""What a trained method predicts of a strip: its reconstruction, hidden samples being predicted unseen."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.methods.autoencoder import Autoencoder
from ssl_ecg.methods.masked import MaskedPatches


def predict_strips(
    method: nn.Module, x: Float[Tensor, "batch lead time"], seed: int = 0
) -> Float[Tensor, "batch lead time"]:
    """Reconstruct strips of one length with a trained autoencoder.

    Plain and denoising autoencoders see the strip. Masked ones see it several times, each time with other samples
    hidden, and the prediction for a sample is the average over the times it was hidden; a strip's prediction does
    not depend on the rest of the batch.

    Parameters
    ----------
    method : Autoencoder or MaskedPatches
        In evaluation mode.
    x : Tensor (batch, lead, time)
        Scaled as the encoder's preprocessing says; absent leads are zero.
    seed : int
        Of what is hidden together.

    Raises
    ------
    TypeError
        If the method is neither.
    """
    if isinstance(method, MaskedPatches):
        return _predict_patches(method, x, seed)
    if not isinstance(method, Autoencoder):
        raise TypeError(f"{type(method).__name__} reconstructs nothing")
    return _predict_masked(method, x, seed) if method.corruption == "mask" else method.reconstruct(x)


def complementary_masks(rows: int, steps: int, ratio: float, seed: int = 0) -> Bool[Tensor, "mask row step"]:
    """Hide about a share `ratio` of a plane of patches, several times, and each patch equally often.

    The patches of each row are dealt out to as many groups as make the share right; a mask hides one group, or all
    but one where more than half is to be hidden.

    Examples
    --------
    >>> complementary_masks(2, 8, 0.75).sum(dim=0).unique().tolist(), complementary_masks(2, 8, 0.75).shape[0]
    ([3], 4)
    """
    generator = torch.Generator().manual_seed(seed)
    groups = max(2, min(round(1 / min(ratio, 1 - ratio)), rows * steps))
    if steps >= groups:
        order = torch.stack([torch.randperm(steps, generator=generator) for _ in range(rows)])
    else:
        order = torch.randperm(rows * steps, generator=generator).view(rows, steps)
    chosen = torch.stack([order % groups == group for group in range(groups)])
    return chosen if ratio <= 0.5 else ~chosen


def _predict_masked(method: Autoencoder, x: Tensor, seed: int) -> Tensor:
    """Average over masks of patches of single leads and masks of spans of all leads, as `lead_share` weighs them."""
    n_leads, length = x.shape[1:]
    n_patches = -(-length // method.patch)
    prediction = torch.zeros_like(x)
    for rows, weight in ((n_leads, method.lead_share), (1, 1 - method.lead_share)):
        if not weight:
            continue
        masks = complementary_masks(rows, n_patches, method.mask_ratio, seed).to(x.device)
        times = masks.sum(dim=0).clamp(min=1).expand(n_leads, -1)
        total = torch.zeros_like(x)
        for mask in masks:
            hidden = _spread(mask.expand(n_leads, -1), method.patch, length)
            total += method.reconstruct(x.masked_fill(hidden, 0.0)) * hidden
        prediction += weight * total / _spread(times, method.patch, length)
    return prediction


def _spread(patches: Tensor, patch: int, length: int) -> Tensor:
    """Give each sample the value of its patch."""
    return patches.repeat_interleave(patch, dim=-1)[..., :length]


def _predict_patches(method: MaskedPatches, x: Tensor, seed: int) -> Tensor:
    """Average over masks of tokens; patches come back in their own offset and size where these were taken out."""
    encoder = method.encoder
    keep = encoder.tokenise(x)[1]
    masks = complementary_masks(*encoder.grid(x.shape[-1]), method.mask_ratio, seed)
    masks = masks.flatten(1).to(x.device)
    total: Tensor = torch.zeros((), device=x.device)
    for mask in masks:
        hidden = mask & keep
        total = total + method.reconstruct(x, hidden, keep).float() * hidden[..., None]
    patches = total / masks.sum(dim=0).clamp(min=1)[:, None]
    if method.normalise:
        own, inside = method.to_patches(x), method.to_patches(torch.ones_like(x))
        n = inside.sum(dim=2, keepdim=True).clamp(min=1)
        mean = own.sum(dim=2, keepdim=True) / n
        variance = ((own - mean).square() * inside).sum(dim=2, keepdim=True) / n
        patches = patches * (variance + 1e-6).sqrt() + mean
    return _to_strips(method, patches, x.shape[1], x.shape[-1])


def _to_strips(method: MaskedPatches, patches: Tensor, n_leads: int, length: int) -> Tensor:
    """Undo `MaskedPatches.to_patches`."""
    steps = int(method.encoder.grid(length)[1])
    by_lead = method.encoder.tokens == "lead"
    shape = (len(patches), n_leads, steps, -1) if by_lead else (len(patches), steps, n_leads, -1)
    laid_out = patches.reshape(shape)
    return (laid_out if by_lead else laid_out.transpose(1, 2)).flatten(2)[..., :length]
