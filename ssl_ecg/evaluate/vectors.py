"""Embeddings of an archive from an encoder, or from any function that a user brings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import RecipeError

Function = Callable[[NDArray[np.float32]], NDArray[np.floating[Any]]]
"""From strips (record, lead, time) in mV to embeddings (record, dim)."""


def vectors_of(model: Any, archive: Archive, *, batch_size: int = 64) -> NDArray[np.float32]:
    """Embed an archive with an encoder, or with any function from strips to embeddings.

    Raises
    ------
    RecipeError
        If a function does not give one finite embedding for each record, all of one length.
    """
    if hasattr(model, "preprocessing"):
        from ssl_ecg.embedding.run import embed

        return embed(model, archive).vectors
    lengths = archive.n_samples
    vectors: NDArray[np.float32] | None = None
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for part in np.array_split(rows, max(1, -(-len(rows) // batch_size))):
            strips = np.stack([np.nan_to_num(archive.read(int(row))) for row in part]).astype(np.float32)
            z = _embeddings(model(strips), len(part))
            if vectors is not None and z.shape[1] != vectors.shape[1]:
                problem = f"gave {z.shape[1]} numbers a record after {vectors.shape[1]}"
                raise RecipeError("encoder", problem, "give embeddings (record, dim) of one length")
            if not np.isfinite(z).all():
                row = part[np.flatnonzero(~np.isfinite(z).all(axis=1))[0]]
                problem = f"gave NaN or infinite numbers for record {archive.index['record_id'].iloc[row]!r}"
                raise RecipeError("encoder", problem, "leave that record out of the archive, or mend the function")
            vectors = np.empty((len(archive), z.shape[1]), np.float32) if vectors is None else vectors
            vectors[part] = z
    if vectors is None:
        raise RecipeError("archive", "has no record", "prepare some")
    return vectors


def _embeddings(found: Any, n: int) -> NDArray[np.float32]:
    """Take what a function gave for `n` records: an array, a tensor of any device, or nested lists."""
    given = found.detach().cpu() if hasattr(found, "detach") else found
    try:
        z = np.asarray(given, np.float32)
    except (TypeError, ValueError):
        what = type(found).__name__
        raise RecipeError("encoder", f"gave no numbers but {what}", "give embeddings (record, dim)") from None
    if z.ndim != 2 or len(z) != n:
        raise RecipeError("encoder", f"gave shape {z.shape} for {n} records", "give embeddings (record, dim)")
    return z
