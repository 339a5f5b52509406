"""Tasks from a user's own table: record ids and labels, in a CSV file or a DataFrame."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.tasks.table_cells import cell_text, frame_cells, is_binary, is_text, number_in, read_cells

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["multilabel", "multiclass", "continuous"]
Key = tuple[str | None, str]
MANY, FEW = 20, 5
"""A column of more different numbers holds measurements, not classes: whole ones, and with fractions."""


class UnknownRecordWarning(UserWarning):
    """Rows of a table belong to no record of the archive."""


@dataclass(frozen=True, slots=True)
class TableTask:
    """A task whose labels stand in a table of record ids. `table_task` makes it.

    Attributes
    ----------
    name : str
    classes : tuple of str
        In the order of the columns of the labels; the names of the targets where they are continuous.
    kind : {"multilabel", "multiclass", "continuous"}
    description : str
    rows : dict
        (corpus or None, record id) -> row of `values`.
    values : float32 array (row, class)
        1, 0 or a number; NaN where unknown.
    """

    name: str
    classes: tuple[str, ...]
    kind: Kind
    description: str
    rows: dict[Key, int] = field(repr=False, hash=False)
    values: NDArray[np.float32] = field(repr=False, hash=False, compare=False)

    def labels_of(self, index: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the labels of an archive's records.

        Parameters
        ----------
        index : DataFrame
            With ``record_id``, and ``corpus`` if the table has it.

        Returns
        -------
        labels : float32 array (record, class)
            NaN where unknown, for all classes of a record that is not in the table.
        known : bool array (record,)
            Records with at least one known label.

        Raises
        ------
        LabelError
            If no record of the index is in the table, or an id of the table stands for records of several corpora.

        Warns
        -----
        UnknownRecordWarning
            If rows of the table belong to no record of the index.
        """
        ids = [cell_text(value) for value in index["record_id"]]
        by_corpus = any(corpus is not None for corpus, _ in self.rows)
        corpora: list[str | None] = [None] * len(ids)
        if by_corpus:
            if "corpus" not in index:
                self._refuse("names corpora, and the index does not", "leave the column out, or add one to the index")
            corpora = [cell_text(value) for value in index["corpus"]]
        keys = list(zip(corpora, ids, strict=True))
        found = np.array([self.rows.get(key, -1) for key in keys], np.int64)
        self._check_ambiguous([key for key, row in zip(keys, found, strict=True) if row >= 0])
        self._check_missing(found)
        labels = np.full((len(ids), len(self.classes)), np.nan, np.float32)
        labels[found >= 0] = self.values[found[found >= 0]]
        return labels, np.asarray(np.isfinite(labels).any(axis=1))

    def labels(self, codes: object) -> NoReturn:
        """Refuse codes: labels of a table belong to records, see `labels_of`.

        Raises
        ------
        LabelError
            Always.
        """
        self._refuse("its labels belong to record ids, not to codes", "use it where an archive's index is at hand")

    def _check_ambiguous(self, used: list[Key]) -> None:
        twice = [key for key, count in Counter(used).items() if count > 1]
        if twice:
            problem = f"{len(twice)} of its ids belong to several records of the archive, such as {twice[0][1]!r}"
            self._refuse(problem, 'add a column "corpus" that says which is meant')

    def _check_missing(self, found: NDArray[np.int64]) -> None:
        there = set(found[found >= 0].tolist())
        missing = [key for key, row in self.rows.items() if row not in there]
        if not there:
            problem = f"none of its {len(self.rows)} record ids is in the archive"
            example = f", such as {missing[0][1]!r}" if missing else ""
            self._refuse(problem + example, "compare the ids with those of archive.index.record_id")
        if missing:
            text = f"{len(missing)} of {len(self.rows)} records of the table are not in the archive"
            message = f"task {self.name!r}: {text}, such as {missing[0][1]!r}"
            warnings.warn(message, UnknownRecordWarning, stacklevel=3)

    def _refuse(self, problem: str, remedy: str) -> NoReturn:
        raise LabelError(f"task {self.name!r}", problem, remedy)


def table_task(
    source: str | Path | pd.DataFrame,
    *,
    kind: Kind | None = None,
    id_column: str | None = None,
    columns: Sequence[str] | None = None,
    name: str | None = None,
) -> TableTask:
    """Make a task from a table with one row a record.

    Parameters
    ----------
    source : path or DataFrame
        A CSV file has a header; cells are separated by commas. A column ``corpus`` says which corpus an id
        belongs to, where an archive holds several.
    kind : {"multilabel", "multiclass", "continuous"}, optional
        "multilabel": columns are classes and hold 1, 0, or nothing where unknown. "multiclass": one column
        holds the name of the class, or nothing; classes are in the order of their names. "continuous":
        columns hold numbers such as ages, or nothing. Unless given it is multi-label if all cells are 1, 0
        or empty, multi-class if there is one column and it holds text, and continuous if every column holds
        numbers that can be no list of classes: more than twenty different ones, or more than five with
        fractions. Other tables need to be told.
    id_column : str, optional
        ``record_id`` unless given, or the first column if there is none of that name.
    columns : sequence of str, optional
        All others unless given.
    name : str, optional
        That of the file unless given.

    Returns
    -------
    TableTask
        To be given to `run_probe`, `probe_folder` and `finetune` in place of a name.

    Raises
    ------
    LabelError
        If the file cannot be read, a column is missing, an id is empty or stands twice, a cell holds what
        does not belong there, or the kind cannot be told.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"record_id": ["a", "b"], "MI": [1, None], "AF": [0, 1]})
    >>> labels, known = table_task(table).labels_of(pd.DataFrame({"record_id": ["b", "c", "a"]}))
    >>> labels.tolist(), known.tolist()
    ([[nan, 1.0], [nan, nan], [1.0, 0.0]], [True, False, True])
    """
    path = Path(source) if isinstance(source, str | Path) else None
    where = str(source) if path is not None else f"table {name or ''}".rstrip()
    header, rows = read_cells(path, where) if path is not None else frame_cells(source)
    ids, corpora, columns = _columns(header, id_column, columns, where)
    cells = {column: [row[header.index(column)] for row in rows] for column in columns}
    keys = _keys(rows, header.index(ids), header.index("corpus") if corpora else None, where)
    kind = kind or _guess(cells, where)
    if kind == "multiclass":
        classes, values = _one_hot(cells, where)
    elif kind in ("multilabel", "continuous"):
        numbers = [_numbers(column, cells[column], keys, kind, where) for column in columns]
        classes, values = tuple(columns), np.array(numbers, np.float32).T
    else:
        raise LabelError(where, f"no kind {kind!r}", "choose multilabel, multiclass or continuous")
    description = f"{kind} table of {len(keys)} records"
    place = {key: row for row, key in enumerate(keys)}
    return TableTask(name or (path.stem if path is not None else "table"), classes, kind, description, place, values)


def _columns(
    header: list[str], id_column: str | None, columns: Sequence[str] | None, where: str
) -> tuple[str, bool, list[str]]:
    """Say which column holds ids, whether there is one of corpora, and which hold labels."""
    twice = sorted(column for column, count in Counter(header).items() if count > 1)
    if twice or not header:
        problem = f"two columns are called {twice[0]!r}" if twice else "there is no header"
        raise LabelError(where, problem, "give each column a name of its own")
    ids = id_column or ("record_id" if "record_id" in header else header[0])
    chosen = [column for column in header if column not in (ids, "corpus")] if columns is None else list(columns)
    for column in (ids, *chosen):
        if column not in header:
            raise LabelError(where, f"has no column {column!r}", f"there are {', '.join(header)}")
    if not chosen or len(set(chosen)) < len(chosen) or ids in chosen:
        remedy = f"there are {', '.join(header)}; {ids!r} holds the ids"
        raise LabelError(where, f"{len(chosen)} columns of labels, or one named twice", remedy)
    return ids, "corpus" in header and "corpus" not in (ids, *chosen), chosen


def _keys(rows: list[list[str]], ids: int, corpora: int | None, where: str) -> list[Key]:
    keys = [(None if corpora is None else row[corpora], row[ids]) for row in rows]
    if not keys or not all(key for _, key in keys):
        problem = f"{sum(not key for _, key in keys)} rows have no record id" if keys else "there are no rows"
        raise LabelError(where, problem, "give one row for each record, with its id")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        problem = f"{len(twice)} record ids stand in several rows, such as {twice[0][1]!r}"
        raise LabelError(where, problem, "give one row for each record")
    return keys


def _guess(cells: dict[str, list[str]], where: str) -> Kind:
    if all(is_binary(cell) for column in cells.values() for cell in column):
        return "multilabel"
    if len(cells) == 1 and all(is_text(cell) for column in cells.values() for cell in column):
        return "multiclass"
    if all(_is_measured(column) for column in cells.values()):
        return "continuous"
    problem = f"holds more than 0, 1 and nothing in {', '.join(list(cells)[:5])}"
    remedy = (
        "say with table_task(kind=...), or FILE.csv:kind=multiclass,columns=NAME, what it is and which columns count"
    )
    raise LabelError(where, problem, remedy)


def _is_measured(cells: list[str]) -> bool:
    """Say whether a column holds numbers that can be no list of classes."""
    numbers = [number_in(cell) for cell in cells]
    if any(value is None for value in numbers):
        return False
    different = {value for value in numbers if value is not None and not np.isnan(value)}
    return len(different) > MANY or (len(different) > FEW and not all(value.is_integer() for value in different))


def _one_hot(cells: dict[str, list[str]], where: str) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    if len(cells) != 1:
        problem = f"{len(cells)} columns for one class a record"
        raise LabelError(where, problem, "name the one that holds the class with columns=[...]")
    (names,) = cells.values()
    classes = tuple(sorted(set(names) - {""}, key=_rank))
    if len(classes) < 2:
        raise LabelError(where, f"{len(classes)} classes in {next(iter(cells))!r}", "give records of two or more")
    values = np.full((len(names), len(classes)), np.nan, np.float32)
    for row, name in enumerate(names):
        if name:
            values[row] = [name == other for other in classes]
    return classes, values


def _numbers(column: str, cells: list[str], keys: list[Key], kind: Kind, where: str) -> list[float]:
    """Read a column of numbers; NaN where a cell is empty."""
    out = []
    for cell, (_, record) in zip(cells, keys, strict=True):
        value = number_in(cell)
        if value is None or (kind == "multilabel" and not is_binary(cell)):
            expected = "0, 1 or nothing" if kind == "multilabel" else "a number or nothing"
            problem = f"column {column!r} of record {record!r} holds {cell[:40]!r}"
            raise LabelError(where, problem, f"give {expected}, name the columns to take, or another kind")
        out.append(value)
    return out


def _rank(name: str) -> tuple[bool, float, str]:
    """Put numbers in their order and before names."""
    value = number_in(name)
    return (True, 0.0, name) if value is None or np.isnan(value) else (False, value, name)
