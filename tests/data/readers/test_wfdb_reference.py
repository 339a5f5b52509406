"""What the fast path leaves to wfdb: other formats, several samples a frame, skew, several segments."""

from __future__ import annotations

import numpy as np
import pytest
import wfdb

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.readers.wfdb_fast import plain_files
from ssl_ecg.data.readers.wfdb_files import read_header
from ssl_ecg.errors import RecordError


def steps(samples: int, leads: int, largest: int = 500) -> np.ndarray:
    return np.random.default_rng(samples + leads).integers(-largest, largest, (samples, leads))


def physical(base: str) -> np.ndarray:
    return wfdb.rdrecord(base).p_signal.T.astype(np.float32)


@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("samples", [3, 7, 100])
@pytest.mark.parametrize("fmt", ["310", "311"])
def test_ten_bit_formats(wfdb_record, fmt, samples, leads):
    values = steps(samples, leads)
    values[1, 0] = -512
    base = wfdb_record(values, fmt)
    expected = (values / 200.0).astype(np.float32).T
    expected[0, 1] = np.nan
    np.testing.assert_array_equal(read_record(base).signal, expected)
    np.testing.assert_array_equal(read_record(base, start=2).signal, expected[:, 2:])


def test_differences_are_summed_from_the_start_also_for_a_window(wfdb_record):
    base = wfdb_record(np.array([[1, 2], [1, 2], [-3, 5], [4, -6]]), "8")
    expected = np.array([[2, 3, 0, 4], [4, 6, 11, 5]], np.float32) / 200  # the header's first values are 1 and 2
    np.testing.assert_allclose(read_record(base).signal, expected)
    np.testing.assert_allclose(read_record(base, start=2, stop=3).signal, expected[:, 2:3])


@pytest.mark.parametrize("fmt", ["508", "516", "524"])
def test_compressed_formats(tmp_path, fmt):
    pytest.importorskip("soundfile")
    values = steps(300, 3, 100)
    wfdb.wrsamp(
        "z", 500, ["mV"] * 3, ["I", "II", "V1"], d_signal=values, fmt=[fmt] * 3,
        adc_gain=[100.0] * 3, baseline=[0] * 3, write_dir=str(tmp_path),
    )  # fmt: skip
    record = read_record(tmp_path / "z")
    np.testing.assert_array_equal(record.signal, (values.T / 100.0).astype(np.float32))
    np.testing.assert_array_equal(read_record(tmp_path / "z", start=100, stop=110).signal, record.signal[:, 100:110])


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_several_samples_a_frame_are_averaged(tmp_path, encode, fmt):
    (tmp_path / "m.hea").write_text(
        f"m 2 250 4\nm.dat {fmt}x2 100/mV 16 0 0 0 0 II\nm.dat {fmt} 100/mV 16 0 0 0 0 V1\n"
    )
    (tmp_path / "m.dat").write_bytes(encode([10, 20, 5, 30, 40, 6, 50, 60, 7, 70, 80, 8], fmt))
    record = read_record(tmp_path / "m")
    np.testing.assert_allclose(record.signal, [[0.15, 0.35, 0.55, 0.75], [0.05, 0.06, 0.07, 0.08]], rtol=1e-6)
    assert record.fs == 250
    assert record.signal.tobytes() == physical(str(tmp_path / "m")).tobytes()


def test_skew_is_undone_and_the_end_is_invalid(tmp_path, encode):
    (tmp_path / "k.hea").write_text("k 2 500 4\nk.dat 16 1/mV 16 0 0 0 0 I\nk.dat 16:2 1/mV 16 0 0 0 0 II\n")
    (tmp_path / "k.dat").write_bytes(encode([1, 9, 2, 9, 3, 1, 4, 2], "16"))
    record = read_record(tmp_path / "k")
    np.testing.assert_array_equal(record.signal, [[1, 2, 3, 4], [1, 2, np.nan, np.nan]])


def write_segments(folder, wfdb_record, *, variable: bool):
    first, second = steps(30, 2), steps(20, 2)
    wfdb_record(first, name="s_1", leads=["I", "V1"])
    wfdb_record(second[:, ::-1] if variable else second, name="s_2", leads=["V1", "I"] if variable else ["I", "V1"])
    gap = "~ 5\n" if variable else ""
    layout = "s_0 0\n" if variable else ""
    total = 55 if variable else 50
    (folder / "s.hea").write_text(f"s/{4 if variable else 2} 2 500 {total}\n{layout}s_1 30\n{gap}s_2 20\n# Age: 50\n")
    if variable:
        lines = "".join(f"~ 0 200/mV 16 0 0 0 0 {lead}\n" for lead in ("I", "V1"))
        (folder / "s_0.hea").write_text("s_0 2 500 0\n" + lines)
    parts = [first, np.full((5, 2), np.nan), second] if variable else [first, second]
    return (np.concatenate(parts).T / 200.0).astype(np.float32)


@pytest.mark.parametrize("variable", [False, True])
def test_segments_are_joined(tmp_path, wfdb_record, variable):
    expected = write_segments(tmp_path, wfdb_record, variable=variable)
    record = read_record(tmp_path / "s")
    assert (record.leads, record.age, record.fs) == (("I", "V1"), 50.0, 500.0)
    np.testing.assert_array_equal(record.signal, expected)
    assert record.signal.tobytes() == physical(str(tmp_path / "s")).tobytes()
    for start, stop in [(0, 10), (5, 35), (25, 40), (40, 50), (45, None)]:
        part = read_record(tmp_path / "s", start=start, stop=stop)
        np.testing.assert_array_equal(part.signal, expected[:, start:stop])
    np.testing.assert_array_equal(read_record(tmp_path / "s", leads=["V1"]).signal, expected[1:])


def test_a_window_within_a_gap_is_invalid_throughout(tmp_path, wfdb_record):
    write_segments(tmp_path, wfdb_record, variable=True)
    record = read_record(tmp_path / "s", start=31, stop=34)
    assert record.signal.shape == (2, 3)
    assert np.isnan(record.signal).all()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("s_2 20", "../s_2 20", "outside its own folder"),
        ("s_2 20", "s 20", "no signals of its own"),  # itself
        ("s_2 20", "s_3 20", "no header"),
        ("s_2 20", "s_2 21", "not 21 samples"),
        ("s_1 30", "s_1 29", "not 29 samples"),
        ("s/2 2", "s/2 3", "2 of 3 leads"),
        ("2 500 50", "2 250 50", "sampled at 500 Hz"),
    ],
)  # fmt: skip
def test_wrong_segments(tmp_path, wfdb_record, old, new, problem):
    write_segments(tmp_path, wfdb_record, variable=False)
    text = (tmp_path / "s.hea").read_text()
    assert old in text
    (tmp_path / "s.hea").write_text(text.replace(old, new))
    with pytest.raises(RecordError, match=problem):
        read_record(tmp_path / "s")


def test_segments_with_several_leads_or_units(tmp_path, wfdb_record):
    write_segments(tmp_path, wfdb_record, variable=False)
    header = (tmp_path / "s_2.hea").read_text()
    (tmp_path / "s_2.hea").write_text(header.replace(" V1", " V2"))
    with pytest.raises(RecordError, match="other leads"):
        read_record(tmp_path / "s")
    (tmp_path / "s_2.hea").write_text(header.replace("/mV", "/uV"))
    with pytest.raises(RecordError, match="in mV and in uV"):
        read_record(tmp_path / "s")


def test_a_gap_of_years_costs_no_memory(tmp_path, wfdb_record):
    write_segments(tmp_path, wfdb_record, variable=True)
    text = (tmp_path / "s.hea").read_text()
    (tmp_path / "s.hea").write_text(text.replace("~ 5", "~ 50000000000").replace("500 55", "500 50000000050"))
    with pytest.raises(RecordError, match="too many") as caught:
        read_record(tmp_path / "s")
    assert "start and stop" in caught.value.remedy
    assert read_record(tmp_path / "s", stop=30).signal.shape == (2, 30)


def test_a_layout_header_is_no_record(tmp_path, wfdb_record):
    write_segments(tmp_path, wfdb_record, variable=True)
    with pytest.raises(RecordError, match="layout"):
        read_record(tmp_path / "s_0")


def test_units_other_than_millivolts_go_through_wfdb_alike(wfdb_record):
    values = steps(30, 2)
    by_wfdb = read_record(wfdb_record(values, "310", name="a", units="uV"))
    fast = read_record(wfdb_record(values, "16", name="b", units="uV"))
    np.testing.assert_allclose(by_wfdb.signal, fast.signal, rtol=1e-6)


def test_where_wfdb_reads_a_header_differently_nothing_is_read(wfdb_record, tmp_path):
    """An upper-case exponent is a gain of 1 to wfdb."""
    base = wfdb_record(steps(30, 2), "310", gain="1E3")
    assert plain_files(read_header(base, base).signals) is None
    with pytest.raises(RecordError, match="differently"):
        read_record(base)
    fast = read_record(wfdb_record(steps(30, 2), "16", name="fast", gain="1E3"))
    np.testing.assert_allclose(fast.signal, steps(30, 2).T / 1000, rtol=1e-6)
