"""Plain arrays: axes, units, names, and what is missing or damaged."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.arrays import read_array
from ssl_ecg.errors import RecordError

SIGNAL = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
LEADS = ["I", "II", "V1"]


@pytest.fixture
def npy(tmp_path):
    def save(values):
        np.save(tmp_path / "a.npy", values)
        return tmp_path / "a.npy"

    return save


def test_axes_are_found_from_the_number_of_leads(npy):
    for values in (SIGNAL, SIGNAL.T, np.asfortranarray(SIGNAL)):
        record = read_record(npy(values), fs=100, leads=LEADS)
        np.testing.assert_array_equal(record.signal, SIGNAL)
        assert (record.fs, record.leads, record.record_id) == (100.0, tuple(LEADS), "a")
        assert record.signal.flags.c_contiguous


def test_axes_given(npy):
    square = SIGNAL[:, :3]
    with pytest.raises(RecordError, match="axes"):
        read_record(npy(square), fs=100, leads=LEADS)
    np.testing.assert_array_equal(read_record(npy(square), fs=100, leads=LEADS, axes="lead,time").signal, square)
    np.testing.assert_array_equal(read_record(npy(square), fs=100, leads=LEADS, axes="time, lead").signal, square.T)
    for wrong in ("time,lead", "up,down"):
        with pytest.raises(RecordError, match="axes"):
            read_record(npy(SIGNAL), fs=100, leads=LEADS, axes=wrong)


def test_scale_and_integers(npy):
    steps = np.array([[1000, -250, 32767]], np.int16)
    record = read_record(npy(steps), fs=100, leads="II", scale=0.001)
    np.testing.assert_array_equal(record.signal, np.array([[1, -0.25, 32.767]], np.float32))


def test_one_lead_may_be_one_dimensional_and_a_window_be_read(npy):
    path = npy(np.arange(100.0))
    assert read_record(path, fs=100, leads=["II"]).signal.shape == (1, 100)
    part = read_record(path, fs=100, leads=["II"], start=10, stop=20)
    np.testing.assert_array_equal(part.signal[0], np.arange(10, 20))


def test_invalid_samples_become_nan_and_none_valid_is_an_error(npy):
    values = SIGNAL.astype(np.float64)
    values[0, :3] = [np.nan, np.inf, -np.inf]
    values[1, 0] = 1e300
    record = read_record(npy(values), fs=100, leads=LEADS)
    assert np.isnan(record.signal).sum() == 4
    assert not np.isinf(record.signal).any()
    with pytest.raises(RecordError, match="not one finite sample"):
        read_record(npy(np.full((3, 9), np.inf)), fs=100, leads=LEADS)


def test_what_is_missing_is_asked_for(npy):
    with pytest.raises(RecordError, match="fs=") as caught:
        read_record(npy(SIGNAL), leads=LEADS)
    assert "a.npy" in caught.value.where
    with pytest.raises(RecordError, match="leads="):
        read_record(npy(SIGNAL), fs=100)
    for fs in (0, -1, float("nan")):
        with pytest.raises(RecordError, match="sampling rate"):
            read_record(npy(SIGNAL), fs=fs, leads=LEADS)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.zeros((3, 0)), "no samples"),
        (np.zeros((2, 3, 4)), "shape"),
        (np.array(["a", "b"]), "not numbers"),
        (np.zeros((3, 4), complex), "not numbers"),
        (np.zeros((3, 4), bool), "not numbers"),
        (np.float32(1), "shape"),
        (np.zeros((4, 50)), "3 lead names"),
    ],
)  # fmt: skip
def test_wrong_arrays(npy, values, problem):
    with pytest.raises(RecordError, match=problem):
        read_record(npy(values), fs=100, leads=LEADS)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordError, match="cannot read"):
        read_record(tmp_path / "p.npy", fs=100, leads=LEADS)


def test_a_header_that_promises_more_than_the_file_holds(tmp_path):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (12, 10**12)})
    (tmp_path / "h.npy").write_bytes(buffer.getvalue() + b"\0" * 100)
    with pytest.raises(RecordError, match="cannot read"):
        read_record(tmp_path / "h.npy", fs=100, leads=LEADS)
    with zipfile.ZipFile(tmp_path / "h.npz", "w") as archive:
        archive.write(tmp_path / "h.npy", "signal.npy")
    with pytest.raises(RecordError, match="cannot read"):
        read_record(tmp_path / "h.npz", fs=100, leads=LEADS)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04garbage", b"\xff\xfe\x00\x01" * 50])
def test_damaged_files(tmp_path, suffix, content):
    (tmp_path / f"d{suffix}").write_bytes(content)
    with pytest.raises(RecordError):
        read_record(tmp_path / f"d{suffix}", fs=100, leads=LEADS)
    with pytest.raises(RecordError, match="no such file"):
        read_record(tmp_path / f"missing{suffix}", fs=100, leads=LEADS)


def test_npz_may_describe_itself(tmp_path):
    np.savez(tmp_path / "s.npz", signal=SIGNAL, fs=250, leads=LEADS)
    record = read_record(tmp_path / "s.npz")
    assert (record.fs, record.leads) == (250.0, tuple(LEADS))
    np.testing.assert_array_equal(record.signal, SIGNAL)
    np.savez_compressed(tmp_path / "one.npz", anything=SIGNAL)
    np.testing.assert_array_equal(read_record(tmp_path / "one.npz", fs=1, leads=LEADS).signal, SIGNAL)
    np.savez(tmp_path / "two.npz", a=SIGNAL, b=SIGNAL)
    with pytest.raises(RecordError, match='"signal"'):
        read_record(tmp_path / "two.npz", fs=1, leads=LEADS)


def test_what_a_file_says_of_itself_counts(tmp_path):
    np.savez(tmp_path / "s.npz", signal=SIGNAL, fs=250, leads=LEADS)
    with pytest.raises(RecordError, match="250 Hz, not 500 Hz"):
        read_record(tmp_path / "s.npz", fs=500)
    swapped = read_record(tmp_path / "s.npz", leads=["V1", "I"])
    assert (swapped.fs, swapped.leads) == (250.0, ("V1", "I"))
    np.testing.assert_array_equal(swapped.signal, SIGNAL[[2, 0]])
    with pytest.raises(RecordError, match="no lead 'V6'"):
        read_record(tmp_path / "s.npz", leads=["I", "V6"])
    fallback = read_array(str(tmp_path / "s.npz"), fs=500, leads=["V4", "V5", "V6"])
    assert (fallback.fs, fallback.leads) == (250.0, tuple(LEADS))
    (tmp_path / "channels.csv").write_text("ch1,ch2\n1,2\n3,4\n")  # no leads: the names given count
    named = read_record(tmp_path / "channels.csv", fs=100, leads="II,V5")
    assert named.leads == ("II", "V5")
    np.testing.assert_array_equal(named.signal, [[1, 3], [2, 4]])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_with_names_and_times(tmp_path, delimiter):
    rows = [["Time", "I", "II", "V1"], ["0.00", "1", "2.5", "-3e-1"], ["0.01", "", "nan", "6"]]
    (tmp_path / "c.csv").write_text("\n".join(delimiter.join(row) for row in rows) + "\n")
    record = read_record(tmp_path / "c.csv", fs=100)
    assert record.leads == ("I", "II", "V1")
    np.testing.assert_array_equal(record.signal, np.array([[1, np.nan], [2.5, np.nan], [-0.3, 6]], np.float32))


def test_csv_without_names(tmp_path):
    np.savetxt(tmp_path / "c.csv", SIGNAL.T, delimiter=",")
    np.testing.assert_allclose(read_record(tmp_path / "c.csv", fs=100, leads=LEADS).signal, SIGNAL, rtol=1e-6)
    (tmp_path / "c.csv").write_text("1,2,3\n4,5,6\n7,8,9\n")
    record = read_record(tmp_path / "c.csv", fs=100, leads=LEADS)  # a row a sample, even when square
    np.testing.assert_array_equal(record.signal, [[1, 4, 7], [2, 5, 8], [3, 6, 9]])


@pytest.mark.parametrize("text", ["I,II\n1,2\n3\nx,y\n", "I,II\n1,two\n", "I,II\n", "I,II\n1,2,3\n4,5,6\n"])
def test_wrong_csv(tmp_path, text):
    (tmp_path / "w.csv").write_text(text)
    with pytest.raises(RecordError):
        read_record(tmp_path / "w.csv", fs=100)
