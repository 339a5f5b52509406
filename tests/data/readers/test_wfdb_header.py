"""The header grammar, and what comments say of the patient."""

from __future__ import annotations

import math

import pytest

from ssl_ecg.data.readers.wfdb_header import clinical, parse_header
from ssl_ecg.errors import RecordError


def one_signal(line: str):
    return parse_header(f"r 1 500 1000\n{line}", "r").signals[0]


def test_a_full_line_is_read_field_by_field():
    text = (
        b"100 2 360/360(0) 650000 10:00:00 01/02/2003\r\n"
        b"100.dat 212x2:3+24 200(5)/uV 11 1024 995 -22131 0 MLII\r\n"
        b"100.dat 212 1e3 12 -7 1011 20052 0 V5 of the chest\r\n# 69 M 1085 1629 x1\n#\n"
    )
    header = parse_header(text, "100")
    first, second = header.signals
    assert (header.record_name, header.n_sig, header.fs, header.n_samples) == ("100", 2, 360.0, 650000)
    assert first == ("100.dat", "212", 2, 3, 24, 200.0, 5, "uV", 11, 1024, 995, -22131, "MLII")
    assert (second.gain, second.baseline, second.units, second.lead) == (1000.0, -7, "mV", "V5 of the chest")
    assert header.comments == ("69 M 1085 1629 x1", "")


@pytest.mark.parametrize(
    ("line", "gain", "baseline", "units", "lead"),
    [
        ("r.dat 16", 200.0, 0, "mV", "signal 0"),  # nothing but file and format
        ("r.dat 16 0 12 1024 0 0 0 I", 200.0, 1024, "mV", "I"),  # a gain of zero is unknown: 200
        ("r.dat 16 100 12 1024 0 0 0 I", 100.0, 1024, "mV", "I"),  # the baseline is the ADC zero
        ("r.dat 16 100(3) 12 1024 0 0 0 I", 100.0, 3, "mV", "I"),  # unless it is given
        ("r.dat 16 1000.0(0)/mv 16 0 -8 4 0 aVF", 1000.0, 0, "mv", "aVF"),
        ("r.dat 16 -200/V 12", -200.0, 0, "V", "signal 0"),
        ("r.dat 16 200/mV lead II", 200.0, 0, "mV", "lead II"),  # fields left out before the name
        ("r.dat 16 4.88e-1/µV 16 0 0 0 0 chest lead V1, upper", 0.488, 0, "µV", "chest lead V1, upper"),
    ],
)  # fmt: skip
def test_defaults_and_variants(line, gain, baseline, units, lead):
    spec = one_signal(line)
    assert (spec.gain, spec.baseline, spec.units, spec.lead) == (gain, baseline, units, lead)


def test_latin1_and_byte_order_mark_are_read():
    latin = "r 1 500 10\nr.dat 16 1/µV 16 0 0 0 0 V1\n# Größe".encode("latin-1")
    assert parse_header(latin, "r").signals[0].units == "µV"
    assert parse_header(b"\xef\xbb\xbfr 1 500 10\nr.dat 16", "r").record_name == "r"


def test_record_line_defaults():
    header = parse_header("A0001.mat 1\nA0001.mat 16+24 1000/mv 16 0 28 -1716 0 I", "A0001")
    assert (header.record_name, header.fs, header.n_samples) == ("A0001", 250.0, 0)
    assert parse_header("A1 1 500 7500 05-Feb-2020 11:39:16\nA1.mat 16+24", "A1").n_samples == 7500


def test_segments():
    header = parse_header("s/3 2 125 300\ns_layout 0\n~ 100\ns_1 200", "s")
    assert header.segments == (("s_layout", 0), ("~", 100), ("s_1", 200))
    assert header.signals == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "empty"),
        ("# only a comment", "empty"),
        ("justaname", "record line"),
        ("r 1000000000 500 10\nr.dat 16", "announces 1000000000 signal lines and has 1"),
        ("r 1 500 10\nr.dat 16\nr.dat 16", "announces 1 signal lines and has 2"),
        ("r -1 500 10", "number of signals"),
        ("r 1_0 500 10", "number of signals"),
        ("r 1 0 10\nr.dat 16", "sampling rate"),
        ("r 1 -500 10\nr.dat 16", "sampling rate"),
        ("r 1 nan 10\nr.dat 16", "sampling rate"),
        ("r 1 1e999 10\nr.dat 16", "sampling rate"),
        ("r 1 500 -10\nr.dat 16", "number of samples"),
        ("r 1 500 99999999999999999999\nr.dat 16", "number of samples"),
        ("r/2 1 500 10\na 5\nb x", "length of a segment"),
        ("r/1 1 500 10\na", "segment line"),
        ("r 1 500 10\nr.dat", "signal line"),
        ("r 1 500 10\nr.dat sixteen 200 0 0 0 0 0 I", "storage format"),
        ("r 1 500 10\nr.dat 16+-24 200 0 0 0 0 0 I", "storage format"),
        ("r 1 500 10\nr.dat 16 1e999 16 0 0 0 0 I", "impossible"),
        ("r 1 500 10\nr.dat 16 1e-300 16 0 0 0 0 I", "impossible"),
        ("r 1 500 10\nr.dat 16 200(99999999999) 16 0 0 0 0 I", "impossible"),
        ("r 1 500 10\nr.dat 16 200 16 " + "9" * 5000 + " 0 0 0 I", "signal line"),
    ],
)  # fmt: skip
def test_wrong_headers_say_what_is_wrong(text, problem):
    with pytest.raises(RecordError, match=problem) as caught:
        parse_header(text, "where/r")
    assert caught.value.where == "where/r"
    assert caught.value.remedy
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("comments", "expected"),
    [
        (["Age: 69", "Sex: Male", "Dx: 446358003,164867002"], (69.0, "male", ("446358003", "164867002"))),
        (["Age: NaN", "Sex: Unknown", "Dx: Unknown"], (None, None, ())),
        (["Age:7", "Sex:F", "Dx 59118001, 426783006"], (7.0, "female", ("59118001", "426783006"))),
        (["age: 81", "sex: female", "Reason for admission: Myocardial infarction"], (81.0, "female", ())),
        (["<age>: 51 <sex>: F <diagnoses>: healthy"], (51.0, "female", ())),
        (["72 F 750 1629 x1", "Digoxin"], (72.0, "female", ())),
        (["-1 M 1435 1629 x1"], (None, "male", ())),
        (["Age: 300", "Sex: M"], (None, "male", ())),
        (["Age: -3"], (None, None, ())),
        (["Dosage: 5", "Dxy: 3"], (None, None, ())),
        ([], (None, None, ())),
    ],
)  # fmt: skip
def test_clinical(comments, expected):
    assert clinical(comments) == expected


def test_numbers_are_finite():
    spec = one_signal("r.dat 16 1e12 16 0 0 0 0 I")
    assert math.isfinite(spec.gain)
