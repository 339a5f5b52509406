"""Which spans, leads and tokens a method hides; tokens that are left, taken out and put back."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch


def strip_lengths(batch: Batch) -> Int[Tensor, " batch"] | None:
    """Give the samples of each strip, or None if no strip of the batch is padded: encoders are quicker then."""
    lengths = batch.get("length")
    return lengths if lengths is not None and bool((lengths < batch["signal"].shape[-1]).any()) else None


def check_whole_leads(method: str, share: float) -> None:
    """Refuse a largest share of leads to hide whole that is not from 0 to below 1.

    Raises
    ------
    RecipeError
        With the method's name.
    """
    if not 0 <= share < 1:
        raise RecipeError(f"{method}.whole_leads", f"is {share}", "give a share of the leads from 0 to below 1")


def draw_spans(
    batch: int,
    steps: int,
    *,
    ratio: float,
    span: int,
    own: Int[Tensor, " batch"] | None = None,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "batch step"]:
    """Hide spans of equal length, anew for each strip; they do not overlap, so that all strips hide as much.

    Parameters
    ----------
    batch, steps : int
    ratio : float
        Share of the steps to hide. There is always one span, and always one step that is left where there are two.
    span : int
        Length of a span [steps]; one less than the strip where that is no longer.
    own : int Tensor (batch,), optional
        Steps of each strip, 1 or more, where padding follows that is not to be hidden; all of them unless given.
    device : torch.device, optional

    Examples
    --------
    >>> draw_spans(3, 20, ratio=0.5, span=5).sum(dim=1).tolist()
    [10, 10, 10]
    """
    own = torch.full((batch,), steps, device=device) if own is None else own
    spans = (own - 1).clamp(min=1, max=max(1, span))
    n = (ratio * own.double() / spans).round().long().minimum((own - 1) // spans).clamp(min=1)
    # every set of n starts among what is left when each span shrinks to one step is as likely as any other
    places = own - n * (spans - 1)
    order = torch.rand(batch, int(places.max()), device=own.device)
    order = order.masked_fill(torch.arange(order.shape[1], device=own.device) >= places[:, None], 2.0)
    number = torch.arange(int(n.max()), device=own.device)
    starts = order.argsort(dim=1)[:, : len(number)].masked_fill(number >= n[:, None], steps).sort(dim=1).values
    starts = (starts + number * (spans[:, None] - 1))[..., None]
    step = torch.arange(steps, device=own.device)
    return ((step >= starts) & (step < starts + spans[:, None, None])).any(dim=1)


def draw_leads(present: Bool[Tensor, "batch lead"], share: float) -> Bool[Tensor, "batch lead"]:
    """Hide whole leads, anew for each strip: from none to `share` of those present, each number as likely.

    Examples
    --------
    >>> bool((draw_leads(torch.ones(50, 12, dtype=torch.bool), 0.5).sum(dim=1) <= 6).all())
    True
    """
    most = (share * present.sum(dim=1)).long()
    n = (torch.rand(len(present), device=present.device) * (most + 1)).long()
    return _first(present, n)


def draw_tokens(
    keep: Bool[Tensor, "batch token"], ratio: float, first: Bool[Tensor, "batch token"] | None = None
) -> Bool[Tensor, "batch token"]:
    """Hide single tokens: `ratio` of those that count in each strip, one at least, and never all.

    Parameters
    ----------
    keep : bool Tensor (batch, token)
        Those that count.
    ratio : float
    first : bool Tensor (batch, token), optional
        Those that are hidden before others, and all of them, even if they are more than `ratio`; not all that count.

    Examples
    --------
    >>> draw_tokens(torch.arange(8)[None] < torch.tensor([[8], [4]]), 0.75).sum(dim=1).tolist()
    [6, 3]
    """
    count = keep.sum(dim=1)
    n = (ratio * count).round().long().clamp(min=1)
    if first is not None:
        n = n.maximum((first & keep).sum(dim=1))
    return _first(keep, n.minimum((count - 1).clamp(min=1)), first)


def _first(among: Tensor, n: Tensor, before: Tensor | None = None) -> Tensor:
    """Choose n of those marked in each row, all sets being equally likely, but for those that come before others."""
    lot = torch.rand(among.shape, device=among.device)
    lot = (lot if before is None else lot - 1.0 * before).masked_fill(~among, 2.0)
    rank = lot.argsort(dim=1).argsort(dim=1)
    return (rank < n[:, None]) & among


def take_tokens(
    tokens: Float[Tensor, "batch token width"], chosen: Bool[Tensor, "batch token"]
) -> tuple[Float[Tensor, "batch fewer width"], Bool[Tensor, "batch fewer"] | None, Int[Tensor, "batch fewer"]]:
    """Take out the tokens that are chosen, in their order.

    Returns
    -------
    fewer : Tensor (batch, fewer, width)
        As many for each strip as the fullest has; others are filled up with tokens that do not count.
    keep : bool Tensor (batch, fewer) or None
        Which of them were chosen; None if all were.
    index : int Tensor (batch, fewer)
        Where they came from.
    """
    count = chosen.sum(dim=1)
    most = max(1, int(count.max()))
    index = (~chosen).long().argsort(dim=1, stable=True)[:, :most]
    fewer = tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))
    keep = torch.arange(most, device=tokens.device) < count[:, None]
    return fewer, None if bool(keep.all()) else keep, index


def put_tokens(
    fewer: Float[Tensor, "batch fewer width"], index: Int[Tensor, "batch fewer"], n_tokens: int
) -> Float[Tensor, "batch token width"]:
    """Put tokens back to where they came from, zeros in between."""
    whole = fewer.new_zeros(fewer.shape[0], n_tokens, fewer.shape[2])
    return whole.scatter(1, index[..., None].expand_as(fewer), fewer)
