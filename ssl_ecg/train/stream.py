"""The endless, seekable stream of training batches.

Batch k is a function of (seed, k) and the process alone: which rows it holds, and every random number drawn while
it is read. So a run that is killed and resumed at step k sees what it would have seen, with any number of loader
workers.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ssl_ecg.data.strips import Strips
from ssl_ecg.train.order import Sampling, make_order, own_strips


def step_seed(seed: int, step: int, purpose: int) -> int:
    """Mix a run's seed, a step and a purpose into one well-spread seed."""
    return int(np.random.SeedSequence([seed, step, purpose]).generate_state(1, np.uint64)[0] >> np.uint64(1))


class BatchStream(IterableDataset[dict[str, Tensor]]):
    """Batches of strips, shuffled anew in every pass over the archive.

    Parameters
    ----------
    strips : Strips
    batch_size : int
        Over all processes.
    seed : int
    steps : int
        Number of the last batch.
    start : int
        Number of the first batch: the step to resume at.
    rank, world : int
        This process and how many there are; each has an equal part of every batch.
    sampling : {"strips", "shards"}
        "strips": all strips are shuffled, and each process takes its part of every batch, which is what one
        process would see. "shards": each process draws from its own shards alone, a few of them at a time; for
        archives larger than the memory, and for many hosts. Partners of the same patient come from them too.

    Raises
    ------
    ArchiveError
        If there are fewer strips than a batch holds.
    RecipeError
        If the batch cannot be divided evenly, or there are fewer shards than processes.
    """

    def __init__(
        self,
        strips: Strips,
        *,
        batch_size: int,
        seed: int,
        steps: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        sampling: Sampling = "strips",
    ) -> None:
        super().__init__()
        self.strips = strips
        if sampling == "shards" and world > 1:
            self.strips = strips.pairing_within(own_strips(strips, sampling, rank=rank, world=world))
        self.seed = seed
        self.steps = steps
        self.start = start
        self.rank = rank
        self.order = make_order(strips, sampling, batch_size=batch_size, seed=seed, rank=rank, world=world)

    def rows(self, step: int) -> list[int]:
        """Give the strips of batch `step` that belong to this process."""
        return self.order.rows(step)

    def __len__(self) -> int:
        """Give the number of batches of the whole run; those before `start` count as done."""
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        if worker:
            leave_stopping()
        for step in range(self.start + first, self.steps, stride):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step_seed(self.seed, step, 1 + self.rank))
                batch = self.strips.__getitems__(self.rows(step))
            yield batch


def leave_stopping(worker: int = 0) -> None:
    """Leave Ctrl-C to the process that this loader process works for, which still needs batches to end its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
