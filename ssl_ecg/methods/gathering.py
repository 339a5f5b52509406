"""Comparison across the batch of all processes, which is the batch of the recipe."""

from __future__ import annotations

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional

from ssl_ecg.processes import rank, sum_of_all, world_size


def gathered(x: Shaped[Tensor, "local ..."]) -> Shaped[Tensor, "batch ..."]:
    """Join what all processes hold, in the order of their ranks; gradients flow back to each of them.

    In one process it gives the tensor itself. The processes have equally many rows.

    Examples
    --------
    >>> gathered(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    if world_size() == 1:
        return x
    from lightly.utils import dist

    return torch.cat(dist.gather(x.contiguous()))


def mean_of_all(values: Float[Tensor, "*shape"], counts: Shaped[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Average over the entries that count, those of all processes; zero if there are none.

    A process gives its part times the number of processes, as their gradients are averaged afterwards.

    Parameters
    ----------
    values : Tensor
    counts : Tensor
        True where an entry counts.

    Examples
    --------
    >>> mean_of_all(torch.tensor([1.0, 3.0, 8.0]), torch.tensor([True, True, False])).item()
    2.0
    """
    return (values * counts).sum() * world_size() / sum_of_all(counts.sum()).clamp(min=1)


def info_nce(
    queries: Float[Tensor, "local dim"], keys: Float[Tensor, "local dim"], temperature: float
) -> Float[Tensor, ""]:
    """Cross-entropy of finding the key of each query among the keys of the whole batch, by cosine similarity.

    Parameters
    ----------
    queries, keys : Tensor (local, dim)
        Of this process, not yet of length one; row i of one belongs to row i of the other.
    temperature : float
        Divides the cosines.

    References
    ----------
    van den Oord et al. 2018, arXiv 1807.03748, eq. 4; as in Chen et al. 2021, arXiv 2104.02057, eq. 1.

    Examples
    --------
    >>> round(info_nce(torch.eye(2), torch.eye(2), 1.0).item(), 4)  # log(1 + exp(-1))
    0.3133
    """
    candidates = gathered(functional.normalize(keys, dim=1))
    cosines = functional.normalize(queries, dim=1) @ candidates.T
    own = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    return functional.cross_entropy(cosines / temperature, own)
