"""Read the tables of a corpus row by row, and take numbers, patients and codes from their cells."""

from __future__ import annotations

import ast
import csv
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_ecg.errors import CorpusError

LONGEST_CELL = 2**20


def read_rows(path: Path, needed: Sequence[str] = (), *, remedy: str = "") -> Iterator[dict[str, str]]:
    """Give the rows of a CSV table one after the other.

    Parameters
    ----------
    path : path
    needed : sequence of str
        Columns that must be there.
    remedy : str
        What to do when the table is missing.

    Raises
    ------
    CorpusError
        If the table is missing, unreadable, lacks a column, or a row is longer or shorter than its header.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield from _rows(file, path, needed)
    except FileNotFoundError as error:
        raise CorpusError(str(path), "no such table", remedy or "fetch it again") from error
    except OSError as error:
        raise CorpusError(str(path), f"cannot read the table: {error}", "check the file") from error


def _rows(file: Iterator[str], path: Path, needed: Sequence[str]) -> Iterator[dict[str, str]]:
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(file)
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in needed if name not in header]:
            problem = f"the table has no column {', '.join(map(repr, missing))}"
            raise CorpusError(str(path), problem, f"its columns are {', '.join(header)}"[:300])
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                problem = f"line {reader.line_num} has {len(cells)} cells and the header {len(header)}"
                raise CorpusError(str(path), problem, "fetch the table again, or correct the line")
            yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        problem = f"line {reader.line_num} is no CSV: {error}"
        raise CorpusError(str(path), problem, "fetch the table again") from error


def number(cell: str, where: str) -> float | None:
    """Read a number; empty and NaN give None.

    Raises
    ------
    CorpusError
        If the cell holds something else.

    Examples
    --------
    >>> number("56.0", "row 1"), number("", "row 1"), number("nan", "row 1")
    (56.0, None, None)
    """
    text = cell.strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise CorpusError(where, f"{text[:40]!r} is no number", "correct the table") from None
    return value if math.isfinite(value) else None


def whole(cell: str, where: str) -> int | None:
    """Read an integer, also one written as a float.

    Examples
    --------
    >>> whole("15709.0", "row 1"), whole("", "row 1")
    (15709, None)
    """
    value = number(cell, where)
    if value is None:
        return None
    if value != int(value):
        raise CorpusError(where, f"{cell.strip()[:40]!r} is no integer", "correct the table")
    return int(value)


def identity(cell: str) -> str | None:
    """Read a patient or record number as text, the same however a spreadsheet wrote it.

    Examples
    --------
    >>> identity("15709.0"), identity("p10000032"), identity(" ")
    ('15709', 'p10000032', None)
    """
    text = cell.strip()
    if text.endswith(".0") and text[:-2].isdigit():
        text = text[:-2]
    return None if text.lower() in {"", "nan", "none", "na"} else text


def age_of(cell: str, where: str) -> float | None:
    """Read an age [years]; negative ones mean unknown, and above 130 "over 89", given as 90.

    Examples
    --------
    >>> age_of("56.0", ""), age_of("300", ""), age_of("-1", "")
    (56.0, 90.0, None)
    """
    value = number(cell, where)
    if value is None or value < 0:
        return None
    return 90.0 if value > 130 else value


def literal(cell: str, where: str) -> object:
    """Read a Python literal such as "{'NORM': 100.0}"; nothing is run.

    Raises
    ------
    CorpusError
        If the cell is no literal.
    """
    try:
        return ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        problem = f"{cell[:40]!r} is no list or dictionary"
        raise CorpusError(where, problem, "fetch the table again, or correct the line") from None


def code_list(cell: str, where: str) -> tuple[str, ...]:
    """Read codes written as a Python list or dictionary, or separated by commas, semicolons, bars or blanks.

    Examples
    --------
    >>> code_list("['SR', 'STD']", ""), code_list("59118001;426783006", ""), code_list("", "")
    (('SR', 'STD'), ('59118001', '426783006'), ())
    """
    text = cell.strip()
    if text[:1] in {"[", "{", "("}:
        found = literal(text, where)
        if not isinstance(found, (list, tuple, dict, set)):
            raise CorpusError(where, f"{text[:40]!r} is no list of codes", "correct the table")
        listed = [str(code) for code in (sorted(found) if isinstance(found, set) else found)]
    else:
        for mark in ",;|":
            text = text.replace(mark, " ")
        listed = text.split()
    return tuple(code for code in listed if code.lower() not in {"nan", "none", "unknown"})
