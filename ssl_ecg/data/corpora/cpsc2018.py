"""China Physiological Signal Challenge 2018: 6,877 recordings of 6-60 s in nine classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry
from ssl_ecg.data.corpora.challenge_sets import glance, source_of
from ssl_ecg.data.corpora.headers import header_entry, walk
from ssl_ecg.data.corpora.tables import read_rows, whole
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.tasks.cpsc2018 import NUMBERS

TABLE = "REFERENCE.csv"
_LABELS = ("First_label", "Second_label", "Third_label")
_NEEDED = ("Recording", _LABELS[0])
_SEXES = {"male": "male", "female": "female", "m": "male", "f": "female"}


class CPSC2018(Corpus):
    """The training set, in the WFDB version of the CinC challenges or in the original one.

    The original has MATLAB files and ``REFERENCE.csv``, whose class numbers 1 to 9 become the SNOMED CT codes
    of the WFDB version. There are no folds, and patients are unknown.

    References
    ----------
    Liu et al. 2018, doi 10.1166/jmihi.2018.2442.
    """

    name = "cpsc2018"
    title = "China Physiological Signal Challenge 2018"
    licence = "CC BY 4.0"
    doi = "10.1166/jmihi.2018.2442"
    url = "https://physionet.org/files/challenge-2020/1.0.2/"
    shared_with = ("cinc2020", "cinc2021")
    subset = ("training/cpsc_2018/*",)

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether there is a ``REFERENCE.csv`` with its columns, or records of this set alone."""
        try:
            if (table := _table(root)) is not None and next(read_rows(table, _NEEDED), None):
                return True
        except CorpusError:
            return False
        return glance(root) == {"cpsc2018"}

    def entries(self) -> Iterator[Entry]:
        """Give the records sorted by path (WFDB) or in the order of ``REFERENCE.csv`` (original).

        Raises
        ------
        CorpusError
            If there are none, or the table of the original is missing or malformed.
        """
        empty = True
        for entry in self._from_headers():
            empty = False
            yield self._folded(entry)
        if empty:
            yield from map(self._folded, self._from_table())

    def read(self, entry: Entry) -> Record:
        """Read one recording of either version."""
        path = self._path(entry)
        record = read_struct(path, entry.record_id) if path.suffix == ".mat" else read_record(path)
        return with_entry(record, entry)

    def _from_headers(self) -> Iterator[Entry]:
        for location in walk(self.root, (".hea",)):
            name = Path(location).stem
            if source_of(name) == "cpsc2018":
                yield header_entry(self.root, location, name)[0]

    def _from_table(self) -> Iterator[Entry]:
        table = _table(self.root)
        files = {Path(location).stem: location for location in walk(self.root, (".mat",))}
        if table is None:
            remedy = f"put {TABLE} of the challenge there, or fetch `ssl-ecg download cpsc2018`"
            what = f"no {TABLE} beside the .mat files" if files else "no records A0001 to A6877"
            raise CorpusError(str(self.root), what, remedy)
        empty = True
        for row in read_rows(table, _NEEDED):
            empty = False
            name = row["Recording"].strip()
            where = f"{table}: {name}"
            numbers = [whole(row.get(column, ""), where) for column in _LABELS]
            yield Entry(name, files.get(name, f"{name}.mat"), codes=_codes(numbers, where))
        if empty:
            raise CorpusError(str(table), "the table has no rows", "fetch it again")


def read_struct(path: Path, record_id: str) -> Record:
    """Read a MATLAB file of the original challenge: a struct ECG with sex, age and data (lead, time) [mV].

    Raises
    ------
    RecordError
        If it is missing or something else.
    """
    from scipy.io import loadmat

    try:
        ecg = loadmat(str(path), variable_names=["ECG"])["ECG"][0, 0]
        data = np.asarray(ecg["data"], np.float32)
        age = float(np.ravel(ecg["age"])[0]) if np.size(ecg["age"]) else float("nan")
        sex = _SEXES.get(str(np.ravel(ecg["sex"])[0]).strip().lower()) if np.size(ecg["sex"]) else None
    except FileNotFoundError as error:
        raise RecordError(record_id, f"there is no file {path.name}", "fetch it again") from error
    except Exception as error:  # loadmat raises of every kind on damaged files
        problem = f"cannot read the struct ECG: {type(error).__name__}: {error}"
        raise RecordError(record_id, problem[:300], "fetch the .mat file again") from error
    if data.ndim != 2 or data.shape[0] != len(STANDARD_LEADS) or not data.shape[1]:
        raise RecordError(record_id, f"data has shape {data.shape}", "12 leads by time are expected")
    data[~np.isfinite(data)] = np.nan
    known = age if 0 <= age <= 130 else None
    return Record(np.ascontiguousarray(data), 500.0, STANDARD_LEADS, record_id, age=known, sex=sex)


def _codes(numbers: list[int | None], where: str) -> tuple[str, ...]:
    present = [number for number in numbers if number is not None]
    if unknown := [number for number in present if number not in NUMBERS]:
        raise CorpusError(where, f"class {unknown[0]} is not one of 1 to 9", "fetch the table again")
    return tuple(dict.fromkeys(NUMBERS[number] for number in present))


def _table(root: Path) -> Path | None:
    return next((path for path in (root / TABLE, *sorted(root.glob(f"*/{TABLE}"))) if path.is_file()), None)
