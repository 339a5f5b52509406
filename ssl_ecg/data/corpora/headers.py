"""Corpora whose labels stand in the WFDB headers: walk the folder, and read header after header."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ssl_ecg.data.corpora.base import Entry
from ssl_ecg.data.readers.wfdb_files import read_header
from ssl_ecg.data.readers.wfdb_header import clinical
from ssl_ecg.errors import CorpusError, RecordError


def walk(root: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Give the files below a folder that end as asked, sorted, as paths relative to it ("g1/A0001.hea").

    Hidden folders and links to folders are left out.

    Raises
    ------
    CorpusError
        If a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise CorpusError(str(error.filename), f"cannot read the folder: {error}", "check its permissions")

    for folder, below, files in os.walk(root, onerror=fail):
        below[:] = sorted(name for name in below if not name.startswith("."))
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield prefix + name


def any_file(root: Path, suffixes: tuple[str, ...]) -> bool:
    """Tell whether a folder or one below it has such a file."""
    try:
        return next(walk(root, suffixes), None) is not None
    except CorpusError:
        return False


def header_entry(root: Path, location: str, record_id: str) -> tuple[Entry, tuple[str, ...]]:
    """Make an entry from a header's comments, and give the names of its segments.

    A header that cannot be read gives an entry without age, sex and codes: reading the record says why.
    """
    path = root / location
    try:
        header = read_header(os.path.splitext(path)[0], location)
    except RecordError:
        return Entry(record_id, location), ()
    age, sex, codes = clinical(header.comments)
    entry = Entry(record_id, location, age=age, sex=sex, codes=codes)
    return entry, tuple(name for name, _length in header.segments)
