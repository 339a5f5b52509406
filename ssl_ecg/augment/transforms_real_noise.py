"""The transform that adds noise from a recording."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ssl_ecg.augment.base import Given
from ssl_ecg.augment.draws import between, integers, normal, uniform
from ssl_ecg.augment.functional_noise import (
    add_sources,
    bank_rows,
    gain_for_snr,
    lead_variance,
    mixed_power,
    signal_power,
    time_mean,
)
from ssl_ecg.augment.noise_parts import Part
from ssl_ecg.augment.noise_records import read_noise
from ssl_ecg.augment.transforms_noise import Noise
from ssl_ecg.errors import RecipeError
from ssl_ecg.leads import STANDARD_LEADS


class RealNoise(Noise):
    """Add noise from a recording at a random signal-to-noise ratio.

    Made for the MIT-BIH Noise Stress Test Database (``bw``, ``em``, ``ma``), but any recording will do. Each
    electrode (or lead) copies a random piece of a random row of the recording.

    Parameters
    ----------
    noise : Tensor (row, time), or path or paths of WFDB records or a folder of such
        A tensor is taken as it is, at the rate of the strips; records are resampled to ``fs``. See `read_noise`.
    fs : float
        [Hz]
    snr : (float, float)
        Range of the ratio of the variances over the leads present [dB]; with ``per_lead`` each
        lead has this ratio.
    part : {"all", "first", "second"}
        Half of each recording that is used: with "first", an evaluation with noise of the second half (see
        `ssl_ecg.evaluate.perturbations.Noise`) tests with noise that was never seen.
    band : (float, float), optional
        Pass band of the archive [Hz], by which records are filtered too. Otherwise most of an electrode's wander lies
        below what a recording still holds.
    leads, per_lead, p, strength
        See `Noise`; ``strength`` multiplies the noise, so that 0.5 raises the ratio by 6 dB.

    Raises
    ------
    RecipeError
        If the range is empty.
    SignalError
        If the noise is no (row, time) or has no finite variation.
    RecordError
        If a record cannot be read.

    References
    ----------
    Moody, Muldrow and Mark 1984, A noise stress test for arrhythmia detectors, Computers in Cardiology
    11:381-384; doi:10.13026/C2HS3T.
    """

    bank: Tensor

    def __init__(
        self,
        noise: Tensor | str | Path | Sequence[str | Path],
        *,
        fs: float,
        snr: tuple[float, float] = (6.0, 24.0),
        part: Part = "all",
        band: tuple[float, float] | None = None,
        leads: Sequence[str] = STANDARD_LEADS,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, per_lead=per_lead, p=p, strength=strength)
        if not snr[0] <= snr[1]:
            raise RecipeError("snr", f"range {snr} dB", "give the smaller value first")
        self.fs, self.snr = fs, (snr[0], snr[1])
        self.register_buffer("bank", read_noise(noise, fs, part=part, band=band), persistent=False)

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        batch, leads, n_samples = x.shape
        sources = self._sources(leads)
        draw = uniform(2, batch, sources, generator=given.generator)
        snr = between(uniform(batch, generator=given.generator), *self.snr).to(x.device)
        row = integers(draw[0], self.bank.shape[0])
        start = integers(draw[1], max(self.bank.shape[1] - n_samples, 0) + 1)
        rows = bank_rows(self.bank, row, start, n_samples).to(x.device, x.dtype)
        rows = rows - time_mean(rows, given.lengths).unsqueeze(-1)
        weights = self._spread(torch.diag_embed(normal(batch, sources, generator=given.generator)))
        if given.lead_mask is not None:
            weights = weights * given.lead_mask.to(weights.device).unsqueeze(-1)
        weights = weights.to(x.device, x.dtype)
        power = mixed_power(weights, rows, given.lengths)
        if self.per_lead:
            gain = gain_for_snr(lead_variance(x, given.lengths), power, snr.unsqueeze(1)).unsqueeze(-1)
        else:
            present = leads if given.lead_mask is None else given.lead_mask.to(x.device).sum(1).clamp(min=1)
            signal = signal_power(x, given.lead_mask, given.lengths)
            gain = gain_for_snr(signal, power.sum(1) / present, snr).view(-1, 1, 1)
        return add_sources(x, weights * (gain * self.strength), rows, reuse=reuse)
