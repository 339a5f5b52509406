"""Contrast with any number of positives: strips of one record, records of one patient, strips with one label."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.methods.base import Batch, encode
from ssl_ecg.methods.gathering import gathered
from ssl_ecg.processes import rank, world_size

Against = Literal["all", "geometric", "arithmetic"]
"""How positives are weighed against the rest; see `multi_positive_loss`."""


def multi_positive_loss(
    z: Float[Tensor, "n dim"],
    ids: Int[Tensor, " rows"] | None = None,
    temperature: float = 0.1,
    *,
    weights: Float[Tensor, "rows all"] | None = None,
    against: Against = "all",
    gather: bool = True,
) -> Float[Tensor, ""]:
    """Draw together what belongs together and push the rest apart.

    The mean over all embeddings that have a positive, in all processes. A process gives its part times the number of
    processes, as their gradients are averaged afterwards.

    Parameters
    ----------
    z : Tensor (n, dim)
        Of any length; only their directions are compared.
    ids : int Tensor (n,), optional
        Embeddings with the same number are positives of each other.
    temperature : float
        Divides the cosines.
    weights : Tensor (n, all), optional
        Instead of `ids`: how much each of the embeddings of all processes, in the order of `gathered`, is a
        positive of each of this process; 0 makes it a negative. Weights of a row count relative to each other, and
        that of an embedding to itself does not count.
    against : {"all", "geometric", "arithmetic"}
        Each positive competes with all other embeddings ("all": SupCon, outer mean; NT-Xent where there is one), or
        with the negatives only, and the likelihoods of the positives are averaged geometrically or arithmetically
        (poly-view).
    gather : bool
        Compare with the embeddings of all processes; each of them must have as many.

    Raises
    ------
    SignalError
        Unless one of `ids` and `weights` is given and fits.

    References
    ----------
    Khosla et al. 2020, arXiv 2004.11362, eq. 2. Shidani et al. 2024, arXiv 2403.05490 (poly-view contrast).

    Examples
    --------
    >>> z = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> together, apart = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    >>> bool(multi_positive_loss(z, together) < multi_positive_loss(z, apart))
    True
    """
    everyone = gathered(z.contiguous()) if gather else z
    first = rank() * len(z) if gather else 0
    itself = torch.zeros(len(z), len(everyone), dtype=torch.bool, device=z.device)
    itself[:, first : first + len(z)].fill_diagonal_(True)
    weights = _positives(z, ids, weights, everyone, gather).masked_fill(itself, 0)
    similarity = F.normalize(z, dim=1) @ F.normalize(everyone, dim=1).T / temperature
    if against == "all":
        likelihood = similarity - similarity.masked_fill(itself, -torch.inf).logsumexp(1, keepdim=True)
    else:
        negatives = similarity.masked_fill(itself | (weights > 0), -torch.inf)
        # a finite floor, as without any negative the gradient of the logarithm of nothing is not a number
        floor = torch.finfo(z.dtype).min / 4
        likelihood = F.logsigmoid(similarity - torch.where(negatives.isneginf(), floor, negatives).logsumexp(1, True))
    total = weights.sum(1, keepdim=True)
    share = weights / total.clamp(min=torch.finfo(z.dtype).tiny)
    if against == "arithmetic":
        hopeless = torch.finfo(z.dtype).min / 4
        each = torch.where(share > 0, likelihood + share.clamp(min=1e-30).log(), hopeless).logsumexp(1)
    else:
        each = (share * likelihood.masked_fill(itself, 0)).sum(1)
    anchors = total[:, 0] > 0
    count = gathered(anchors.sum().view(1)).sum() if gather else anchors.sum()
    return -each.masked_fill(~anchors, 0).sum() * (world_size() if gather else 1) / count.clamp(min=1)


def contrast_positives(
    encoder: nn.Module,
    projector: nn.Module,
    x: Float[Tensor, "n lead time"],
    lengths: Int[Tensor, " n"] | None,
    ids: Int[Tensor, " n"],
    temperature: float,
    *,
    against: Against = "all",
) -> Float[Tensor, ""]:
    """Encode and project views, and draw together those with the same number; see `multi_positive_loss`.

    Only the encoder runs in the precision of the trainer.
    """
    embeddings = encode(encoder, x, lengths)
    with torch.autocast(x.device.type, enabled=False):
        return multi_positive_loss(projector(embeddings), ids, temperature, against=against)


def numbers_of(what: str, batch: Batch) -> Int[Tensor, " batch"]:
    """Give the numbers of the records or patients of a batch as ids of positives.

    Parameters
    ----------
    what : str
        "row" or "patient"; strips of a batch without these numbers belong together with no other.
    batch : Batch
    """
    signal = batch["signal"]
    return batch[what] if what in batch else strip_numbers(len(signal), signal.device)


def strip_numbers(n: int, device: torch.device) -> Int[Tensor, " {n}"]:
    """Give strips numbers through all processes, for batches that do not say which records they hold."""
    return torch.arange(n, device=device) + rank() * n


def _positives(z: Tensor, ids: Tensor | None, weights: Tensor | None, everyone: Tensor, gather: bool) -> Tensor:
    """Give the matrix of positives, whichever way they were told."""
    if (ids is None) == (weights is None):
        raise SignalError("multi_positive_loss", "needs ids or weights, and not both", "give one of them")
    shape, expected = (ids.shape, (len(z),)) if ids is not None else (weights.shape, (len(z), len(everyone)))  # type: ignore[union-attr]
    if tuple(shape) != expected:
        problem = f"{'ids' if weights is None else 'weights'} of shape {tuple(shape)} for {len(z)} embeddings"
        raise SignalError("multi_positive_loss", problem, f"give {expected}")
    if ids is not None:
        weights = ids[:, None] == (gathered(ids.contiguous()) if gather else ids)
    return weights.to(z.dtype)  # type: ignore[union-attr]
