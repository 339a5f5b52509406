"""Lead-set dropout: strips as a device with fewer leads would have recorded them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ssl_ecg.augment.base import LeadMap
from ssl_ecg.augment.draws import uniform
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.leads import LEAD_SETS, STANDARD_LEADS, parse_leads


class LeadSets(LeadMap):
    """Keep the leads of one of the reduced sets of CinC 2021, drawn for each strip; the others become zero.

    A strip that has no lead of the set drawn stays as it is.

    Parameters
    ----------
    sizes : sequence of int
        The sets to draw from: 12, 8, 6, 4, 3, 2 or 1 leads (`ssl_ecg.leads.LEAD_SETS`).
    leads : sequence of str
        Leads of the strips.
    p, strength
        See `Transform`; any ``strength`` above 0 acts alike.

    Raises
    ------
    RecipeError
        If there is no set of a size.

    References
    ----------
    Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687 (the lead sets).

    Examples
    --------
    >>> kept = LeadSets([6, 2])(torch.ones(64, 12, 10))[:, :, 0].sum(1)
    >>> sorted(set(kept.int().tolist()))
    [2, 6]
    """

    keeps_lead_relations = False
    drops_leads = True

    def __init__(
        self,
        sizes: Sequence[int] = (12, 8, 6, 4, 3, 2, 1),
        *,
        leads: Sequence[str] = STANDARD_LEADS,
        p: float = 1.0,
        strength: float = 1.0,
    ) -> None:
        super().__init__(p=p, strength=strength)
        wrong = [size for size in sizes if size not in LEAD_SETS]
        if wrong or not sizes:
            raise RecipeError("sizes", f"no sets of {wrong or 'any'} leads", f"choose from {sorted(LEAD_SETS)}")
        self.sizes = tuple(sizes)
        self.sets = torch.tensor([[lead in LEAD_SETS[size] for lead in parse_leads(leads)] for size in sizes])

    def _draw(self, batch: int, leads: int, lead_mask: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if self.sets.shape[1] != leads:
            raise SignalError("leads", f"{self.sets.shape[1]} names for {leads} leads", "name the leads of the strips")
        if self.strength == 0.0:
            return torch.ones(batch, leads)
        which = (uniform(batch, generator=generator) * len(self.sets)).long().clamp(max=len(self.sets) - 1)
        kept = self.sets[which]
        present = kept if lead_mask is None else kept & lead_mask
        return (kept | ~present.any(dim=1, keepdim=True)).float()
