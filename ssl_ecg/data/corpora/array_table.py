"""The table that describes the records of an array: which columns mean what, and which hold codes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

from ssl_ecg.data.corpora.base import Entry
from ssl_ecg.data.corpora.tables import age_of, code_list, identity, read_rows, whole
from ssl_ecg.errors import CorpusError

COLUMNS = MappingProxyType(
    {
        "record_id": ("record_id", "ecg_id", "id"),
        "patient_id": ("patient_id", "subject_id"),
        "fold": ("fold", "strat_fold"),
        "age": ("age",),
        "sex": ("sex", "gender"),
    }
)
"""What is known of a record -> the names of its column, in any case of letters."""

_CODE_COLUMNS = ("codes", "scp_codes")
_SEXES = {"male": "male", "m": "male", "female": "female", "f": "female"}
_PTBXL_SEXES: dict[int | None, str] = {0: "male", 1: "female"}
_YES, _NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false", "", "nan"})


class ArrayTable:
    """A table with a row a record.

    Parameters
    ----------
    path : path
    codes : sequence of str, optional
        Columns that hold codes; found if not given.

    Raises
    ------
    CorpusError
        When it is read: if it is missing or malformed, or has no column of record names.
    """

    def __init__(self, path: Path, codes: Sequence[str] | None = None) -> None:
        self.path = path
        self.codes = codes

    def entries(self, array: str) -> Iterator[Entry]:
        """Give an entry for each row, located in the array of that name."""
        columns = self._columns()
        listed, flags = self._code_columns(set(columns.values()))
        if "record_id" not in columns:
            problem = "the table has no column of record names"
            raise CorpusError(str(self.path), problem, f"name one {', '.join(COLUMNS['record_id'])}")
        for number, row in enumerate(read_rows(self.path)):
            where = f"{self.path}: row {number + 1}"
            cell = {meaning: row[column] for meaning, column in columns.items()}
            codes = [name for name in flags if row[name].strip().lower() in _YES]
            codes += [code for name in listed for code in code_list(row[name], where)]
            yield Entry(
                identity(cell["record_id"]) or f"row-{number}",
                f"{array}#{number}",
                identity(cell.get("patient_id", "")),
                whole(cell.get("fold", ""), where),
                age_of(cell.get("age", ""), where),
                self._sex(cell.get("sex", ""), columns),
                tuple(dict.fromkeys(codes)),
            )

    def _columns(self) -> dict[str, str]:
        first = next(read_rows(self.path), None)
        if first is None:
            raise CorpusError(str(self.path), "the table has no rows", "give one row for each record")
        lower = {name.lower(): name for name in first}
        found = {
            meaning: next((lower[name] for name in names if name in lower), None) for meaning, names in COLUMNS.items()
        }
        return {meaning: name for meaning, name in found.items() if name is not None}

    def _code_columns(self, taken: set[str]) -> tuple[list[str], list[str]]:
        """Give the columns of lists of codes, and those of zeros and ones."""
        names = list(next(read_rows(self.path), {}))
        wanted = self.codes
        if wanted is None:
            wanted = [name for name in names if name.lower() in _CODE_COLUMNS] or None
        elif missing := [name for name in wanted if name not in names]:
            problem = f"the table has no column {missing[0]!r}"
            raise CorpusError(str(self.path), problem, f"its columns are {', '.join(names)}"[:300])
        flags = [name for name in wanted or names if name not in taken]
        lists = set(flags)
        ones: set[str] = set()
        for row in read_rows(self.path):
            lists -= {name for name in lists if row[name].strip()[:1] not in ("", "[", "{")}
            ones |= {name for name in flags if row[name].strip().lower() in _YES}
            flags = [name for name in flags if row[name].strip().lower() in _YES | _NO]
        flags = [name for name in flags if name in ones or wanted]
        if wanted is not None:
            return [name for name in wanted if name not in flags], flags
        return [name for name in names if name in lists and name not in flags], flags

    def _sex(self, cell: str, columns: dict[str, str]) -> str | None:
        if columns["record_id"].lower() == "ecg_id" and cell.strip()[:1] in ("0", "1"):
            return _PTBXL_SEXES.get(whole(cell, str(self.path)))
        return _SEXES.get(cell.strip().lower())
