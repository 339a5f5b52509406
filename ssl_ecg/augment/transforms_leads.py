"""Transforms that are matrices in lead space: gain, lead mask, rotation and scaling of the dipole."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_ecg.augment.base import LeadMap
from ssl_ecg.augment.draws import between, factor, uniform
from ssl_ecg.augment.functional import keep_some_leads
from ssl_ecg.augment.geometry import (
    INDEPENDENT_LEADS,
    Residual,
    dipole_map,
    independent_selection,
    rotation_matrix,
)
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.leads import STANDARD_LEADS, parse_leads


class Gain(LeadMap):
    """Multiply all leads of a strip by one random factor; keeps the lead relations.

    Parameters
    ----------
    largest : float > 1
        Factors are drawn from [1 / largest, largest], evenly on a logarithmic scale.
    p, strength
        See `Transform`; ``strength`` multiplies the range in decibels.

    Raises
    ------
    RecipeError
        If ``largest`` is below 1.

    Examples
    --------
    >>> Gain(1.5)(torch.ones(2, 12, 100)).shape
    torch.Size([2, 12, 100])
    """

    def __init__(self, largest: float = 1.5, *, p: float = 1.0, strength: float = 1.0) -> None:
        super().__init__(p=p, strength=strength)
        if not 1.0 <= largest < math.inf:
            raise RecipeError("largest", f"{largest} is out of range", "give a factor of 1 or more")
        self.largest = largest

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        draw = uniform(batch, 1, generator=generator)
        return factor(draw, self.largest**self.strength).expand(batch, leads)


class LeadGain(Gain):
    """Multiply each lead by its own random factor; breaks the lead relations. See `Gain`."""

    keeps_lead_relations = False

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return factor(uniform(batch, leads, generator=generator), self.largest**self.strength)


class LeadMask(LeadMap):
    """Set random leads to zero, and keep at least one of those present; breaks the lead relations.

    What follows in a chain goes on as if the leads were there: noise then lies on masked leads as on an electrode that
    is off. Last in the chain, it leaves them zero throughout, as leads are that were not recorded.

    Parameters
    ----------
    drop : float in [0, 1]
        Largest probability that a lead is dropped; each strip draws its own from 0 to ``strength * drop``.
    p, strength
        See `Transform`.

    Raises
    ------
    RecipeError
        If ``drop`` is no probability.

    Examples
    --------
    >>> dropped = LeadMask(1.0)(torch.ones(64, 12, 10))[:, :, 0] == 0
    >>> bool(dropped.any()), bool(dropped.all(1).any())
    (True, False)
    """

    keeps_lead_relations = False
    drops_leads = True

    def __init__(self, drop: float = 0.5, *, p: float = 1.0, strength: float = 1.0) -> None:
        super().__init__(p=p, strength=strength)
        if not 0.0 <= drop <= 1.0:
            raise RecipeError("drop", f"{drop} is no probability", "give a value from 0 to 1")
        self.drop = drop

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        draw = uniform(batch, leads + 1, generator=generator)
        drop = draw[:, :1] * min(self.strength * self.drop, 1.0)
        # The score less the probability is below zero for the leads to be dropped.
        return keep_some_leads(draw[:, 1:] - drop, 0.0, lead_mask)


class _DipoleMap(LeadMap):
    """Map the dipole; strips with an absent lead stay as they are, for their dipole cannot be told."""

    def __init__(
        self,
        *,
        leads: Sequence[str] = STANDARD_LEADS,
        residual: Residual = "keep",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        if residual not in ("keep", "scale", "drop"):
            raise RecipeError("residual", f"{residual!r} is unknown", "choose from keep, scale, drop")
        self.leads = parse_leads(leads)
        self.residual: Residual = residual
        independent_selection(self.leads)
        self._needed = [self.leads.index(lead) for lead in INDEPENDENT_LEADS]

    def _dipole(self, batch: int, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if leads != len(self.leads):
            problem = f"strips of {leads} leads for a transform of {len(self.leads)}: {', '.join(self.leads)}"
            raise SignalError("signal", problem, "give all twelve leads, or name the leads of the strips")
        maps = dipole_map(self._dipole(batch, generator), self.leads, residual=self.residual)
        if lead_mask is None:
            return maps
        return torch.where(lead_mask.all(1).view(-1, 1, 1), maps, torch.eye(leads))


class DipoleRotation(_DipoleMap):
    """Turn the heart's dipole by random angles, as if the heart lay differently; keeps the lead relations.

    Parameters
    ----------
    degrees : float >= 0
        Angles about the three axes are drawn from [-degrees, degrees].
    leads : sequence of str
        Leads of the strips; I, II and V1-V6 must be among them.
    residual : {"keep", "scale", "drop"}
        What becomes of the part that no dipole explains; see `geometry.dipole_map`.
    p, strength
        See `Transform`.

    Raises
    ------
    SignalError
        If I, II, V1-V6 are not all there.
    RecipeError
        If ``residual`` is unknown.

    Notes
    -----
    Needs strips in mV, or scaled by one factor for all leads: a per-lead z-score destroys the geometry.
    Strips with an absent lead are left as they are.

    References
    ----------
    Gopal et al. 2021, arXiv:2106.04452 (3KG; 45 degrees there).

    Examples
    --------
    >>> DipoleRotation(30.0)(torch.randn(2, 12, 100)).shape
    torch.Size([2, 12, 100])
    """

    def __init__(
        self,
        degrees: float = 45.0,
        *,
        leads: Sequence[str] = STANDARD_LEADS,
        residual: Residual = "keep",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, residual=residual, p=p, strength=strength)
        self.degrees = degrees

    def _dipole(self, batch: int, generator: torch.Generator | None) -> Tensor:
        angle = math.radians(self.degrees * self.strength)
        return rotation_matrix(between(uniform(batch, 3, generator=generator), -angle, angle))


class DipoleScaling(_DipoleMap):
    """Stretch the heart's dipole along its three axes by random factors; keeps the lead relations.

    Parameters
    ----------
    largest : float >= 1
        Factors are drawn from [1 / largest, largest], evenly on a logarithmic scale.
    leads, residual, p, strength
        See `DipoleRotation`.

    Raises
    ------
    SignalError, RecipeError
        As for `DipoleRotation`.

    References
    ----------
    Gopal et al. 2021, arXiv:2106.04452 (3KG; up to 1.5 there).
    """

    def __init__(
        self,
        largest: float = 1.5,
        *,
        leads: Sequence[str] = STANDARD_LEADS,
        residual: Residual = "keep",
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(leads=leads, residual=residual, p=p, strength=strength)
        if not 1.0 <= largest < math.inf:
            raise RecipeError("largest", f"{largest} is out of range", "give a factor of 1 or more")
        self.largest = largest

    def _dipole(self, batch: int, generator: torch.Generator | None) -> Tensor:
        return torch.diag_embed(factor(uniform(batch, 3, generator=generator), self.largest**self.strength))
