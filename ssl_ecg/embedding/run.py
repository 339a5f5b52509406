"""Runs an encoder over an archive, batch by batch, with memory independent of the archive's size."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import INVALID
from ssl_ecg.data.engine import PROCESSES, open_engine
from ssl_ecg.data.layout import refuse_archive
from ssl_ecg.data.workers import processors
from ssl_ecg.embedding.identity import encoder_identity
from ssl_ecg.embedding.partial import is_finished, write_embeddings
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import plain
from ssl_ecg.holding import LOCK, held
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import show_strips

LONGEST = 60.0
"""Longer records are embedded in windows of this length, and their embeddings averaged [s]."""

_PART = 4096  # records at a time for an engine, at least


def embed(
    encoder: nn.Module,
    archive: Archive,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    progress: bool = False,
    card: dict[str, Any] | None = None,
    engine: str | None = None,
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
    engine : str, optional
        ``"dask://HOST:PORT"``, the scheduler of a Dask cluster, whose workers must see the archive under the same
        name and, for an encoder on a GPU, have one; or "processes" for one process a processor. In this process
        unless given. The vectors are the same, to rounding.

    Returns
    -------
    Embeddings
        float32 (record, dim) and the archive's index, in the same order.

    Raises
    ------
    CheckpointError
        If rate, leads or filter do not fit.
    ArchiveError
        If `out` cannot be written or holds an archive, or the engine cannot be used.
    SignalError
        If the batch size is not positive.
    """
    if batch_size < 1:
        raise SignalError("embed", f"batch size {batch_size}", "give 1 or more")
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    preprocessing.check_archive(archive)
    dim = int(encoder.dim)  # type: ignore[arg-type]
    origin = {**(card or {}), "archive": archive.fingerprint, **encoder_identity(encoder)}
    if preprocessing.shown is not None:
        origin["leads"] = list(preprocessing.shown)
        without = int((~archive.lead_masks[:, list(preprocessing.is_shown())].any(axis=1)).sum())
        if without:
            names = ", ".join(preprocessing.shown)
            warnings.warn(f"{without} records have none of {names}: their embeddings say nothing", stacklevel=2)
    encoder.eval()
    batches_from = partial(_batches, encoder, archive, batch_size=batch_size, progress=progress, engine=engine)
    if out is None:
        vectors = np.empty((len(archive), dim), np.float32)
        for rows, z in batches_from(0):
            vectors[rows] = z
        return Embeddings(vectors, lambda: archive.index, origin)
    folder, origin = Path(out), plain(origin)
    refuse_archive(folder)
    if is_finished(folder, origin, (len(archive), dim)):
        return load_embeddings(folder, mmap=True)
    remedy = "wait until it is done, or choose another --out"
    busy = ArchiveError(str(folder), "another process is embedding into it", remedy)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with held(folder / LOCK, busy):
            if not is_finished(folder, origin, (len(archive), dim)):  # by the process that had it before
                write_embeddings(folder, archive, dim, batches_from, origin)
    except OSError as error:
        remedy = "free space or choose another --out; the call goes on where it stopped"
        raise ArchiveError(str(folder), f"cannot be written ({error.strerror})", remedy) from error
    return load_embeddings(folder, mmap=True)


def _batches(
    encoder: nn.Module, archive: Archive, start: int, *, batch_size: int, progress: bool, engine: str | None
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Embed consecutive rows from `start` on, here or by an engine; give (rows, vectors)."""
    bar = tqdm(total=len(archive), initial=start, unit="record", desc="embed", disable=not progress)
    there = _here if engine is None else partial(_by_engine, engine)
    with bar:
        for rows, z in there(encoder, archive, range(start, len(archive)), batch_size):
            yield rows, z
            bar.update(rows.stop - rows.start)


def _here(
    encoder: nn.Module, archive: Archive, rows: range, batch_size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    longest = round(LONGEST * archive.fs)
    widest = min(longest, int(archive.n_samples[rows.start : rows.stop].max(initial=0)))
    memory = np.empty(batch_size * len(archive.leads) * widest, np.float32)  # fresh memory for each batch costs time
    with torch.inference_mode():
        for first in rows[::batch_size]:
            batch = slice(first, min(first + batch_size, rows.stop))
            yield batch, _embed_rows(encoder, archive, np.arange(batch.start, batch.stop), longest, memory)


def _by_engine(
    engine: str, encoder: nn.Module, archive: Archive, rows: range, batch_size: int
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Have parts of the archive embedded in batches that are those of `_here`."""
    step = batch_size * -(-_PART // batch_size)
    parts = [range(first, min(first + step, rows.stop)) for first in rows[::step]]
    threads = 1 if engine == PROCESSES else 0  # as many processes as processors: one thread each
    shared = (encoder, os.path.abspath(archive.path), archive.fingerprint, batch_size, threads)
    with open_engine(engine, processors()) as workers, closing(workers.map(_embed_part, shared, parts)) as done:
        for part, vectors in zip(parts, done, strict=True):
            for first in part[::batch_size]:
                batch = slice(first, min(first + batch_size, part.stop))
                yield batch, vectors[batch.start - part.start : batch.stop - part.start]


def _embed_part(shared: tuple[nn.Module, str, str, int, int], rows: range) -> NDArray[np.float32]:
    """Embed some rows of an archive in a worker."""
    encoder, path, fingerprint, batch_size, threads = shared
    if threads:
        torch.set_num_threads(threads)
    archive = _opened(path, fingerprint)
    return np.concatenate([z for _, z in _here(encoder, archive, rows, batch_size)])


@lru_cache(maxsize=2)
def _opened(path: str, fingerprint: str) -> Archive:
    archive = Archive(path)
    if archive.fingerprint != fingerprint:
        raise ArchiveError(path, "is another archive for a worker", "give a path that all workers share")
    return archive


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
    """Scale and encode finite strips, but for leads that the encoder has not been shown."""
    device = next((p.device for p in encoder.parameters()), torch.device("cpu"))
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    with torch.inference_mode(), _autocast(device):
        z: Tensor = encoder(show_strips(torch.from_numpy(signal).to(device), preprocessing))
    vectors: NDArray[np.float32] = z.float().cpu().numpy()
    return vectors


def _autocast(device: torch.device) -> Any:
    """Full precision on the processor, so that embeddings are the same on every machine; bfloat16 on a GPU."""
    return torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" else nullcontext()
