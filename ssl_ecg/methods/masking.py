"""Which spans, leads and tokens a method hides; tokens that are left, taken out and put back."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssl_ecg.methods.base import Batch


def strip_lengths(batch: Batch) -> Int[Tensor, " batch"] | None:
    """Give the samples of each strip, or None if no strip of the batch is padded: encoders are quicker then."""
    lengths = batch.get("length")
    return lengths if lengths is not None and bool((lengths < batch["signal"].shape[-1]).any()) else None


def draw_spans(
    batch: int, steps: int, *, ratio: float, span: int, device: torch.device | str | None = None
) -> Bool[Tensor, "batch step"]:
    """Hide spans of equal length, anew for each strip; they do not overlap, so that all strips hide as much.

    Parameters
    ----------
    batch, steps : int
    ratio : float
        Share of the steps to hide. There is always one span, and always one step that is left.
    span : int
        Length of a span [steps].
    device : torch.device, optional

    Examples
    --------
    >>> draw_spans(3, 20, ratio=0.5, span=5).sum(dim=1).tolist()
    [10, 10, 10]
    """
    span = max(1, min(span, steps - 1))
    n = max(1, min(round(ratio * steps / span), (steps - 1) // span))
    # every set of n starts among what is left when each span shrinks to one step is as likely as any other
    starts = torch.rand(batch, steps - n * (span - 1), device=device).argsort(dim=1)[:, :n].sort(dim=1).values
    starts = starts + torch.arange(n, device=device) * (span - 1)
    places = (starts[:, :, None] + torch.arange(span, device=device)).flatten(1)
    hidden = torch.zeros(batch, steps, dtype=torch.bool, device=device)
    return hidden.scatter(1, places.clamp(max=steps - 1), True)


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


def draw_tokens(keep: Bool[Tensor, "batch token"], ratio: float) -> Bool[Tensor, "batch token"]:
    """Hide single tokens: `ratio` of those that count in each strip, one at least, and never all.

    Examples
    --------
    >>> draw_tokens(torch.arange(8)[None] < torch.tensor([[8], [4]]), 0.75).sum(dim=1).tolist()
    [6, 3]
    """
    count = keep.sum(dim=1)
    return _first(keep, (ratio * count).round().long().clamp(min=1).minimum((count - 1).clamp(min=1)))


def _first(among: Tensor, n: Tensor) -> Tensor:
    """Choose n of those marked in each row, all sets being equally likely."""
    order = torch.rand(among.shape, device=among.device).masked_fill(~among, 2.0).argsort(dim=1)
    rank = order.argsort(dim=1)
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
