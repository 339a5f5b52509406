"""CODE-15 %: 345,779 recordings of 7 or 10 s from 233,770 patients, in 18 HDF5 parts."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.corpora.base import Corpus, Entry, positive, with_entry
from ssl_ecg.data.corpora.code15_exams import Exams
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.leads import STANDARD_LEADS

TABLE = "exams.csv"
FS = 400.0
_PART = re.compile(r"exams_part(\d+)\.hdf5")


class CODE15(Corpus):
    """CODE-15 %.

    The parts that are there are read one after the other and row by row, in their order on disk. The zeros
    that pad all recordings to 4,096 samples are taken off. Codes are 1dAVb, RBBB, LBBB, SB, AF, ST and
    "normal_ecg", or "none-of-six".

    Parameters
    ----------
    root : path
        Folder with ``exams.csv`` and ``exams_part*.hdf5`` (taken out of their .zip).
    scale : float
        Factor from the tracings to mV. They are published as mV, but users measured about twice the
        amplitude of other archives (issue 5 of github.com/antonior92/ecg-age-prediction).
    folds : int, optional
        Draw this many folds by patient; the corpus has none.

    References
    ----------
    Ribeiro et al. 2021, doi 10.5281/zenodo.4916206; Lima et al. 2021, doi 10.1038/s41467-021-25351-7.
    """

    name = "code15"
    title = "CODE-15%: a large scale annotated dataset of 12-lead ECGs"
    licence = "CC BY 4.0"
    doi = "10.5281/zenodo.4916206"
    url = "https://zenodo.org/api/records/4916206"
    listing = "zenodo"

    def __init__(self, root: str | Path, *, scale: float = 1.0, folds: int | None = None) -> None:
        super().__init__(root, folds=folds)
        self.scale = positive(scale, "scale")
        self._open: tuple[str, Any] | None = None

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether ``exams.csv`` or a part is in `root`."""
        return (root / TABLE).is_file() or any(_PART.fullmatch(path.name) for path in root.glob("exams_part*"))

    def entries(self) -> Iterator[Entry]:
        """Give the records of the parts that are there; a warning names the parts that are not.

        Raises
        ------
        CorpusError
            If the table or all parts are missing, or one is malformed.
        """
        exams = Exams(self.root / TABLE)
        parts = sorted(filter(_part_number, self.root.iterdir()), key=_part_number)
        if not parts:
            remedy = "fetch them with `ssl-ecg download code15`, or take them out of their .zip"
            raise CorpusError(str(self.root), "no exams_part*.hdf5", remedy)
        if missing := sorted(exams.parts - {part.name for part in parts}):
            warnings.warn(f"{self.root}: {len(missing)} parts are not there: {', '.join(missing)}", stacklevel=2)
        for part in parts:
            for row, exam in enumerate(_exam_ids(part)):
                if exam:  # each part ends with a row of zeros
                    yield self._folded(exams.entry(int(exam), f"{part.name}#{row}"))

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        path, row = self._path(entry), entry.location.rpartition("#")[2]
        try:
            tracing = np.asarray(self._tracings(path)[int(row)], np.float32)
        except Exception as error:  # h5py raises of every kind on damaged files
            problem = f"cannot read row {row!r} of {path.name}: {type(error).__name__}: {error}"
            raise RecordError(entry.record_id, problem[:300], "fetch the part again") from error
        if tracing.ndim != 2 or tracing.shape[1] != len(STANDARD_LEADS):
            raise RecordError(entry.record_id, f"the tracing has shape {tracing.shape}", "fetch the part again")
        signal = np.ascontiguousarray(unpad(tracing).T) * np.float32(self.scale)
        if not signal.size:
            raise RecordError(entry.record_id, "all samples are zero", "leave the record out")
        signal[~np.isfinite(signal)] = np.nan
        return with_entry(Record(signal, FS, STANDARD_LEADS, entry.record_id), entry)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": None}

    def _tracings(self, path: Path) -> Any:
        """Keep the part open that was read last; another process opens its own."""
        import os

        import h5py

        key = f"{os.getpid()}:{path}"
        if self._open is None or self._open[0] != key:
            if self._open is not None and self._open[0].startswith(f"{os.getpid()}:"):
                self._open[1].close()
            self._open = (key, h5py.File(path, "r"))
        return self._open[1]["tracings"]


def unpad(tracing: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take off the samples (time, lead) at both ends that are zero in every lead.

    Examples
    --------
    >>> unpad(np.array([[0, 0], [0, 1], [0, 0], [2, 0], [0, 0]], np.float32)).shape
    (3, 2)
    """
    used = np.flatnonzero(np.any(tracing != 0, axis=1))
    return tracing[used[0] : used[-1] + 1] if used.size else tracing[:0]


def _part_number(path: Path) -> int:
    """Give 1 + the number of a part, 0 if it is none."""
    found = _PART.fullmatch(path.name)
    return int(found[1]) + 1 if found else 0


def _exam_ids(part: Path) -> NDArray[np.int64]:
    import h5py

    try:
        with h5py.File(part, "r") as file:
            return np.asarray(file["exam_id"], np.int64).ravel()
    except Exception as error:  # h5py raises of every kind on damaged files
        problem = f"cannot read exam_id: {type(error).__name__}: {error}"
        raise CorpusError(str(part), problem[:300], "fetch the part again") from error
