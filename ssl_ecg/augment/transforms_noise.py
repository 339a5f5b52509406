"""Transforms that add noise: baseline wander, mains and muscle.

Noise arises at the electrodes: it is drawn for the nine of them and reaches the leads through
`geometry.electrode_matrix`, so that II = I + III still holds. With ``per_lead`` each lead has its own,
which breaks the relations. Amplitudes are in the units of the strips, mV in the defaults.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_ecg.augment.base import Given, Transform
from ssl_ecg.augment.draws import between, integers, normal, uniform
from ssl_ecg.augment.functional_noise import (
    add_sources,
    band_noise,
    bank_rows,
    sinusoids,
    weights_of_rms,
)
from ssl_ecg.augment.geometry import electrode_matrix
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.leads import STANDARD_LEADS, parse_leads

_BANK_SEED = 20260101


class Noise(Transform):
    """Base of the transforms that add noise at the electrodes, or to each lead on its own.

    Parameters
    ----------
    leads : sequence of str
        Leads of the strips; not used with ``per_lead``.
    per_lead : bool
        Own noise for each lead, which breaks the lead relations.
    p, strength
        See `Transform`.
    """

    def __init__(
        self,
        *,
        leads: Sequence[str] = STANDARD_LEADS,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        self.leads = parse_leads(leads)
        self.per_lead = per_lead
        self.keeps_lead_relations = not per_lead
        self._mixing = electrode_matrix(self.leads)

    def _sources(self, leads: int) -> int:
        """Count the independent sources of noise: leads or electrodes."""
        if not self.per_lead and leads != len(self.leads):
            problem = f"strips of {leads} leads for a transform of {len(self.leads)}: {', '.join(self.leads)}"
            raise SignalError("signal", problem, "name the leads of the strips, or set per_lead")
        return leads if self.per_lead else self._mixing.shape[1]

    def _spread(self, weights: Tensor) -> Tensor:
        """Give the weights of the leads from those of the sources (batch, source, component)."""
        return weights if self.per_lead else self._mixing @ weights


def _amplitude(name: str, value: tuple[float, float]) -> tuple[float, float]:
    low, high = value
    if not 0.0 <= low <= high:
        raise RecipeError(name, f"range {value}", "give the smaller value first, from 0 on")
    return (low, high)


class BaselineWander(Noise):
    """Add slow sinusoids, as from breathing and drifting electrodes.

    Parameters
    ----------
    fs : float
        [Hz]
    amplitude : (float, float)
        Range of the root mean square over the leads [units of the strips].
    band : (float, float)
        Range of the frequencies [Hz].
    waves : int
        Sinusoids per strip, common to all sources; each source has its own sizes and signs.
    leads, per_lead, p, strength
        See `Noise`; ``strength`` multiplies the amplitude.

    Raises
    ------
    RecipeError
        If a range is empty.

    Examples
    --------
    >>> BaselineWander(fs=100.0)(torch.zeros(2, 12, 500)).shape
    torch.Size([2, 12, 500])
    """

    def __init__(
        self,
        *,
        fs: float,
        amplitude: tuple[float, float] = (0.02, 0.2),
        band: tuple[float, float] = (0.05, 0.5),
        waves: int = 3,
        leads: Sequence[str] = STANDARD_LEADS,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, per_lead=per_lead, p=p, strength=strength)
        if not 0.0 < band[0] <= band[1] <= 0.5 * fs or waves < 1:
            raise RecipeError("band", f"{waves} waves of {band} Hz at fs = {fs}", "stay within 0 and fs / 2")
        self.fs, self.band, self.waves = fs, (band[0], band[1]), waves
        self.amplitude = _amplitude("amplitude", amplitude)

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        batch, leads, n_samples = x.shape
        draw = uniform(batch, 2 * self.waves + 1, generator=given.generator)
        weights = self._spread(normal(batch, self._sources(leads), self.waves, generator=given.generator))
        rms = between(draw[:, -1], *self.amplitude) * self.strength
        weights = weights_of_rms(weights, rms, source_power=0.5, lead_mask=given.lead_mask)
        frequency = between(draw[:, : self.waves], *self.band)
        waves = sinusoids(frequency, draw[:, self.waves : -1], self.fs, n_samples, device=x.device)
        return add_sources(x, weights, waves, reuse=reuse)


class Powerline(Noise):
    """Add mains hum and its harmonics, in phase at all electrodes but of different size.

    Parameters
    ----------
    fs : float
        [Hz]
    amplitude : (float, float)
        Range of the root mean square over the leads [units of the strips].
    mains : sequence of float
        Frequencies of which each strip draws one [Hz]; those not below fs / 2 are left out.
    harmonics : int
        Waves at once, twice, ... the mains; each is drawn up to 1 / k; those not below fs / 2 are silent.
    drift : float
        Largest deviation of the mains [Hz].
    leads, per_lead, p, strength
        See `Noise`; ``strength`` multiplies the amplitude. With ``per_lead`` the phases differ too.

    Raises
    ------
    RecipeError
        If no mains frequency lies below half the sampling rate.
    """

    def __init__(
        self,
        *,
        fs: float,
        amplitude: tuple[float, float] = (0.005, 0.05),
        mains: Sequence[float] = (50.0, 60.0),
        harmonics: int = 3,
        drift: float = 0.1,
        leads: Sequence[str] = STANDARD_LEADS,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, per_lead=per_lead, p=p, strength=strength)
        usable = tuple(frequency for frequency in mains if drift < frequency < 0.5 * fs - drift)
        if not usable or harmonics < 1:
            problem = f"{harmonics} waves of {tuple(mains)} Hz at fs = {fs}"
            raise RecipeError("mains", problem, "leave powerline out where half the rate is below the mains")
        self.fs, self.mains, self.harmonics, self.drift = fs, usable, harmonics, drift
        self.amplitude = _amplitude("amplitude", amplitude)

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        batch, leads, n_samples = x.shape
        sources = self._sources(leads)
        draw = uniform(batch, 3 + self.harmonics, generator=given.generator)
        mains = torch.tensor(self.mains)[integers(draw[:, 0], len(self.mains))]
        order = torch.arange(1.0, self.harmonics + 1)
        frequency = (mains + between(draw[:, 1], -self.drift, self.drift)).unsqueeze(1) * order
        size = torch.where(order > 1, draw[:, 3:] / order, 1.0) * (frequency < 0.5 * self.fs)
        rows = sources if self.per_lead else 1
        phase = uniform(batch, rows, self.harmonics, generator=given.generator) * (2.0 * torch.pi)
        pattern = normal(batch, sources, 1, generator=given.generator) * size.unsqueeze(1)
        weights = self._spread(torch.cat([pattern * phase.cos(), pattern * phase.sin()], 2))
        rms = between(draw[:, 2], *self.amplitude) * self.strength
        weights = weights_of_rms(weights, rms, source_power=0.5, lead_mask=given.lead_mask)
        quarter = torch.tensor([0.0, 0.25]).repeat_interleave(self.harmonics).expand(batch, -1)
        waves = sinusoids(frequency.repeat(1, 2), quarter, self.fs, n_samples, device=x.device)
        return add_sources(x, weights, waves, reuse=reuse)


class EMG(Noise):
    """Add muscle noise: Gaussian within a band, copied from a bank that is made once.

    Each source of each strip copies a random piece of the bank with a random factor; neither the batch
    nor the bank depends on how many strips there are.

    Parameters
    ----------
    fs : float
        [Hz]
    amplitude : (float, float)
        Range of the root mean square over the leads [units of the strips].
    band : (float, float)
        [Hz]; the upper edge is lowered to 0.45 fs where it lies above.
    bank_samples : int
        Length of the bank; strips must be shorter.
    leads, per_lead, p, strength
        See `Noise`; ``strength`` multiplies the amplitude.

    Raises
    ------
    RecipeError
        If the band is empty at this rate.
    """

    bank: Tensor

    def __init__(
        self,
        *,
        fs: float,
        amplitude: tuple[float, float] = (0.005, 0.05),
        band: tuple[float, float] = (20.0, 150.0),
        bank_samples: int = 65536,
        leads: Sequence[str] = STANDARD_LEADS,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, per_lead=per_lead, p=p, strength=strength)
        high = min(band[1], 0.45 * fs)
        if not 0.0 <= band[0] < high:
            raise RecipeError("band", f"{band} Hz holds nothing at fs = {fs}", "lower the band or raise fs")
        self.fs, self.band = fs, (band[0], high)
        self.amplitude = _amplitude("amplitude", amplitude)
        seeded = torch.Generator().manual_seed(_BANK_SEED)
        noise = band_noise(bank_samples, fs, *self.band, generator=seeded)
        self.register_buffer("bank", noise.unsqueeze(0), persistent=False)

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        batch, leads, n_samples = x.shape
        sources = self._sources(leads)
        draw = uniform(batch, sources + 1, generator=given.generator)
        size = normal(batch, sources, generator=given.generator)
        weights = self._spread(torch.diag_embed(size))
        rms = between(draw[:, -1], *self.amplitude) * self.strength
        weights = weights_of_rms(weights, rms, source_power=1.0, lead_mask=given.lead_mask)
        start = integers(draw[:, :-1], max(self.bank.shape[1] - n_samples, 0) + 1)
        rows = bank_rows(self.bank, torch.zeros_like(start), start, n_samples)
        return add_sources(x, weights, rows, reuse=reuse)
