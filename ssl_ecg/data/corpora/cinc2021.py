"""The source sets of the PhysioNet/CinC Challenges 2020 and 2021: 88,253 recordings with SNOMED CT codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry
from ssl_ecg.data.corpora.challenge_sets import IN_BOTH, SOURCES, glance, source_of
from ssl_ecg.data.corpora.headers import header_entry, walk
from ssl_ecg.data.corpora.ptbxl import patients
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError

_SHARED = {"cpsc2018": "cpsc2018", "ptbxl": "ptbxl"}


class CinC2021(Corpus):
    """The public source sets of the PhysioNet/CinC Challenge 2021.

    Any arrangement of folders is read, since the name of a record tells its source set. The challenge does
    not say which recordings share a patient, so that each stands alone. A recording has the same
    `patient_key` in the challenges 2020 and 2021 and in the corpora that it comes from, except PTB-XL's:
    give `ptbxl` to have its patients and folds.

    Parameters
    ----------
    root : path
    sources : sequence of str, optional
        Read these source sets only; names as in `challenge_sets.SOURCES`.
    ptbxl : path, optional
        Folder of PTB-XL, whose table gives patients and folds of the records HR00001 to HR21837.
    folds : int, optional
        Draw this many folds by patient. Records of PTB-XL have its folds or none.

    Raises
    ------
    CorpusError
        If the folder does not exist or a source set is unknown.

    References
    ----------
    Reyna et al. 2021, doi 10.23919/CinC53138.2021.9662687.
    """

    name = "cinc2021"
    title = "PhysioNet/CinC Challenge 2021"
    licence = "CC BY 4.0"
    doi = "10.13026/34va-7q14"
    url = "https://physionet.org/files/challenge-2021/1.0.3/"
    shared_with = ("cinc2020", "cpsc2018", "ptbxl")
    subset = ("training/*",)
    sets: ClassVar[tuple[str, ...]] = tuple(SOURCES)
    _others: ClassVar[tuple[str, ...]] = ("cinc2020",)
    _typical: ClassVar[tuple[str, ...]] = ("chapman_shaoxing", "ningbo")

    def __init__(
        self,
        root: str | Path,
        *,
        sources: str | Sequence[str] | None = None,
        ptbxl: str | Path | None = None,
        folds: int | None = None,
    ) -> None:
        super().__init__(root, folds=folds)
        wanted = sources.split(",") if isinstance(sources, str) else sources
        self.sources = self.sets if wanted is None else tuple(name.strip() for name in wanted)
        self.ptbxl = None if ptbxl is None else str(ptbxl)
        self._present: tuple[str, ...] | None = None
        if unknown := [name for name in self.sources if name not in self.sets]:
            raise CorpusError("sources", f"no source set {unknown[0]!r}", f"choose from {', '.join(self.sets)}")

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether there are records of a source set that is typical for the challenge."""
        return bool(glance(root) & set(cls._typical))

    @property
    def overlaps(self) -> tuple[str, ...]:
        """Names of the corpora that have recordings in common with the source sets on disk."""
        shared = [_SHARED[name] for name in self.present if name in _SHARED]
        others = self._others if set(self.present) & set(IN_BOTH) else ()
        return (*others, *shared)

    @property
    def present(self) -> tuple[str, ...]:
        """The source sets of which there are records on disk."""
        if self._present is None:
            found = {source_of(_name(location)) for location in walk(self.root, (".hea",))}
            self._present = tuple(name for name in self.sources if name in found)
        return self._present

    def entries(self) -> Iterator[Entry]:
        """Give the records sorted by their path.

        Raises
        ------
        CorpusError
            If there is no record of the source sets asked for, or two have one name.
        """
        known = patients(self.ptbxl) if self.ptbxl is not None else {}
        seen: set[str] = set()
        strangers = 0
        for location in walk(self.root, (".hea",)):
            source = source_of(record_id := _name(location))
            strangers += source is None
            if source not in self.sources:
                continue
            if record_id in seen:
                problem = f"record {record_id} is there more than once"
                raise CorpusError(str(self.root), problem, f"remove one of them, such as {location}")
            seen.add(record_id)
            entry, _segments = header_entry(self.root, location, record_id)
            if source == "ptbxl":
                patient, fold = known.get(str(_number(record_id)), (None, None))
                yield replace(entry, patient_id=patient, fold=fold)
            else:
                yield self._folded(entry)
        if strangers:
            warnings.warn(f"{self.root}: {strangers} headers are not of {self.title}: left out", stacklevel=2)
        if not seen:
            problem = f"no WFDB records of {', '.join(self.sources)}"
            raise CorpusError(str(self.root), problem, "give the folder that holds training/, or other sources")

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        return with_entry(read_record(self._path(entry)), entry)

    def patient_key(self, entry: Entry) -> str:
        """Give a key under the namespace of the source set ("ningbo/record-JS10647")."""
        source = source_of(entry.record_id) or self.namespace
        if entry.patient_id is not None:
            return f"{source}/{entry.patient_id}"
        name = str(_number(entry.record_id)) if source == "ptbxl" else entry.record_id
        return f"{source}/record-{name}"


def _name(location: str) -> str:
    return location.rpartition("/")[2][:-4]


def _number(record_id: str) -> int | None:
    digits = record_id[2:]
    return int(digits) if digits.isdigit() else None
