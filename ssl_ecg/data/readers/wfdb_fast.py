"""The fast way to read WFDB signals of the common formats, bit-identical to wfdb.

Only what needs no reordering in time: one sample per frame and no skew. Everything else is left to
:mod:`ssl_ecg.data.readers.wfdb_reference`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.readers.selection import choose_window, units_per_millivolt
from ssl_ecg.data.readers.wfdb_files import signal_path
from ssl_ecg.data.readers.wfdb_header import Header, SignalSpec
from ssl_ecg.errors import RecordError

Bytes = NDArray[np.uint8]
Digital = NDArray[np.signedinteger]


class Storage(NamedTuple):
    """How a format keeps its samples."""

    bits: int
    """Per sample."""
    block: int
    """Samples that share bytes."""
    largest: int
    """The largest magnitude of a sample; its negative marks an invalid one."""
    step: int
    """``decode`` gives the sample times this, where that saves work."""
    decode: Callable[[Bytes], Digital]


def _decode_12_bit_pairs(raw: Bytes) -> NDArray[np.int16]:
    """Unpack bytes (3 * pair,) to (2, pair), each sample in the upper 12 of 16 bits.

    The bytes of a pair are: low byte of the first sample, both high nibbles (first in the low nibble),
    low byte of the second. A shift up by four bits sets the sign without a further step.
    """
    pairs = len(raw) // 3
    out = np.empty((2, pairs), np.uint16)
    first, second = out
    np.left_shift(np.ndarray((pairs,), "<u2", raw, 0, (3,)), 4, out=first)
    np.copyto(second, np.ndarray((pairs,), "<u2", raw, 1, (3,)))
    low = second >> 8
    low <<= 4
    second &= 0xF0
    second <<= 8
    second |= low
    return out.view(np.int16)


def _decode_24_bit(raw: Bytes) -> NDArray[np.int32]:
    wide = np.zeros((len(raw) // 3, 4), np.uint8)
    wide[:, 1:] = raw.reshape(-1, 3)
    return wide.view("<i4")[:, 0] >> 8


STORAGES = {
    "16": Storage(16, 1, 2**15, 1, lambda raw: raw.view("<i2")),
    "212": Storage(12, 2, 2**11, 16, _decode_12_bit_pairs),
    "61": Storage(16, 1, 2**15, 1, lambda raw: raw.view(">i2")),
    "80": Storage(8, 1, 2**7, 1, lambda raw: raw.astype(np.int16) - 128),
    "160": Storage(16, 1, 2**15, 1, lambda raw: (raw.view("<u2") ^ np.uint16(0x8000)).view("<i2")),
    "24": Storage(24, 1, 2**23, 1, _decode_24_bit),
    "32": Storage(32, 1, 2**31, 1, lambda raw: raw.view("<i4")),
}
"""The formats of signal(5) that are read here."""


def plain_files(signals: Sequence[SignalSpec]) -> dict[str, list[int]] | None:
    """Give the signal files with their leads, or None where :func:`read_plain` cannot read them."""
    files: dict[str, list[int]] = {}
    for k, spec in enumerate(signals):
        if spec.skew or spec.samples_per_frame != 1 or spec.format not in STORAGES or spec.file == "~":
            return None
        members = files.setdefault(spec.file, [])
        members.append(k)
        first = signals[members[0]]
        if spec.format != first.format or spec.offset != first.offset:
            return None
    return files


def read_plain(
    header: Header,
    files: dict[str, list[int]],
    folder: str,
    where: str,
    *,
    rows: Sequence[int] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> NDArray[np.float32]:
    """Read leads of plain signal files.

    Parameters
    ----------
    header : Header
    files : dict
        What :func:`plain_files` gives for the header.
    folder : str
        Where the signal files lie.
    where : str
        Name of the record, for messages.
    rows : sequence of int, optional
        The leads wanted; all by default.
    start, stop : int
        The window [samples].

    Returns
    -------
    float32 array (lead, time) [mV]
        NaN where a file marks a sample as invalid.

    Raises
    ------
    RecordError
        If a file is missing or shorter than the header says.

    References
    ----------
    WFDB Applications Guide, signal(5), https://physionet.org/physiotools/wag/signal-5.htm
    """
    signals, n_samples = header.signals, header.n_samples
    if rows is None and len(files) == 1:
        digital, _ = _read_digital(signals, n_samples, folder, where, start, stop)
        return _to_millivolts(digital, signals, where)
    wanted = range(len(signals)) if rows is None else rows
    parts: dict[int, NDArray[np.float32]] = {}
    for members in files.values():
        inside = [k for k in members if k in wanted]
        if inside or not n_samples:
            specs = [signals[k] for k in members]
            digital, n_samples = _read_digital(specs, n_samples, folder, where, start, stop)
            digital = digital[[members.index(k) for k in inside]]
            signal = _to_millivolts(digital, [signals[k] for k in inside], where)
            parts.update(zip(inside, signal, strict=True))
    return np.stack([parts[k] for k in wanted])


def _read_digital(
    specs: Sequence[SignalSpec], n_samples: int, folder: str, where: str, start: int, stop: int | None
) -> tuple[Digital, int]:
    """Read a window of one file: (lead, time) in ADC steps, and the samples that the record has."""
    storage, n_leads = STORAGES[specs[0].format], len(specs)
    raw, skip, n_frames, n_samples = _read_bytes(specs, storage, n_samples, folder, where, start, stop)
    digital = storage.decode(raw)
    if digital.ndim == 2:  # pairs; with two leads they are the leads already
        if n_leads == 2:
            return digital, n_samples
        digital = digital.T.reshape(-1)[skip : skip + n_frames * n_leads]
    return digital.reshape(n_frames, n_leads).T, n_samples


def _read_bytes(
    specs: Sequence[SignalSpec],
    storage: Storage,
    n_samples: int,
    folder: str,
    where: str,
    start: int,
    stop: int | None,
) -> tuple[Bytes, int, int, int]:
    """Read the bytes of a window; also the samples to drop before it, its frames, those of the record."""
    name, offset, n_leads = specs[0].file, specs[0].offset, len(specs)
    path = signal_path(folder, name, where)
    try:
        with open(path, "rb", buffering=0) as file:
            there = max(os.fstat(file.fileno()).st_size - offset, 0) * 8 // (storage.bits * n_leads)
            n_samples = n_samples or there
            if n_samples > there:
                problem = f"{name} holds {there} of the {n_samples} samples that the header announces"
                raise RecordError(where, problem, "the file is truncated: fetch it again")
            start, stop = choose_window(start, stop, n_samples, where)
            skip = start * n_leads % storage.block
            first = (start * n_leads - skip) * storage.bits // 8
            size = -(-stop * n_leads * storage.bits // 8) - first
            raw = np.zeros(size + -size % (storage.bits * storage.block // 8), np.uint8)
            file.seek(offset + first)
            done = 0
            while done < size:  # one call reads at most 2 GiB
                more = file.readinto(raw[done:size].data)
                if not more:
                    raise RecordError(where, f"{name} could not be read to its end", "fetch it again")
                done += more
    except FileNotFoundError as error:
        remedy = "put it beside the header, under the name that the header gives"
        raise RecordError(where, f"the signal file {name} is missing", remedy) from error
    except (OSError, ValueError, OverflowError) as error:
        raise RecordError(where, f"cannot read {name}: {error}", "check the file") from error
    return raw, skip, stop - start, n_samples


def _to_millivolts(digital: Digital, specs: Sequence[SignalSpec], where: str) -> NDArray[np.float32]:
    """Compute (digital - baseline) / gain as wfdb does in float64, rounded to float32.

    Where difference and gain are exact in float32, one float32 division gives the same bits: rounding a
    quotient first to 53 bits and then to 24 changes nothing, since 53 >= 2 * 24 + 2 (Figueroa 1995,
    doi 10.1145/221332.221334).
    """
    storage = STORAGES[specs[0].format]
    step, invalid = storage.step, -storage.largest * storage.step
    gains = [spec.gain * units_per_millivolt(spec.units, spec.lead, where) * step for spec in specs]
    baselines = [spec.baseline * step for spec in specs]
    exact = max(map(abs, baselines), default=0) - invalid <= 2**24
    exact = exact and bool((np.array(gains, np.float32) == gains).all())
    dtype = np.float32 if exact else np.float64
    out = digital.astype(dtype, order="C")
    if any(baselines):
        np.subtract(out, np.array(baselines, dtype)[:, None], out=out)
    np.divide(out, np.array(gains, dtype)[:, None], out=out)
    if digital.min() == invalid:
        out[digital == invalid] = np.nan
    return out.astype(np.float32, copy=False)
