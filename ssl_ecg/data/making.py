"""An archive in the making: shard after shard, then the index, and last what makes it an archive."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from ssl_ecg.data.canonical import Form
from ssl_ecg.data.claim import clear
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.engine_base import Engine
from ssl_ecg.data.engine_shards import expected, identities, make_shard, work_of
from ssl_ecg.data.index import batches
from ssl_ecg.data.layout import FORMAT, HEAD, table_path
from ssl_ecg.data.pieces import Item
from ssl_ecg.data.shards import Shard, ShardWriter, finished_shard, write_index
from ssl_ecg.data.workers import prepared
from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json


@dataclass
class Making:
    """An archive in the making."""

    folder: Path
    form: Form
    corpora: list[Corpus]
    shard_records: int
    shards: list[dict[str, object]] = field(default_factory=list)
    records: int = 0
    failed: int = 0
    reasons: list[str] = field(default_factory=list)
    seen: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def go_on(self, items: Iterator[Item]) -> None:
        """Take over the shards that an earlier run finished, and skip their items."""
        while (shard := finished_shard(self.folder, len(self.shards))) is not None:
            if identities(shard) != expected(list(islice(items, self.shard_records)), self.corpora):
                remedy = "remove the folder, or start over with resume=False"
                raise ArchiveError(str(self.folder), "the sources have changed since it was begun", remedy)
            self._take(shard)

    def make(self, items: Iterator[Item], workers: int, progress: bool) -> None:
        """Prepare the remaining items, shard after shard."""
        pieces = prepared(items, self.corpora, self.form, workers=workers, multiple=self.shard_records)
        writer: ShardWriter | None = None
        try:
            with _bar(self.records + self.failed, progress) as bar:
                for piece in pieces:
                    writer = writer or ShardWriter(self.folder, len(self.shards), len(self.form.leads))
                    writer.add(piece)
                    bar.update(len(piece.rows))
                    if len(writer.rows) == self.shard_records:
                        self._take(writer.finish())
                        writer = None
                if writer is not None:
                    self._take(writer.finish())
                    writer = None
        finally:
            pieces.close()
            if writer is not None:
                writer.discard()

    def make_by(self, engine: Engine, items: Iterator[Item], progress: bool) -> None:
        """Prepare the remaining items with an engine that makes whole shards, several at once."""
        first = len(self.shards)
        groups = iter(lambda: list(islice(items, self.shard_records)), [])
        work = work_of(self.folder, self.form, self.corpora)
        shards = engine.map(make_shard, work, enumerate(groups, first))
        with closing(shards), _bar(self.records + self.failed, progress) as bar:
            for shard in shards:
                self._take(shard)
                bar.update(len(shard.table))

    def complete(self) -> None:
        """Write the index, and last the file that makes it an archive."""
        if not self.records:
            clear(self.folder)
            problem = f"none of the {self.failed} records could be used ({'; '.join(self.reasons)})"
            raise ArchiveError(str(self.folder), problem, "check the sources; nothing was kept")
        description = _description(self.form, self.corpora)
        digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
        for shard in self.shards:
            digest.update(f"{shard['sha256']} {shard['rows_sha256']}\n".encode())
        write_index(self.folder, self._tables())
        counts = {"records": self.records, "failed": self.failed}
        head = {"format": FORMAT, "fingerprint": digest.hexdigest(), "counts": counts}
        write_json(self.folder / HEAD, {**head, **description, "shards": self.shards})
        keep = {f"{number:05d}.i16" for number in range(len(self.shards))}
        for path in (self.folder / "shards").iterdir():
            if path.name not in keep:
                with suppress(OSError):
                    path.unlink()

    def _tables(self) -> Iterator[Shard]:
        for number in range(len(self.shards)):
            shard = finished_shard(self.folder, number, check=False)
            if shard is None or shard.rows_sha256 != self.shards[number]["rows_sha256"]:
                where = str(table_path(self.folder, number))
                raise ArchiveError(where, "has been removed or changed meanwhile", "run prepare again")
            yield shard

    def _take(self, shard: Shard) -> None:
        self._check_unique(shard)
        failed = shard.table.filter(pc.equal(shard.table["status"], "failed"))
        self.failed += len(failed)
        self.records += len(shard.table) - len(failed)
        for row in failed.slice(0, max(0, 3 - len(self.reasons))).to_pylist():
            self.reasons.append(f"{row['record_id']}: {row['reason']}")
        facts = {"size": shard.size, "sha256": shard.sha256, "rows_sha256": shard.rows_sha256}
        self.shards.append({"records": len(shard.table), **facts})

    def _check_unique(self, shard: Shard) -> None:
        """Compare 8 bytes for each record: a million of them take 8 MB."""
        pairs = list(zip(shard.table["corpus"].to_pylist(), shard.table["record_id"].to_pylist(), strict=True))
        new = np.array([_mark(*pair) for pair in pairs], np.uint64)
        values, first, counts = np.unique(new, return_index=True, return_counts=True)
        place = np.minimum(np.searchsorted(self.seen, values), max(0, len(self.seen) - 1))
        double = (counts > 1) | (self.seen[place] == values if len(self.seen) else False)
        if double.any():
            corpus, record_id = pairs[first[double].min()]
            remedy = "give every source once; corpora that share names cannot be in one archive"
            raise ArchiveError(f"{corpus}/{record_id}", "occurs twice in the sources", remedy)
        self.seen = np.sort(np.concatenate([self.seen, values]), kind="stable")  # merges two sorted runs


def check_sources(folder: Path, items: Iterator[Item], corpora: list[Corpus]) -> None:
    """See that a finished archive is of the records that its sources have now; of a million 16 bytes are kept.

    Raises
    ------
    ArchiveError
        If records have come or gone.
    """
    there, before = np.zeros(2, np.uint64), np.zeros(2, np.uint64)
    while some := expected(list(islice(items, 4096)), corpora):
        there += _sum(some)
    for status in ("ok", "failed"):
        for batch in batches(folder, ("corpus", "record_id", "source"), status=status):
            before += _sum(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    if not np.array_equal(there, before):
        problem = f"was made of {before[0]:,} records, its sources have {there[0]:,} now, or others"
        raise ArchiveError(str(folder), problem, "give a new folder, or remove this one and prepare again")


def _sum(records: Iterable[tuple[str, ...]]) -> NDArray[np.uint64]:
    """Count records and add up their marks, in any order."""
    marks = np.array([_mark(*record) for record in records], np.uint64)
    return np.array([len(marks), marks.sum()], np.uint64)


def _description(form: Form, corpora: list[Corpus]) -> dict[str, object]:
    return {
        "fs": form.fs,
        "leads": list(form.leads),
        "band": list(form.band) if form.band else None,
        "sources": [
            {
                "name": corpus.name,
                "title": corpus.title,
                "licence": corpus.licence,
                "doi": corpus.doi,
                "url": corpus.url,
                "overlaps": list(corpus.overlaps),
            }
            for corpus in corpora
        ],
    }


def _mark(*names: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(names).encode(), digest_size=8).digest(), "big")


def _bar(done: int, progress: bool):  # type: ignore[no-untyped-def]
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        monitor_interval = 0  # no thread beside the workers' processes

    return Bar(initial=done, unit=" records", desc="prepare", disable=None if progress else True)
