"""Read WFDB records: the header here, the signal on the fast path or else through wfdb."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ssl_ecg.data.readers.selection import choose_leads
from ssl_ecg.data.readers.wfdb_fast import plain_files, read_plain
from ssl_ecg.data.readers.wfdb_files import read_header
from ssl_ecg.data.readers.wfdb_header import clinical
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError


def read_wfdb(
    base: str,
    where: str,
    *,
    leads: Sequence[str] | None = None,
    start: int = 0,
    stop: int | None = None,
) -> Record:
    """Read a WFDB record.

    Parameters
    ----------
    base : str
        Path without suffix.
    where : str
        Name of the record, for messages.
    leads : sequence of str, optional
        The leads wanted, in the order wanted.
    start, stop : int
        The window [samples].

    Raises
    ------
    RecordError
        If the record cannot be read, whatever the reason.
    """
    header = read_header(base, where)
    if not header.n_sig:
        raise RecordError(where, "the header lists no leads", "leave the record out")
    folder, name = os.path.split(base)
    files = plain_files(header.signals)
    names = tuple([spec.lead for spec in header.signals])
    if files:
        rows = None
        if leads is not None:
            rows = choose_leads(names, leads, where)
            names = tuple([names[k] for k in rows])
        signal = read_plain(header, files, folder, where, rows=rows, start=start, stop=stop)
    else:
        from ssl_ecg.data.readers.wfdb_reference import read_through_wfdb

        signal, names = read_through_wfdb(header, base, where, leads=leads, start=start, stop=stop)
    age, sex, codes = clinical(header.comments)
    return Record(signal, header.fs, names, name, None, age, sex, codes)
