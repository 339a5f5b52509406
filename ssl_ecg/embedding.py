"""Runs an encoder over an archive, batch by batch, with memory independent of the archive's size."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import INVALID
from ssl_ecg.embeddings import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import plain, write_json
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips

LONGEST = 60.0
"""Longer records are embedded in windows of this length, and their embeddings averaged [s]."""

INDEX_COLUMNS = ("record_id", "corpus", "patient_id", "fold", "codes", "quality", "age", "sex")

_SAVE_EVERY = 20
"""Batches between two notes of how far the embedding has come."""


def embed(
    encoder: nn.Module,
    archive: Archive,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    progress: bool = False,
    card: dict[str, Any] | None = None,
) -> Embeddings:
    """Embed every readable record of an archive.

    Parameters
    ----------
    encoder : nn.Module
        (batch, lead, time) -> (batch, dim), with `.dim` and `.preprocessing`; put in evaluation mode.
    archive : Archive
        At the encoder's rate, leads and filter.
    out : path, optional
        Folder for `embeddings.npy` and `index.parquet`. With it the vectors are written as they come, an
        interrupted call goes on where it stopped, a finished one of the same encoder and archive is given
        back, and the result is memory-mapped.
    batch_size : int
    progress : bool
    card : dict, optional
        Kept with the embeddings: which checkpoint they come from.

    Returns
    -------
    Embeddings
        float32 (record, dim) and the archive's index, in the same order.

    Raises
    ------
    CheckpointError
        If rate, leads or filter do not fit.
    ArchiveError
        If `out` cannot be written.
    SignalError
        If the batch size is not positive.
    """
    if batch_size < 1:
        raise SignalError("embed", f"batch size {batch_size}", "give 1 or more")
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    preprocessing.check_archive(archive)
    dim = int(encoder.dim)  # type: ignore[arg-type]
    origin = {**(card or {}), "archive": archive.fingerprint, "encoder": weights_fingerprint(encoder)}
    encoder.eval()
    if out is None:
        vectors = np.empty((len(archive), dim), np.float32)
        for rows, z in _batches(encoder, archive, 0, batch_size, progress):
            vectors[rows] = z
        return Embeddings(vectors, lambda: archive.index, origin)
    folder, origin = Path(out), plain(origin)
    if _finished(folder, origin, (len(archive), dim)):
        return load_embeddings(folder, mmap=True)
    try:
        _embed_to(folder, encoder, archive, batch_size, progress, origin)
    except OSError as error:
        remedy = "free space or choose another --out; the call goes on where it stopped"
        raise ArchiveError(str(folder), f"cannot be written ({error.strerror})", remedy) from error
    return load_embeddings(folder, mmap=True)


def _embed_to(
    folder: Path,
    encoder: nn.Module,
    archive: Archive,
    batch_size: int,
    progress: bool,
    origin: dict[str, Any],
) -> None:
    """Write vectors into a partial file, then the index, and put all in its place."""
    folder.mkdir(parents=True, exist_ok=True)
    part, note = folder / "embeddings.part", folder / "embeddings.part.json"
    shape = (len(archive), int(encoder.dim))  # type: ignore[arg-type]
    header = _header(shape)
    done = _resume_at(part, note, origin, shape)
    batches = _batches(encoder, archive, done, batch_size, progress)
    _append(part, note, header, len(header) + 4 * shape[1] * done, batches, origin)
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
    batches: Iterator[tuple[slice, NDArray[np.float32]]],
    origin: dict[str, Any],
) -> None:
    """Append vectors from byte `start` on; note how far it has come every now and then, and when interrupted.

    A plain file, as a full disk is an error here, where a memory-mapped one ends the process.
    """
    done = 0
    with part.open("r+b" if start > len(header) else "wb") as file:
        file.write(header)
        file.seek(start)
        file.truncate()
        try:
            for number, (rows, z) in enumerate(batches):
                file.write(np.ascontiguousarray(z).data)
                done = rows.stop
                if number % _SAVE_EVERY == _SAVE_EVERY - 1:
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


def _finished(folder: Path, origin: dict[str, Any], shape: tuple[int, int]) -> bool:
    """Tell whether the folder holds just these embeddings."""
    with suppress(ArchiveError, TypeError):  # a damaged card
        found = load_embeddings(folder, mmap=True)
        return found.vectors.shape == shape and all(found.card.get(key) == origin[key] for key in origin)
    return False


def _batches(
    encoder: nn.Module, archive: Archive, start: int, batch_size: int, progress: bool
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Embed consecutive rows; give (rows, vectors)."""
    bar = tqdm(total=len(archive), initial=start, unit="record", desc="embed", disable=not progress)
    longest = round(LONGEST * archive.fs)
    widest = min(longest, int(archive.n_samples[start:].max(initial=0)))
    memory = np.empty(batch_size * len(archive.leads) * widest, np.float32)  # fresh memory for each batch costs time
    with bar, torch.inference_mode():
        for first in range(start, len(archive), batch_size):
            rows = slice(first, min(first + batch_size, len(archive)))
            yield rows, _embed_rows(encoder, archive, np.arange(rows.start, rows.stop), longest, memory)
            bar.update(rows.stop - rows.start)


def _embed_rows(
    encoder: nn.Module, archive: Archive, rows: NDArray[np.int64], longest: int, memory: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Embed some records: those of one length together, long ones window by window."""
    lengths = archive.n_samples[rows]
    out = np.empty((len(rows), int(encoder.dim)), np.float32)  # type: ignore[arg-type]
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        if length <= longest:
            out[members] = _forward(encoder, _read(archive, rows[members], int(length), memory))
        else:
            for member in members:
                out[member] = _embed_long(encoder, archive, int(rows[member]), int(length), longest)
    return out


def _read(archive: Archive, rows: NDArray[np.int64], length: int, memory: NDArray[np.float32]) -> NDArray[np.float32]:
    """Read records of one length [mV] into `memory`; (record, lead, time), invalid samples zero."""
    shape = (len(rows), len(archive.leads), length)
    out = memory[: math.prod(shape)].reshape(shape)
    for place, row in zip(out, rows, strict=True):
        steps = archive.steps(int(row), 0, length)
        np.multiply(steps, archive.scales[row], out=place, dtype=np.float32)
        if steps.min() == INVALID:
            place[steps == INVALID] = 0.0
    return out


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


def _embed_long(encoder: nn.Module, archive: Archive, row: int, length: int, window: int) -> NDArray[np.float32]:
    """Average over windows, each weighted by its length, reading one at a time."""
    total = np.zeros(int(encoder.dim), np.float64)  # type: ignore[arg-type]
    for start in range(0, length, window):
        samples = min(window, length - start)
        total += samples * embed_signal(encoder, archive.read_window(row, start, samples)[None])[0]
    return (total / length).astype(np.float32)


def embed_signal(encoder: nn.Module, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Embed strips of one length.

    Parameters
    ----------
    encoder : nn.Module
        In evaluation mode.
    signal : float32 array (batch, lead, time) [mV]
        At the encoder's rate, leads and filter; NaN counts as zero.

    Returns
    -------
    float32 array (batch, dim)
    """
    return _forward(encoder, np.nan_to_num(signal) if np.isnan(signal.sum()) else signal)


def _forward(encoder: nn.Module, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale and encode finite strips."""
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    with torch.inference_mode(), _autocast(device):
        z: Tensor = encoder(scale_strips(torch.from_numpy(signal).to(device), preprocessing.scale))
    vectors: NDArray[np.float32] = z.float().cpu().numpy()
    return vectors


def _autocast(device: torch.device) -> Any:
    """Full precision on the processor, so that embeddings are the same on every machine; bfloat16 on a GPU."""
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()


def weights_fingerprint(encoder: nn.Module) -> str:
    """Give the SHA-256 over names and values of an encoder's weights."""
    import hashlib

    digest = hashlib.sha256()
    for name, value in sorted(encoder.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.detach().cpu().float().numpy()).tobytes())
    return digest.hexdigest()
