"""A table of numbers in a file, larger than the memory perhaps: written row by row, read where it is needed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from ssl_ecg.errors import ArchiveError

_AT_ONCE = 2**22  # bytes


class TableFile:
    """A float32 table in a ``.npy`` file, read by position, so that nothing of it stays in this process's memory.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    shape : tuple of int
        (row, column)

    Raises
    ------
    ValueError
        If the file holds something else, or less than it says.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "t.npy"
    >>> np.save(path, np.arange(6, dtype=np.float32).reshape(3, 2))
    >>> table = TableFile(path)
    >>> table[np.array([2, 0])].tolist(), table.columns(1, 2).ravel().tolist()
    ([[4.0, 5.0], [0.0, 1.0]], [1.0, 3.0, 5.0])
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            major = np.lib.format.read_magic(file)[0]
            if major != 1:
                raise ValueError(f"version {major}")
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
            self._begin = file.tell()
        if len(shape) != 2 or by_column or dtype != np.dtype("<f4"):
            raise ValueError(f"{dtype} of shape {shape}")
        self.shape: tuple[int, int] = shape
        if path.stat().st_size < self._begin + 4 * shape[0] * shape[1]:
            raise ValueError("is cut short")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Int64[np.ndarray, " item"]) -> Float32[np.ndarray, "item column"]:
        """Read rows.

        Raises
        ------
        ArchiveError
            If the file can no longer be read.
        """
        out = np.empty((len(rows), self.shape[1]), np.float32)
        try:
            with self.path.open("rb", buffering=0) as file:
                for values, row in zip(out, rows.tolist(), strict=True):
                    file.seek(self._begin + 4 * self.shape[1] * row)
                    if file.readinto(values.data) != values.nbytes:
                        raise OSError("is cut short")
        except OSError as error:
            raise ArchiveError(str(self.path), f"cannot be read ({error})", "run the same again") from error
        return out

    def columns(self, first: int, last: int) -> Float32[np.ndarray, "row column"]:
        """Read columns `first` to `last`."""
        out = np.empty((len(self), last - first), np.float32)
        step = max(1, _AT_ONCE // (4 * self.shape[1]))
        for row in range(0, len(self), step):
            rows = np.arange(row, min(row + step, len(self)))
            out[rows] = self._piece(row, len(rows))[:, first:last]
        return out

    def _piece(self, first: int, count: int) -> NDArray[np.float32]:
        offset = self._begin + 4 * self.shape[1] * first
        values = np.fromfile(self.path, "<f4", count * self.shape[1], offset=offset)
        return values.reshape(count, self.shape[1])


def write_table(
    path: Path, shape: tuple[int, int], parts_from: Callable[[int], Iterator[NDArray[np.float32]]]
) -> TableFile:
    """Write a table as its rows come; a call that was interrupted goes on after the last whole row.

    Parameters
    ----------
    path : Path
        Its name says what the table holds, as another table of that name would be gone on with.
    shape : tuple of int
        (row, column)
    parts_from : callable
        Number of a row -> parts (row, column) from there on.

    Raises
    ------
    ArchiveError
        If the file cannot be written.
    """
    part, header = path.with_suffix(".part"), _header(shape)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        done = _rows_of(part, header, shape)
        with part.open("r+b" if done else "wb") as file:
            file.write(header)
            file.seek(len(header) + 4 * shape[1] * done)
            file.truncate()
            for values in parts_from(done):
                file.write(np.ascontiguousarray(values, "<f4").data)
                file.flush()
        os.replace(part, path)
    except OSError as error:
        remedy = "check the folder, its permissions and the space left; the call goes on where it stopped"
        raise ArchiveError(str(path), f"cannot be written ({error})", remedy) from error
    return TableFile(path)


def _header(shape: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _rows_of(part: Path, header: bytes, shape: tuple[int, int]) -> int:
    """Count the whole rows of a partial file; none if it is no such file."""
    try:
        with part.open("rb") as file:
            if file.read(len(header)) != header:
                return 0
            size = file.seek(0, os.SEEK_END)
    except OSError:
        return 0
    return min(shape[0], (size - len(header)) // (4 * shape[1]))
