"""A few entries of a source at a time: read, brought into form, and listed; in worker processes or here.

Results come in the order of the entries, whatever the number of workers, and only a few pieces are on the way
at any moment, so memory does not depend on how many records there are.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from typing import Any

from ssl_ecg.data.canonical import Form, canonicalise
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError, SSLECGError

RECORDS = 16
"""Records in one piece."""

Row = dict[str, Any]
"""One record's line of the index, still without its place in the shard."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record to prepare: where it comes from, and the recording itself where it is in memory already."""

    source: int
    entry: Entry
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes of a few items: their rows of the index, and the samples of those that could be read."""

    rows: list[Row]
    samples: bytes


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
        for group in groups:
            yield prepare_piece(group, sources, form)
        return
    pool = _Pool(sources, form, workers)
    waiting: deque[Future[Piece]] = deque()
    try:
        for group in groups:
            waiting.append(pool.submit(group))
            if len(waiting) > 2 * workers + 2:
                yield _result(waiting.popleft())
        while waiting:
            yield _result(waiting.popleft())
    finally:
        pool.close()


def prepare_piece(items: Sequence[Item], sources: Sequence[Corpus], form: Form) -> Piece:
    """Read and convert a few records; one that fails becomes a row with its reason."""
    rows: list[Row] = []
    samples: list[bytes] = []
    for item in items:
        row = _described(sources[item.source], item.entry)
        try:
            record = item.record if item.record is not None else sources[item.source].read(item.entry)
            done = canonicalise(record, form)
        except SSLECGError as error:
            row["reason"] = f"{error.problem}; {error.remedy}" if error.remedy else error.problem
        except Exception as error:  # a flaw of a reader costs one record, not the night's work
            row["reason"] = f"unexpected {type(error).__name__}: {error}; please report it with the file"
        else:
            row.update(
                status="ok",
                reason=done.note,
                age=row["age"] if row["age"] is not None else record.age,
                sex=row["sex"] or record.sex,
                codes=row["codes"] or list(record.codes),
                fs_source=float(record.fs),
                leads_present=done.present,
                quality=done.quality,
                n_samples=done.samples.shape[1],
                scale=done.scale,
            )
            samples.append(done.samples.tobytes())
        rows.append({key: _plain(value) for key, value in row.items()})
    return Piece(rows, b"".join(samples))


def _described(source: Corpus, entry: Entry) -> Row:
    return {
        "record_id": entry.record_id,
        "corpus": source.name,
        "patient_id": source.patient_key(entry),
        "fold": entry.fold,
        "age": entry.age,
        "sex": entry.sex,
        "codes": list(entry.codes),
        "status": "failed",
        "reason": None,
        "source": entry.location,
        "fs_source": None,
        "leads_present": 0,
        "quality": [],
        "n_samples": 0,
        "scale": 0.0,
    }


def _plain(value: Any) -> Any:
    """Make text that any file can hold: names of files need not be valid Unicode."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return None if isinstance(value, float) and value != value else value


def _grouped(items: Iterator[Item], multiple: int) -> Iterator[list[Item]]:
    done = 0
    while group := list(islice(items, min(RECORDS, multiple - done % multiple))):
        done += len(group)
        yield group


def _result(future: Future[Piece]) -> Piece:
    try:
        return future.result()
    except BrokenProcessPool as error:
        remedy = "most likely memory ran out: run prepare again with fewer workers, it resumes"
        raise ArchiveError("prepare", "a worker process died", remedy) from error


class _Pool:
    """Worker processes that hold the sources; pieces with records in memory are done here."""

    def __init__(self, sources: Sequence[Corpus], form: Form, workers: int) -> None:
        self.sources, self.form = sources, form
        self._executor = ProcessPoolExecutor(
            workers, mp_context=_context(), initializer=_start, initargs=(list(sources), form)
        )

    def submit(self, items: list[Item]) -> Future[Piece]:
        if all(item.record is None for item in items):
            return self._executor.submit(_work, items)
        done: Future[Piece] = Future()
        done.set_result(prepare_piece(items, self.sources, self.form))
        return done

    def close(self) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)


def _context() -> multiprocessing.context.BaseContext:
    """Fork where that is the custom (Linux): workers start at once, with everything imported."""
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


_worker: tuple[list[Corpus], Form] | None = None


def _start(sources: list[Corpus], form: Form) -> None:
    global _worker
    _worker = (sources, form)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(items: list[Item]) -> Piece:
    if _worker is None:
        raise RuntimeError("the worker was not started")
    return prepare_piece(items, *_worker)
