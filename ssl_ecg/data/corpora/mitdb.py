"""MIT-BIH Arrhythmia Database: 48 half-hour two-lead recordings of 47 patients, beat by beat annotated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry
from ssl_ecg.data.corpora.headers import header_entry
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError

_UNUSED = frozenset((110, 120, 204, 206, 211, 216, 218, 224, 225, 226, 227, 229))
RECORDS = tuple(str(number) for number in (*range(100, 125), *range(200, 235)) if number not in _UNUSED)
"""All 48 records."""

_SAME_PATIENT = {"202": "201"}


class MITDB(Corpus):
    """MIT-BIH Arrhythmia Database 1.0.0.

    A patient is named after his record; 201 and 202 are one patient. The usual division of records into
    training and test (de Chazal 2004, DS1 and DS2) separates those two and is therefore not given as folds.

    Parameters
    ----------
    root : path
    annotated : bool
        Read the beat and rhythm annotations (.atr) as well.
    folds : int, optional
        Draw this many folds by patient.

    References
    ----------
    Moody and Mark 2001, doi 10.1109/51.932724.
    """

    name = "mitdb"
    title = "MIT-BIH Arrhythmia Database"
    licence = "ODC-By 1.0"
    doi = "10.13026/C2F305"
    url = "https://physionet.org/files/mitdb/1.0.0/"

    def __init__(self, root: str | Path, *, annotated: bool = True, folds: int | None = None) -> None:
        super().__init__(root, folds=folds)
        self.annotated = annotated

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether a record of the database is in `root`, with its annotations."""
        return any((root / f"{name}.hea").is_file() and (root / f"{name}.atr").is_file() for name in RECORDS)

    def entries(self) -> Iterator[Entry]:
        """Give the records that are there, by number.

        Raises
        ------
        CorpusError
            If there is none.
        """
        present = [name for name in RECORDS if (self.root / f"{name}.hea").is_file()]
        if not present:
            raise CorpusError(str(self.root), "no record 100 to 234", "fetch it with `ssl-ecg download mitdb`")
        for name in present:
            entry, _segments = header_entry(self.root, f"{name}.hea", name)
            yield self._folded(replace(entry, patient_id=_SAME_PATIENT.get(name, name)))

    def read(self, entry: Entry) -> Record:
        """Read one recording with its annotations."""
        annotations = "atr" if self.annotated else None
        return with_entry(read_record(self._path(entry), annotations=annotations), entry)
