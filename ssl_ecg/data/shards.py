"""The files of an archive that is being made: shards of samples, and the pieces of its index.

A shard is finished once its table is there: the samples are moved into place first, the table, which holds
their checksum, last. Whatever else lies in the folder is unfinished and is written anew.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from ssl_ecg.data.index import SCHEMA
from ssl_ecg.data.layout import INDEX, samples_path, table_path
from ssl_ecg.data.pieces import Piece
from ssl_ecg.errors import ArchiveError


@dataclass(frozen=True, slots=True)
class Shard:
    """A finished shard.

    Attributes
    ----------
    number : int
    table : pyarrow.Table
        Its part of the index.
    size : int
        Of the samples [bytes].
    sha256, rows_sha256 : str
        Checksums of the samples and of the part of the index.
    """

    number: int
    table: pa.Table
    size: int
    sha256: str
    rows_sha256: str


class ShardWriter:
    """Collects the pieces of one shard and puts it into place.

    Parameters
    ----------
    archive : Path
    number : int
    n_leads : int
    tag : str
        Keeps the unfinished files of several writers of one shard apart.

    Raises
    ------
    ArchiveError
        If the shard cannot be written; nothing of it stays.
    """

    def __init__(self, archive: Path, number: int, n_leads: int, *, tag: str = "") -> None:
        self.archive, self.number, self.n_leads, self._tag = archive, number, n_leads, tag
        self.rows: list[str] = []
        self._path = samples_path(archive, number)
        self._part = self._path.with_suffix(f".i16{tag}.part")
        self._hash = hashlib.sha256()
        self._steps = 0  # samples of all leads so far
        self._size = 0
        with writing(archive):
            self._file = self._part.open("wb", buffering=0)

    def add(self, piece: Piece) -> None:
        """Append the records of a piece."""
        for row, length in zip(piece.rows, piece.lengths, strict=True):
            self.rows.append(f'{row}, "shard": {self.number}, "offset": {self._steps}}}')
            self._steps += length * self.n_leads
        content = piece.samples.data.cast("B") if piece.samples.size else memoryview(b"")
        self._hash.update(content)
        with writing(self.archive):
            self._size += _write_all(self._file, content)

    def finish(self) -> Shard:
        """Move the shard into place."""
        lines = "\n".join(self.rows).encode()
        shard = Shard(self.number, _table(lines), self._size, self._hash.hexdigest(), hashlib.sha256(lines).hexdigest())
        facts = {"size": str(shard.size), "sha256": shard.sha256, "rows_sha256": shard.rows_sha256}
        target = table_path(self.archive, self.number)
        part = target.with_suffix(f".parquet{self._tag}.part")
        try:
            with writing(self.archive):
                os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._part, self._path)
                with part.open("wb") as file:
                    pq.write_table(shard.table.replace_schema_metadata(facts), file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)
        return shard

    def discard(self) -> None:
        """Take back what has not been finished."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._part.unlink(missing_ok=True)


def finished_shard(archive: Path, number: int, *, check: bool = True) -> Shard | None:
    """Read a shard that an earlier run finished; None where there is none, or not as it was written."""
    path = samples_path(archive, number)
    try:
        table = pq.ParquetFile(table_path(archive, number)).read(use_threads=False)
        facts = table.schema.metadata or {}
        digest, rows = facts[b"sha256"].decode(), facts[b"rows_sha256"].decode()
        size = int(facts[b"size"])
        if path.stat().st_size != size or (check and sha256_of(path) != digest):
            return None
    except (OSError, pa.ArrowException, KeyError, ValueError):
        return None
    return Shard(number, table.replace_schema_metadata(None), size, digest, rows)


def sha256_of(path: Path) -> str:
    """Give the checksum of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def write_index(archive: Path, shards: Iterator[Shard], rows_at_once: int = 2**12) -> None:
    """Join the tables of the shards into the index, a few thousand rows at a time.

    Parameters
    ----------
    archive : Path
    shards : iterator of Shard
    rows_at_once : int
        Rows of one row group.
    """
    target = archive / INDEX
    part = target.with_suffix(".parquet.part")
    try:
        with writing(archive):
            with part.open("wb") as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                held: list[pa.Table] = []
                for shard in shards:
                    held.append(shard.table)
                    if sum(len(table) for table in held) >= rows_at_once:
                        writer.write_table(pa.concat_tables(held))
                        held.clear()
                if held:
                    writer.write_table(pa.concat_tables(held))
            os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(archive: Path) -> Iterator[None]:
    """Turn a failure to write into an `ArchiveError` that says how to go on."""
    try:
        yield
    except OSError as error:
        remedy = "make room or choose another folder, then run prepare again: it resumes"
        raise ArchiveError(str(archive), f"cannot be written ({error.strerror or error})", remedy) from error


def _table(lines: bytes) -> pa.Table:
    """Read the rows from JSON: quick, while `pa.array` would import pandas, which takes a second."""
    reading = pa.json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    parsing = pa.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="error")
    return pa.json.read_json(io.BytesIO(lines), reading, parsing).select(SCHEMA.names)


def _write_all(file: Any, content: memoryview) -> int:
    done = 0
    while done < len(content):
        done += file.write(content[done:])
    return done
