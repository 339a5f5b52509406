"""PTB-XL: 21,799 clinical 12-lead recordings of 10 s with 71 SCP-ECG statements."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus, Entry, disjoint, with_entry
from ssl_ecg.data.corpora.tables import age_of, identity, literal, read_rows, whole
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError
from ssl_ecg.tasks.ptbxl import REBUILT

TABLE = "ptbxl_database.csv"
_COLUMNS = (
    "ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr", "filename_hr",
)  # fmt: skip
_SEXES: dict[int | None, str] = {0: "male", 1: "female"}
_FILENAME = {100: "filename_lr", 500: "filename_hr"}
_CODES_ORIGIN = "scp_codes_source"


class PTBXL(Corpus):
    """PTB-XL 1.0.3.

    `Entry.fold` is the published ``strat_fold``: 9 is for validation and 10 for testing. Codes are the keys
    of ``scp_codes``, whatever their likelihood. Sex is 0 for male and 1 for female; an age of 300 stands
    for "over 89" and is given as 90.

    Parameters
    ----------
    root : path
        Folder with ``ptbxl_database.csv``, ``records100`` and ``records500``.
    rate : {100, 500}
        Preferred sampling rate [Hz]; a record of which only the other rate is there is taken at that one.
    original_codes : bool
        Give no codes to records whose ``scp_codes`` were rebuilt from coarser lists, where the table has a
        column ``scp_codes_source`` that says so (the published table has none). Otherwise they have theirs and the
        mark `ssl_ecg.tasks.ptbxl.REBUILT`, so that tasks of single statements leave them out.

    Raises
    ------
    CorpusError
        If the folder does not exist or the rate is another.

    References
    ----------
    Wagner et al. 2020, doi 10.1038/s41597-020-0495-6.
    """

    name = "ptbxl"
    title = "PTB-XL, a large publicly available electrocardiography dataset"
    licence = "CC BY 4.0"
    doi = "10.13026/kfzx-aw45"
    url = "https://physionet.org/files/ptb-xl/1.0.3/"
    shared_with = ("cinc2020", "cinc2021")

    def __init__(self, root: str | Path, *, rate: int = 100, original_codes: bool = False) -> None:
        super().__init__(root)
        self.rate = rate
        self.original_codes = original_codes
        if rate not in _FILENAME:
            raise CorpusError("rate", f"PTB-XL is not published at {rate} Hz", "choose 100 or 500")

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether ``ptbxl_database.csv`` is in `root`."""
        return (root / TABLE).is_file()

    def entries(self) -> Iterator[Entry]:
        """Give the records in the order of the table."""
        path = self.root / TABLE
        remedy = "give the folder that holds it, or fetch it with `ssl-ecg download ptbxl`"
        rows = read_rows(path, _COLUMNS, remedy=remedy)
        empty = True
        for entry in disjoint((self._entry(row, path) for row in rows), str(path)):
            empty = False
            yield entry
        if empty:
            raise CorpusError(str(path), "the table has no rows", "fetch it again")

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        return with_entry(read_record(self._path(entry)), entry)

    def _entry(self, row: dict[str, str], path: Path) -> Entry:
        record_id = identity(row["ecg_id"])
        where = f"{path}: ecg_id {row['ecg_id']}"
        if record_id is None:
            raise CorpusError(str(path), "a row has no ecg_id", "fetch the table again")
        codes = literal(row["scp_codes"], where)
        if not isinstance(codes, dict):
            raise CorpusError(where, "scp_codes is no dictionary", "fetch the table again")
        if row.get(_CODES_ORIGIN, "original") != "original":
            codes = {} if self.original_codes else {**codes, REBUILT: 0.0}
        return Entry(
            record_id,
            self._location(row),
            identity(row["patient_id"]),
            whole(row["strat_fold"], where),
            age_of(row["age"], where),
            _SEXES.get(whole(row["sex"], where)),
            tuple(map(str, codes)),
        )

    def _location(self, row: dict[str, str]) -> str:
        """Prefer the file at the rate asked for, if it or neither is there."""
        preferred, other = (row[_FILENAME[rate]].strip() for rate in (self.rate, 600 - self.rate))
        for name in (preferred, other):
            if name and (self.root / f"{name}.hea").is_file():
                return f"{name}.hea"
        return f"{preferred}.hea"


def patients(root: str | Path) -> dict[str, tuple[str | None, int | None]]:
    """Give patient and fold of every record of PTB-XL, by its ``ecg_id``.

    Raises
    ------
    CorpusError
        If the table is missing or malformed.
    """
    entries = PTBXL(root).entries()
    return {entry.record_id: (entry.patient_id, entry.fold) for entry in entries}
