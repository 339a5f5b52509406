"""Whatever the bytes, only the library's own errors escape, and a record that is read is sound."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import edfio
import numpy as np
import pytest
import wfdb
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.wfdb_header import clinical, parse_header
from ssl_ecg.errors import SSLECGError

HEADERS = [
    b"r 12 500 20\n"
    + b"".join(
        b"r.mat 16+24 1000/mV 16 0 13 -7 0 %s\n" % lead for lead in b"I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split()
    )
    + b"#Age: 69\n#Sex: Male\n#Dx: 446358003,164867002\n",
    b"r 2 360 100\nr.dat 212 200 11 1024 995 -22131 0 MLII\nr.dat 212 200 11 1024 1011 20052 0 V5\n# 69 M\n",
    b"r 2 250 30\nr.dat 310x2:1+3 4.88e-1(5)/uV 10 0 0 0 0 I\nr.dat 310 200/V 10 0 0 0 0 II\n",
    b"r/3 2 500 60\nlay 0\nseg 30\nseg 30\n",
    b"r 2 500 30\nr.dat 8 200 8 0 0 0 0 I\nr.mat 80 200 8 0 0 0 0 II\n",
    b"r 1 500 30\nr.dat 516 200 8 0 0 0 0 I\n",
]
NASTY = [
    *b"0 -1 1e999 nan 99999999999999999999 1_0 ../../etc/passwd /dev/zero ~ 16x999999999".split(),
    *b"16:999999999 212+9999999 524 8 311 61x3 200( /mV 1e-300 r/2 # s3://x r.mat seg.dat mmHg 2147483648".split(),
    *(b"\x00", b"\xff\xfe", "\u0663".encode(), b"seg 30", b"## ", b"\r", b" ", b"\t", b"\n"),
]
FEW = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@st.composite
def damaged(draw, originals):
    """Bytes of an original with pieces replaced, left out, doubled or cut off."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 5))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 0, 1, 2, 5, 20]))
        piece = draw(
            st.one_of(st.sampled_from(NASTY), st.binary(max_size=6), st.just(bytes(content[at : at + length])))
        )
        content[at : at + length] = piece
    if draw(st.integers(0, 9)) == 0:
        del content[draw(st.integers(0, len(content))) :]
    return bytes(content)


@st.composite
def with_tokens_replaced(draw):
    lines = draw(st.sampled_from(HEADERS)).split(b"\n")
    for _ in range(draw(st.integers(1, 3))):
        k = draw(st.integers(0, len(lines) - 1))
        tokens = lines[k].split(b" ")
        tokens[draw(st.integers(0, len(tokens) - 1))] = draw(st.sampled_from(NASTY))
        lines[k] = b" ".join(tokens)
    return b"\n".join(lines)


def read_or_refuse(files: dict[str, bytes], name: str, **options) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        for file, content in files.items():
            (folder / file).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            record = read_record(folder / name, **options)
    except SSLECGError as refused:
        assert refused.problem  # noqa: PT017
        assert refused.remedy  # noqa: PT017
        assert len(str(refused)) < 1000  # noqa: PT017
    else:
        assert record.signal.dtype == np.float32
        assert record.signal.shape[0] == len(record.leads) > 0
        assert record.signal.shape[1] > 0
        assert record.signal.flags.c_contiguous
        assert not np.isinf(record.signal).any()
        assert record.age is None or 0 <= record.age <= 130
    finally:
        shutil.rmtree(folder)


SEGMENT = b"seg 2 500 30\nseg.dat 16 200 16 0 0 0 0 I\nseg.dat 16 200 16 0 0 0 0 II\n"
LAYOUT = b"lay 2 500 0\n~ 0 200 16 0 0 0 0 I\n~ 0 200 16 0 0 0 0 II\n"


@FEW
@given(
    header=st.one_of(damaged(HEADERS), with_tokens_replaced(), st.binary(max_size=200)),
    segment=damaged([SEGMENT]),
    signal=st.one_of(st.binary(max_size=700), st.integers(0, 1000).map(lambda n: bytes(n))),
    start=st.sampled_from([0, 0, 0, 1, 7, -1]),
    stop=st.sampled_from([None, None, 5, 29, 10**12]),
)
def test_wfdb_headers_and_signals(header, segment, signal, start, stop):
    files = {"r.hea": header, "seg.hea": segment, "lay.hea": LAYOUT}
    read_or_refuse({**files, "r.dat": signal, "r.mat": signal, "seg.dat": signal}, "r", start=start, stop=stop)


@settings(FEW, max_examples=300)
@given(st.one_of(damaged(HEADERS), with_tokens_replaced(), st.binary(), st.text()))
def test_headers_alone(content):
    try:
        header = parse_header(content, "r")
    except SSLECGError:
        return
    assert len(header.signals) == (0 if header.segments else header.n_sig)
    assert header.fs > 0
    clinical(header.comments)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    values = np.random.default_rng(0).normal(size=(2, 40))
    np.save(folder / "a.npy", values)
    np.savez(folder / "a.npz", signal=values, fs=100, leads=["I", "II"])
    np.savetxt(folder / "a.csv", values.T, delimiter=",", header="I,II", comments="")
    pairs = zip(values, ("I", "II"), strict=True)
    signals = [edfio.EdfSignal(row, 20, label=name, physical_dimension="mV") for row, name in pairs]
    edfio.Edf(signals).write(folder / "a.edf")
    notes = ["## time resolution: 500", "", "(AFIB", "", "x"]
    wfdb.wrann("a", "atr", np.arange(5) * 7, list('"V+N~'), aux_note=notes, write_dir=str(folder))
    return {path.suffix: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".edf"])
def test_arrays_and_edf(originals, suffix):
    @settings(FEW, max_examples=60)
    @given(content=damaged([originals[suffix]]), options=st.sampled_from([{}, {"fs": 100, "leads": ["I", "II"]}]))
    def check(content, options):
        read_or_refuse({f"a{suffix}": content}, f"a{suffix}", **({} if suffix == ".edf" else options))

    check()


def test_annotation_files(originals):
    @settings(FEW, max_examples=60)
    @given(content=damaged([originals[".atr"]]))
    def check(content):
        files = {"r.hea": HEADERS[1], "r.dat": bytes(300), "r.atr": content}
        read_or_refuse(files, "r", annotations="atr")

    check()
