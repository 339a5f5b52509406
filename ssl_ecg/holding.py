"""Work that one process at a time may do, such as writing into a folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from ssl_ecg.errors import SSLECGError

LOCK = ".lock"
"""Name of the file in a folder that is held."""


@contextmanager
def held(path: Path, refused: SSLECGError) -> Iterator[None]:
    """Hold a file for this process, until it ends, also by kill -9; children do not inherit it.

    The file is gone afterwards. Where the file system knows no locks, two processes at once are the user's own care.

    Parameters
    ----------
    path : Path
        Of the file, in a folder that is there.
    refused : SSLECGError
        Raised if another process holds it.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    file = _taken(path)
    while file is not None and not _in_place(file, path):  # who held it before has removed it meanwhile
        file.close()
        file = _taken(path)
    if file is None:
        raise refused
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        file.close()


def _taken(path: Path) -> IO[str] | None:
    """Open and lock a file; None if another process has it."""
    file = path.open("w")
    try:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such locks on this system
        pass
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            file.close()
            return None
    return file


def _in_place(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
