"""CLOCS: windows of one record and records of one patient attract, other patients repel."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ssl_ecg.augment.functional_time import crop
from ssl_ecg.augment.views import Views, where_padded
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.lead_groups import check_leads, part_leads
from ssl_ecg.methods.positives import contrast_positives, numbers_of
from ssl_ecg.methods.projector import make_projector

Coding = Literal["cmsc", "cmlc", "cmsmlc"]


class CLOCS(nn.Module):
    """Contrast across time, leads and patients.

    Strips of one patient are positives, wherever they stand in the batch. Each competes with all other strips, of
    either window, where the paper compares across the two windows only.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes one augmented view of each window; without crop and transforms it leaves them as they are.
    coding : {"cmsc", "cmlc", "cmsmlc"}
        What the positives differ in: the segment (a strip and its partner, with `data.partner`, otherwise the two
        halves of the strip); the leads (disjoint halves of them); or both.
    hidden_dim, out_dim : int
        Width of the projector's hidden layers and of its output.
    layers : int
        Layers of the projector.
    temperature : float
        Divides the cosines.

    Raises
    ------
    RecipeError
        If a parameter is out of range, or leads of an encoder of one lead are to be contrasted.

    References
    ----------
    Kiyasseh et al. 2021, arXiv 2005.13249, eq. 1-3.
    """

    learns_from_partners: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        coding: Coding = "cmsc",
        hidden_dim: int = 512,
        out_dim: int = 128,
        layers: int = 2,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        check_positive(temperature=temperature)
        if coding not in get_args(Coding):
            raise RecipeError("method.coding", f"is {coding!r}", f"choose from {', '.join(get_args(Coding))}")
        if coding != "cmsc":
            check_leads(encoder)
        self.encoder = encoder
        self.views = views
        self.coding = coding
        self.temperature = temperature
        self.projector = make_projector(encoder, hidden_dim=hidden_dim, out_dim=out_dim, layers=layers)

    def loss(self, batch: Batch) -> Tensor:
        """Contrast two windows, two groups of leads, or one of each of every strip.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        n = len(gate(batch, at_least=2))
        windows = [batch] if self.coding == "cmlc" else segments(batch)
        x, lengths = _join([make_views(self.views, window, n_views=1) for window in windows])
        if self.coding != "cmsc":
            x = part_leads(x.view(-1, n, *x.shape[1:]), 2)
        if lengths is not None:
            lengths = lengths.repeat(len(x) // len(lengths))
        ids = numbers_of("patient", batch).repeat(2)
        return contrast_positives(self.encoder, self.projector, x, lengths, ids, self.temperature)


def segments(batch: Batch) -> list[Batch]:
    """Give two windows of every strip, each as a batch: the strip and its partner, or the halves of the strip.

    A strip that is shorter than the batch is halved where its recording is.

    Raises
    ------
    SignalError
        If the partner is not finite.

    Examples
    --------
    >>> halves = segments({"signal": torch.arange(8.0).view(1, 1, 8), "length": torch.tensor([6])})
    >>> [(half["signal"].int().flatten().tolist(), int(half["length"])) for half in halves]
    [([0, 1, 2, 0], 3), ([3, 4, 5, 0], 3)]
    """
    if "partner" in batch:
        names = {"signal": "partner", "lead_mask": "partner_mask", "length": "partner_length"}
        partner = {name: batch[key] for name, key in names.items() if key in batch}
        gate(partner)
        return [batch, partner]
    signal = batch["signal"]
    length = max(1, signal.shape[-1] // 2)
    lengths = where_padded(batch.get("length"), signal.shape[-1])
    if lengths is None:
        rest = {name: value for name, value in batch.items() if name != "length"}
        return [{**rest, "signal": half} for half in (signal[..., :length], signal[..., -length:])]
    sizes = torch.div(lengths, 2, rounding_mode="floor").clamp(1, length)
    starts = (torch.zeros_like(sizes), torch.minimum(sizes, lengths - 1))
    inside = (torch.arange(length, device=signal.device) < sizes[:, None])[:, None]
    room = torch.nn.functional.pad(signal, (0, length))  # a short strip's second half may reach past the batch
    return [{**batch, "signal": crop(room, start, length) * inside, "length": sizes} for start in starts]


def _join(views: list[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor | None]:
    """Join views of equal length; where one has padding, all give their lengths."""
    x = torch.cat([view for view, _ in views])
    if all(lengths is None for _, lengths in views):
        return x, None
    own = [view.new_full((len(view),), view.shape[-1]).long() if n is None else n for view, n in views]
    return x, torch.cat(own)
