"""Leads as views: the same strip seen by disjoint sets of its leads, the others set to zero."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssl_ecg.errors import RecipeError
from ssl_ecg.models.padding import present_leads


def check_leads(encoder: nn.Module) -> None:
    """Refuse an encoder of one lead: there are no groups to tell apart.

    Raises
    ------
    RecipeError
        If it takes fewer than two leads.
    """
    leads = int(encoder.n_leads)  # type: ignore[arg-type]
    if leads < 2:
        raise RecipeError("encoder.n_leads", f"is {leads}", "give 2 leads or more: they are contrasted with each other")


def draw_lead_groups(
    present: Bool[Tensor, "batch lead"], n_groups: int, largest: int | None = None
) -> Bool[Tensor, "group batch lead"]:
    """Deal out the leads of each strip at random, group by group in turn.

    A strip with fewer leads than there are groups has some of them in several groups; one with a single lead has it
    in all of them, and its groups are told apart by nothing.

    Parameters
    ----------
    present : bool Tensor (batch, lead)
        The leads there are.
    n_groups : int
    largest : int, optional
        Leads in a group at most; all leads are dealt out unless given.

    Examples
    --------
    >>> groups = draw_lead_groups(torch.ones(5, 12, dtype=torch.bool), 2)
    >>> groups.sum(2).unique().tolist(), bool((groups[0] ^ groups[1]).all())
    ([6], True)
    """
    present = present | ~present.any(dim=1, keepdim=True)
    batch, leads = present.shape
    score = torch.rand(batch, leads).to(present.device) + ~present  # absent leads come last
    turn = score.argsort(dim=1).argsort(dim=1)
    limit = n_groups * (leads if largest is None else largest)
    numbers = torch.arange(n_groups, device=present.device)[:, None]
    group = torch.remainder(numbers, present.sum(dim=1)[None])  # groups without a lead of their own share one
    return present & (turn < limit) & (turn % n_groups == group[:, :, None])


def part_leads(
    x: Float[Tensor, "window batch lead time"], n_groups: int, largest: int | None = None
) -> Float[Tensor, "rows lead time"]:
    """Give disjoint groups of leads of every strip, the other leads set to zero.

    Parameters
    ----------
    x : Tensor (window, batch, lead, time)
        Windows of each strip: one, from which all groups are taken, or one for each group.
    n_groups, largest : int
        See `draw_lead_groups`.

    Returns
    -------
    Tensor (group x batch, lead, time)
        The first group of every strip, then the second and so on.
    """
    present = torch.stack([present_leads(window) for window in x]).all(dim=0)
    groups = draw_lead_groups(present, n_groups, largest)
    return (x * groups[..., None]).flatten(0, 1)
