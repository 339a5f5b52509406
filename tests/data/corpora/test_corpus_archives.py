"""MIT-BIH, the large archives, folders and arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import edfio
import h5py
import numpy as np
import pandas as pd
import pytest
import wfdb

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.arrays import Arrays
from ssl_ecg.data.corpora.code15 import CODE15
from ssl_ecg.data.corpora.folder import Folder
from ssl_ecg.data.corpora.mimic_iv_ecg import MIMICIVECG
from ssl_ecg.data.corpora.mitdb import MITDB, RECORDS
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.sources import OneRecord
from ssl_ecg.tasks import get_task


def test_mitdb_has_48_records_of_47_patients(layouts: dict[str, Path]) -> None:
    assert len(RECORDS) == 48
    corpus = MITDB(layouts["mitdb"])
    entries = {entry.record_id: entry for entry in corpus.entries()}
    assert entries["201"].patient_id == entries["202"].patient_id == "201"
    assert len({entry.patient_id for entry in entries.values()}) == 3
    assert (entries["100"].age, entries["100"].sex) == (69.0, "male")
    assert corpus.read(entries["100"]).annotations is not None
    assert MITDB(layouts["mitdb"], annotated=False).read(entries["100"]).annotations is None


@pytest.mark.real
def test_real_mitdb_annotations(real_data: Path) -> None:
    corpus = MITDB(real_data / "mitdb")
    entry = next(corpus.entries())
    annotations = corpus.read(entry).annotations
    expected = wfdb.rdann(str(real_data / "mitdb" / "100"), "atr")
    assert annotations is not None
    np.testing.assert_array_equal(annotations.sample, expected.sample)
    assert list(annotations.symbol) == expected.symbol


def test_mimic_is_listed_row_by_row(layouts: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = MIMICIVECG(layouts["mimic_iv_ecg"])
    first = next(corpus.entries())
    assert first.location == "files/p1000/p10000032/s40000000/40000000.hea"
    assert (first.record_id, first.patient_id) == ("40000000", "10000032")
    assert corpus.patient_key(first) == "mimic_iv_ecg/10000032"


def test_mimic_table_is_streamed(tmp_path: Path) -> None:
    import tracemalloc

    row = "10000032,{0},{0},2180-07-23 08:44:00,files/p1000/p10000032/s{0}/{0}\n"
    with (tmp_path / "record_list.csv").open("w") as file:
        file.write("subject_id,study_id,file_name,ecg_time,path\n")
        file.writelines(row.format(40_000_000 + k) for k in range(20_000))
    corpus = MIMICIVECG(tmp_path)
    tracemalloc.start()
    count = sum(1 for _ in corpus.entries())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 500_000


@pytest.mark.parametrize("text", ["subject_id,study_id\n1,2\n", "subject_id,study_id,path\n1,,x\n", ""])
def test_malformed_mimic(tmp_path: Path, text: str) -> None:
    (tmp_path / "record_list.csv").write_text(text)
    with pytest.raises(CorpusError, match="; "):
        list(MIMICIVECG(tmp_path).entries())


def test_code15_labels_against_pandas(layouts: dict[str, Path]) -> None:
    corpus = CODE15(layouts["code15"])
    table = pd.read_csv(layouts["code15"] / "exams.csv").set_index("exam_id")
    entries = list(corpus.entries())
    assert len(entries) == 30  # the last row of each part is empty
    labels, known = get_task("code6").labels([entry.codes for entry in entries])
    assert known.all()
    for entry, row in zip(entries, labels, strict=True):
        exam = table.loc[int(entry.record_id)]
        assert row.tolist() == exam[["1dAVb", "RBBB", "LBBB", "SB", "AF", "ST"]].astype(float).tolist()
        assert ("normal_ecg" in entry.codes) == exam["normal_ecg"]
        assert entry.patient_id == str(exam["patient_id"])
        assert entry.age == exam["age"]
        assert entry.sex == ("male" if exam["is_male"] else "female")
        assert entry.location.startswith(exam["trace_file"])


def test_code15_padding_is_taken_off(layouts: dict[str, Path]) -> None:
    corpus = CODE15(layouts["code15"])
    entries = list(corpus.entries())
    records = [corpus.read(entry) for entry in entries]
    assert [record.signal.shape for record in records[:2]] == [(12, 4000), (12, 2800)]
    with h5py.File(layouts["code15"] / "exams_part1.hdf5") as file:
        np.testing.assert_array_equal(records[16].signal, file["tracings"][1, 648:-648].T)
    half = CODE15(layouts["code15"], scale=0.5).read(entries[0])
    np.testing.assert_allclose(half.signal, records[0].signal / 2)


def test_incomplete_and_damaged_code15(build: Callable[[str], Path]) -> None:
    root = build("code15")
    corpus = CODE15(root)
    entries = list(corpus.entries())
    with h5py.File(root / "exams_part1.hdf5", "r+") as file:
        file["tracings"][0] = 0
    with pytest.raises(RecordError, match="all samples are zero"):
        corpus.read(entries[15])
    with h5py.File(root / "exams_part0.hdf5", "r+") as file:
        del file["tracings"]
    with pytest.raises(RecordError, match="fetch the part again"):
        CODE15(root).read(entries[0])
    (root / "exams_part0.hdf5").unlink()
    with pytest.warns(UserWarning, match=r"1 parts are not there: exams_part0\.hdf5"):
        assert [entry.record_id for entry in CODE15(root).entries()] == [e.record_id for e in entries[15:]]
    (root / "exams_part1.hdf5").unlink()  # it is still open
    (root / "exams_part1.hdf5").write_bytes(b"not HDF5")
    with pytest.raises(CorpusError, match="cannot read exam_id"), pytest.warns(UserWarning, match="not there"):
        list(CODE15(root).entries())
    (root / "exams_part1.hdf5").unlink()
    with pytest.raises(CorpusError, match=r"no exams_part\*\.hdf5"):
        list(CODE15(root).entries())
    table = root / "exams.csv"
    table.write_text(table.read_text().replace("True", "maybe", 1))
    with pytest.raises(CorpusError, match="'maybe' is neither true nor false"):
        list(CODE15(root).entries())


def test_folder_names_records_by_path_and_sorts_them(tmp_path: Path, record_writer: Callable[..., np.ndarray]) -> None:
    for name in ("b/x", "a/z", "a/y"):
        record_writer(tmp_path / name, comments=("Age: 70", "Sex: F", "Dx: 426783006"))
    np.save(tmp_path / "b" / "w.npy", np.ones((2, 500), np.float32))
    np.save(tmp_path / "b" / "x.npy", np.ones((2, 500), np.float32))
    (tmp_path / "a" / "y.edf").write_bytes(b"described by y.hea")
    (tmp_path / ".hidden").mkdir()
    np.save(tmp_path / ".hidden" / "q.npy", np.ones((2, 500)))
    corpus = Folder(tmp_path, fs=250, leads="I,II", scale=0.5, namespace="ward")
    entries = list(corpus.entries())
    assert [entry.record_id for entry in entries] == ["a/y", "a/z", "b/w", "b/x", "b/x.npy"]
    assert (entries[0].age, entries[0].sex, entries[0].codes) == (70.0, "female", ("426783006",))
    assert corpus.patient_key(entries[0]) == "ward/record-a/y"
    record = corpus.read(entries[2])
    assert (record.fs, record.leads, record.record_id, float(record.signal.max())) == (250, ("I", "II"), "b/w", 0.5)
    assert corpus.read(entries[0]).fs == 500
    with pytest.raises(RecordError, match=r"give fs=\.\.\."):
        Folder(tmp_path).read(entries[2])


def test_csv_files_are_recordings_where_a_rate_is_given(tmp_path: Path) -> None:
    samples = np.arange(1000).reshape(500, 2) / 1000
    np.savetxt(tmp_path / "k.csv", samples, delimiter=",", header="I,II", comments="")
    np.save(tmp_path / "m.npy", np.ones((2, 500), np.float32))
    assert [entry.record_id for entry in Folder(tmp_path).entries()] == ["m"]
    corpus = Folder(tmp_path, fs=250, leads="I,II")
    entries = list(corpus.entries())
    assert [entry.record_id for entry in entries] == ["k", "m"]
    np.testing.assert_allclose(corpus.read(entries[0]).signal, samples.T, atol=1e-6)


def test_options_of_a_folder_are_for_arrays_that_say_too_little(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(size=(2, 500)).astype(np.float32)
    np.savez(tmp_path / "a.npz", signal=signal, fs=500, leads=["II", "I"])
    np.savetxt(tmp_path / "b.csv", signal.T, delimiter=",", header="V2,V1", comments="")
    np.save(tmp_path / "c.npy", signal)
    corpus = Folder(tmp_path, fs=250, leads="I,II")
    read = [corpus.read(entry) for entry in corpus.entries()]
    assert [(record.fs, record.leads) for record in read] == [
        (500, ("II", "I")),
        (250, ("V2", "V1")),
        (250, ("I", "II")),
    ]
    for record in read:
        np.testing.assert_allclose(record.signal, signal, rtol=1e-6)


def test_leads_named_otherwise_can_be_said_to_be_standard_ones(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=2500)
    channel = edfio.EdfSignal(values, 250, label="ECG", physical_dimension="mV")
    edfio.Edf([channel]).write(tmp_path / "night.edf")
    (entry,) = Folder(tmp_path).entries()
    assert Folder(tmp_path).read(entry).leads == ("ECG",)
    assert Folder(tmp_path, leads_as="mlii").read(entry).leads == ("II",)
    assert OneRecord(tmp_path / "night.edf", {"leads_as": "V1"}).read(entry).leads == ("V1",)
    with pytest.raises(RecordError, match=r"2 names for 1 leads \(ECG\)"):
        Folder(tmp_path, leads_as="I,II").read(entry)


def test_segments_are_no_records_of_their_own(tmp_path: Path, record_writer: Callable[..., np.ndarray]) -> None:
    for name in ("s0001", "s0002"):
        record_writer(tmp_path / "p1" / name, n=300)
    (tmp_path / "p1" / "whole.hea").write_text("whole/2 12 500 600\ns0001 300\ns0002 300\n")
    corpus = Folder(tmp_path)
    entries = list(corpus.entries())
    assert [entry.record_id for entry in entries] == ["p1/whole"]
    assert corpus.read(entries[0]).signal.shape == (12, 600)


def test_arrays_with_all_kinds_of_columns(layouts: dict[str, Path]) -> None:
    corpus = Arrays(layouts["arrays"])
    entries = list(corpus.entries())
    assert entries[1].codes == ("NORM", "SR")
    assert entries[2].codes == ("MI", "SR")
    assert (entries[1].patient_id, entries[1].fold, entries[1].age, entries[1].sex) == ("p0", 1, 41.0, "female")
    assert corpus.read(entries[0]).fs == 250.0
    chosen = Arrays(layouts["arrays"], codes=["rhythm"])
    assert {entry.codes for entry in chosen.entries()} == {("SR",)}
    flags = Arrays(layouts["arrays"], codes="NORM,MI")
    assert next(flags.entries()).codes == ("MI",)


def test_axes_scale_and_leads_of_arrays(tmp_path: Path) -> None:
    values = np.arange(3 * 2 * 50, dtype=np.int16).reshape(3, 2, 50)
    np.save(tmp_path / "x.npy", values)
    (tmp_path / "t.csv").write_text("id,codes,sex\na,\"['AFIB', 'STD_']\",1\nb,SR;LVH,0\nc,,\n")
    corpus = Arrays(tmp_path, fs=125, leads="V1,II", scale=0.01)
    entries = list(corpus.entries())
    assert [entry.codes for entry in entries] == [("AFIB", "STD_"), ("SR", "LVH"), ()]
    assert {entry.sex for entry in entries} == {None}  # numbers alone do not say which is which
    record = corpus.read(entries[1])
    assert (record.fs, record.leads) == (125.0, ("V1", "II"))
    np.testing.assert_allclose(record.signal, values[1] * 0.01, rtol=1e-6)
    np.testing.assert_allclose(Arrays(tmp_path, fs=1, leads="I,II").read(entries[1]).signal, values[1] / 1000)
    with pytest.raises(RecordError, match=r"give fs=\.\.\., in Hz"):
        Arrays(tmp_path, leads="I,II").read(entries[0])
    with pytest.raises(CorpusError, match=r"there are 12 leads; give leads="):
        list(Arrays(tmp_path, fs=125).entries())
    with pytest.raises(CorpusError, match="no column 'dx'"):
        list(Arrays(tmp_path, leads="I,II", codes=["dx"]).entries())


def test_square_arrays_need_axes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(2, 12, 12)).astype(np.float32)
    np.save(tmp_path / "x_100Hz.npy", values)
    (tmp_path / "t.csv").write_text("id\na\nb\n")
    with pytest.raises(CorpusError, match="axes="):
        list(Arrays(tmp_path).entries())
    for axes, expected in (("record,time,lead", values[0].T), ("record, lead, time", values[0])):
        corpus = Arrays(tmp_path, axes=axes)
        np.testing.assert_array_equal(corpus.read(next(corpus.entries())).signal, expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "signals_250hz.npy").unlink(), r"no \.npy file"),
        (lambda root: (root / "signals_250hz.npy").write_bytes(b"\x93NUMPY"), "cannot read the array"),
        (lambda root: np.save(root / "second.npy", np.ones(3)), r"2 \.npy files"),
        (lambda root: np.save(root / "signals_250hz.npy", np.ones((24, 12))), "save numbers with the axes"),
        (lambda root: np.save(root / "signals_250hz.npy", np.ones((23, 500, 12))), "23 records and the table"),
        (lambda root: np.save(root / "signals_250hz.npy", np.ones((25, 500, 12))), "25 records and the table"),
        (lambda root: (root / "records.csv").write_text("name\nx\n"), "no column of record names"),
        (lambda root: (root / "records.csv").write_text("id,fold\nx,one\n"), "'one' is no number"),
        (lambda root: (root / "records.csv").write_text("id,fold\nx,1.5\n"), "'1.5' is no integer"),
        (lambda root: (root / "records.csv").write_text("id\n"), "no rows"),
        (
            lambda root: (root / "records.csv").write_text("id,patient_id,fold\na,p,1\nb,p,2\n"),
            "patient p is in the folds 1 and 2",
        ),
    ],
)
def test_arrays_that_do_not_fit(build: Callable[[str], Path], change: Callable[[Path], object], message: str) -> None:
    root = build("arrays")
    change(root)
    with pytest.raises(CorpusError, match=message):
        list(Arrays(root).entries())


@pytest.mark.real
def test_real_noise_records_as_a_folder(real_data: Path) -> None:
    corpus = open_corpus(real_data / "nstdb")
    assert corpus.name == "folder"
    assert [entry.record_id for entry in corpus.entries()] == ["bw", "em", "ma"]
