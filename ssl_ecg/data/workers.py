"""Pieces in their order, from worker processes or from this one.

Only a few pieces are on the way at any moment, so memory does not depend on how many records there are.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.canonical import Form
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.pieces import Item, Piece, Room, prepare_piece
from ssl_ecg.errors import ArchiveError

RECORDS = 16
"""Records in one piece."""
_SLOT = 2**20  # samples that a worker can hand over through shared memory; longer pieces go through a pipe

Answer = tuple[Piece, int]
"""A piece, and how many samples it has in its slot of shared memory, if it has none itself."""


def prepared(
    items: Iterable[Item], sources: Sequence[Corpus], form: Form, *, workers: int, multiple: int
) -> Generator[Piece, None, None]:
    """Prepare items piece by piece, in their order.

    Parameters
    ----------
    items : iterable of Item
    sources : sequence of Corpus
        What `Item.source` counts.
    form : Form
    workers : int
        Processes besides this one; with one or none, everything happens here.
    multiple : int
        After this many records, and its multiples, a piece ends.

    Raises
    ------
    ArchiveError
        If a worker process dies.
    """
    groups = _grouped(iter(items), multiple)
    if workers < 2:
        _keep_memory()
        room = Room()
        for group in groups:
            yield prepare_piece(group, sources, form, room)
        return
    pool = _Pool(sources, form, workers)
    try:
        for group in groups:
            pool.submit(group)
            while pool.is_full:
                yield pool.next()
        while pool.waiting:
            yield pool.next()
    except BrokenProcessPool as error:
        remedy = "most likely memory ran out: run prepare again with fewer workers, it resumes"
        raise ArchiveError("prepare", "a worker process died", remedy) from error
    finally:
        pool.close()


def processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _grouped(items: Iterator[Item], multiple: int) -> Iterator[list[Item]]:
    done = 0
    while group := list(islice(items, min(RECORDS, multiple - done % multiple))):
        done += len(group)
        yield group


class _Pool:
    """Worker processes that hold the sources; pieces with records in memory are done here."""

    def __init__(self, sources: Sequence[Corpus], form: Form, workers: int) -> None:
        self.sources, self.form = sources, form
        self.waiting: deque[tuple[Future[Answer], int]] = deque()
        self._few, self._many = 2 * workers + 2, 8 * workers
        self._most = self._few
        self._free = deque(range(self._many + 1))
        self._read = -1  # the slot of the piece that was given out last
        context = _context()
        forks = context.get_start_method() == "fork"
        self._shared = np.frombuffer(mmap.mmap(-1, 2 * _SLOT * len(self._free)), np.int16) if forks else None
        self._executor = ProcessPoolExecutor(
            workers, mp_context=context, initializer=_start, initargs=(list(sources), form, self._shared)
        )

    @property
    def is_full(self) -> bool:
        return len(self.waiting) >= self._most

    def submit(self, items: list[Item]) -> None:
        slot = self._free.popleft()
        if all(item.record is None for item in items):
            future = self._executor.submit(_work, items, slot)
        else:
            future = Future()
            future.set_result((prepare_piece(items, self.sources, self.form, Room()), 0))
        self.waiting.append((future, slot))

    def next(self) -> Piece:
        """Wait for the piece that is due; the slot of the one before may be filled again."""
        future, slot = self.waiting.popleft()
        if self._read >= 0:
            self._free.append(self._read)
        self._read = slot
        piece, n_shared = future.result()
        self._most = self._few if len(piece.samples) else self._many  # long recordings fill the memory
        if n_shared and self._shared is not None:
            return replace(piece, samples=self._shared[slot * _SLOT : slot * _SLOT + n_shared])
        return piece

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Fork where that is the custom (Linux): workers start at once, with everything imported."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


_worker: tuple[list[Corpus], Form, NDArray[np.int16] | None] | None = None


def _start(sources: list[Corpus], form: Form, shared: NDArray[np.int16] | None) -> None:
    global _worker
    _worker = (sources, form, shared)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _keep_memory()


def _keep_memory() -> None:
    """Make the C library keep freed memory of up to 16 MB instead of asking for it anew with every record.

    glibc takes the size of the largest block that was freed as a sign of what will be needed again; without
    this, page faults take a third of the time of a record. The memory is never touched.
    """
    np.empty(2**24, np.uint8)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(items: list[Item], slot: int) -> Answer:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    sources, form, shared = _worker
    memory = None if shared is None else shared[slot * _SLOT : (slot + 1) * _SLOT]
    piece = prepare_piece(items, sources, form, Room(memory))
    if memory is None or not np.may_share_memory(piece.samples, memory):
        return piece, 0
    return replace(piece, samples=piece.samples[:0]), len(piece.samples)
