"""Bad WFDB records: a clear error that names the record, the problem and the remedy."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest

from ssl_ecg.data.readers import read_record
from ssl_ecg.errors import RecordError, SSLECGError

GOOD = "r1 2 500 100\nr1.dat 16 1000/mV 16 0 0 0 0 I\nr1.dat 16 1000/mV 16 0 0 0 0 II\n"


def error_of(path, **options) -> RecordError:
    with pytest.raises(RecordError) as caught:
        read_record(path, **options)
    assert caught.value.where == os.fspath(path)
    assert caught.value.problem
    assert caught.value.remedy
    return caught.value


def test_the_good_one_is_read(plain_record):
    record = read_record(plain_record(GOOD))
    np.testing.assert_array_equal(record.signal[1], np.arange(1, 200, 2, dtype=np.float32) / np.float32(1000))


def test_truncated_signal_file(plain_record):
    base = plain_record(GOOD, samples=60)
    error = error_of(base)
    assert "r1.dat holds 60 of the 100 samples" in error.problem
    assert "again" in error.remedy
    assert "60 of the 100" in error_of(base, start=0, stop=10).problem


def test_missing_files(plain_record, tmp_path):
    base = plain_record(GOOD)
    os.remove(base + ".dat")
    assert "r1.dat is missing" in error_of(base).problem
    os.remove(base + ".hea")
    assert "no header" in error_of(base).problem
    assert "no header" in error_of(tmp_path).problem  # a folder
    np.save(base + ".npy", np.zeros(3))
    assert ".npy" in error_of(base).remedy


def test_folders_in_the_place_of_files(plain_record, tmp_path):
    base = plain_record(GOOD)
    os.remove(base + ".dat")
    os.mkdir(base + ".dat")
    assert "r1.dat" in error_of(base).problem
    os.mkdir(tmp_path / "d.hea")
    assert "header" in error_of(tmp_path / "d").problem


def test_a_header_without_gain_means_200_steps_per_millivolt(plain_record):
    record = read_record(plain_record("r1 2 500 100\nr1.dat 16\nr1.dat 16\n"))
    np.testing.assert_allclose(record.signal[0, :3], [0, 0.01, 0.02], rtol=1e-6)
    assert record.leads == ("signal 0", "signal 1")


@pytest.mark.parametrize("count", ["0", "100", ""])
def test_zero_length(plain_record, count):
    base = plain_record(GOOD.replace("500 100", f"500 {count}".strip()), samples=0)
    assert "samples" in error_of(base).problem


def test_no_leads(plain_record):
    assert "no leads" in error_of(plain_record("r1 0 500 100\n")).problem


@pytest.mark.parametrize("window", [{"start": -1}, {"start": 100}, {"start": 5, "stop": 5}, {"stop": 0}, {"stop": -3}])
def test_windows_outside(plain_record, window):
    assert "outside its 100 samples" in error_of(plain_record(GOOD), **window).problem


def test_unknown_leads_are_read_and_unknown_wishes_refused(plain_record):
    base = plain_record(GOOD.replace(" II\n", " Wilson?\n"))
    assert read_record(base).leads == ("I", "Wilson?")
    error = error_of(base, leads=["V9"])
    assert "no lead 'V9'" in error.problem
    assert "I, Wilson?" in error.remedy


def test_duplicate_leads_are_kept(plain_record):
    record = read_record(plain_record(GOOD.replace(" II\n", " I\n")))
    assert record.leads == ("I", "I")
    assert record.signal.shape == (2, 100)


@pytest.mark.parametrize("units", ["mmHg", "NU", "mV/mm", "pm"])
def test_units_that_are_no_voltage(plain_record, units):
    base = plain_record(GOOD.replace("/mV 16 0 0 0 0 II", f"/{units} 16 0 0 0 0 ABP"))
    assert "no unit of voltage" in error_of(base).problem
    assert read_record(base, leads=["I"]).leads == ("I",)  # the remedy works


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", "..", "a\\..\\b", "sub/r1.dat"])
@pytest.mark.parametrize("fmt", ["16", "310"])
def test_files_outside_the_folder(plain_record, file, fmt):
    text = GOOD.replace("r1.dat", file).replace(f"{file} 16 ", f"{file} {fmt} ")
    assert "outside its own folder" in error_of(plain_record(text)).problem


@pytest.mark.parametrize(
    "line",
    [
        "r1 2 500 999999999999",
        "r1 2 500 99999999999999999999999",
        "r1 1000000000 500 100",
        "r1 2 1e400 100",
        "r1 2 0 100",
        "r1 2 -360 100",
        "r1 2 nan 100",
        "r1/1000000000 2 500 100",
    ],
)
@pytest.mark.parametrize("fmt", ["16", "212", "310", "8", "516", "16x1000000000", "16:1000000000", "16+99999999999999"])
def test_absurd_numbers_cost_no_memory(plain_record, line, fmt):
    base = plain_record(GOOD.replace("r1 2 500 100", line).replace("dat 16 ", f"dat {fmt} "))
    tracemalloc.start()
    try:
        error_of(base)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("fmt", ["16x1000000000", "16:1000000000", "16+99999999999999", "999", "310x0", "8x70"])
def test_absurd_formats(plain_record, fmt):
    base = plain_record(GOOD.replace("dat 16 ", f"dat {fmt} "))
    tracemalloc.start()
    try:
        error_of(base)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"\x00" * 100,
        bytes(range(256)) * 20,
        b"\xff\xfe\x00r\x001",
        b"MATLAB 5.0 MAT-file" + b"\0" * 200,
    ],
)
def test_garbage_for_a_header(plain_record, content):
    error_of(plain_record(content))


def test_a_header_in_another_encoding_is_read(plain_record):
    record = read_record(plain_record(GOOD.encode() + "# Größe: 1,80 m\n# Age: 51\n".encode("latin-1")))
    assert record.age == 51


def test_a_huge_header_is_not_read_whole(plain_record):
    assert "16 MiB" in error_of(plain_record(GOOD + "#\n" * 2**23 + "#\n" * 2**13)).problem


def test_null_bytes_in_paths(plain_record):
    base = plain_record(GOOD.replace("r1.dat", "r\x001.dat"))
    with pytest.raises(SSLECGError):
        read_record(base)
    with pytest.raises(SSLECGError):
        read_record("a\x00b")


def test_a_rate_that_contradicts_the_header(plain_record):
    assert "500 Hz, not 360 Hz" in error_of(plain_record(GOOD), fs=360).problem
