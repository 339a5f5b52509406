"""Read recordings kept as plain arrays: .npy, .npz and .csv."""

from __future__ import annotations

import csv
import os
import warnings
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.readers.selection import choose_window
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError
from ssl_ecg.leads import canonical_lead

AXES = ("lead,time", "time,lead")
LARGEST_MEMBER = 2**31
"""Bytes of one array of an .npz, which says its own size before it is unpacked."""

_SIGNAL_KEYS = ("signal", "ecg", "data", "x", "val", "p_signal", "arr_0")
_TIME_COLUMNS = {"", "time", "t", "seconds", "sec", "s", "ms", "sample", "samples", "index", "elapsed time"}


@dataclass(frozen=True, slots=True)
class Plain:
    """What a file of numbers says of itself."""

    values: NDArray[np.generic]
    leads: tuple[str, ...] | None = None
    fs: float | None = None
    axes: str | None = None


def read_array(
    path: str,
    *,
    fs: float | None = None,
    leads: Sequence[str] | None = None,
    axes: str | None = None,
    scale: float = 1.0,
    start: int = 0,
    stop: int | None = None,
) -> Record:
    """Read a plain array.

    Parameters
    ----------
    path : str
        A .npy; a .npz with an array "signal" (or its only one) and perhaps "fs" and "leads"; a .csv with a
        row a sample and a column a lead, whose first row may name the leads. A column of times is left out.
    fs : float, optional
        Sampling rate [Hz] of a file that does not say it; what a file says of itself counts.
    leads : sequence of str, optional
        Names of the leads of a file that names none, or names that are no standard leads.
    axes : {"lead,time", "time,lead"}, optional
    scale : float
        Factor to mV.
    start, stop : int
        The window [samples].

    Returns
    -------
    Record
        NaN stays, infinite samples become NaN: both mark invalid samples.

    Raises
    ------
    RecordError
        If the file cannot be read or says too little.
    """
    values, rate, names = open_array(path, fs=fs, leads=leads, axes=axes)
    start, stop = choose_window(start, stop, values.shape[1], path)
    signal = to_millivolts(values[:, start:stop], scale)
    if not np.isfinite(signal).any():
        raise RecordError(path, "has not one finite sample", "leave the recording out")
    return Record(signal, rate, names, os.path.splitext(os.path.basename(path))[0])


def open_array(
    path: str, *, fs: float | None = None, leads: Sequence[str] | None = None, axes: str | None = None
) -> tuple[NDArray[np.generic], float, tuple[str, ...]]:
    """Open an array file; an .npy is mapped and not read. What the file says of itself counts, see `read_array`.

    Returns
    -------
    array (lead, time), sampling rate [Hz], lead names

    Raises
    ------
    RecordError
        If the file cannot be read or says too little.
    """
    plain = _load(path, os.path.splitext(path)[1].lower())
    names, rate = plain.leads, fs if plain.fs is None else plain.fs
    if leads is not None and (names is None or any(canonical_lead(name) is None for name in names)):
        names = tuple(leads)
    if names is None or rate is None:
        missing = "fs=..., the sampling rate in Hz" if rate is None else 'leads=[...], such as ["I", "II"]'
        raise RecordError(path, "a plain array does not say its sampling rate and leads", f"give {missing}")
    return _lead_first(plain.values, len(names), axes or plain.axes, path), float(rate), names


def _load(path: str, suffix: str) -> Plain:
    try:
        if suffix == ".csv":
            return _load_csv(path)
        return _load_npz(path) if suffix == ".npz" else Plain(np.load(path, mmap_mode="r", allow_pickle=False))
    except RecordError:
        raise
    except FileNotFoundError as error:
        raise RecordError(path, "no such file", "check the path") from error
    except Exception as error:  # damaged files make NumPy, zipfile and pandas raise of every kind
        problem = f"cannot read the file: {type(error).__name__}: {error}"
        raise RecordError(path, problem[:300], "is it a NumPy or CSV file of numbers?") from error


def _load_npz(path: str) -> Plain:
    with zipfile.ZipFile(path) as members:
        largest = max((member.file_size for member in members.infolist()), default=0)
    if largest > LARGEST_MEMBER:
        raise RecordError(path, f"an array in it takes {largest} bytes", "split the recording")
    with np.load(path, allow_pickle=False) as arrays:
        keys = [key for key in _SIGNAL_KEYS if key in arrays.files]
        if not keys and len(arrays.files) == 1:
            keys = list(arrays.files)
        if not keys:
            raise RecordError(path, f"has the arrays {arrays.files[:10]}", 'name the signal "signal"')
        leads = tuple(str(lead) for lead in arrays["leads"].ravel()) if "leads" in arrays.files else None
        fs = float(arrays["fs"]) if "fs" in arrays.files else None
        return Plain(arrays[keys[0]], leads, fs)


def _load_csv(path: str) -> Plain:
    import pandas as pd

    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        first = file.readline(2**20)
    delimiter = max(",;\t", key=first.count)
    cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter), [])]
    named = not all(_is_number(cell) for cell in cells)
    table = pd.read_csv(
        path, sep=delimiter, header=None, skiprows=int(named), dtype=np.float64, encoding_errors="replace"
    )
    values = table.to_numpy()
    if values.shape[1] != len(cells):
        problem = f"its first row has {len(cells)} fields and the others have {values.shape[1]}"
        raise RecordError(path, problem, "correct the file")
    if not named:
        return Plain(values, axes="time,lead")
    kept = [k for k, cell in enumerate(cells) if cell.lower() not in _TIME_COLUMNS]
    return Plain(values[:, kept], tuple(cells[k] for k in kept), axes="time,lead")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _lead_first(values: NDArray[np.generic], n_leads: int, axes: str | None, where: str) -> NDArray[np.generic]:
    """Give a view (lead, time)."""
    if values.dtype.kind not in "iuf":
        raise RecordError(where, f"holds {values.dtype} and not numbers", "save it as float32 or int16")
    if values.ndim == 1:
        values, axes = values[None], AXES[0]
    if values.ndim != 2:
        problem = f"the array has shape {values.shape}"
        raise RecordError(where, problem, "save one recording, lead by time, to a file")
    fits = [order for order, size in zip(AXES, values.shape, strict=True) if size == n_leads]
    if axes is None and len(fits) == 2:
        raise RecordError(where, f"shape {values.shape} leaves the order of axes open", f"give axes={AXES[0]!r}")
    order = "".join((axes or "".join(fits)).split())
    if order not in fits:
        problem = f"the array has shape {values.shape}, there are {n_leads} lead names" + (
            f" and axes is {axes!r}" if axes else ""
        )
        raise RecordError(where, problem, f"name every lead once; axes is {AXES[0]!r} or {AXES[1]!r}")
    return values if order == AXES[0] else values.T


def to_millivolts(values: NDArray[np.generic], scale: float) -> NDArray[np.float32]:
    """Scale numbers to float32; what is not finite becomes NaN."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal = np.ascontiguousarray(np.asarray(values, np.float64) * scale, np.float32)
    signal[~np.isfinite(signal)] = np.nan
    return signal
