"""The corpora of the PhysioNet/CinC Challenges 2011, 2020 and 2021 and of CPSC2018."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb
from scipy.io import loadmat, savemat

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.challenge_sets import SOURCES, source_of
from ssl_ecg.data.corpora.cinc2011 import CinC2011
from ssl_ecg.data.corpora.cinc2020 import CinC2020
from ssl_ecg.data.corpora.cinc2021 import CinC2021
from ssl_ecg.data.corpora.cpsc2018 import CPSC2018
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.tasks import get_task

COUNTS = {"chapman_shaoxing": 10_646, "ningbo": 34_905}


def test_record_names_tell_source_sets_apart() -> None:
    counts = Counter(source_of(f"JS{number:05d}") for number in range(1, 45_552))
    assert counts == COUNTS
    examples = ("A0001", "Q0001", "I0001", "S0001", "HR00001", "E00001", "JS00001", "JS10647")
    assert [source_of(name) for name in examples] == list(SOURCES)
    assert {source_of(name) for name in ("100", "A1", "JS123456", "HR1", "xA0001")} == {None}


def test_labels_age_and_sex_stand_in_the_headers(layouts: dict[str, Path]) -> None:
    entry = next(CinC2021(layouts["cinc2021"]).entries())
    assert entry.record_id == "JS00001"
    assert entry.location == "training/chapman_shaoxing/g1/JS00001.hea"
    assert (entry.age, entry.sex, entry.codes) == (50.0, "female", ("426783006", "164889003"))


def test_source_sets_can_be_chosen(layouts: dict[str, Path]) -> None:
    corpus = CinC2021(layouts["cinc2021"], sources="ningbo,ptb")
    assert [entry.record_id for entry in corpus.entries()] == ["JS10647", "JS45551", "S0001"]
    assert corpus.overlaps == ("cinc2020",)
    assert CinC2021(layouts["cinc2021"], sources=["ningbo"]).overlaps == ()
    assert len(list(CinC2020(layouts["cinc2021"]).entries())) == 11
    with pytest.raises(CorpusError, match="choose from cpsc2018"):
        CinC2021(layouts["cinc2021"], sources=["nimgbo"])
    with pytest.raises(CorpusError, match="choose from"):
        CinC2020(layouts["cinc2021"], sources=["ningbo"])


def test_copies_of_a_recording_have_one_patient_key(layouts: dict[str, Path], build: Callable[[str], Path]) -> None:
    keys = []
    for corpus in (CinC2020(layouts["cinc2020"]), CinC2021(layouts["cinc2021"]), CPSC2018(layouts["cpsc2018"])):
        keys.append({corpus.patient_key(entry) for entry in corpus.entries()})
    assert len(keys[0] & keys[1]) == 11
    assert keys[0] & keys[2] == {"cpsc2018/record-A0001", "cpsc2018/record-A0002", "cpsc2018/record-A0003"}


def test_ptbxl_part_takes_patients_and_folds_of_ptbxl(layouts: dict[str, Path]) -> None:
    ptbxl = open_corpus(layouts["ptbxl"])
    known = {entry.record_id: entry for entry in ptbxl.entries()}
    corpus = CinC2021(layouts["cinc2021"], ptbxl=layouts["ptbxl"], folds=7)
    part = [entry for entry in corpus.entries() if entry.record_id.startswith("HR")]
    assert len(part) == 3
    for entry in part:
        original = known[str(int(entry.record_id[2:]))]
        assert corpus.patient_key(entry) == ptbxl.patient_key(original)
        assert entry.fold == original.fold
    alone = CinC2021(layouts["cinc2021"], folds=7)
    part = [entry for entry in alone.entries() if entry.record_id.startswith("HR")]
    assert [alone.patient_key(entry) for entry in part] == [f"ptbxl/record-{k}" for k in (1, 2, 3)]
    assert {entry.fold for entry in part} == {None}


def test_duplicates_strangers_and_unreadable_headers(
    build: Callable[[str], Path], record_writer: Callable[..., np.ndarray]
) -> None:
    root = build("cinc2021")
    (root / "training/ptb/g1/S0001.hea").write_text("nonsense")
    record_writer(root / "bw")
    corpus = CinC2021(root)
    with pytest.warns(UserWarning, match="1 headers are not of"):
        entries = {entry.record_id: entry for entry in corpus.entries()}
    assert "bw" not in entries
    assert entries["S0001"].codes == ()
    with pytest.raises(RecordError):
        corpus.read(entries["S0001"])
    record_writer(root / "copy" / "E00001")
    with pytest.raises(CorpusError, match="E00001 is there more than once; remove one"):
        list(corpus.entries())


def test_original_cpsc2018(layouts: dict[str, Path]) -> None:
    corpus = CPSC2018(layouts["cpsc2018"])
    entries = list(corpus.entries())
    labels, known = get_task("cpsc9").labels([entry.codes for entry in entries])
    table = pd.read_csv(layouts["cpsc2018"] / "REFERENCE.csv")
    expected = np.zeros((len(table), 9), np.float32)
    for row, numbers in enumerate(table.iloc[:, 1:].to_numpy()):
        expected[row, [int(number) - 1 for number in numbers if number == number]] = 1
    np.testing.assert_array_equal(labels, expected)
    assert known.all()
    record = corpus.read(entries[4])
    ecg = loadmat(layouts["cpsc2018"] / "TrainingSet3" / "A0005.mat")["ECG"][0, 0]
    np.testing.assert_allclose(record.signal, ecg["data"], atol=1e-6)
    assert (record.fs, record.age, record.sex, record.leads[5]) == (500.0, 35.0, "female", "aVF")
    assert record.codes == entries[4].codes


def test_damaged_original_cpsc2018(build: Callable[[str], Path]) -> None:
    root = build("cpsc2018")
    corpus = CPSC2018(root)
    first, second, third, fourth, fifth = list(corpus.entries())[:5]
    (root / first.location).write_bytes((root / first.location).read_bytes()[:300])
    savemat(root / second.location, {"ECG": {"data": np.zeros((3, 10)), "age": 1.0, "sex": "Male"}})
    savemat(root / third.location, {"val": np.zeros((12, 10))})
    (root / fourth.location).unlink()
    savemat(
        root / fifth.location,
        {"ECG": {"data": np.full((12, 9), np.inf), "age": np.nan, "sex": np.array([])}},
    )
    for entry in (first, second, third, fourth):
        with pytest.raises(RecordError, match=entry.record_id):
            corpus.read(entry)
    record = corpus.read(fifth)
    assert record.age is None
    assert record.sex is None
    assert np.isnan(record.signal).all()
    table = root / "REFERENCE.csv"
    text = table.read_text()
    table.write_text(text.replace("A0001,1,", "A0001,10,"))
    with pytest.raises(CorpusError, match="class 10 is not one of 1 to 9"):
        list(corpus.entries())
    table.unlink()
    with pytest.raises(CorpusError, match=r"no REFERENCE\.csv beside the \.mat files"):
        list(corpus.entries())


def test_quality_lists_of_cinc2011(build: Callable[[str], Path]) -> None:
    root = build("cinc2011")
    corpus = CinC2011(root)
    labels = [entry.codes for entry in corpus.entries()]
    assert labels == [("acceptable",)] * 12 + [("unacceptable",)] * 7 + [("indeterminate",)]
    quality, known = get_task("quality").labels(labels)
    assert quality[:, 0].sum() == 7
    assert known.tolist() == [True] * 19 + [False]
    assert [entry.record_id for entry in open_corpus(root / "set-a").entries()] == [
        entry.record_id for entry in corpus.entries()
    ]
    (root / "set-a" / "RECORDS-unacceptable").unlink()
    with pytest.raises(CorpusError, match="set B has no labels"):
        list(corpus.entries())
    (root / "set-a" / "records.csv").write_text("id,label\n1002603,good\n")
    with pytest.raises(CorpusError, match="has the label 'good'; labels are"):
        list(corpus.entries())


@pytest.mark.real
def test_real_cinc2021_against_its_table(real_data: Path) -> None:
    table = pd.read_csv(real_data / "cinc2021" / "records.csv", dtype=str).set_index("id")
    corpus = CinC2021(real_data / "cinc2021")
    entries = list(corpus.entries())
    assert {entry.record_id for entry in entries} == set(table.index)
    names = {"cpsc2018": "CPSC2018", "cpsc_extra": "CPSC-Extra", "chapman_shaoxing": "Chapman-Shaoxing"}
    for entry in entries:
        row = table.loc[entry.record_id]
        source = source_of(entry.record_id) or ""
        assert names.get(source, "Ningbo") == row["db"]
        assert set(entry.codes) == set(row["dx"].replace(";", ",").split(",")) - {""}
        assert entry.age is None if pd.isna(row["age"]) else entry.age == float(row["age"])
        assert (entry.sex or "unknown") == str(row["sex"]).lower()
    assert corpus.present == ("cpsc2018", "cpsc_extra", "chapman_shaoxing", "ningbo")
    assert corpus.overlaps == ("cinc2020", "cpsc2018")
    for entry in entries[::20]:
        expected = wfdb.rdrecord(str(corpus.root / entry.location[:-4])).p_signal
        np.testing.assert_allclose(corpus.read(entry).signal.T, expected, atol=1e-6)


@pytest.mark.real
def test_real_cinc2011_labels(real_data: Path) -> None:
    entries = list(CinC2011(real_data / "cinc2011").entries())
    assert Counter(entry.codes for entry in entries) == {
        ("acceptable",): 773,
        ("unacceptable",): 166,
        ("indeterminate",): 2,
    }
    record = CinC2011(real_data / "cinc2011").read(entries[0])
    assert record.leads[3:6] == ("aVR", "aVF", "aVL")
