"""Pure functions on leads, masks and bands: what is done is given per strip, nothing is drawn here.

Signals are (batch, lead, time). With ``reuse`` a function may write into the memory of its input, which
saves a copy where the caller owns it; otherwise the input stays untouched.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def apply_lead_map(
    x: Float[Tensor, "batch lead time"], lead_map: Tensor, *, reuse: bool = False
) -> Float[Tensor, "batch lead time"]:
    """Multiply each strip by its matrix in lead space, or by a factor for each lead.

    Parameters
    ----------
    x : (batch, lead, time)
    lead_map : (batch, lead, lead) or (batch, lead)
        Two axes stand for diagonal matrices.
    reuse : bool
        Write into ``x``; diagonal maps only, a full one needs new memory.

    Examples
    --------
    >>> apply_lead_map(torch.ones(1, 2, 3), torch.tensor([[2.0, 0.0]]))[0, :, 0].tolist()
    [2.0, 0.0]
    """
    lead_map = lead_map.to(x.device, x.dtype)
    if lead_map.ndim == 2:
        factors = lead_map.unsqueeze(-1)
        return x.mul_(factors) if reuse else x * factors
    return torch.bmm(lead_map, x)


def chain_lead_maps(first: Tensor, then: Tensor) -> Tensor:
    """Give the one map that does ``first`` and then the other; either may be diagonal.

    Examples
    --------
    >>> chain_lead_maps(torch.full((1, 2), 3.0), torch.eye(2)[None])[0].tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    if first.ndim == 3 and then.ndim == 3:
        return torch.bmm(then, first)
    if then.ndim == 2:
        return then * first if first.ndim == 2 else then.unsqueeze(2) * first
    return then * first.unsqueeze(1)


def keep_some_leads(
    score: Float[Tensor, "batch lead"], drop: float, lead_mask: Bool[Tensor, "batch lead"] | None = None
) -> Float[Tensor, "batch lead"]:
    """Give 1 for the leads that stay and 0 for those dropped; one lead present always stays.

    Parameters
    ----------
    score : (batch, lead) in [0, 1)
        Random scores; leads below ``drop`` go.
    drop : float
        Probability that a lead is dropped.
    lead_mask : (batch, lead) of bool, optional
        Leads present.

    Examples
    --------
    >>> keep_some_leads(torch.tensor([[0.1, 0.9], [0.1, 0.2]]), 0.5).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    ranked = score if lead_mask is None else score.masked_fill(~lead_mask.to(score.device), -torch.inf)
    keep = score >= drop
    keep.scatter_(1, ranked.argmax(1, keepdim=True), True)
    return keep.to(score.dtype)


def recorded_mask(
    lengths: Int[Tensor, " batch"], n_samples: int, device: torch.device | None = None
) -> Bool[Tensor, "batch 1 {n_samples}"]:
    """Give True before each strip's padding.

    Examples
    --------
    >>> recorded_mask(torch.tensor([2]), 3).tolist()
    [[[True, True, False]]]
    """
    return torch.arange(n_samples, device=device) < lengths.to(device).view(-1, 1, 1)


def span_mask(
    start: Int[Tensor, "batch lead span"], length: Int[Tensor, "batch lead span"], n_samples: int
) -> Bool[Tensor, "batch lead time"]:
    """Give True inside the spans [start, start + length) [samples].

    The axis ``lead`` may be 1: spans common to all leads.

    Examples
    --------
    >>> span_mask(torch.tensor([[[1]]]), torch.tensor([[[2]]]), 4).tolist()
    [[[False, True, True, False]]]
    """
    time = torch.arange(n_samples, device=start.device)
    inside = torch.zeros(*start.shape[:2], n_samples, dtype=torch.bool, device=start.device)
    for first, after in zip(start.unbind(2), (start + length).unbind(2), strict=True):
        inside |= (time >= first.unsqueeze(-1)) & (time < after.unsqueeze(-1))
    return inside


def mask_time(
    x: Float[Tensor, "batch lead time"], inside: Bool[Tensor, "batch row time"], *, reuse: bool = False
) -> Float[Tensor, "batch lead time"]:
    """Set the samples inside the mask to zero; ``row`` is 1, for all leads, or the number of leads."""
    outside = (~inside).to(x.device, x.dtype)
    return x.mul_(outside) if reuse else x * outside


def band_response(
    frequency: Float[Tensor, " frequency"],
    low: Float[Tensor, " batch"],
    high: Float[Tensor, " batch"],
    *,
    order: int = 4,
) -> Float[Tensor, "batch frequency"]:
    """Give the magnitude of Butterworth's high-pass times low-pass, without phase shift.

    Parameters
    ----------
    frequency : (frequency,) [Hz]
    low, high : (batch,) [Hz]
        Where the power is halved; 0 and infinity leave that side open.

    Examples
    --------
    >>> f = torch.tensor([0.0, 1.0, 10.0, 100.0])
    >>> band_response(f, torch.tensor([1.0]), torch.tensor([torch.inf]))[0]
    tensor([0.0000, 0.7071, 1.0000, 1.0000])
    """
    ratio = frequency / high.unsqueeze(1)
    response = (1.0 + ratio ** (2 * order)).rsqrt()
    rise = (frequency / low.clamp(min=1e-9).unsqueeze(1)) ** (2 * order)
    return response * torch.where(low.unsqueeze(1) > 0, (rise / (1.0 + rise)).nan_to_num(nan=1.0).sqrt(), 1.0)


def stop_response(
    frequency: Float[Tensor, " frequency"], centre: Float[Tensor, " batch"], width: Float[Tensor, " batch"]
) -> Float[Tensor, "batch frequency"]:
    """Give the magnitude of Gaussian band-stops: zero at the centre, half at ``width / 2`` from it [Hz]."""
    distance = (frequency - centre.unsqueeze(1)) / (0.5 * width.clamp(min=1e-6)).unsqueeze(1)
    return 1.0 - torch.exp2(-distance.square())


def padded_length(n_samples: int) -> tuple[int, int]:
    """Give the margin before the strip and the length of its transform, a product of 2, 3 and 5.

    A tenth of the strip is put before it and as much or a little more behind it.

    Examples
    --------
    >>> padded_length(500), padded_length(1)
    ((50, 600), (0, 1))
    """
    margin = n_samples // 10
    length = n_samples + 2 * margin
    while not _is_smooth(length):
        length += 1
    # A strip can be reflected by one sample less than it has.
    return (margin, length) if length - n_samples - margin < n_samples else (0, n_samples)


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5):
        while number % prime == 0:
            number //= prime
    return number == 1


def filter_band(
    x: Float[Tensor, "batch lead time"], response: Float[Tensor, "batch frequency"]
) -> Float[Tensor, "batch lead time"]:
    """Multiply the spectrum of each strip, reflected at both ends, by its response.

    Parameters
    ----------
    x : (batch, lead, time)
    response : (batch, frequency)
        At the frequencies of ``torch.fft.rfftfreq(padded_length(time)[1], 1 / fs)``.
    """
    n_samples = x.shape[-1]
    margin, length = padded_length(n_samples)
    behind = length - n_samples - margin
    before = x[..., 1 : margin + 1].flip(-1)
    after = x[..., n_samples - 1 - behind : n_samples - 1].flip(-1)
    spectrum = torch.fft.rfft(torch.cat([before, x, after], -1)) * response.to(x.device, x.dtype).unsqueeze(1)
    filtered: Tensor = torch.fft.irfft(spectrum, n=length)
    return filtered[..., margin : margin + n_samples].contiguous()
