"""Embeddings on disk as they come: vectors in a partial file, and a note of how far it has come."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from ssl_ecg.data.archive import Archive
from ssl_ecg.embedding.vectors import load_embeddings
from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json

INDEX_COLUMNS = ("record_id", "corpus", "patient_id", "fold", "codes", "quality", "age", "sex")

SAVE_EVERY = 20
"""Batches between two notes of how far the embedding has come."""

Batches = Iterator[tuple[slice, Float32[np.ndarray, "record dim"]]]
"""Consecutive rows of an archive, and their vectors."""


def write_embeddings(
    folder: Path, archive: Archive, dim: int, batches_from: Callable[[int], Batches], origin: dict[str, Any]
) -> None:
    """Write vectors into a partial file, then the index, and put all in its place.

    Parameters
    ----------
    folder : Path
        Held by this process; may have what an interrupted call left.
    archive : Archive
    dim : int
    batches_from : callable
        Row -> the batches from that row on.
    origin : dict
        Plain; a partial file of another origin is not used.
    """
    part, note = folder / "embeddings.part", folder / "embeddings.part.json"
    shape = (len(archive), dim)
    header = _header(shape)
    done = _resume_at(part, note, origin, shape)
    _append(part, note, header, len(header) + 4 * shape[1] * done, batches_from(done), origin)
    (folder / "embeddings.npy").unlink(missing_ok=True)  # never beside the index of other records
    _export_index(archive, folder / "index.parquet")
    write_json(folder / "embeddings.json", {**origin, "format": 1, "shape": shape})
    os.replace(part, folder / "embeddings.npy")
    note.unlink(missing_ok=True)


def _append(
    part: Path,
    note: Path,
    header: bytes,
    start: int,
    batches: Batches,
    origin: dict[str, Any],
) -> None:
    """Append vectors from byte `start` on; note how far it has come every now and then, and when interrupted.

    A plain file, as a full disk is an error here, where a memory-mapped one ends the process.
    """
    done = 0
    if start <= len(header):
        note.unlink(missing_ok=True)  # it may speak of another encoder, whose vectors are now replaced
    with part.open("r+b" if start > len(header) else "wb") as file:
        file.write(header)
        file.seek(start)
        file.truncate()
        try:
            for number, (rows, z) in enumerate(batches):
                file.write(np.ascontiguousarray(z).data)
                done = rows.stop
                if number % SAVE_EVERY == SAVE_EVERY - 1:
                    file.flush()
                    write_json(note, {"done": done, "origin": origin})
        except KeyboardInterrupt:
            if done:
                file.flush()
                write_json(note, {"done": done, "origin": origin})
            raise


def _header(shape: tuple[int, int]) -> bytes:
    """Give the first bytes of a .npy file of float32."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _resume_at(part: Path, note: Path, origin: dict[str, Any], shape: tuple[int, int]) -> int:
    """Give the row to go on at: zero unless the partial file comes from the same encoder and archive."""
    try:
        state = json.loads(note.read_text(encoding="utf-8"))
        done = int(state["done"]) if state["origin"] == origin else 0
        enough = part.stat().st_size >= len(_header(shape)) + 4 * shape[1] * done
        return done if enough and 0 <= done <= shape[0] else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def is_finished(folder: Path, origin: dict[str, Any], shape: tuple[int, int]) -> bool:
    """Tell whether the folder holds just these embeddings."""
    with suppress(ArchiveError, TypeError):  # a damaged card
        found = load_embeddings(folder, mmap=True)
        return found.vectors.shape == shape and all(found.card.get(key) == origin[key] for key in origin)
    return False


def _export_index(archive: Archive, path: Path) -> None:
    """Write the index of the readable records, with their row, a piece at a time; whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    part, start, writer = path.with_suffix(".part"), 0, None
    try:
        for batch in archive.batches(list(INDEX_COLUMNS)):
            table = pa.Table.from_batches([batch])
            table = table.append_column("row", pa.array(np.arange(start, start + len(table))))
            start += len(table)
            writer = writer or pq.ParquetWriter(part, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
        os.replace(part, path)
    finally:
        if writer is not None:
            with suppress(OSError):
                writer.close()
        part.unlink(missing_ok=True)
