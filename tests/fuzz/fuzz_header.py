"""Fuzz the header and signal readers with coverage guidance; not part of the test suite.

    pip install atheris
    python tests/fuzz/fuzz_header.py [CORPUS_FOLDER] -max_total_time=300 -max_len=4096

The first byte chooses the number of header bytes that follow (in units of 16), the rest are the bytes of the signal
file. Whatever escapes ``read_record`` and is no ``SSLECGError``, and every record that is not sound, is a finding.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

FOLDER = os.path.join(tempfile.gettempdir(), f"ssl_ecg-fuzz-{os.getpid()}")
SEGMENT = b"seg 1 500 30\nseg.dat 16 200 16 0 0 0 0 I\n"


def write(name: str, content: bytes) -> None:
    with open(os.path.join(FOLDER, name), "wb") as file:
        file.write(content)


def one_input(data: bytes) -> None:
    from ssl_ecg.data.readers import read_record
    from ssl_ecg.data.readers.wfdb_header import clinical, parse_header
    from ssl_ecg.errors import SSLECGError

    if not data:
        return
    size = data[0] * 16
    header, signal = data[1 : 1 + size], data[1 + size :]
    try:
        clinical(parse_header(header, "r").comments)
        write("r.hea", header)
        write("r.dat", signal)
        record = read_record(os.path.join(FOLDER, "r"))
    except SSLECGError:
        return
    if record.signal.shape[0] != len(record.leads) or record.signal.shape[1] == 0 or not record.fs > 0:
        raise RuntimeError(f"not sound: {record}")


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["ssl_ecg"]):
        import ssl_ecg.data.readers  # noqa: F401
    os.makedirs(FOLDER)
    write("seg.hea", SEGMENT)
    write("seg.dat", bytes(60))
    try:
        atheris.Setup(sys.argv, one_input)
        atheris.Fuzz()
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    main()
