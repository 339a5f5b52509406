"""What an interrupted prediction leaves beside its table: recordings brought into form, and what was said of some."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.holding import LOCK, held

_NOTE = "note.json"


@contextmanager
def unfinished(out: str | Path | None) -> Iterator[Path | None]:
    """Give a hidden folder beside a table that is being made, for this process alone; it is gone with the work done.

    Parameters
    ----------
    out : path, optional
        Of the table. None, as what is given, keeps nothing.

    Raises
    ------
    ArchiveError
        If another process is making that table, or the folder cannot be written.
    """
    if out is None:
        yield None
        return
    out = Path(out)
    folder = out.with_name(f".{out.name}.unfinished")
    busy = ArchiveError(str(out), "another process is making it", "wait until it is done, or choose another --out")
    with ExitStack() as stack:
        try:
            stack.callback(_remove_if_empty, [folder, *(path for path in folder.parents if not path.exists())])
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(held(folder / LOCK, busy))
        except OSError as error:
            remedy = "check the folder, its permissions and the space left"
            raise ArchiveError(str(folder), f"cannot be written ({error.strerror or error})", remedy) from error
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _remove_if_empty(folders: Sequence[Path]) -> None:
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


class KeptAnswers:
    """Answers to records of an archive, some hundred at a time, kept while the rest is not there.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    facts : mapping
        What the answers depend on; those of anything else are not used.
    """

    def __init__(self, folder: Path | None, facts: Mapping[str, Any]) -> None:
        self.folder = None if folder is None else folder / "answers"
        if self.folder is None:
            return
        told = json.loads(json.dumps({**facts, "version": __version__}))
        try:
            same = json.loads((self.folder / _NOTE).read_text("utf-8")) == told
        except (OSError, ValueError):
            same = False
        if not same:
            shutil.rmtree(self.folder, ignore_errors=True)
            write_json(self.folder / _NOTE, told)

    def read(self, number: int) -> dict[str, NDArray[Any]] | None:
        """Give a part that was kept; None if there is none, or a damaged one."""
        if self.folder is None:
            return None
        try:
            with np.load(self.folder / f"{number:06d}.npz", allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile):
            return None

    def write(self, number: int, part: Mapping[str, NDArray[Any]]) -> None:
        """Keep a part."""
        if self.folder is not None:
            arrays: dict[str, Any] = dict(part)
            write_whole(self.folder / f"{number:06d}.npz", lambda file: np.savez(file, **arrays))


def fingerprint_of(runs: Sequence[Path], parts: Sequence[str]) -> str:
    """Tell classifiers apart by names, sizes and times of the files that they are read from."""
    digest = hashlib.sha256()
    for run in runs:
        for path in sorted(path for part in parts for path in (run / part).rglob("*") if path.is_file()):
            stat = path.stat()
            digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()
