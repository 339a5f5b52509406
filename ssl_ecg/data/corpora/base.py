"""What every corpus is: a streaming list of entries, and a way to read each of them."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError, RecordError


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a corpus without its signal: light and picklable.

    Attributes
    ----------
    record_id : str
        Unique within the corpus.
    location : str
        Path relative to the root of the corpus, or ``"part.hdf5#row"``.
    patient_id : str or None
        As the corpus gives it; `Corpus.patient_key` makes it unique over all corpora.
    fold : int or None
        Published fold, or the one drawn by patient if the option ``folds`` asks for it.
    age : float or None
        [years]
    sex : {"male", "female"} or None
    codes : tuple of str
        Diagnostic codes as published.
    """

    record_id: str
    location: str
    patient_id: str | None = None
    fold: int | None = None
    age: float | None = None
    sex: str | None = None
    codes: tuple[str, ...] = ()


class Corpus(ABC):
    """A collection of recordings on disk; picklable, holding its root and options only.

    Parameters
    ----------
    root : path
        Folder of the corpus.
    folds : int, optional
        Draw this many folds by patient (see `patient_fold`); for corpora that publish none.

    Attributes
    ----------
    name, title, licence, doi, url : str
        `url` is the base address of the version that is supported.
    namespace : str
        Patients are distinguished as ``namespace/patient``.
    shared_with : tuple of str
        Names of the corpora that have recordings in common with this one as it is published.
    subset : tuple of str
        The parts (glob patterns relative to `url`) that a download fetches; empty means all.
    listing : {"physionet", "zenodo", "none"}
        Where the list of files and their checksums comes from.

    Raises
    ------
    CorpusError
        If `root` is no folder or an option is impossible.
    """

    name: str = ""
    title: ClassVar[str] = ""
    licence: ClassVar[str] = ""
    doi: ClassVar[str] = ""
    url: ClassVar[str] = ""
    shared_with: ClassVar[tuple[str, ...]] = ()
    subset: ClassVar[tuple[str, ...]] = ()
    listing: ClassVar[str] = "physionet"
    namespace: str = ""

    def __init_subclass__(cls) -> None:
        if not cls.__dict__.get("namespace"):
            cls.namespace = cls.name

    def __init__(self, root: str | Path, *, folds: int | None = None) -> None:
        self.root = Path(root)
        self.folds = folds
        if not self.root.is_dir():
            problem = "is not a folder" if self.root.exists() else "does not exist"
            raise CorpusError(str(root), problem, f"give the folder that holds {self.title or self.name}")
        if folds is not None and not (isinstance(folds, int) and 2 <= folds <= 1000):
            raise CorpusError("folds", f"cannot draw {folds!r} folds", "give a number from 2 to 1000")

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell, after a glance at the files in it, whether `root` holds this corpus."""
        return False

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Names of the corpora that have recordings in common with what is here on disk."""
        return self.shared_with

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Give the records one after the other, in a fixed order.

        Raises
        ------
        CorpusError
            If a table is missing, unreadable or lacks a column, or there are no records.
        """

    @abstractmethod
    def read(self, entry: Entry) -> Record:
        """Read one recording, with the patient, age, sex and codes of its entry.

        Age, sex and codes that only the file of the signal knows are in the record and not in the entry.

        Raises
        ------
        RecordError
            If the signal is missing or unreadable.
        """

    def patient_key(self, entry: Entry) -> str:
        """Give a patient key that is unique over all corpora (``"ptbxl/15709"``).

        An unknown patient is taken as one of its own: ``"cinc2011/record-1002603"``.
        """
        if entry.patient_id is None:
            return f"{self.namespace}/record-{entry.record_id}"
        return f"{self.namespace}/{entry.patient_id}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    def _folded(self, entry: Entry) -> Entry:
        """Draw the fold by patient if asked to and none is published."""
        if self.folds is None or entry.fold is not None:
            return entry
        return replace(entry, fold=patient_fold(self.patient_key(entry), self.folds))

    def _path(self, entry: Entry) -> Path:
        """Give the absolute path of an entry, which must lie inside the root."""
        relative = PurePosixPath(entry.location.partition("#")[0])
        if relative.is_absolute() or ".." in relative.parts:
            raise RecordError(entry.record_id, f"{entry.location!r} lies outside the corpus", "repair the table")
        return self.root / relative


def patient_fold(patient_key: str, folds: int = 10) -> int:
    """Draw a fold (1 to `folds`) from the patient alone, the same on every machine.

    All records of a patient, and copies of a record in several corpora, fall into one fold.

    Examples
    --------
    >>> patient_fold("mitdb/201"), patient_fold("mitdb/201")
    (3, 3)
    """
    digest = hashlib.sha256(patient_key.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % folds + 1


def disjoint(entries: Iterable[Entry], where: str) -> Iterator[Entry]:
    """Pass entries on, making sure that the folds of a table do not share patients.

    Raises
    ------
    CorpusError
        If a patient is in two folds.
    """
    folds: dict[str, int] = {}
    for entry in entries:
        if entry.patient_id is not None and entry.fold is not None:
            first = folds.setdefault(entry.patient_id, entry.fold)
            if first != entry.fold:
                problem = f"patient {entry.patient_id} is in the folds {first} and {entry.fold}"
                raise CorpusError(where, problem, "put all records of a patient into one fold")
        yield entry


def positive(value: float, option: str) -> float:
    """Check an option that must be a number above zero.

    Raises
    ------
    CorpusError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < float("inf"):
        raise CorpusError(option, f"{value!r} is no number above zero", f"give {option}=..., such as 500")
    return float(value)


def with_leads(record: Record, leads_as: Sequence[str] | None) -> Record:
    """Name the leads of a record by the standard leads that they are; as they are named without `leads_as`.

    Raises
    ------
    RecordError
        If the record has more or fewer leads.
    """
    if leads_as is None:
        return record
    if len(leads_as) != record.n_leads:
        problem = f"{len(leads_as)} names for {record.n_leads} leads ({', '.join(record.leads)})"
        raise RecordError(record.record_id, problem, "name each lead of the recording")
    return record.replace(leads=tuple(leads_as))


def with_entry(record: Record, entry: Entry) -> Record:
    """Put what the corpus's tables say into a record as it came from its file."""
    return record.replace(
        record_id=entry.record_id,
        patient_id=entry.patient_id,
        age=entry.age if entry.age is not None else record.age,
        sex=entry.sex if entry.sex is not None else record.sex,
        codes=entry.codes or record.codes,
    )
