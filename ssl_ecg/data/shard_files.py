"""Reading samples out of the shards of an archive, by position.

Shards are plain int16 files that can be memory-mapped. Reading the few bytes of a window by position takes as
long as touching mapped pages, and has two advantages: what has been read does not count as this process's
memory, however large the archive, and a damaged disk or truncated file is an error and not the end of the
process.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.layout import samples_path
from ssl_ecg.errors import ArchiveError

MOST_FILES = 256
"""Files that are kept open; a process often may have no more than 1024."""
WHOLE = 2**17
"""Records up to this size are read at once [bytes]; of longer ones, each lead's part of the window."""


class ShardFiles:
    """The samples of an archive; files are opened when they are needed.

    Parameters
    ----------
    archive : Path
    sizes : sequence of int
        Size of each shard [bytes].
    """

    def __init__(self, archive: Path, sizes: Sequence[int]) -> None:
        self.archive = archive
        self.sizes = list(sizes)
        self._files: OrderedDict[int, FileIO] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": OrderedDict()}

    def window(self, shard: int, offset: int, shape: tuple[int, int], start: int, stop: int) -> NDArray[np.int16]:
        """Give samples `start` to `stop` of the record of a shape (lead, time) that begins at `offset`.

        Raises
        ------
        ArchiveError
            If the shard is missing, too short or cannot be read.
        """
        file = self._files.get(shard) or self._opened(shard)
        n_leads, n = shape
        try:
            if 2 * n_leads * n <= WHOLE or 2 * (stop - start) >= n:
                return _read(file, offset, n_leads * n).reshape(n_leads, n)[:, start:stop]
            rows = [_read(file, offset + k * n + start, stop - start) for k in range(n_leads)]
        except (OSError, ValueError) as error:
            raise self._error(shard, f"cannot be read ({error})") from error
        return np.stack(rows)

    def _opened(self, shard: int) -> FileIO:
        try:
            file = FileIO(samples_path(self.archive, shard))
            size = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise self._error(shard, f"is missing or damaged ({error})") from error
        if size != self.sizes[shard]:
            raise self._error(shard, f"has {size} bytes instead of {self.sizes[shard]}")
        if len(self._files) >= MOST_FILES:
            self._files.popitem(last=False)
        self._files[shard] = file
        return file

    def _error(self, shard: int, problem: str) -> ArchiveError:
        where = str(samples_path(self.archive, shard))
        return ArchiveError(where, problem, "copy it again or prepare the archive anew")


def _read(file: FileIO, first: int, count: int) -> NDArray[np.int16]:
    if hasattr(os, "pread"):
        content = os.pread(file.fileno(), 2 * count, 2 * first)
    else:
        file.seek(2 * first)
        content = file.read(2 * count)
    return np.frombuffer(content, np.dtype("<i2"), count)
