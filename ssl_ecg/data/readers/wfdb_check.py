"""Check a WFDB header against its files before wfdb, which trusts headers, is let at them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ssl_ecg.data.readers.wfdb_files import read_header, signal_path
from ssl_ecg.data.readers.wfdb_header import Header, SignalSpec
from ssl_ecg.errors import RecordError

_BITS = {"8": 8, "80": 8, "16": 16, "61": 16, "160": 16, "212": 12, "24": 24, "32": 32, "310": 10, "311": 10}
_COMPRESSED = ("508", "516", "524")


def check_files(header: Header, folder: str, where: str) -> int:
    """Check that the signal files of one segment hold what the header says.

    Returns
    -------
    int
        The samples of the record; from the size of the first file if the header does not say.

    Raises
    ------
    RecordError
        If a file is missing or too short, or the header is one that wfdb would misread.
    """
    n_samples = header.n_samples
    files: dict[str, list[int]] = {}
    for k, spec in enumerate(header.signals):
        files.setdefault(spec.file, []).append(k)
    for members in files.values():
        there = _samples_in_file([header.signals[k] for k in members], folder, where)
        if members != list(range(members[0], members[-1] + 1)):
            problem = f"the leads of {header.signals[members[0]].file} are not listed one after the other"
            raise RecordError(where, problem, "reorder the signal lines of the header")
        if not n_samples and there is None:
            raise RecordError(where, "the header does not say how many samples there are", "add the number")
        n_samples = n_samples or there or 0
        if there is not None and there < n_samples:
            file = header.signals[members[0]].file
            problem = f"{file} holds {there} of the {n_samples} samples that the header announces"
            raise RecordError(where, problem, "the file is truncated: fetch it again")
    if max((spec.skew for spec in header.signals), default=0) > n_samples:
        raise RecordError(where, "a lead is skewed by more than the record lasts", "correct the header")
    return n_samples


def _samples_in_file(specs: Sequence[SignalSpec], folder: str, where: str) -> int | None:
    """Give the samples that a file has room for; None if it is compressed."""
    spec = specs[0]
    if spec.file == "~":
        problem = "the header describes a layout and has no signals"
        raise RecordError(where, problem, "read the record it belongs to")
    if spec.format not in _BITS and spec.format not in _COMPRESSED:
        problem = f"the storage format {spec.format} is unknown"
        raise RecordError(where, problem, "correct the header, or convert the record to format 16")
    try:
        size = os.stat(signal_path(folder, spec.file, where)).st_size
    except FileNotFoundError as error:
        remedy = "put it beside the header, under the name that the header gives"
        raise RecordError(where, f"the signal file {spec.file} is missing", remedy) from error
    except (OSError, ValueError) as error:
        raise RecordError(where, f"cannot read {spec.file}: {error}", "check the file") from error
    if spec.format in _COMPRESSED:
        return None
    values = max(size - spec.offset, 0) * 8 // _BITS[spec.format]
    if spec.format in ("310", "311"):  # three samples in four bytes
        values = max(size - spec.offset, 0) * 3 // 4
    return values // sum(one.samples_per_frame for one in specs)


def is_compressed(header: Header) -> bool:
    """Tell whether the size of the files does not bound the number of samples."""
    return any(spec.format in _COMPRESSED for spec in header.signals)


def segments_in_window(header: Header, start: int, stop: int) -> list[str]:
    """Name the segments, without the gaps, that a window of a record of several segments touches."""
    names, begin = [], 0
    for name, length in header.segments:
        if name != "~" and begin < stop and begin + length > start:
            names.append(name)
        begin += length
    return names


def check_segments(
    header: Header, folder: str, where: str, start: int, stop: int
) -> tuple[tuple[SignalSpec, ...], list[str]]:
    """Check the segments that a window touches.

    Returns
    -------
    tuple of SignalSpec, list of str
        The leads of the record (of variable layout: those of its layout header, with the units of the
        segments), and the names of the headers that matter.

    Raises
    ------
    RecordError
        If a segment is missing, wrong or does not fit the record.
    """
    lengths = dict(header.segments)
    variable = header.segments[0][1] == 0
    names = segments_in_window(header, start, stop)
    headers = {name: _segment_header(name, header, folder, where) for name in (header.segments[0][0], *names)}
    signals = headers[header.segments[0][0]].signals
    if len(signals) != header.n_sig:
        problem = f"its first segment has {len(signals)} of {header.n_sig} leads"
        raise RecordError(where, problem, "correct the header")
    leads = [spec.lead for spec in signals]
    units = {spec.lead: spec for spec in signals} if not variable else {}
    for name in names:
        segment = headers[name]
        if check_files(segment, folder, where) != lengths[name]:
            problem = f"segment {name} is not {lengths[name]} samples long"
            raise RecordError(where, problem, "correct the header")
        if not variable and [spec.lead for spec in segment.signals] != leads:
            problem = f"segment {name} has other leads than the first"
            raise RecordError(where, problem, "read the segments singly")
        for spec in segment.signals:
            first = units.setdefault(spec.lead, spec)
            if first.units != spec.units:
                problem = f"lead {spec.lead} is in {first.units} and in {spec.units} (segment {name})"
                raise RecordError(where, problem, "read the segments singly")
    return tuple([units.get(spec.lead, spec) for spec in signals]), list(headers)


def _segment_header(name: str, header: Header, folder: str, where: str) -> Header:
    segment = read_header(signal_path(folder, name, where), where)
    if segment.segments or not segment.signals:
        raise RecordError(where, f"segment {name} has no signals of its own", "correct the header")
    if segment.fs != header.fs:
        problem = f"segment {name} is sampled at {segment.fs:g} Hz, the record at {header.fs:g} Hz"
        raise RecordError(where, problem, "correct the header")
    return segment
