"""Read WFDB annotation files."""

from __future__ import annotations

import os
import re
import warnings

import numpy as np

from ssl_ecg.data.record import Annotations
from ssl_ecg.errors import RecordError

_NOTE_OF_THE_FILE = re.compile(rb"(?s)(.)[\xfc-\xff](?=## )")
_KNOWN_NOTE = re.compile(rb"## (annotation type definitions|end of definitions|(time resolution: [0-9].*))")


def read_annotations(
    base: str, suffix: str, where: str, *, fs: float, start: int = 0, stop: int | None = None
) -> Annotations:
    """Read the annotations of a record.

    Parameters
    ----------
    base : str
        Path without suffix.
    suffix : str
        Of the annotation file, such as "atr".
    where : str
        Name of the record, for messages.
    fs : float
        Sampling rate of the record [Hz]; annotations at another rate are moved to it.
    start, stop : int
        The window [samples]; samples are counted from its start.

    Raises
    ------
    RecordError
        If the file is missing or damaged.

    References
    ----------
    WFDB Applications Guide, annot(5), https://physionet.org/physiotools/wag/annot-5.htm
    """
    import wfdb

    path = f"{base}.{suffix}"
    if not suffix.isalnum():
        raise RecordError(where, f"{suffix!r} is no suffix of an annotation file", 'give one such as "atr"')
    if not os.path.isfile(path):
        problem = f"has no annotation file {os.path.basename(path)}"
        raise RecordError(where, problem, "fetch it, or read without")
    _check_notes(path, where)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = wfdb.rdann(base, suffix)
            rate = float(found.fs or fs)
            sample = np.asarray(found.sample, np.int64)
            symbol, note = [str(code) for code in found.symbol], [str(text) for text in found.aux_note]
            if rate != fs:
                sample = np.round(sample * (fs / rate)).astype(np.int64)
    except Exception as error:  # wfdb raises whatever its steps raise
        problem = f"wfdb cannot read the annotations: {type(error).__name__}: {error}"
        raise RecordError(where, problem[:300], "fetch the annotation file again") from error
    inside = [k for k, at in enumerate(sample) if at >= start and (stop is None or at < stop)]
    notes = tuple(note[k].rstrip("\x00") for k in inside)
    return Annotations(sample[inside] - start, tuple(symbol[k] for k in inside), notes)


def _check_notes(path: str, where: str) -> None:
    """Refuse the notes about the file ("## ...") at which wfdb.rdann loops for ever."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise RecordError(where, f"cannot read the annotations: {error}", "check the file") from error
    rates = 0
    for found in _NOTE_OF_THE_FILE.finditer(content):
        note = content[found.end() : found.end() + found[1][0]]
        known = _KNOWN_NOTE.fullmatch(note)
        rates += bool(known and known[2])
        if known is None or rates > 1:
            problem = f"the annotations have a note that wfdb cannot interpret: {note!r}"
            raise RecordError(where, problem[:300], "remove the note from the annotation file")
