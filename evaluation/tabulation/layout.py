"""What a table is: rows, columns, where in the JSON each cell stands and how it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple


class Results:
    """JSON files under a folder, each read once.

    Parameters
    ----------
    root
        Folder that the files are named from.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read: dict[str, Any] = {}

    def find(self, source: str, *path: str) -> Any:
        """Look up what stands at a path of keys (of a list: places) in a file; None where one is missing."""
        if source not in self._read:
            file = self.root / source
            self._read[source] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        found = self._read[source]
        for key in path:
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                return None
        return found


class Row(NamedTuple):
    """Key of a row in the JSON, and what stands in its first column."""

    key: str
    label: str


Cell = Callable[[Results, str], str]
"""Text of a cell, from the results and the key of the row; empty where there is nothing."""


class Column(NamedTuple):
    """Heading and cells of a column."""

    heading: str
    cell: Cell


@dataclass(frozen=True)
class Table:
    """One table of one document.

    Parameters
    ----------
    name
        What the marker in the document says.
    document
        Path from the root of the project.
    first
        Heading of the column of labels.
    rows, columns
        Themselves, or a function that makes them from the results, for a table that grows.
    best_of_row
        Columns (0 is the first after the labels) of which the largest figure of each row is set in bold.
    best_of_rows
        Groups of keys of rows, the largest of which in `best_column` is set in bold.
    caption
        Stands above a table that may have no rows yet, and goes with it.
    """

    name: str
    document: str
    first: str
    rows: Sequence[Row] | Callable[[Results], Sequence[Row]]
    columns: Sequence[Column] | Callable[[Results], Sequence[Column]]
    best_of_row: tuple[int, ...] = ()
    best_of_rows: tuple[tuple[str, ...], ...] = ()
    best_column: int = 0
    caption: str = ""


def value(form: Callable[[Any], str], source: str, *path: str) -> Cell:
    """Make cells that write what stands at a path, in which {} is the key of the row."""

    def cell(results: Results, row: str) -> str:
        found = results.find(source, *(part.replace("{}", row) for part in path))
        return "" if found is None else form(found)

    return cell


def first_of(*cells: Cell) -> Cell:
    """Make cells that take the first of several that is not empty."""
    return lambda results, row: next((text for cell in cells if (text := cell(results, row))), "")


def joined(between: str, *cells: Cell) -> Cell:
    """Make cells that write several figures beside each other."""

    def cell(results: Results, row: str) -> str:
        texts = [part(results, row) for part in cells]
        return between.join(texts) if any(texts) else ""

    return cell


def render(table: Table, results: Results) -> str:
    """Write a table in Markdown; nothing if it has no rows yet."""
    rows = table.rows(results) if callable(table.rows) else table.rows
    columns = table.columns(results) if callable(table.columns) else table.columns
    if not rows:
        return ""
    cells = [[column.cell(results, row.key) for column in columns] for row in rows]
    for line in cells:
        _embolden(line, table.best_of_row)
    for group in table.best_of_rows:
        _embolden_down(cells, [i for i, row in enumerate(rows) if row.key in group], table.best_column)
    lines = [
        _line([table.first, *(column.heading for column in columns)]),
        "|" + "---|" * (1 + len(columns)),
        *(_line([row.label, *line]) for row, line in zip(rows, cells, strict=True)),
    ]
    return (f"{table.caption}\n\n" if table.caption else "") + "\n".join(lines) + "\n"


def bold(text: str) -> str:
    """Set the first figure of a cell in bold.

    >>> bold("0.906 [0.897, 0.914]")
    '**0.906** [0.897, 0.914]'
    """
    figure, blank, rest = text.partition(" ")
    return f"**{figure}**{blank}{rest}"


def _line(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|"


def _leading(text: str) -> float:
    return float(text.split()[0].rstrip(",")) if text else float("-inf")


def _embolden(line: list[str], columns: Sequence[int]) -> None:
    best = max((_leading(line[i]) for i in columns), default=float("-inf"))
    for i in columns:
        if line[i] and _leading(line[i]) == best:
            line[i] = bold(line[i])


def _embolden_down(cells: list[list[str]], rows: Sequence[int], column: int) -> None:
    line = [cells[i][column] for i in rows]
    _embolden(line, range(len(line)))
    for i, text in zip(rows, line, strict=True):
        cells[i][column] = text
