"""Long recordings read in stretches are the recordings read at once."""

from __future__ import annotations

import edfio
import numpy as np
import pytest
import wfdb

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.long import LongRecording
from ssl_ecg.errors import RecordError


def stretches(recording, length=333):
    return np.concatenate(list(recording.parts(length)), axis=1)


@pytest.mark.parametrize("fmt", ["16", "212", "310"])
def test_wfdb(wfdb_record, fmt):
    steps = np.cumsum(np.random.default_rng(0).integers(-3, 4, (1000, 3)), axis=0)
    path = wfdb_record(steps, fmt, leads=("MLII", "V1", "V5"), fs=250)
    recording = LongRecording(path, leads="V5,MLII")
    whole = read_record(path, leads=["V5", "MLII"])
    assert (recording.n_samples, recording.fs, recording.leads) == (1000, 250.0, ("V5", "MLII"))
    np.testing.assert_array_equal(stretches(recording), whole.signal)
    np.testing.assert_array_equal(recording.read(990, 2000), whole.signal[:, 990:])
    assert recording.read(1000, 1100).shape == (2, 0)


def test_a_header_that_leaves_the_length_to_the_file(wfdb_record):
    path = wfdb_record(np.arange(900).reshape(300, 3), leads=("I", "II", "V1"))
    with open(path + ".hea") as file:
        first, rest = file.read().split("\n", 1)
    with open(path + ".hea", "w") as file:
        file.write(" ".join(first.split()[:3]) + "\n" + rest)
    recording = LongRecording(path + ".hea")
    assert recording.n_samples == 300
    np.testing.assert_array_equal(stretches(recording, 77), read_record(path).signal)


def test_several_segments(tmp_path):
    rng = np.random.default_rng(0)
    for name, length in (("a", 400), ("b", 350)):
        wfdb.wrsamp(
            name, fs=250, units=["mV"], sig_name=["II"], p_signal=rng.normal(size=(length, 1)), fmt=["16"],
            write_dir=str(tmp_path),
        )  # fmt: skip
    (tmp_path / "m.hea").write_text("m/2 1 250 750\na 400\nb 350\n")
    recording = LongRecording(tmp_path / "m")
    assert recording.n_samples == 750
    np.testing.assert_allclose(stretches(recording, 200), read_record(tmp_path / "m").signal, atol=1e-6)


def test_edf(tmp_path):
    signals = [
        edfio.EdfSignal(np.random.default_rng(k).normal(size=250 * 40), 250, label=name, physical_dimension="mV")
        for k, name in enumerate(("II", "V1"))
    ]
    edfio.Edf(signals).write(tmp_path / "e.edf")
    recording = LongRecording(tmp_path / "e.edf", scale=2.0)
    assert (recording.n_samples, recording.leads) == (10000, ("II", "V1"))
    np.testing.assert_array_equal(stretches(recording, 1003), read_record(tmp_path / "e.edf").signal * 2)


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv"])
def test_arrays_with_a_long_gap(tmp_path, suffix):
    values = np.random.default_rng(0).normal(size=(2, 900))
    values[:, 300:700] = np.nan
    values[0, 10] = np.inf
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, values)
    elif suffix == "npz":
        np.savez(path, signal=values)
    else:
        np.savetxt(path, values.T, delimiter=",")
    recording = LongRecording(path, fs=100, leads=["II", "V1"], scale=0.5)
    got = stretches(recording, 100)
    np.testing.assert_array_equal(got, read_record(path, fs=100, leads=["II", "V1"], scale=0.5).signal)
    assert np.isnan(got[0, 10])
    assert np.isnan(got[:, 300:700]).all()


def test_leads_of_an_array_that_names_its_own(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 900)).astype(np.float32)
    np.savez(tmp_path / "a.npz", signal=values, fs=100, leads=["I", "MLII", "V1"])
    recording = LongRecording(tmp_path / "a.npz", leads="V1,II")
    assert (recording.fs, recording.leads) == (100, ("V1", "MLII"))
    np.testing.assert_array_equal(stretches(recording, 100), values[[2, 1]])
    with pytest.raises(RecordError, match="no lead 'V5'"):
        LongRecording(tmp_path / "a.npz", leads="V5")


def test_what_is_wrong_is_said(tmp_path, wfdb_record):
    with pytest.raises(RecordError, match="no header"):
        LongRecording(tmp_path / "none")
    np.save(tmp_path / "a.npy", np.zeros((1, 50)))
    with pytest.raises(RecordError, match="sampling rate"):
        LongRecording(tmp_path / "a.npy", leads=["II"])
    path = wfdb_record(np.zeros((100, 1), int), leads=("II",))
    with pytest.raises(RecordError, match="250 Hz"):
        LongRecording(path, fs=250)
    with pytest.raises(RecordError, match="no lead"):
        LongRecording(path, leads="V3")
