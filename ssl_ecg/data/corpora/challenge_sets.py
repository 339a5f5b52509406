"""The collections that the PhysioNet/CinC Challenges 2020 and 2021 put together, by their record names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

SOURCES = MappingProxyType(
    {
        "cpsc2018": re.compile(r"A\d{4}"),
        "cpsc_extra": re.compile(r"Q\d{4}"),
        "st_petersburg": re.compile(r"I\d{4}"),
        "ptb": re.compile(r"S\d{4}"),
        "ptbxl": re.compile(r"HR\d{5}"),
        "georgia": re.compile(r"E\d{5}"),
        "chapman_shaoxing": re.compile(r"JS(?:0\d{4}|10[0-5]\d\d|106[0-3]\d|1064[0-6])"),
        "ningbo": re.compile(r"JS(?!0|10[0-5]\d\d|106[0-3]\d|1064[0-6])\d{5}"),
    }
)
"""Name and patient namespace of a source set -> pattern of its record names, whatever the folders."""

IN_BOTH = ("cpsc2018", "cpsc_extra", "st_petersburg", "ptb", "ptbxl", "georgia")
"""The source sets of both challenges."""


GLANCED = 100
"""Folders below the root that are looked into to recognise a corpus."""


def source_of(record: str) -> str | None:
    """Give the source set of a record.

    Examples
    --------
    >>> source_of("HR00001"), source_of("JS10646"), source_of("JS10647"), source_of("100")
    ('ptbxl', 'chapman_shaoxing', 'ningbo', None)
    """
    return next((source for source, pattern in SOURCES.items() if pattern.fullmatch(record)), None)


def glance(root: Path) -> set[str | None]:
    """Give the source sets in the usual places: `root`, its folders, ``training/*`` and their ``g1``."""
    tops = [root, *_folders(root)[:GLANCED], *_folders(root / "training")]
    folders = tops + [top / "g1" for top in tops]
    return {source_of(name) for folder in folders for name in _headers(folder)}


def _headers(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        with os.scandir(folder) as files:
            yield from (file.name[:-4] for file in files if file.name.endswith(".hea"))


def _folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
