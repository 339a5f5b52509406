"""Any folder of readable recordings, without labels but for what their headers say."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus, Entry, positive, with_entry, with_leads
from ssl_ecg.data.corpora.headers import any_file, header_entry, walk
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.arrays import read_array
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError
from ssl_ecg.leads import parse_leads

SUFFIXES = (".hea", ".edf", ".npy", ".npz")
ARRAYS = (".npy", ".npz", ".csv")


class Folder(Corpus):
    """The WFDB records, EDF files and arrays in a folder and below it; with a sampling rate also the CSV files.

    A record is named by its path relative to the folder, without suffix unless two differ only in that.
    Patients are unknown: each record is a patient of its own. Segments of a WFDB record, and an EDF file
    that a WFDB header describes, are no records of their own.

    Parameters
    ----------
    root : path
    fs : float, optional
        Sampling rate of the arrays that do not say it [Hz]. CSV files are recordings if it is given, and tables of
        something if not.
    leads : sequence of str, optional
        Names of the leads of the arrays that name none, such as "I,II,V1".
    leads_as : sequence of str, optional
        The standard leads that the leads of all recordings are, in their order: of files that name them otherwise,
        such as "II" for a single channel "ECG".
    axes : {"lead,time", "time,lead"}, optional
        Order of the axes of the arrays.
    scale : float
        Factor from the arrays to mV.
    namespace : str, optional
        Instead of "folder", to keep the records of several folders apart.
    folds : int, optional
        Draw this many folds by patient.
    """

    name = "folder"
    title = "a folder of recordings"
    listing = "none"

    def __init__(
        self,
        root: str | Path,
        *,
        fs: float | None = None,
        leads: str | Sequence[str] | None = None,
        leads_as: str | Sequence[str] | None = None,
        axes: str | None = None,
        scale: float = 1.0,
        namespace: str | None = None,
        folds: int | None = None,
    ) -> None:
        super().__init__(root, folds=folds)
        self.fs = None if fs is None else positive(fs, "fs")
        self.scale = positive(scale, "scale")
        self.leads = None if leads is None else parse_leads(leads)
        self.leads_as = None if leads_as is None else parse_leads(leads_as)
        self.axes = axes
        self.namespace = namespace or self.name
        self.suffixes = SUFFIXES if fs is None else (*SUFFIXES, ".csv")

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether there is a readable file in `root` or below it."""
        return any_file(root, SUFFIXES)

    def entries(self) -> Iterator[Entry]:
        """Give the records sorted by path.

        Raises
        ------
        CorpusError
            If there are none.
        """
        empty = True
        for _folder, locations in groupby(walk(self.root, self.suffixes), os.path.dirname):
            for entry in self._in_folder(list(locations)):
                empty = False
                yield self._folded(entry)
        if empty:
            remedy = f"give a folder with {', '.join(SUFFIXES)} files, or .csv files and their fs"
            raise CorpusError(str(self.root), "no readable recordings", remedy)

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        path = self._path(entry)
        if path.suffix.lower() in ARRAYS:
            record = read_array(str(path), fs=self.fs, leads=self.leads, axes=self.axes, scale=self.scale)
        else:
            record = read_record(path)
        return with_entry(with_leads(record, self.leads_as), entry)

    def _in_folder(self, locations: list[str]) -> list[Entry]:
        """Make the entries of one folder, whose segments are known only when all headers are read."""
        names = set(locations)
        parts: set[str] = set()
        entries = []
        for location in locations:
            stem, suffix = os.path.splitext(location)
            if suffix.lower() == ".hea":
                entry, segments = header_entry(self.root, location, stem)
                parts |= {os.path.dirname(location) + "/" * ("/" in location) + name for name in segments}
                entries.append(entry)
            elif suffix.lower() != ".edf" or f"{stem}.hea" not in names:
                alone = not any(stem + other in names for other in self.suffixes if other != suffix)
                entries.append(Entry(stem if alone else location, location))
        return [entry for entry in entries if entry.record_id not in parts]
