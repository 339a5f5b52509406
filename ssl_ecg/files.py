"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ssl_ecg.errors import ArchiveError, CheckpointError


def make_folder(out: Path) -> None:
    """Make a run folder.

    Raises
    ------
    CheckpointError
        If it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CheckpointError(str(out), f"cannot be made ({error.strerror})", "choose another --out") from None


def write_whole(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file beside its place and move it there, so that nobody ever sees half of it.

    Parameters
    ----------
    path : path
        Folders that are missing are made.
    write : callable
        Gets the open binary file.

    Raises
    ------
    ArchiveError
        If the file cannot be written; nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            write(file)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # the folder itself cannot be reached: nothing was written
            temporary.unlink(missing_ok=True)
    return path


def check_writable(path: str | Path) -> None:
    """Find out before long work whether a file can be written at its end; nothing is made.

    Raises
    ------
    ArchiveError
        If not.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=next(folder for folder in path.absolute().parents if folder.exists())):
            pass
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ArchiveError:
    remedy = "check the folder, its permissions and the space left"
    return ArchiveError(str(path), f"cannot be written ({error})", remedy)


def write_json(path: str | Path, content: Mapping[str, Any]) -> Path:
    """Write JSON that every reader understands: NaN and infinity become null, NumPy values plain ones.

    Examples
    --------
    >>> import tempfile
    >>> path = write_json(Path(tempfile.mkdtemp()) / "a.json", {"x": np.float32("nan"), "n": np.int64(2)})
    >>> json.loads(path.read_text())
    {'x': None, 'n': 2}
    """
    text = json.dumps(plain(content), indent=2, allow_nan=False) + "\n"
    return write_whole(path, lambda file: file.write(text.encode()))


def plain(value: Any) -> Any:
    """Give lists, dicts, numbers and None in place of tuples, arrays, NumPy numbers and NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
