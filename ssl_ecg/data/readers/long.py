"""Long recordings, read a stretch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.readers.arrays import open_array, to_millivolts
from ssl_ecg.data.readers.edf import edf_length, read_edf
from ssl_ecg.data.readers.selection import choose_leads
from ssl_ecg.data.readers.wfdb_fast import plain_files, read_plain
from ssl_ecg.data.readers.wfdb_files import read_header
from ssl_ecg.data.readers.wfdb_header import Header
from ssl_ecg.data.readers.wfdb_record import read_wfdb
from ssl_ecg.errors import RecordError

_ARRAYS, _EDF = (".npy", ".npz", ".csv"), (".edf", ".rec")
_WFDB = (".hea", ".dat", ".mat")


class LongRecording:
    """A recording of which stretches are read when they are wanted.

    A WFDB record, an EDF file and an .npy array are never in memory as a whole; .npz and .csv are.

    Parameters
    ----------
    path : path
        As `read_record` takes it.
    fs, leads, axes, scale
        As `read_record` takes them.

    Attributes
    ----------
    path : str
    fs : float
        [Hz]
    leads : tuple of str
    n_samples : int

    Raises
    ------
    RecordError
        If the recording cannot be read, whatever the reason.

    Examples
    --------
    >>> import tempfile
    >>> name = tempfile.mkdtemp() + "/a.npy"
    >>> np.save(name, np.arange(2000.0).reshape(1, 2000))
    >>> record = LongRecording(name, fs=250, leads=["II"])
    >>> [part.shape for part in record.parts(750)], record.read(10, 12).tolist()
    ([(1, 750), (1, 750), (1, 500)], [[10.0, 11.0]])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fs: float | None = None,
        leads: str | Sequence[str] | None = None,
        axes: str | None = None,
        scale: float = 1.0,
    ) -> None:
        self.path = os.fspath(path)
        wanted = [name.strip() for name in leads.split(",")] if isinstance(leads, str) else leads
        base, suffix = os.path.splitext(self.path)
        self._base = base if suffix.lower() in _WFDB else self.path
        self._scale = scale
        self._header: Header | None = None
        self._values: NDArray[np.generic] | None = None
        if suffix.lower() in _ARRAYS:
            self._values, self.fs, names = open_array(self.path, fs=fs, leads=wanted, axes=axes)
            self._rows = choose_leads(names, wanted, self.path)
            self.leads = tuple(names[k] for k in self._rows)
            self.n_samples = self._values.shape[1]
        elif suffix.lower() in _EDF:
            self._open_edf(wanted)
        else:
            self._open_wfdb(wanted)
        if fs is not None and fs != self.fs:
            raise RecordError(self.path, f"is sampled at {self.fs:g} Hz, not {fs:g} Hz", "leave fs out")

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Read samples `start` to `stop` [mV]; (lead, time), fewer at the end, NaN where invalid.

        Raises
        ------
        RecordError
            If they cannot be read.
        """
        stop = min(stop, self.n_samples)
        if stop <= start:
            return np.empty((len(self.leads), 0), np.float32)
        if self._values is not None:
            return to_millivolts(self._values[:, start:stop][self._rows], self._scale)
        if self._header is not None and self._files:
            folder = os.path.dirname(self._base)
            signal = read_plain(self._header, self._files, folder, self.path, rows=self._rows, start=start, stop=stop)
        elif self._header is not None:
            signal = read_wfdb(self._base, self.path, leads=self.leads, start=start, stop=stop).signal
        else:
            signal = read_edf(self.path, leads=self.leads, start=start, stop=stop).signal
        return signal if self._scale == 1.0 else signal * np.float32(self._scale)

    def parts(self, length: int, start: int = 0) -> Iterator[NDArray[np.float32]]:
        """Read on from `start`, so many samples at a time."""
        while True:
            part = self.read(start, start + length)
            if part.shape[1]:
                yield part
            if part.shape[1] < length:
                return
            start += part.shape[1]

    def _open_wfdb(self, wanted: Sequence[str] | None) -> None:
        self._header = header = read_header(self._base, self.path)
        self._files = plain_files(header.signals) if header.signals else None
        self.fs = header.fs
        if self._files:
            names = [spec.lead for spec in header.signals]
            self._rows = choose_leads(names, wanted, self.path)
            self.leads = tuple(names[k] for k in self._rows)
        else:
            self.leads = read_wfdb(self._base, self.path, leads=wanted, start=0, stop=1).leads
        self.n_samples = header.n_samples or sum(size for _, size in header.segments)
        if not self.n_samples:  # the header leaves it to the files
            self.n_samples = read_wfdb(self._base, self.path, leads=self.leads[:1]).signal.shape[1]

    def _open_edf(self, wanted: Sequence[str] | None) -> None:
        first = read_edf(self.path, leads=wanted, start=0, stop=1)
        self.fs, self.leads = first.fs, first.leads
        self.n_samples = edf_length(self.path, wanted)
