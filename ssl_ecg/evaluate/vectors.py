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
        If a function does not give one embedding for each record.
    """
    if hasattr(model, "preprocessing"):
        from ssl_ecg.embedding import embed

        return embed(model, archive).vectors
    lengths = archive.n_samples
    vectors: NDArray[np.float32] | None = None
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        for part in np.array_split(rows, max(1, -(-len(rows) // batch_size))):
            strips = np.stack([np.nan_to_num(archive.read(int(row))) for row in part]).astype(np.float32)
            z = np.asarray(model(strips), np.float32)
            if z.ndim != 2 or len(z) != len(part):
                problem = f"gave shape {z.shape} for {len(part)} records"
                raise RecipeError("encoder", problem, "give embeddings (record, dim)")
            vectors = np.empty((len(archive), z.shape[1]), np.float32) if vectors is None else vectors
            vectors[part] = z
    if vectors is None:
        raise RecipeError("archive", "has no record", "prepare some")
    return vectors
