"""The files of a WFDB record: its header, and the signal files that the header names."""

from __future__ import annotations

import os

from ssl_ecg.data.readers.wfdb_header import Header, parse_header
from ssl_ecg.errors import RecordError

_USUAL_HEADER = 2**14
LONGEST_HEADER = 2**24
_OTHER_SUFFIXES = (".edf", ".npy", ".npz", ".csv")


def read_header(base: str, where: str) -> Header:
    """Read ``base + ".hea"``.

    Raises
    ------
    RecordError
        If it is missing, unreadable or wrong.
    """
    try:
        with open(base + ".hea", "rb", buffering=0) as file:
            content = file.read(_USUAL_HEADER)
            if len(content) == _USUAL_HEADER:
                content += file.read(LONGEST_HEADER)
    except FileNotFoundError as error:
        found = [suffix for suffix in _OTHER_SUFFIXES if os.path.exists(base + suffix)]
        remedy = f"give the suffix {' or '.join(found)}" if found else "a WFDB record needs its .hea file"
        raise RecordError(where, "there is no header file", remedy) from error
    except (OSError, ValueError) as error:
        raise RecordError(where, f"cannot read the header: {error}", "check the path") from error
    if len(content) > LONGEST_HEADER:
        raise RecordError(where, "the header is larger than 16 MiB", "is this a WFDB header?")
    return parse_header(content, where)


def signal_path(folder: str, file: str, where: str) -> str:
    """Give the path of a file that a header names; it must lie in the folder of the header.

    Raises
    ------
    RecordError
        If the name leads elsewhere.

    Examples
    --------
    >>> signal_path("", "../../etc/passwd", "100")
    Traceback (most recent call last):
    ...
    ssl_ecg.errors.RecordError: 100: the header names the file '../../etc/passwd', outside its own folder; ...
    """
    if "/" in file or "\\" in file or file in (".", "..", "") or os.path.splitdrive(file)[0]:
        remedy = "signal files must lie beside the header; do not read headers of unknown origin"
        raise RecordError(where, f"the header names the file {file[:80]!r}, outside its own folder", remedy)
    return os.path.join(folder, file)
