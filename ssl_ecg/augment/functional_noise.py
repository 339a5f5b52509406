"""Pure functions that add noise: sources (sinusoids or rows of a noise bank) mixed into the leads.

All noise is ``x + weights @ sources``: a few sources per strip, made or copied cheaply, and small matrices
that spread them over the leads. Weights that pass through the electrodes keep the lead relations.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssl_ecg.augment.functional import recorded_mask
from ssl_ecg.errors import SignalError


def add_sources(
    x: Float[Tensor, "batch lead time"],
    weights: Float[Tensor, "batch lead source"],
    sources: Float[Tensor, "batch source time"],
    *,
    reuse: bool = False,
) -> Float[Tensor, "batch lead time"]:
    """Add weighted sources to each strip; with ``reuse`` into the memory of ``x`` itself.

    Examples
    --------
    >>> add_sources(torch.zeros(1, 2, 1), torch.tensor([[[1.0], [2.0]]]), torch.ones(1, 1, 1)).tolist()
    [[[1.0], [2.0]]]
    """
    weights, sources = weights.to(x.device, x.dtype), sources.to(x.device, x.dtype)
    return x.baddbmm_(weights, sources) if reuse else torch.baddbmm(x, weights, sources)


def sinusoids(
    frequency: Float[Tensor, "batch wave"],
    turn: Float[Tensor, "batch wave"],
    fs: float,
    n_samples: int,
    *,
    device: torch.device | None = None,
) -> Float[Tensor, "batch wave {n_samples}"]:
    """Give sine waves of the frequencies [Hz] at the rate ``fs`` [Hz], from phase ``turn`` [turns] on.

    Examples
    --------
    >>> sinusoids(torch.tensor([[1.0]]), torch.tensor([[0.25]]), 4.0, 3)[0].round().abs().tolist()
    [[1.0, 0.0, 1.0]]
    """
    time = torch.arange(n_samples, device=device)
    turns = torch.addcmul(turn.to(device).unsqueeze(-1), (frequency / fs).to(device).unsqueeze(-1), time)
    # Whole turns are taken off: large arguments make the sine slow and inexact.
    return turns.frac_().mul_(2.0 * math.pi).sin_()


def weights_of_rms(
    weights: Float[Tensor, "batch lead source"],
    rms: Float[Tensor, " batch"],
    *,
    source_power: float,
    lead_mask: Bool[Tensor, "batch lead"] | None = None,
) -> Float[Tensor, "batch lead source"]:
    """Scale the weights so that the noise has the given root mean square over the leads present.

    Parameters
    ----------
    weights : (batch, lead, source)
    rms : (batch,) [units of the signal]
    source_power : float
        Power of one source: 0.5 for sinusoids, 1 for noise of unit variance.
    lead_mask : (batch, lead) of bool, optional
        Leads present; the others get no noise.
    """
    if lead_mask is not None:
        weights = weights * lead_mask.to(weights.device).unsqueeze(-1)
        present = lead_mask.to(weights.device).sum(1).clamp(min=1)
    else:
        present = torch.tensor(weights.shape[1])
    power = weights.square().sum((1, 2)) * source_power / present
    return weights * (rms / power.sqrt().clamp(min=1e-12)).view(-1, 1, 1)


def band_noise(
    n_samples: int, fs: float, low: float, high: float, *, generator: torch.Generator | None = None
) -> Float[Tensor, " {n_samples}"]:
    """Make Gaussian noise of unit variance between two frequencies [Hz].

    Raises
    ------
    SignalError
        If nothing of the band lies below half the sampling rate.
    """
    frequency = torch.fft.rfftfreq(n_samples, 1.0 / fs)
    keep = (frequency >= low) & (frequency <= high)
    if not keep.any():
        raise SignalError("band", f"{low}-{high} Hz is empty at fs = {fs} Hz", "lower the band or raise fs")
    noise: Tensor = torch.fft.irfft(torch.fft.rfft(torch.randn(n_samples, generator=generator)) * keep, n=n_samples)
    noise = noise - noise.mean()
    return noise / noise.square().mean().sqrt()


def bank_rows(
    bank: Float[Tensor, "row noise"],
    row: Int[Tensor, "batch source"],
    start: Int[Tensor, "batch source"],
    n_samples: int,
) -> Float[Tensor, "batch source {n_samples}"]:
    """Copy pieces of recorded or pre-made noise: a copy is far cheaper than ``randn``.

    Raises
    ------
    SignalError
        If the noise is shorter than the strip.

    Examples
    --------
    >>> bank_rows(torch.arange(8.0).view(2, 4), torch.tensor([[1]]), torch.tensor([[2]]), 2).tolist()
    [[[6.0, 7.0]]]
    """
    if bank.shape[1] < n_samples:
        problem = f"{bank.shape[1]} samples of noise for strips of {n_samples}"
        raise SignalError("noise", problem, "give a longer noise record or a longer bank")
    flat = (row * bank.shape[1] + start).view(-1).to(bank.device)
    return bank.reshape(-1).unfold(0, n_samples, 1).index_select(0, flat).view(*row.shape, n_samples)


def time_mean(
    x: Float[Tensor, "batch row time"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch row"]:
    """Give the mean in time of each row, over the samples of its strip before the padding where there are lengths.

    Examples
    --------
    >>> time_mean(torch.tensor([[[1.0, 3.0, 9.0]]]), torch.tensor([2])).tolist()
    [[2.0]]
    """
    if lengths is None:
        return x.mean(-1)
    recorded = lengths.to(x.device).clamp(1, x.shape[-1]).unsqueeze(1)
    return (x * recorded_mask(lengths, x.shape[-1], x.device)).sum(-1) / recorded


def lead_variance(
    x: Float[Tensor, "batch lead time"], lengths: Int[Tensor, " batch"] | None = None
) -> Float[Tensor, "batch lead"]:
    """Give the variance in time of each lead, without padding; many times as fast as ``torch.var``."""
    return (time_mean(x.square(), lengths) - time_mean(x, lengths).square()).clamp_(min=0.0)


def signal_power(
    x: Float[Tensor, "batch lead time"],
    lead_mask: Bool[Tensor, "batch lead"] | None = None,
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, " batch"]:
    """Give the variance in time, without padding, averaged over the leads present."""
    variance = lead_variance(x, lengths)
    if lead_mask is None:
        return variance.mean(1)
    present = lead_mask.to(x.device, x.dtype)
    return (variance * present).sum(1) / present.sum(1).clamp(min=1.0)


def mixed_power(
    weights: Float[Tensor, "batch lead source"],
    sources: Float[Tensor, "batch source time"],
    lengths: Int[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch lead"]:
    """Give the mean square of ``weights @ sources``, without padding, for each lead without making that product."""
    n_samples = sources.shape[-1]
    if lengths is None:
        gram = torch.bmm(sources, sources.transpose(1, 2)) / n_samples
    else:
        recorded = sources * recorded_mask(lengths, n_samples, sources.device)
        gram = torch.bmm(recorded, recorded.transpose(1, 2))
        gram = gram / lengths.to(gram.device).clamp(1, n_samples).view(-1, 1, 1)
    return (torch.bmm(weights, gram) * weights).sum(2)


def gain_for_snr(
    power: Float[Tensor, "*#any"], noise_power: Float[Tensor, "*#any"], snr: Float[Tensor, "*#any"]
) -> Float[Tensor, "*#any"]:
    """Give the gain of the noise that makes the signal-to-noise ratio ``snr`` [dB]; 0 without noise.

    Examples
    --------
    >>> gain_for_snr(torch.tensor(4.0), torch.tensor(1.0), torch.tensor(0.0)).item()
    2.0
    """
    gain = (power / noise_power.clamp(min=1e-20)).sqrt() * 10.0 ** (-snr / 20.0)
    return torch.where(noise_power > 0, gain, torch.zeros_like(gain))
