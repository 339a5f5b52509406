"""PTB-XL and its z-scored records, against pandas, ast and wfdb."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import wfdb

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.ptbxl import PTBXL
from ssl_ecg.errors import CorpusError, RecordError
from ssl_ecg.tasks import get_task
from ssl_ecg.tasks.ptbxl import REBUILT


def test_cells_mean_what_ptbxl_says(layouts: dict[str, Path]) -> None:
    entries = list(PTBXL(layouts["ptbxl"]).entries())
    first, second = entries[:2]
    assert (first.record_id, first.patient_id, first.fold) == ("1", "100", 1)
    assert first.age == 90.0  # stored as 300: over 89
    assert (first.sex, second.sex) == ("female", "male")
    assert first.codes == ("NORM", "SR")
    assert second.codes == ("IMI", "AFIB")  # a likelihood of 0 counts
    assert first.location == "records100/00000/00001_lr.hea"


def test_rate_and_the_other_rate_where_that_is_all_there_is(
    build: Callable[[str], Path], record_writer: Callable[..., np.ndarray]
) -> None:
    root = build("ptbxl")
    record_writer(root / "records500/00000/00001_hr", fs=500, n=1000)
    fast, slow = PTBXL(root, rate=500), PTBXL(root)
    assert [fast.read(entry).fs for entry in list(fast.entries())[:2]] == [500.0, 100.0]
    (root / "records100/00000/00001_lr.hea").unlink()
    assert slow.read(next(slow.entries())).fs == 500.0
    (root / "records500/00000/00001_hr.hea").unlink()
    assert next(slow.entries()).location == "records100/00000/00001_lr.hea"
    with pytest.raises(RecordError, match="no header"):
        slow.read(next(slow.entries()))
    with pytest.raises(CorpusError, match="choose 100 or 500"):
        PTBXL(root, rate=250)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scp_codes", "codes", "no column 'scp_codes'; its columns are"),
        ("{'NORM': 100.0, 'SR': 0.0}", "__import__('os').getcwd()", "is no list or dictionary"),
        ("{'NORM': 100.0, 'SR': 0.0}", "['NORM']", "scp_codes is no dictionary"),
        (",300.0,", ",old,", "'old' is no number"),
        ("\n1,", "\n,", "no ecg_id"),
        ("\n2,100.0,42", "\n2,42", "line 3 has 7 cells and the header 8"),
        ("\n4,101.0,44,0,", "\n4,100.0,44,0,", "patient 100 is in the folds 1 and 2"),
    ],
)
def test_malformed_tables(build: Callable[[str], Path], old: str, new: str, message: str) -> None:
    root = build("ptbxl")
    table = root / "ptbxl_database.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message):
        list(PTBXL(root).entries())


def test_missing_and_empty_table(build: Callable[[str], Path], tmp_path: Path) -> None:
    root = build("ptbxl")
    table = root / "ptbxl_database.csv"
    table.write_text(table.read_text().splitlines()[0])
    with pytest.raises(CorpusError, match="no rows"):
        list(PTBXL(root).entries())
    table.unlink()
    with pytest.raises(CorpusError, match="ssl-ecg download ptbxl"):
        list(PTBXL(root).entries())


@pytest.mark.real
def test_real_table_against_pandas(real_data: Path) -> None:
    table = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    entries = list(PTBXL(real_data / "ptbxl").entries())
    assert [int(entry.record_id) for entry in entries] == table["ecg_id"].tolist()
    assert [int(entry.patient_id or -1) for entry in entries] == table["patient_id"].astype(int).tolist()
    assert [entry.fold for entry in entries] == table["strat_fold"].tolist()
    codes = [list(ast.literal_eval(cell)) for cell in table["scp_codes"]]
    marks = [[] if source == "original" else [REBUILT] for source in table["scp_codes_source"]]
    assert [entry.codes for entry in entries] == [(*cell, *mark) for cell, mark in zip(codes, marks, strict=True)]
    sexes = table["sex"].map({0: "male", 1: "female"})
    assert [entry.sex for entry in entries] == sexes.tolist()
    ages = [90.0 if age == 300 else age for age in table["age"]]
    assert [entry.age for entry in entries] == ages
    original = [bool(entry.codes) for entry in PTBXL(real_data / "ptbxl", original_codes=True).entries()]
    assert sum(original) == (table["scp_codes_source"] == "original").sum()


@pytest.mark.real
@pytest.mark.parametrize("rate", [100, 500])
def test_real_signals_against_wfdb(real_data: Path, rate: int) -> None:
    corpus = PTBXL(real_data / "ptbxl", rate=rate)
    entries = list(corpus.entries())
    for entry in entries[:: len(entries) // 10]:
        expected = wfdb.rdrecord(str(real_data / "ptbxl" / entry.location[:-4]))
        record = corpus.read(entry)
        assert record.fs == expected.fs
        np.testing.assert_allclose(record.signal.T, expected.p_signal, atol=1e-6)


@pytest.mark.real
def test_real_superclasses_against_the_statements(real_data: Path) -> None:
    statements = pd.read_csv(real_data / "ptbxl" / "scp_statements.csv", index_col=0)
    classes = statements["diagnostic_class"].dropna()
    entries = list(PTBXL(real_data / "ptbxl").entries())
    labels, known = get_task("superclass").labels([entry.codes for entry in entries])
    for entry, row, sure in zip(entries, labels, known, strict=True):
        expected = {classes[code] for code in entry.codes if code in classes}
        assert {name for name, value in zip(("NORM", "MI", "STTC", "CD", "HYP"), row, strict=True) if value} == expected
        assert sure == bool(expected)


@pytest.mark.real
def test_real_zscored_records(real_data: Path) -> None:
    folder = real_data / "ptbxl_zscored"
    corpus = open_corpus(folder, namespace="ptbxl")
    table = pd.read_csv(folder / "records.csv")
    stored = np.load(folder / "signals_100hz.npy", mmap_mode="r")
    entries = list(corpus.entries())
    assert [int(entry.record_id) for entry in entries] == table["ecg_id"].tolist()
    assert [corpus.patient_key(entry) for entry in entries] == [f"ptbxl/{int(p)}" for p in table["patient_id"]]
    assert [entry.fold for entry in entries] == table["strat_fold"].tolist()
    assert [entry.sex for entry in entries] == table["sex"].map({0: "male", 1: "female"}).tolist()
    labels, known = get_task("superclass").labels([entry.codes for entry in entries])
    np.testing.assert_array_equal(labels, table[["NORM", "MI", "STTC", "CD", "HYP"]].to_numpy())
    assert known.all()
    for k in (0, 7, 1479):
        record = corpus.read(entries[k])
        assert (record.fs, record.leads[3]) == (100.0, "aVR")
        np.testing.assert_allclose(record.signal, stored[k].T / 1000.0, atol=1e-5)
        np.testing.assert_allclose(record.signal.std(axis=1), 1.0, atol=0.02)
