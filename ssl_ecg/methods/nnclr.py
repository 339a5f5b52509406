"""NNCLR: a view attracts the nearest neighbour of the other view among recent strips."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ssl_ecg.augment.views import Views
from ssl_ecg.methods.base import Batch, check_positive, contrast, gate
from ssl_ecg.methods.gathering import gathered, info_nce


class NNCLR(nn.Module):
    """Nearest-neighbour contrast: positives are other recordings that are alike, not only views of the same.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes two augmented views of a batch.
    hidden_dim, out_dim : int
        Width of the hidden layers of projector and predictor, and of their output.
    temperature : float
        Divides the cosines; 0.1 in the paper.
    queue_size : int
        Recent projections among which the neighbour is sought.

    References
    ----------
    Dwibedi et al. 2021, arXiv 2104.14548, eq. 3 and algorithm 1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        hidden_dim: int = 512,
        out_dim: int = 128,
        temperature: float = 0.1,
        queue_size: int = 4096,
    ) -> None:
        super().__init__()
        check_positive(hidden_dim=hidden_dim, out_dim=out_dim, temperature=temperature, queue_size=queue_size)
        from lightly.models.modules.heads import NNCLRPredictionHead, NNCLRProjectionHead

        self.encoder = encoder
        self.views = views
        self.projector = NNCLRProjectionHead(int(encoder.dim), hidden_dim, out_dim)  # type: ignore[arg-type]
        self.predictor = NNCLRPredictionHead(out_dim, hidden_dim, out_dim)
        self.queue = Queue(queue_size, out_dim)
        self.temperature = temperature

    def loss(self, batch: Batch) -> Tensor:
        """Contrast predictions with the neighbours of the other view, then put the first view into the queue.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips or is not finite.
        """
        gate(batch, at_least=2)
        return contrast(self.encoder, self.projector, self.views, self.compare, batch)

    def compare(self, first: Tensor, second: Tensor) -> Tensor:
        """Give the loss of the projections (local, dim) of two views: the mean of both directions."""
        # one call, so that the predictor's batch statistics span both views, as the projector's do
        prediction_a, prediction_b = self.predictor(torch.cat([first, second])).chunk(2)
        near_a, near_b = self.queue.nearest(first.detach()), self.queue.nearest(second.detach())
        value = (
            info_nce(near_a, prediction_b, self.temperature) + info_nce(near_b, prediction_a, self.temperature)
        ) / 2
        self.queue.push(first.detach())
        return value


class Queue(nn.Module):
    """Ring of the most recent vectors, of length one, of all processes.

    lightly's memory bank is not used: it leaves the bank out of the state, so that a resumed run would differ, starts
    from random vectors, and its version for neighbours does not gather over processes.

    Parameters
    ----------
    size, dim : int
        Vectors kept, and their length.

    Examples
    --------
    >>> queue = Queue(4, 2)
    >>> queue.push(torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    >>> queue.nearest(torch.tensor([[3.0, 1.0]]))
    tensor([[1., 0.]])
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.vectors: Tensor
        self.pushed: Tensor
        self.register_buffer("vectors", torch.zeros(size, dim))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def nearest(self, x: Float[Tensor, "strip dim"]) -> Float[Tensor, "strip dim"]:
        """Give for each vector the one of greatest cosine; the vectors themselves while the queue is empty."""
        held = self.vectors[: int(self.pushed)]
        if len(held) == 0:
            return x
        # lengths of x do not change which is nearest
        return held[(x @ held.T).argmax(dim=1)]

    @torch.no_grad()
    def push(self, x: Float[Tensor, "local dim"]) -> None:
        """Put the vectors of all processes in the place of the oldest."""
        new, size = functional.normalize(gathered(x), dim=1), len(self.vectors)
        start = int(self.pushed) + max(len(new) - size, 0)
        new = new[-size:]
        places = torch.arange(start, start + len(new), device=new.device) % size
        self.vectors[places] = new
        self.pushed.fill_(start + len(new))
