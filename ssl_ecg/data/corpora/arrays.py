"""Many recordings in one big array, described by a table."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.corpora.array_table import COLUMNS, ArrayTable
from ssl_ecg.data.corpora.base import Corpus, Entry, disjoint, positive, with_entry
from ssl_ecg.data.corpora.catalogue import CORPORA, corpus_class
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.leads import STANDARD_LEADS, parse_leads

THOUSANDTHS = 0.001
_AXES = ("record,time,lead", "record,lead,time")
_RATE = re.compile(r"(\d+)\s*hz", re.IGNORECASE)


class Arrays(Corpus):
    """One .npy with three axes, memory-mapped, and a CSV table with a row a record.

    Parameters
    ----------
    root : path
        Folder with the two files.
    array, table : str, optional
        Their names; found where there is one .npy, and one .csv (or ``records.csv``).
    fs : float, optional
        Sampling rate [Hz]; taken from a name such as ``signals_100hz.npy`` if not given.
    leads : sequence of str, optional
        Names of the leads; twelve are taken as the standard ones in their usual order.
    axes : {"record,time,lead", "record,lead,time"}, optional
        Found from the number of leads where that leaves no doubt.
    scale : float, optional
        Factor to mV; 1 for floats, and 0.001 for integers unless given.
    namespace : str, optional
        Whose patients they are: ``"ptbxl"`` makes them equal to those of that corpus.
    codes : sequence of str, optional
        Columns with codes: lists of them, or 0 and 1 with the code as name. Default: the column ``codes``
        or ``scp_codes``, or else all columns of lists and of zeros and ones.
    folds : int, optional
        Draw this many folds by patient for records without a fold.

    Notes
    -----
    Columns that are known: record_id (ecg_id, id), patient_id (subject_id), fold (strat_fold), age, sex. Sex
    is "male", "female", "M" or "F"; numbers mean something only beside ``ecg_id``: 0 male, 1 female as in
    PTB-XL.
    """

    name = "arrays"
    title = "recordings in one array"
    listing = "none"

    def __init__(
        self,
        root: str | Path,
        *,
        array: str | None = None,
        table: str | None = None,
        fs: float | None = None,
        leads: str | Sequence[str] | None = None,
        axes: str | None = None,
        scale: float | None = None,
        namespace: str | None = None,
        codes: Sequence[str] | None = None,
        folds: int | None = None,
    ) -> None:
        super().__init__(root, folds=folds)
        self.array, self.table, self.axes = array, table, axes
        self.fs = None if fs is None else positive(fs, "fs")
        self.scale = None if scale is None else positive(scale, "scale")
        self.leads = STANDARD_LEADS if leads is None else parse_leads(leads)
        self.codes = tuple(codes.split(",") if isinstance(codes, str) else codes) if codes else None
        self.namespace = namespace or self.name
        self._mapped: NDArray[Any] | None = None
        if axes is not None and axes.replace(" ", "") not in _AXES:
            raise CorpusError("axes", f"{axes!r} is not an order of axes", f"give {_AXES[0]!r} or {_AXES[1]!r}")

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether there is one .npy with three axes, and a table with a column of record names."""
        arrays, tables = _named(root, ".npy"), _tables(root)
        if len(arrays) != 1 or len(tables) != 1:
            return False
        try:
            with tables[0].open(encoding="utf-8-sig", errors="replace") as file:
                header = {cell.strip().lower() for cell in file.readline(2**16).split(",")}
            named = any(name in header for name in COLUMNS["record_id"])
            return named and np.load(arrays[0], mmap_mode="r", allow_pickle=False).ndim == 3
        except (OSError, ValueError):
            return False

    @property
    def overlaps(self) -> tuple[str, ...]:
        """The corpus that the namespace names, and those that overlap with it."""
        if self.namespace not in CORPORA:
            return ()
        return (self.namespace, *corpus_class(self.namespace).shared_with)

    def entries(self) -> Iterator[Entry]:
        """Give the records in the order of the table.

        Raises
        ------
        CorpusError
            If a file is missing, or array and table do not fit together.
        """
        path = self._array_path()
        rows = ArrayTable(self._table_path(), self.codes)
        count = len(self._map())
        number = -1
        for number, entry in enumerate(disjoint(rows.entries(path.name), str(rows.path))):
            if number >= count:
                break
            yield self._folded(entry)
        if number + 1 != count:
            problem = f"the array has {count} records and the table has {'more' if number >= count else number + 1}"
            raise CorpusError(str(path), problem, "give one row of the table for each record")

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        name, _, row = entry.location.rpartition("#")
        try:
            if name != self._array_path().name:
                raise RecordError(entry.record_id, f"{entry.location!r} is not in the array", "open its corpus")
            values = np.asarray(self._map()[int(row)])
            fs = self._rate()
        except CorpusError as error:
            raise RecordError(entry.record_id, str(error)) from error
        except (ValueError, IndexError, OSError) as error:
            problem = f"cannot read row {row!r} of the array: {error}"
            raise RecordError(entry.record_id, problem, "check that array and table belong together") from error
        if self._time_first(self._map()):
            values = values.T
        scale = self.scale if self.scale is not None else THOUSANDTHS if values.dtype.kind in "iu" else 1.0
        signal = np.ascontiguousarray(values, np.float32) * np.float32(scale)
        signal[~np.isfinite(signal)] = np.nan
        return with_entry(Record(signal, fs, self.leads, entry.record_id), entry)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_mapped": None}

    def _map(self) -> NDArray[Any]:
        if self._mapped is None:
            path = self._array_path()
            try:
                mapped = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise CorpusError(str(path), f"cannot read the array: {error}", "save it with np.save") from error
            if mapped.ndim != 3 or mapped.dtype.kind not in "iuf":
                problem = f"the array is {mapped.dtype} {mapped.shape}"
                raise CorpusError(str(path), problem, f"save numbers with the axes {_AXES[0]!r}")
            self._time_first(mapped)
            self._mapped = mapped
        return self._mapped

    def _time_first(self, mapped: NDArray[Any]) -> bool:
        """Tell whether the array is (record, time, lead)."""
        order = (self.axes or "").replace(" ", "")
        fits = [axes for axes, at in zip(_AXES, (2, 1), strict=True) if mapped.shape[at] == len(self.leads)]
        if not order and len(fits) == 1:
            order = fits[0]
        if order not in fits:
            problem = f"the array has the shape {mapped.shape} and there are {len(self.leads)} leads"
            raise CorpusError(str(self._array_path()), problem, f"give leads=..., or axes={_AXES[0]!r}")
        return order == _AXES[0]

    def _rate(self) -> float:
        if self.fs is not None:
            return self.fs
        found = _RATE.search(self._array_path().stem)
        if found is None:
            raise CorpusError(str(self._array_path()), "the sampling rate is not known", "give fs=..., in Hz")
        return float(found[1])

    def _array_path(self) -> Path:
        return _only(self.root, self.array, _named(self.root, ".npy"), "array", ".npy")

    def _table_path(self) -> Path:
        return _only(self.root, self.table, _tables(self.root), "table", ".csv")


def _named(root: Path, suffix: str) -> list[Path]:
    return sorted(root / name for name in os.listdir(root) if name.lower().endswith(suffix))


def _tables(root: Path) -> list[Path]:
    usual = root / "records.csv"
    return [usual] if usual.is_file() else _named(root, ".csv")


def _only(root: Path, given: str | None, found: list[Path], what: str, suffix: str) -> Path:
    if given is not None:
        if not (root / given).is_file():
            raise CorpusError(str(root / given), "no such file", f"give {what}=..., the name of the {suffix} file")
        return root / given
    if len(found) != 1:
        problem = f"there are {len(found)} {suffix} files" if found else f"there is no {suffix} file"
        raise CorpusError(str(root), problem, f"give {what}=..., the name of the {suffix} file")
    return found[0]
