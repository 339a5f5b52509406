"""The two kinds of transform: those that touch some strips, and those that are matrices in lead space."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ssl_ecg.augment.draws import uniform
from ssl_ecg.augment.functional import apply_lead_map
from ssl_ecg.errors import RecipeError, SignalError


def check_signal(x: Tensor, lead_mask: Tensor | None = None) -> None:
    """Refuse what is not a batch of strips.

    Raises
    ------
    SignalError
        If ``x`` is not a floating-point (batch, lead, time), or the mask is not a bool (batch, lead).
    """
    if x.ndim != 3 or not x.is_floating_point():
        problem = f"got shape {tuple(x.shape)} of {x.dtype}"
        raise SignalError("signal", problem, "give floating-point strips as (batch, lead, time)")
    if lead_mask is not None and (lead_mask.shape != x.shape[:2] or lead_mask.dtype != torch.bool):
        problem = f"got shape {tuple(lead_mask.shape)} of {lead_mask.dtype} for strips {tuple(x.shape)}"
        raise SignalError("lead_mask", problem, "give bool as (batch, lead)")


class Given(NamedTuple):
    """What a transform knows of strips beside their samples, and where its draws come from; see `Transform.forward`."""

    lead_mask: Tensor | None
    lengths: Tensor | None
    generator: torch.Generator | None


class Transform(nn.Module):
    """A random change of strips, made in the batch, on the device of the strips.

    Each strip has its own draw: with probability ``p`` it is changed, by a random amount in the ranges of
    the transform. Absent leads are zero on input, as ``Strips`` gives them, and remain zero.

    Parameters
    ----------
    p : float in [0, 1]
        Probability that a strip is changed.
    strength : float >= 0
        Multiplies the size of the change; 0 changes nothing, 1 is the size that the ranges say.

    Attributes
    ----------
    keeps_lead_relations : bool
        Whether II = I + III and Goldberger's relations survive.
    time_only : bool
        Whether all leads of a strip go through the same linear map in time, so that the transform
        commutes with matrices in lead space.

    Raises
    ------
    RecipeError
        If ``p`` or ``strength`` is out of range.
    """

    keeps_lead_relations: bool = True
    time_only: bool = False

    def __init__(self, *, p: float = 1.0, strength: float = 1.0) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise RecipeError("p", f"{p} is no probability", "give a value from 0 to 1")
        if not strength >= 0.0:
            raise RecipeError("strength", f"{strength} is out of range", "give 0 or more")
        self.p = p
        self.strength = strength

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Change the strips.

        Parameters
        ----------
        x : (batch, lead, time)
        lead_mask : (batch, lead) of bool, optional
            Leads present; all if None.
        generator : torch.Generator, optional
            Torch's global one on the processor if None.
        reuse : bool
            Allow the result to be written into the memory of ``x``.
        lengths : int (batch,), optional
            Samples of each strip before its padding: spans, speeds, bands and powers go by these. What lies past a
            strip's end is left to `Compose`, which sets it to zero.

        Returns
        -------
        Tensor (batch, lead, time)
            ``x`` itself where no strip was chosen.

        Raises
        ------
        SignalError
            If the strips do not fit the transform.
        """
        check_signal(x, lead_mask)
        rows = (uniform(len(x), generator=generator) < self.p).nonzero().squeeze(1)
        if len(rows) == 0 or self.strength == 0.0:
            return x
        reuse = reuse and not x.requires_grad
        if len(rows) == len(x):
            return self._change(x, Given(lead_mask, lengths, generator), reuse)
        mask, own = (None if each is None else each[rows.to(each.device)] for each in (lead_mask, lengths))
        rows = rows.to(x.device)
        some = x.index_select(0, rows)
        changed = self._change(some, Given(mask, own, generator), not x.requires_grad)
        return x.index_copy_(0, rows, changed) if reuse else x.index_copy(0, rows, changed)

    def _change(self, x: Tensor, given: Given, reuse: bool) -> Tensor:
        """Change all strips of ``x``."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Show the parameters."""
        names = [name for name in vars(self) if not name.startswith("_") and name != "training"]
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in names)


class LeadMap(Transform):
    """A transform that is one matrix in lead space per strip; ``Compose`` multiplies several into one.

    Attributes
    ----------
    drops_leads : bool
        Whether it sets leads to zero; of several such in a chain each leaves a lead of those that are left.
    """

    drops_leads: bool = False

    def lead_map(
        self, x: Tensor, lead_mask: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw the maps, the identity for strips that are not chosen.

        Returns
        -------
        Tensor (batch, lead, lead), or (batch, lead) for diagonal maps
            On the processor.

        Raises
        ------
        SignalError
            If the strips do not fit the transform.
        """
        check_signal(x, lead_mask)
        chosen = (uniform(len(x), generator=generator) < self.p) & (self.strength > 0.0)
        mask = None if lead_mask is None else lead_mask.cpu()
        maps = self._draw(len(x), x.shape[1], mask, generator)
        if maps.ndim == 2:
            return torch.where(chosen.unsqueeze(1), maps, 1.0)
        return torch.where(chosen.view(-1, 1, 1), maps, torch.eye(x.shape[1]))

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        """Draw a map for every strip."""
        raise NotImplementedError

    def forward(
        self,
        x: Tensor,
        lead_mask: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        reuse: bool = False,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Change the strips; see `Transform.forward`. How long they are makes no difference."""
        maps = self.lead_map(x, lead_mask, generator=generator)
        if self.p == 0.0 or self.strength == 0.0:
            return x
        return apply_lead_map(x, maps, reuse=reuse and not x.requires_grad)
