"""Names of the files of an archive.

``archive.json``
    What it is; written last, so that it is there only when everything else is.
``index.parquet``
    One row a record, in the order of the sources.
``shards/00000.i16`` ...
    Records back to back, each (lead, time), little-endian int16.
``prepare.json``
    What was asked for; written first, so that an interrupted run can be resumed.
"""

from __future__ import annotations

from pathlib import Path

from ssl_ecg.errors import ArchiveError

FORMAT = 1
"""Version of the layout."""
HEAD = "archive.json"
INDEX = "index.parquet"
ORDER = "prepare.json"


def samples_path(archive: Path, number: int) -> Path:
    """Give the place of a shard's samples."""
    return archive / "shards" / f"{number:05d}.i16"


def table_path(archive: Path, number: int) -> Path:
    """Give the place of a shard's part of the index while the archive is unfinished."""
    return archive / "shards" / f"{number:05d}.parquet"


def refuse_archive(out: Path) -> None:
    """Make sure that results are not written over the files of an archive.

    Raises
    ------
    ArchiveError
        If the folder holds an archive, finished or not.
    """
    if (out / HEAD).exists() or (out / ORDER).exists():
        raise ArchiveError(str(out), "holds an archive", "choose another --out for what is made of it")
