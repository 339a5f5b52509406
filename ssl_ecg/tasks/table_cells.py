"""The cells of a user's table as text and as numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg.errors import LabelError

Rows = list[list[str]]
_UNKNOWN = frozenset({"", "nan", "na", "n/a", "null", "none"})
_TRUTH = {"true": 1.0, "false": 0.0}


def read_cells(path: Path, where: str) -> tuple[list[str], Rows]:
    """Read header and rows of a CSV file.

    Raises
    ------
    LabelError
        If it cannot be read, or a row has another length than the header.
    """
    try:
        with path.expanduser().open(newline="", encoding="utf-8-sig") as lines:
            table = csv.reader(lines, strict=True)
            header = [cell.strip() for cell in next(table, [])]
            rows = [(table.line_num, [cell.strip() for cell in row]) for row in table if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(where, f"cannot be read as a table ({error})", "give a CSV file with a header") from error
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise LabelError(where, f"cells are separated by {other!r}", "separate them by commas")
    for line, row in rows:
        if len(row) != len(header):
            problem = f"line {line} has {len(row)} cells, the header {len(header)}"
            raise LabelError(where, problem, "separate cells by commas, and quote text that holds one")
    return header, [row for _, row in rows]


def frame_cells(frame: Any) -> tuple[list[str], Rows]:
    """Give header and rows of a DataFrame."""
    header = [str(column) for column in frame.columns]
    columns = [[cell_text(value) for value in frame.iloc[:, k]] for k in range(len(header))]
    return header, [list(row) for row in zip(*columns, strict=True)]


def cell_text(value: Any) -> str:
    """Give a cell as text: nothing for what is missing, and no ".0" behind whole numbers."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else str(int(value)) if value.is_integer() else repr(float(value))
    return "" if value is None or str(value) in ("<NA>", "NaT") else str(value)


def is_binary(cell: str) -> bool:
    """Say whether a cell holds 1, 0, true, false or nothing."""
    return cell.lower() in _UNKNOWN or cell.lower() in _TRUTH or number_in(cell) in (0.0, 1.0)


def is_text(cell: str) -> bool:
    """Say whether a cell holds something that is no number, or nothing."""
    return cell.lower() in _UNKNOWN or number_in(cell) is None


def number_in(cell: str) -> float | None:
    """Give the number in a cell, NaN if it is empty, None if it holds something else.

    Examples
    --------
    >>> number_in("1.5"), number_in("true"), number_in(""), number_in("MI")
    (1.5, 1.0, nan, None)
    """
    known = cell.lower()
    if known in _UNKNOWN or known in _TRUTH:
        return _TRUTH.get(known, np.nan)
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else None
