"""EDF files, written by edfio."""

from __future__ import annotations

import datetime

import edfio
import numpy as np
import pytest

from ssl_ecg.data.readers import read_record
from ssl_ecg.errors import RecordError


def lead(label, units="mV", fs=500, seconds=4, amplitude=1.0):
    values = amplitude * np.sin(np.arange(fs * seconds) / fs * 7 + len(label))
    return edfio.EdfSignal(values, fs, label=label, physical_dimension=units)


@pytest.fixture
def edf(tmp_path):
    def write(*signals, **fields):
        edfio.Edf(list(signals), **fields).write(tmp_path / "e.edf")
        return tmp_path / "e.edf"

    return write


def test_units_become_millivolts(edf):
    path = edf(lead("I"), lead("II", "uV", amplitude=1000), lead("V1", "V", amplitude=0.001))
    record = read_record(path)
    assert (record.leads, record.fs, record.record_id) == (("I", "II", "V1"), 500.0, "e")
    expected = [
        signal.data / factor for signal, factor in zip(edfio.read_edf(path).signals, (1, 1e3, 1e-3), strict=True)
    ]
    np.testing.assert_allclose(record.signal, expected, rtol=1e-6, atol=1e-9)
    assert record.signal.dtype == np.float32
    np.testing.assert_array_equal(read_record(path, start=7, stop=70).signal, record.signal[:, 7:70])


def test_the_ecg_is_chosen_where_rates_or_units_differ(edf):
    path = edf(lead("EEG Cz", "uV", 200), lead("ECG II"), lead("V1"), lead("Resp", "Ohm", 25))
    assert read_record(path).leads == ("ECG II", "V1")
    assert read_record(path, leads=["II"]).leads == ("ECG II",)
    assert read_record(path, leads=["EEG Cz"]).fs == 200


def test_leads_of_several_rates_are_an_error(edf):
    path = edf(lead("I", fs=500), lead("II", fs=250))
    with pytest.raises(RecordError, match="several rates: I 500 Hz, II 250 Hz"):
        read_record(path)
    with pytest.raises(RecordError, match="no ECG"):
        read_record(edf(lead("Resp", "Ohm"), lead("SpO2", "%")))
    with pytest.raises(RecordError, match="no lead 'V6'"):
        read_record(path, leads=["V6"])
    with pytest.raises(RecordError, match="no unit of voltage"):
        read_record(edf(lead("I", "mmHg"), lead("Resp", "Ohm")))


def test_patient_and_annotations_of_edf_plus(edf):
    path = edf(
        lead("II"),
        patient=edfio.Patient(sex="F", birthdate=datetime.date(1950, 5, 1)),
        recording=edfio.Recording(startdate=datetime.date(2020, 4, 1)),
        annotations=[edfio.EdfAnnotation(1.0, None, "beat")],
    )
    record = read_record(path)
    assert (record.leads, record.sex, record.age) == (("II",), "female", 69.0)


def test_damage(edf, tmp_path):
    path = edf(lead("I"), lead("II"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3000])
    with pytest.raises(RecordError, match="truncated"):
        read_record(path)
    path.write_bytes(whole.replace(b"EDF+C", b"EDF+D") if b"EDF+C" in whole else whole[:192] + b"EDF+D" + whole[197:])
    with pytest.raises(RecordError, match="gaps"):
        read_record(path)
    for content in (b"", b"0" * 100, whole[:300], b"\xff" * 1000):
        path.write_bytes(content)
        with pytest.raises(RecordError):
            read_record(path)
    with pytest.raises(RecordError, match="no such file"):
        read_record(tmp_path / "none.edf")


def test_no_calibration(edf):
    path = edf(lead("I"))
    raw = bytearray(path.read_bytes())
    at = 256 + 16 + 80 + 8
    raw[at : at + 8] = raw[at + 8 : at + 16]  # physical minimum := physical maximum
    path.write_bytes(raw)
    with pytest.raises(RecordError, match="no calibration"):
        read_record(path)
