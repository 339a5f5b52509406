"""The endless, seekable stream of training batches.

Batch k is a function of (seed, k) alone: which rows it holds, and every random number drawn while it is
read. So a run that is killed and resumed at step k sees what it would have seen, with any number of loader
workers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError


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
        This process takes each `world`-th strip of every batch.

    Raises
    ------
    ArchiveError
        If there are fewer strips than one batch holds.
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
    ) -> None:
        super().__init__()
        if len(strips) < batch_size:
            remedy = f"set train.batch_size to {len(strips)} or less, or prepare more records"
            raise ArchiveError(
                str(strips.archive.path),
                f"has {len(strips)} strips, fewer than a batch of {batch_size}",
                remedy,
            )
        self.strips = strips
        self.batch_size = batch_size
        self.seed = seed
        self.steps = steps
        self.start = start
        self.rank = rank
        self.world = world
        self.per_pass = len(strips) // batch_size
        self._pass = -1
        self._order = np.empty(0, np.int64)

    def rows(self, step: int) -> list[int]:
        """Give the strips of batch `step` that belong to this process."""
        number, place = divmod(step, self.per_pass)
        if number != self._pass:
            generator = np.random.default_rng([self.seed, number])
            self._order, self._pass = generator.permutation(len(self.strips)), number
        batch = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return [int(row) for row in batch[self.rank :: self.world]]

    def __len__(self) -> int:
        """Give the number of batches of the whole run; those before `start` count as done."""
        return self.steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for step in range(self.start + first, self.steps, stride):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(step_seed(self.seed, step, 1 + self.rank))
                batch = self.strips.__getitems__(self.rows(step))
            yield batch
