"""Which strips each batch of a run holds, as a function of (seed, step, process)."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError, RecipeError

Sampling = Literal["strips", "shards"]
SHARDS_AT_ONCE = 16
"""Shards whose strips are mixed: some 16,000 records of ten seconds, 400 MB of samples at 100 Hz."""


class Order(Protocol):
    """Says which strips of batch `step` belong to this process."""

    def rows(self, step: int) -> list[int]:
        """Give numbers of strips."""


def make_order(strips: Strips, sampling: Sampling, *, batch_size: int, seed: int, rank: int, world: int) -> Order:
    """Make the order that `train.sampling` names.

    Raises
    ------
    ArchiveError
        If a process has fewer strips than its part of a batch.
    RecipeError
        If the batch cannot be divided evenly, or there are fewer shards than processes.
    """
    if batch_size % world:
        remedy = f"set train.batch_size to a multiple of {world}"
        raise RecipeError("train.batch_size", f"{batch_size} strips for {world} processes", remedy)
    if len(strips) < batch_size:
        remedy = f"set train.batch_size to {len(strips)} or less, or prepare more records"
        where = str(strips.archive.path)
        raise ArchiveError(where, f"has {len(strips)} strips, fewer than a batch of {batch_size}", remedy)
    if sampling == "strips":
        return StripOrder(len(strips), batch_size=batch_size, seed=seed, rank=rank, world=world)
    groups = own_shards(strips, rank=rank, world=world)
    return ShardOrder(groups, batch_size=batch_size // world, seed=seed, rank=rank)


class StripOrder:
    """All strips, shuffled anew in every pass; this process takes each `world`-th strip of every batch."""

    def __init__(self, count: int, *, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.count, self.batch_size, self.seed, self.rank, self.world = count, batch_size, seed, rank, world
        self.per_pass = count // batch_size
        self._pass = -1
        self._order = np.empty(0, np.int64)

    def rows(self, step: int) -> list[int]:
        """Give numbers of strips."""
        number, place = divmod(step, self.per_pass)
        if number != self._pass:
            self._order, self._pass = np.random.default_rng([self.seed, number]).permutation(self.count), number
        batch = self._order[place * self.batch_size : (place + 1) * self.batch_size]
        return [int(row) for row in batch[self.rank :: self.world]]


class ShardOrder:
    """The strips of some shards: the shards are shuffled in every pass, and the strips within a few of them.

    So an archive larger than the memory is read in pieces that fit, and no process reads what is another's. Each
    process counts its own passes.

    Parameters
    ----------
    groups : list of int64 array
        The strips of each shard of this process.
    batch_size : int
        Of this process.
    seed : int
    rank : int
    at_once : int
        Shards whose strips are mixed.
    """

    def __init__(
        self,
        groups: list[NDArray[np.int64]],
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        at_once: int = SHARDS_AT_ONCE,
    ) -> None:
        self.groups, self.batch_size, self.seed, self.rank, self.at_once = groups, batch_size, seed, rank, at_once
        count = sum(len(group) for group in groups)
        if count < batch_size:
            problem = f"has {count} strips in its shards, its part of a batch has {batch_size}"
            raise ArchiveError(f"process {rank}", problem, "lower train.batch_size, or set train.sampling=strips")
        self.per_pass = count // batch_size
        self._pass = -1
        self._order = np.empty(0, np.int64)

    def rows(self, step: int) -> list[int]:
        """Give numbers of strips."""
        number, place = divmod(step, self.per_pass)
        if number != self._pass:
            self._order, self._pass = self._shuffled(np.random.default_rng([self.seed, number, self.rank])), number
        return [int(row) for row in self._order[place * self.batch_size : (place + 1) * self.batch_size]]

    def _shuffled(self, generator: np.random.Generator) -> NDArray[np.int64]:
        shards = generator.permutation(len(self.groups))
        mixed = [
            generator.permutation(np.concatenate([self.groups[k] for k in shards[first : first + self.at_once]]))
            for first in range(0, len(shards), self.at_once)
        ]
        return np.concatenate(mixed)


def own_strips(strips: Strips, sampling: Sampling, *, rank: int = 0, world: int = 1) -> NDArray[np.int64]:
    """Give the strips that a process may read, in their order: all of them unless it has shards of its own."""
    if sampling == "strips" or world == 1:
        return np.arange(len(strips))
    return np.sort(np.concatenate(own_shards(strips, rank=rank, world=world)))


def own_shards(strips: Strips, *, rank: int = 0, world: int = 1) -> list[NDArray[np.int64]]:
    """Give the strips of each shard that belongs to a process; shards are dealt so that all have about as many strips.

    Raises
    ------
    RecipeError
        If there are fewer shards than processes.
    """
    shard_of = strips.archive.shard_numbers[strips.record_rows]
    order = np.argsort(shard_of, kind="stable")
    shards, first = np.unique(shard_of[order], return_index=True)
    groups = np.split(order, first[1:])
    if len(shards) < world:
        problem = f"there are {len(shards)} shards for {world} processes"
        raise RecipeError("train.sampling", problem, "set train.sampling=strips")
    loads = [0] * world
    own = []
    for k in sorted(range(len(groups)), key=lambda k: (-len(groups[k]), k)):  # the largest first
        taker = loads.index(min(loads))
        loads[taker] += len(groups[k])
        if taker == rank:
            own.append(np.asarray(groups[k], np.int64))
    return own
