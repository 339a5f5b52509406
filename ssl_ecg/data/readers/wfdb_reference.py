"""Read WFDB signals through the wfdb package: every format and layout, slowly."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.readers.selection import choose_leads, choose_window, units_per_millivolt
from ssl_ecg.data.readers.wfdb_check import check_files, check_segments, is_compressed
from ssl_ecg.data.readers.wfdb_files import read_header, signal_path
from ssl_ecg.data.readers.wfdb_header import Header
from ssl_ecg.errors import RecordError

MOST_VALUES = 2**27
"""Samples of all leads together that are read at once where the size of the files does not vouch for them."""


def read_through_wfdb(
    header: Header,
    base: str,
    where: str,
    *,
    leads: Sequence[str] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read a record with ``wfdb.rdrecord``.

    Parameters
    ----------
    header : Header
        Of the record.
    base : str
        Path without suffix.
    where : str
        Name of the record, for messages.
    leads : sequence of str, optional
        The leads wanted, in the order wanted.
    start, stop : int
        The window [frames]. Of leads with several samples a frame the mean is taken, as wfdb does.

    Returns
    -------
    float32 array (lead, time) [mV], tuple of lead names

    Raises
    ------
    RecordError
        If header and files do not fit together or wfdb fails, whatever the reason.
    """
    folder = os.path.dirname(base)
    if header.segments:
        n_samples = sum(length for _, length in header.segments)
        start, stop = choose_window(start, stop, n_samples, where)
        signals, names = check_segments(header, folder, where, start, stop)
    else:
        start, stop = choose_window(start, stop, check_files(header, folder, where), where)
        signals, names = header.signals, [os.path.basename(base)]
    values = (stop - start) * sum(spec.samples_per_frame for spec in signals)
    if values > MOST_VALUES and (header.segments or is_compressed(header)):
        problem = f"{stop - start} samples of {len(signals)} leads are too many to read at once"
        raise RecordError(where, problem, "read windows with start and stop")
    rows = choose_leads([spec.lead for spec in signals], leads, where)
    chosen = [signals[k] for k in rows]
    factors = [units_per_millivolt(spec.units, spec.lead, where) for spec in chosen]
    for name in names:
        _check_same_reading(signal_path(folder, name, where), where)
    # Format 8 stores differences: a window needs all that comes before it.
    first = 0 if any(spec.format == "8" for spec in signals) else start
    physical = _physical(base, where, first, stop, sorted(set(rows)))[:, start - first :]
    signal = physical[[sorted(set(rows)).index(k) for k in rows]]
    if any(factor != 1 for factor in factors):
        signal /= np.array(factors)[:, None]
    return np.ascontiguousarray(signal, np.float32), tuple([spec.lead for spec in chosen])


def _physical(base: str, where: str, start: int, stop: int, rows: list[int]) -> NDArray[np.float64]:
    """Give (lead, time) in the units of the header."""
    import wfdb

    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            signal = wfdb.rdrecord(base, sampfrom=start, sampto=stop, channels=rows).p_signal.T
    except Exception as error:  # wfdb raises whatever its steps raise
        problem = f"wfdb cannot read it: {type(error).__name__}: {error}"
        raise RecordError(where, problem[:300], "fetch the record again, or correct its header") from error
    if signal.shape != (len(rows), stop - start):
        problem = f"wfdb gives {signal.shape[::-1]} samples and leads instead of {(stop - start, len(rows))}"
        raise RecordError(where, problem, "fetch the record again, or correct its header")
    return np.asarray(signal, np.float64)


def _check_same_reading(base: str, where: str) -> None:
    """Make sure that wfdb, whose grammar is looser, takes the header for what it is."""
    import wfdb

    header = read_header(base, where)
    try:
        theirs = wfdb.rdheader(base)
    except Exception as error:  # wfdb raises whatever its steps raise
        problem = f"wfdb cannot read the header: {type(error).__name__}: {error}"
        raise RecordError(where, problem[:300], "correct the header") from error
    ours = [
        [getattr(spec, field) for spec in header.signals]
        for field in ("file", "format", "gain", "baseline", "samples_per_frame", "skew", "offset")
    ]
    fields = ("file_name", "fmt", "adc_gain", "baseline", "samps_per_frame", "skew", "byte_offset")
    given = [[value or 0 for value in getattr(theirs, field) or []] for field in fields]
    same = (header.n_samples, header.n_sig) == (theirs.sig_len or 0, theirs.n_sig)
    if not same or ours != given:
        raise RecordError(where, "wfdb reads the header differently", "write its lines as header(5) asks")
