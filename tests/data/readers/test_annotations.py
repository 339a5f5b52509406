"""Annotation files, written by wfdb."""

from __future__ import annotations

import numpy as np
import pytest
import wfdb

from ssl_ecg.data.readers import read_record
from ssl_ecg.errors import RecordError

SAMPLES, SYMBOLS = [5, 18, 18, 77, 90], ["+", "N", "N", "V", "~"]
NOTES = ["(AFIB", "", "", "", ""]


@pytest.fixture
def annotated(wfdb_record, tmp_path):
    base = wfdb_record(np.arange(200).reshape(100, 2), fs=360)

    def write(fs=None):
        wfdb.wrann("r1", "atr", np.array(SAMPLES), SYMBOLS, aux_note=NOTES, fs=fs, write_dir=str(tmp_path))
        return base

    return write


def test_only_when_asked(annotated):
    base = annotated()
    assert read_record(base).annotations is None
    found = read_record(base, annotations="atr").annotations
    assert found.sample.tolist() == SAMPLES
    assert found.sample.dtype == np.int64
    assert (list(found.symbol), list(found.note)) == (SYMBOLS, NOTES)


def test_a_window_counts_from_its_start(annotated):
    found = read_record(annotated(), annotations="atr", start=10, stop=90).annotations
    assert (found.sample.tolist(), found.symbol) == ([8, 8, 67], ("N", "N", "V"))


def test_another_rate_is_moved_to_that_of_the_record(annotated):
    found = read_record(annotated(fs=180), annotations="atr").annotations
    assert found.sample.tolist() == [2 * sample for sample in SAMPLES]


@pytest.mark.parametrize("note", ["## made by hand", "## annotation type definitions!", "## time resolution: x"])
def test_notes_at_which_wfdb_hangs_are_refused(annotated, tmp_path, note):
    base = annotated()
    path = str(tmp_path)
    wfdb.wrann("r1", "atr", np.array([0, 5]), ['"', "N"], aux_note=[note, ""], write_dir=path)
    with pytest.raises(RecordError, match="cannot interpret"):
        read_record(base, annotations="atr")
    wfdb.wrann("r1", "atr", np.array([5]), ["+"], aux_note=["(N # ## fine"], write_dir=path)
    assert read_record(base, annotations="atr").annotations.note == ("(N # ## fine",)


def test_missing_or_damaged(annotated, tmp_path):
    base = annotated()
    with pytest.raises(RecordError, match="no annotation file"):
        read_record(base, annotations="qrs")
    with pytest.raises(RecordError, match="suffix"):
        read_record(base, annotations="../atr")
    for content in (b"\x01", b"\xff" * 31, b"\x00\xec" * 5):
        (tmp_path / "r1.atr").write_bytes(content)
        try:
            found = read_record(base, annotations="atr").annotations
        except RecordError:
            continue
        assert len(found.sample) == len(found.symbol) == len(found.note)
