"""A prepared archive: recordings in one form, and their index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.canonical import INVALID, lead_mask
from ssl_ecg.data.layout import FORMAT, HEAD, INDEX, ORDER, samples_path
from ssl_ecg.data.shard_files import ShardFiles
from ssl_ecg.errors import ArchiveError, SignalError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Archive:
    """Recordings in one form, as `prepare` left them; row i of `index` belongs to ``read(i)``.

    Nothing but the description is read at first. Samples are read where they lie when they are asked for,
    and memory does not grow with what has been read. Archives can be pickled.

    Parameters
    ----------
    path : path
        Folder that `prepare` wrote.

    Attributes
    ----------
    path : Path
    fs : float
        Sampling rate [Hz].
    leads : tuple of str
    band : (float, float) or None
        Pass band of the filter that was applied [Hz].
    fingerprint : str
        Checksum over all samples and the whole index.
    sources : list of dict
        Name, title, licence, doi, url and overlaps of the corpora in it.

    Raises
    ------
    ArchiveError
        If the folder is missing, unfinished, damaged or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from ssl_ecg.data.prepare import prepare
    >>> from ssl_ecg.data.record import Record
    >>> record = Record(np.ones((1, 500), np.float32), 100, ("V1",), "a1")
    >>> archive = prepare([record], tempfile.mkdtemp() + "/a", leads="V1,V2", band=None, progress=False)
    >>> archive.read_window(0, 100, 3).round(2).tolist(), archive.index.record_id[0]
    ([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], 'a1')
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        head = _read_head(self.path)
        try:
            self.fs = float(head["fs"])
            self.leads: tuple[str, ...] = tuple(head["leads"])
            self.band: tuple[float, float] | None = tuple(head["band"]) if head["band"] else None
            self.fingerprint = str(head["fingerprint"])
            self.sources: list[dict[str, Any]] = list(head["sources"])
            self.n_failed = int(head["counts"]["failed"])
            self._n = int(head["counts"]["records"])
            self._checksums = [str(shard["sha256"]) for shard in head["shards"]]
            self._shards = ShardFiles(self.path, [int(shard["size"]) for shard in head["shards"]])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path / HEAD, repr(error)) from error

    def __len__(self) -> int:
        return self._n

    def __repr__(self) -> str:
        return f"Archive({str(self.path)!r}, {self._n} records, {self.fs:g} Hz, {len(self.leads)} leads)"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key not in ("index", "failed")}

    @cached_property
    def index(self) -> pd.DataFrame:
        """One row a readable record: record_id, corpus, patient_id, fold, age, sex, codes, quality ..."""
        from ssl_ecg.data.index import frame

        return frame(self.path, "ok")

    @cached_property
    def failed(self) -> pd.DataFrame:
        """The records that could not be used; `reason` says why."""
        from ssl_ecg.data.index import frame

        return frame(self.path, "failed")

    @cached_property
    def lead_masks(self) -> NDArray[np.bool_]:
        """Which leads each record has, recorded or derived; (record, lead)."""
        return lead_mask(self._numbers["leads_present"], len(self.leads))

    @cached_property
    def patients(self) -> NDArray[np.int64]:
        """Number of each record's patient, from 0; (record,)."""
        from ssl_ecg.data.index import numbered

        return numbered(self.path, "patient_id")

    @property
    def n_samples(self) -> NDArray[np.int64]:
        """Length of each record [samples]; (record,)."""
        return self._numbers["n_samples"]

    def lead_mask(self, i: int) -> NDArray[np.bool_]:
        """Say which leads record `i` has; (lead,)."""
        mask: NDArray[np.bool_] = self.lead_masks[self._row(i)]
        return mask

    def read(self, i: int) -> NDArray[np.float32]:
        """Read a record [mV]; (lead, time), NaN where invalid, zero in absent leads."""
        i = self._row(i)
        return self._in_mv(i, self.steps(i, 0, int(self.n_samples[i])))

    def read_window(self, i: int, start: int, length: int) -> NDArray[np.float32]:
        """Read `length` samples from `start` on [mV]; (lead, length), touching no others.

        Raises
        ------
        SignalError
            If the window does not lie inside the record.
        """
        i = self._row(i)
        return self._in_mv(i, self.steps(i, start, length))

    def steps(self, i: int, start: int, length: int) -> NDArray[np.int16]:
        """Read samples as they are stored: multiply with ``scales[i]``, `INVALID` is NaN; (lead, length)."""
        numbers = self._numbers
        n = int(numbers["n_samples"][i])
        if not 0 <= start <= start + length <= n:
            problem = f"record {i} has {n} samples, not {start} to {start + length}"
            raise SignalError(str(self.path), problem, "ask for a window inside it")
        shard, offset = int(numbers["shard"][i]), int(numbers["offset"][i])
        return self._shards.window(shard, offset, (len(self.leads), n), start, start + length)

    @property
    def scales(self) -> NDArray[np.float32]:
        """The size of one step in each record [mV]; (record,)."""
        return self._numbers["scale"]

    @property
    def shard_numbers(self) -> NDArray[np.int32]:
        """The shard that each record lies in; (record,)."""
        return self._numbers["shard"]

    def labels(self, task: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the labels (record, class) of a task and whether they are known (record,), see `ssl_ecg.tasks`.

        Raises
        ------
        LabelError
            If there is no such task.
        """
        from ssl_ecg.tasks import get_task

        return get_task(task).labels_of(self.table(["codes", "corpus"]).to_pandas())

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Give columns of the index of readable records as an Arrow table."""
        from ssl_ecg.data.index import table

        return table(self.path, columns)

    def batches(self, columns: Sequence[str] | None = None, *, size: int = 8192) -> Iterator[pa.RecordBatch]:
        """Go through the index of readable records, `size` rows at a time."""
        from ssl_ecg.data.index import batches

        return batches(self.path, columns, size=size)

    def verify(self) -> None:
        """Read all samples and compare their checksums.

        Raises
        ------
        ArchiveError
            If a shard is missing or has changed.
        """
        from ssl_ecg.data.shards import sha256_of

        for number, checksum in enumerate(self._checksums):
            path = samples_path(self.path, number)
            if not path.exists() or sha256_of(path) != checksum:
                raise ArchiveError(str(path), "is missing or has changed", "prepare the archive anew")

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        from ssl_ecg.data.index import numbers

        columns = numbers(self.path)
        if not columns or len(columns["shard"]) != self._n:
            raise _damaged(self.path / INDEX, f"it does not fit {HEAD}")
        return columns

    def _row(self, i: int) -> int:
        if not -self._n <= i < self._n:
            raise IndexError(f"record {i} of an archive with {self._n}")
        return int(i) % self._n

    def _in_mv(self, i: int, steps: NDArray[np.int16]) -> NDArray[np.float32]:
        out: NDArray[np.float32] = np.multiply(steps, self.scales[i], dtype=np.float32)
        if steps.size and steps.min() == INVALID:
            out[steps == INVALID] = np.nan
        return out


def _read_head(path: Path) -> dict[str, Any]:
    where = str(path)
    if not (path / HEAD).is_file():
        if (path / ORDER).is_file():
            raise ArchiveError(where, "is unfinished", "run prepare again with the same options to resume")
        if not path.exists():
            raise ArchiveError(where, "does not exist", "make it with `ssl-ecg prepare SOURCE --out ARCHIVE`")
        raise ArchiveError(where, "is no archive", "make one with `ssl-ecg prepare SOURCE --out ARCHIVE`")
    try:
        head = json.loads((path / HEAD).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(path / HEAD, str(error)) from error
    if not isinstance(head, dict) or not isinstance(head.get("format"), int):
        raise _damaged(path / HEAD, "no format version")
    if head["format"] > FORMAT:
        problem = f"has version {head['format']}; this library reads up to {FORMAT}"
        raise ArchiveError(where, problem, "update ssl_ecg")
    return head


def _damaged(path: Path, why: str) -> ArchiveError:
    return ArchiveError(str(path), f"is damaged ({why})", "copy it again or prepare the archive anew")
