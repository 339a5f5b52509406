"""Transforms of the time axis: spans set to zero, time warp, speed and bands."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from ssl_ecg.augment.base import Given, Transform
from ssl_ecg.augment.draws import between, factor, integers, uniform
from ssl_ecg.augment.functional import (
    band_response,
    filter_band,
    mask_time,
    padded_length,
    span_mask,
    stop_response,
)
from ssl_ecg.augment.functional_time import (
    Interpolation,
    recorded_samples,
    sample_at,
    stretched_positions,
    warped_positions,
)
from ssl_ecg.errors import RecipeError

BANDS = ("low", "high", "pass", "stop")


class TimeMask(Transform):
    """Set random spans of each strip to zero.

    Parameters
    ----------
    share : float in [0, 1]
        Largest share of the strip that the spans take together.
    spans : int
        Number of spans; each takes from 0 to ``strength * share / spans`` of the strip.
    per_lead : bool
        Own spans for each lead, which breaks the lead relations; otherwise common to all leads.
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If a parameter is out of range.

    Examples
    --------
    >>> masked = TimeMask(0.5, p=1.0)(torch.ones(8, 12, 100))
    >>> bool((masked == 0).any()), bool((masked.mean((1, 2)) >= 0.5).all())
    (True, True)
    """

    def __init__(
        self,
        share: float = 0.25,
        spans: int = 2,
        *,
        per_lead: bool = False,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        if not 0.0 <= share <= 1.0:
            raise RecipeError("share", f"{share} is no share", "give a value from 0 to 1")
        if spans < 1:
            raise RecipeError("spans", f"{spans} spans", "give 1 or more")
        self.share = share
        self.spans = spans
        self.per_lead = per_lead
        self.keeps_lead_relations = not per_lead
        self.time_only = not per_lead

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        batch, leads, n_samples = x.shape
        rows = leads if self.per_lead else 1
        draw = uniform(2, batch, rows, self.spans, generator=given.generator)
        recorded = recorded_samples(x, given.lengths).view(-1, 1, 1)
        longest = (min(self.share * self.strength, 1.0) * recorded.double() / self.spans).float()
        # Rounded up, so that a strip chosen loses a sample at least; the sum stays within the share.
        length = torch.ceil(draw[0] * longest).clamp_(min=longest.clamp(max=1.0), max=longest).long()
        start = ((recorded - length + 1) * draw[1]).long()
        return mask_time(x, span_mask(start.to(x.device), length.to(x.device), n_samples), reuse=reuse)


class TimeWarp(Transform):
    """Speed up and slow down each strip smoothly; its ends stay where they are.

    Parameters
    ----------
    stretch : float in [0, 1)
        The local speed stays within 1 - strength * stretch and 1 + strength * stretch.
    waves : int
        Number of half waves that make up the change of speed.
    interpolation : {"cubic", "linear"}
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If ``strength * stretch`` is 1 or more, where time would run backwards.
    """

    time_only = True

    def __init__(
        self,
        stretch: float = 0.2,
        waves: int = 4,
        *,
        interpolation: Interpolation = "cubic",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        if not 0.0 <= stretch * strength < 1.0 or waves < 1:
            problem = f"stretch {stretch} at strength {strength} with {waves} waves"
            raise RecipeError("stretch", problem, "keep their product below 1 and give a wave at least")
        self.stretch = stretch
        self.waves = waves
        self.interpolation: Interpolation = interpolation

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        coefficients = between(uniform(len(x), self.waves, generator=given.generator), -1.0, 1.0)
        position = warped_positions(coefficients, x.shape[-1], self.stretch * self.strength, given.lengths)
        return sample_at(x, position, interpolation=self.interpolation, lengths=given.lengths)


class Speed(Transform):
    """Resample each strip about its middle, as if the heart beat faster or slower.

    The length stays; where a faster strip runs out, it is zero. `RandomResizedCrop` does the same without
    the zeros where the strip is longer than the view.

    Parameters
    ----------
    largest : float >= 1
        The speed is drawn from [1 / largest, largest], evenly on a logarithmic scale.
    interpolation : {"cubic", "linear"}
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If ``largest`` is below 1.
    """

    time_only = True

    def __init__(
        self,
        largest: float = 1.25,
        *,
        interpolation: Interpolation = "cubic",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        if not largest >= 1.0:
            raise RecipeError("largest", f"{largest} is out of range", "give a factor of 1 or more")
        self.largest = largest
        self.interpolation: Interpolation = interpolation

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        speed = factor(uniform(len(x), generator=given.generator), self.largest**self.strength)
        middle = 0.5 * (recorded_samples(x, given.lengths) - 1)
        position = stretched_positions(speed, middle * (1.0 - speed), x.shape[-1])
        return sample_at(x, position, interpolation=self.interpolation, lengths=given.lengths)


class BandFilter(Transform):
    """Pass or stop a random band, without phase shift: low-, high-, band-pass or band-stop.

    Parameters
    ----------
    fs : float
        [Hz]
    kinds : sequence of {"low", "high", "pass", "stop"}
        Each strip draws one of them.
    low : (float, float)
        Range of the high-pass edge [Hz].
    high : (float, float)
        Range of the low-pass edge [Hz], at full strength; strength 0 puts it at half the rate.
    width : float
        Width of the band that a band-stop takes [Hz]; its centre is drawn from ``low[1]`` to ``high[1]``.
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If a kind is unknown or a range is empty.
    """

    time_only = True

    def __init__(
        self,
        *,
        fs: float,
        kinds: tuple[str, ...] = BANDS,
        low: tuple[float, float] = (0.3, 1.5),
        high: tuple[float, float] = (15.0, 40.0),
        width: float = 4.0,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        unknown = [kind for kind in kinds if kind not in BANDS]
        if unknown or not kinds:
            raise RecipeError("kinds", f"{unknown or 'no kind'}", f"choose from {', '.join(BANDS)}")
        if not (0.0 < low[0] <= low[1] < high[0] <= high[1] and fs > 0):
            raise RecipeError("low", f"edges {low} and {high} Hz at fs = {fs}", "order them, above 0")
        self.fs, self.kinds, self.low, self.high, self.width = fs, tuple(kinds), low, high, width

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        draw = uniform(4, len(x), generator=given.generator)
        if given.lengths is None:
            return filter_band(x, self._response(draw, x.shape[-1]))
        filtered = torch.zeros_like(x)
        recorded = recorded_samples(x, given.lengths)
        for n_samples in set(recorded.tolist()) - {0}:  # strips of one length together
            of_it = recorded == n_samples
            rows = of_it.nonzero().squeeze(1).to(x.device)
            filtered[rows, :, :n_samples] = filter_band(
                x[rows, :, :n_samples], self._response(draw[:, of_it], n_samples)
            )
        return filtered

    def _response(self, draw: Float[Tensor, "4 batch"], n_samples: int) -> Float[Tensor, "batch frequency"]:
        """Give the magnitude of each strip's filter at the frequencies of strips of ``n_samples``."""
        kind = torch.tensor([BANDS.index(kind) for kind in self.kinds])[integers(draw[0], len(self.kinds))]
        frequency = torch.fft.rfftfreq(padded_length(n_samples)[1], 1.0 / self.fs)
        nyquist = max(0.5 * self.fs, self.high[1])
        low = between(draw[1], *self.low) * self.strength
        high = (nyquist + (between(draw[2], *self.high) - nyquist) * self.strength).clamp(min=1.0)
        no_low, no_high = (kind == 0) | (kind == 3), (kind == 1) | (kind == 3)
        response = band_response(frequency, low.masked_fill(no_low, 0.0), high.masked_fill(no_high, torch.inf))
        centre = between(draw[3], self.low[1], min(self.high[1], 0.5 * self.fs))
        width = torch.where(kind == 3, self.width * self.strength, 0.0)
        return response * stop_response(frequency, centre, width)
