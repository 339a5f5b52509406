"""The fast path against wfdb on real records: the same bits, leads and patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.wfdb_fast import plain_files
from ssl_ecg.data.readers.wfdb_files import read_header

SETS = {
    "ptbxl/records100": 12, "ptbxl/records500": 12, "cinc2011": 12, "cinc2021": 12, "mitdb": 2, "nstdb": 2,
}  # fmt: skip
pytestmark = pytest.mark.real


def records(folder: Path) -> list[Path]:
    found = sorted(path.with_suffix("") for path in folder.rglob("*.hea"))
    if not found:
        pytest.skip(f"no records in {folder}")
    return found


def check(path: Path, leads: int) -> None:
    record, reference = read_record(path), wfdb.rdrecord(str(path))
    assert record.signal.dtype == np.float32
    assert record.signal.shape == (leads, reference.sig_len)
    assert record.signal.tobytes() == reference.p_signal.T.astype(np.float32).tobytes(), path
    assert record.leads == tuple(reference.sig_name)
    assert record.fs == reference.fs
    assert plain_files(read_header(str(path), str(path)).signals) is not None  # it was the fast path


@pytest.mark.parametrize("name", SETS)
def test_same_bits_on_a_sample(real_data, name):
    every = records(real_data / name)
    for path in every[:: max(1, len(every) // (3 if SETS[name] == 2 else 15))]:
        check(path, SETS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_same_bits_on_every_record(real_data, name):
    for path in records(real_data / name):
        check(path, SETS[name])


@pytest.mark.parametrize("name", ["mitdb", "nstdb"])
def test_block_by_block_is_the_whole(real_data, name):
    path = records(real_data / name)[0]
    whole = read_record(path).signal
    blocks = [read_record(path, start=k, stop=k + 99_999).signal for k in range(0, whole.shape[1], 99_999)]
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), whole)


def test_annotations_of_mitdb(real_data):
    for path in records(real_data / "mitdb")[::4]:
        ours, theirs = read_record(path, annotations="atr").annotations, wfdb.rdann(str(path), "atr")
        assert ours is not None
        np.testing.assert_array_equal(ours.sample, theirs.sample)
        assert list(ours.symbol) == theirs.symbol
        assert list(ours.note) == [note.rstrip("\x00") for note in theirs.aux_note]
        assert "(N" in ours.note


def test_patients_in_headers(real_data):
    record = read_record(real_data / "mitdb" / "114")
    assert (record.age, record.sex, record.leads) == (72.0, "female", ("V5", "MLII"))
    read = [read_record(path) for path in records(real_data / "cinc2021")]
    assert all(record.codes and all(code.isdigit() for code in record.codes) for record in read)
    assert {record.sex for record in read} == {"male", "female"}
    assert sum(record.age is not None for record in read) >= 0.95 * len(read)


def test_limb_leads_of_cinc2011_are_named_in_the_order_of_the_file(real_data):
    record = read_record(records(real_data / "cinc2011")[0])
    assert record.leads[3:6] == ("aVR", "aVF", "aVL")
