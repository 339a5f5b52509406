"""The folder of an archive that is being made: whose it is, and what has been asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ssl_ecg.data.canonical import Form
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.layout import FORMAT, HEAD, INDEX, ORDER
from ssl_ecg.data.shards import writing
from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json
from ssl_ecg.holding import LOCK, held

Order = dict[str, Any]

_PLAIN = (str, int, float, bool, tuple, type(None))


def order_of(form: Form, sources: Sequence[Corpus], shard_records: int) -> Order:
    """Describe what an archive is made of and how; JSON types only."""
    return {
        "format": FORMAT,
        "fs": form.fs,
        "leads": list(form.leads),
        "band": list(form.band) if form.band else None,
        "shard_records": shard_records,
        "sources": [_source(source) for source in sources],
    }


def find_finished(folder: Path, order: Order, *, resume: bool) -> bool:
    """Look at what is in the folder: True if it is the archive asked for, False if it is to be made.

    Raises
    ------
    ArchiveError
        If the folder holds something else, another archive, or an unfinished one made with other options.
    """
    if not folder.exists():
        return False
    where = str(folder)
    if not folder.is_dir():
        raise ArchiveError(where, "is a file", "give a folder for the archive")
    finished = (folder / HEAD).exists()
    if not (folder / ORDER).exists():
        if any(child.name != LOCK for child in folder.iterdir()):
            problem = "holds an archive" if finished else "is not empty and no archive of ours"
            raise ArchiveError(where, problem, "give a new or empty folder")
        return False
    difference = _difference(_read(folder / ORDER), order)
    if finished and difference is None and resume:
        return True
    if finished:
        problem = f"holds an archive with other {difference}" if difference else "holds this archive already"
        raise ArchiveError(where, problem, "give a new folder, or remove this one")
    if resume and difference is not None:
        remedy = "repeat the options of the first run, or remove the folder, or start over with resume=False"
        raise ArchiveError(where, f"was begun with other {difference}", remedy)
    return False


@contextmanager
def claimed(folder: Path, order: Order, *, resume: bool) -> Iterator[None]:
    """Hold the folder for this process; write down the order.

    Raises
    ------
    ArchiveError
        If the folder cannot be written, or another process is at work in it.
    """
    new = not folder.exists()
    remedy = "wait until it is done, or choose another folder"
    with ExitStack() as stack:
        with writing(folder):
            (folder / "shards").mkdir(parents=True, exist_ok=True)
            stack.callback(_tidy, folder, new)
            stack.enter_context(
                held(folder / LOCK, ArchiveError(str(folder), "another process is preparing into it", remedy))
            )
        if not resume:
            clear(folder)
            with writing(folder):
                (folder / "shards").mkdir(exist_ok=True)
        if not (folder / ORDER).exists():
            write_json(folder / ORDER, order)
        yield


def _tidy(folder: Path, new: bool) -> None:
    """Remove a folder that was made for nothing."""
    with suppress(OSError):
        if new and not any(folder.iterdir()):
            folder.rmdir()


def clear(folder: Path) -> None:
    """Remove what `prepare` wrote, and nothing else."""
    for pattern in ("shards/*.i16", "shards/*.parquet", "shards/*.part", f"{INDEX}*", ORDER, HEAD):
        for path in folder.glob(pattern):
            with suppress(OSError):
                path.unlink()
    with suppress(OSError):
        (folder / "shards").rmdir()


def _source(source: Corpus) -> dict[str, Any]:
    options = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in sorted(vars(source).items())
        if key != "root" and not key.startswith("_") and isinstance(value, str | int | float | bool | tuple | None)
    }
    root = getattr(source, "root", None)
    return {
        "class": type(source).__name__,
        "name": source.name,
        "root": root and os.path.abspath(root),
        **options,
    }


def _read(path: Path) -> Order:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise ArchiveError(str(path), "is damaged", "remove the folder and prepare anew")
    return content


def _difference(before: Order, now: Order) -> str | None:
    plain = json.loads(json.dumps(now))
    return next((key.replace("_", " ") for key in plain if before.get(key) != plain[key]), None)
