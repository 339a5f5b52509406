"""Small WFDB records, written sample by sample."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


def stored(values: Sequence[int], fmt: str) -> bytes:
    """Store samples in a format of signal(5), one by one."""
    values = [int(value) for value in values]
    if fmt == "212":
        out = bytearray()
        for k in range(0, len(values), 2):
            first, second = (v & 0xFFF for v in (*values[k : k + 2], 0)[:2])
            three = bytes([first & 0xFF, (first >> 8) | (second >> 8) << 4, second & 0xFF])
            out += three if k + 1 < len(values) else three[:2]
        return bytes(out)
    if fmt in ("310", "311"):
        out = bytearray()
        for k in range(0, len(values), 3):
            a, b, c = (v & 0x3FF for v in (*values[k : k + 3], 0, 0)[:3])
            if fmt == "311":
                out += struct.pack("<I", a | b << 10 | c << 20)
            else:
                out += struct.pack("<HH", a << 1 | (c & 31) << 11, b << 1 | (c >> 5) << 11)
        return bytes(out)
    if fmt == "24":
        return b"".join(struct.pack("<i", value)[:3] for value in values)
    if fmt in ("80", "160"):
        code, offset = ("<B", 128) if fmt == "80" else ("<H", 32768)
        return b"".join(struct.pack(code, value + offset) for value in values)
    code = {"8": "<b", "16": "<h", "61": ">h", "32": "<i"}[fmt]
    return b"".join(struct.pack(code, value) for value in values)


@pytest.fixture
def encode() -> Callable[[Sequence[int], str], bytes]:
    """Give the function that stores samples in a format."""
    return stored


@pytest.fixture
def wfdb_record(tmp_path: Path) -> Callable[..., str]:
    """Write (time, lead) steps as a record of one segment; give its path without suffix."""

    def write(steps, fmt="16", *, name="r1", gain="200", units="mV", fs=500, leads=LEADS, files=None) -> str:
        steps = np.asarray(steps)
        samples, n_sig = steps.shape
        files = files or [f"{name}.dat"] * n_sig
        lines = [f"{name} {n_sig} {fs} {samples}"]
        for k in range(n_sig):
            lines.append(f"{files[k]} {fmt} {gain}/{units} 16 0 {steps[0, k]} 0 0 {leads[k]}")
        (tmp_path / f"{name}.hea").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for file in dict.fromkeys(files):
            members = [k for k in range(n_sig) if files[k] == file]
            (tmp_path / file).write_bytes(stored(steps[:, members].ravel(), fmt))
        return str(tmp_path / name)

    return write


@pytest.fixture
def plain_record(tmp_path: Path) -> Callable[..., str]:
    """Write a header as given beside 100 samples of two leads in format 16; give the path without suffix."""

    def write(header: str | bytes, name: str = "r1", samples: int = 100) -> str:
        content = header.encode() if isinstance(header, str) else header
        (tmp_path / f"{name}.hea").write_bytes(content)
        data = np.arange(samples * 2, dtype="<i2").reshape(samples, 2)
        (tmp_path / f"{name}.dat").write_bytes(data.tobytes())
        return str(tmp_path / name)

    return write
