"""A whole shard made by one worker, straight into the archive's folder."""

from __future__ import annotations

import copy
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ssl_ecg.data.canonical import Form
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.layout import ORDER
from ssl_ecg.data.pieces import Item, Room, plain, prepare_piece
from ssl_ecg.data.shards import Shard, ShardWriter, finished_shard
from ssl_ecg.errors import ArchiveError, CorpusError

_RECORDS = 16  # at a time in memory


@dataclass(frozen=True, slots=True)
class Work:
    """What all shards of an archive have in common.

    Attributes
    ----------
    folder : Path
        Of the archive, absolute.
    form : Form
    sources : list of Corpus
        With absolute roots.
    """

    folder: Path
    form: Form
    sources: list[Corpus]


def work_of(folder: Path, form: Form, sources: Sequence[Corpus]) -> Work:
    """Describe the work so that it means the same in every working directory."""
    return Work(Path(os.path.abspath(folder)), form, [_absolute(source) for source in sources])


def make_shard(work: Work, part: tuple[int, list[Item]]) -> Shard:
    """Prepare the records of one shard and put it into place, unless it is there.

    Parameters
    ----------
    work : Work
    part : (int, list of Item)
        Number of the shard, and its records.

    Raises
    ------
    ArchiveError, CorpusError
        If this process does not see the folder of the archive or a source.
    """
    number, items = part
    _check_seen(work)
    there = finished_shard(work.folder, number)
    if there is not None and identities(there) == expected(items, work.sources):
        return there
    # another worker may be at the same shard, if it was given up for lost too early
    writer = ShardWriter(work.folder, number, len(work.form.leads), tag=f".{socket.gethostname()}-{os.getpid()}")
    try:
        room = Room()
        for first in range(0, len(items), _RECORDS):
            writer.add(prepare_piece(items[first : first + _RECORDS], work.sources, work.form, room))
        return writer.finish()
    finally:
        writer.discard()


def expected(items: Sequence[Item], sources: Sequence[Corpus]) -> list[tuple[str, str, str]]:
    """Say which records a shard of these items holds."""
    return [
        (plain(sources[item.source].name), plain(item.entry.record_id), plain(item.entry.location)) for item in items
    ]


def identities(shard: Shard) -> list[tuple[str, str, str]]:
    """Say which records a finished shard holds."""
    columns: Iterator[list[str]] = (shard.table[name].to_pylist() for name in ("corpus", "record_id", "source"))
    return list(zip(*columns, strict=True))


def _absolute(source: Corpus) -> Corpus:
    root = getattr(source, "root", None)
    if root is None:
        return source
    source = copy.copy(source)
    source.root = Path(os.path.abspath(root))
    return source


def _check_seen(work: Work) -> None:
    remedy = "give folders on a file system that all workers share, under one name"
    host = socket.gethostname()
    if not (work.folder / ORDER).is_file():
        raise ArchiveError(str(work.folder), f"is not there for the worker on {host}", remedy)
    for source in work.sources:
        if not os.path.isdir(getattr(source, "root", os.curdir)):
            raise CorpusError(str(source.root), f"is not there for the worker on {host}", remedy)
