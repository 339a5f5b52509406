"""Readers of recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ssl_ecg.data.readers.selection import choose_leads
from ssl_ecg.data.readers.wfdb_record import read_wfdb
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError

_ARRAYS = (".npy", ".npz", ".csv")
_EDF = (".edf", ".rec")
_WFDB = (".hea", ".dat", ".mat")


def read_record(
    path: str | os.PathLike[str],
    *,
    fs: float | None = None,
    leads: str | Sequence[str] | None = None,
    axes: str | None = None,
    scale: float = 1.0,
    start: int = 0,
    stop: int | None = None,
    annotations: str | None = None,
    record_id: str | None = None,
) -> Record:
    """Read one recording.

    Parameters
    ----------
    path : path
        A WFDB record, with or without ".hea", as PhysioNet publishes it; an EDF or EDF+ file; or a plain
        array (.npy, .npz, .csv).
    fs : float, optional
        Sampling rate of a plain array [Hz]. A file that states its own must agree.
    leads : sequence of str or "I,II,V1", optional
        Names of the leads of a plain array that names none. Of other files, and of a .csv or .npz that names its
        leads: the leads wanted, in the order wanted.
    axes : {"lead,time", "time,lead"}, optional
        Order of a plain array; found from the number of leads where that leaves no doubt.
    scale : float
        Multiplies the signal; for plain arrays the factor to mV, such as 0.001 for microvolts.
    start, stop : int
        Read only these samples.
    annotations : str, optional
        Suffix of the WFDB annotation file to read as well, such as "atr".
    record_id : str, optional
        Instead of the name of the file.

    Returns
    -------
    Record
        Signal float32 (lead, time) [mV], lead names as in the file.

    Raises
    ------
    RecordError
        If the recording cannot be read, whatever the reason.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> folder = tempfile.mkdtemp()
    >>> np.save(folder + "/a1.npy", np.ones((2, 500)))
    >>> record = read_record(folder + "/a1.npy", fs=500, leads=["I", "II"], scale=0.001)
    >>> record.record_id, record.leads, record.seconds, float(record.signal[0, 0])
    ('a1', ('I', 'II'), 1.0, 0.0010000000474974513)
    """
    where = os.fspath(path)
    base, suffix = os.path.splitext(where)
    suffix = suffix.lower()
    if isinstance(leads, str):
        leads = [name.strip() for name in leads.split(",")]
    if suffix in _ARRAYS:
        from ssl_ecg.data.readers.arrays import read_array

        record = read_array(where, fs=fs, leads=leads, axes=axes, scale=scale, start=start, stop=stop)
        if leads is not None and record.leads != tuple(leads):
            rows = choose_leads(record.leads, leads, where)
            record = record.replace(signal=record.signal[rows], leads=tuple(record.leads[k] for k in rows))
    else:
        if suffix in _EDF:
            from ssl_ecg.data.readers.edf import read_edf

            record = read_edf(where, leads=leads, start=start, stop=stop)
        else:
            base = base if suffix in _WFDB else where
            record = read_wfdb(base, where, leads=leads, start=start, stop=stop)
        if scale != 1.0:
            record = record.replace(signal=record.signal * np.float32(scale))
    if fs is not None and fs != record.fs:
        raise RecordError(where, f"is sampled at {record.fs:g} Hz, not {fs:g} Hz", "leave fs out")
    if annotations is not None:
        from ssl_ecg.data.readers.annotations import read_annotations

        found = read_annotations(base, annotations, where, fs=record.fs, start=start, stop=stop)
        record = record.replace(annotations=found)
    return record if record_id is None else record.replace(record_id=record_id)
