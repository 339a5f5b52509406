"""Shards of an archive, mapped into memory when they are needed."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.layout import samples_path
from ssl_ecg.errors import ArchiveError

MOST_MAPS = 256
"""Each map takes a file descriptor, of which a process often has no more than 1024."""
MOST_RESIDENT = 32 * 2**20
"""After reading so many bytes the maps are let go; the system still has the pages in its cache."""
_PAGE = 4096


class MappedShards:
    """Read-only views of the samples of an archive; memory does not grow with what has been read.

    Parameters
    ----------
    archive : Path
    sizes : sequence of int
        Size of each shard [bytes].
    """

    def __init__(self, archive: Path, sizes: Sequence[int]) -> None:
        self.archive = archive
        self.sizes = list(sizes)
        self._maps: OrderedDict[int, NDArray[np.int16]] = OrderedDict()
        self._resident = 0

    def __getstate__(self) -> dict[str, object]:
        return {"archive": self.archive, "sizes": self.sizes, "_maps": OrderedDict(), "_resident": 0}

    def window(self, shard: int, offset: int, shape: tuple[int, int], start: int, stop: int) -> NDArray[np.int16]:
        """Give samples `start` to `stop` of the record of a shape (lead, time) that begins at `offset`.

        Raises
        ------
        ArchiveError
            If the shard is missing or too short.
        """
        n_leads, n = shape
        self._resident += min(2 * n_leads * n, n_leads * (2 * (stop - start) + _PAGE))
        if self._resident > MOST_RESIDENT:
            self._maps.clear()
            self._resident = 0
        samples = self._maps.get(shard)
        if samples is None:
            if len(self._maps) >= MOST_MAPS:
                self._maps.popitem(last=False)
            samples = self._maps[shard] = self._mapped(shard)
        return samples[offset : offset + n_leads * n].reshape(n_leads, n)[:, start:stop]

    def _mapped(self, shard: int) -> NDArray[np.int16]:
        path = samples_path(self.archive, shard)
        try:
            with path.open("rb") as file:
                samples = np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.dtype("<i2"))
        except (OSError, ValueError) as error:
            raise ArchiveError(str(path), f"is missing or damaged ({error})", "prepare the archive anew") from error
        if samples.nbytes != self.sizes[shard]:
            problem = f"has {samples.nbytes} bytes instead of {self.sizes[shard]}"
            raise ArchiveError(str(path), problem, "copy or prepare the archive anew")
        return samples
