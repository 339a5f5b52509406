"""Tasks on the codes of real corpora, against what pandas reads from the published tables."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.ptbxl import PTBXL
from ssl_ecg.errors import LabelError
from ssl_ecg.probing.folder import task_labels
from ssl_ecg.tasks import get_task

pytestmark = pytest.mark.real
KINDS = {"diagnostic44": ["diagnostic"], "form": ["form"], "rhythm": ["rhythm"]} | {
    "ptbxl71": ["diagnostic", "form", "rhythm"]
}


@pytest.fixture(scope="module")
def ptbxl(real_data: Path) -> pd.DataFrame:
    table = pd.read_csv(real_data / "ptbxl" / "ptbxl_database.csv")
    return table.assign(codes=table["scp_codes"].map(lambda cell: list(ast.literal_eval(cell))))


@pytest.fixture(scope="module")
def statements(real_data: Path) -> pd.DataFrame:
    return pd.read_csv(real_data / "ptbxl" / "scp_statements.csv", index_col=0)


def entries(real_data: Path, **options: object) -> list[list[str]]:
    return [list(entry.codes) for entry in PTBXL(real_data / "ptbxl", **options).entries()]


@pytest.mark.parametrize("name", KINDS)
def test_statements(real_data: Path, ptbxl: pd.DataFrame, statements: pd.DataFrame, name: str) -> None:
    chosen = statements.index[(statements[KINDS[name]] == 1).any(axis=1)]
    labels, known = get_task(name).labels(entries(real_data))
    expected = pd.DataFrame({code: ptbxl["codes"].map(lambda codes, c=code: c in codes) for code in chosen})
    there = expected.any(axis=1).to_numpy()
    if name in ("diagnostic44", "ptbxl71"):  # rebuilt codes stand for whole sub-classes
        there = there & (ptbxl["scp_codes_source"] == "original").to_numpy()
    np.testing.assert_array_equal(known, there)
    np.testing.assert_array_equal(labels[there], expected[list(get_task(name).classes)][there])
    assert 0 < known.sum() <= len(known)


@pytest.mark.parametrize(("name", "column"), [("superclass", "diagnostic_class"), ("subclass", "diagnostic_subclass")])
def test_groups(real_data: Path, ptbxl: pd.DataFrame, statements: pd.DataFrame, name: str, column: str) -> None:
    labels, known = get_task(name).labels(entries(real_data))
    group = statements[statements["diagnostic"] == 1][column].to_dict()
    found = [{group[code] for code in codes if code in group} for codes in ptbxl["codes"]]
    assert known.tolist() == [bool(groups) for groups in found]
    for k, class_name in enumerate(get_task(name).classes):
        assert labels[:, k].astype(bool).tolist() == [class_name in groups for groups in found]


def test_cpsc9_masks_what_none_of_its_nine_classes_says(real_data: Path, ptbxl: pd.DataFrame) -> None:
    columns = ["NORM", "AFIB", "1AVB", "CLBBB", "CRBBB", "PAC", "PVC", "STD_", "STE_"]
    expected = np.array([[code in codes for code in columns] for codes in ptbxl["codes"]])
    labels, known = get_task("cpsc9").labels(entries(real_data))
    np.testing.assert_array_equal(known, expected.any(axis=1))
    np.testing.assert_array_equal(labels, expected)
    assert 0.5 < known.mean() < 0.9


@pytest.mark.parametrize("name", ["diagnostic44", "ptbxl71"])
def test_rebuilt_statements_are_no_labels(real_data: Path, ptbxl: pd.DataFrame, name: str) -> None:
    original = (ptbxl["scp_codes_source"] == "original").to_numpy()
    assert 0 < original.sum() < len(original)
    _, known = get_task(name).labels(entries(real_data, original_codes=True))
    assert not known[~original].any()
    assert known[original].mean() > 0.9
    marked = entries(real_data)
    again, known_again = get_task(name).labels(marked)
    np.testing.assert_array_equal(known_again, known)
    assert not again[~original].any()
    for other in ("superclass", "subclass", "form", "rhythm"):  # right for all
        np.testing.assert_array_equal(get_task(other).labels(marked)[0], get_task(other).labels(ptbxl["codes"])[0])


def test_subclass_block_does_not_say_its_degree(real_data: Path) -> None:
    codes = [entry.codes for entry in open_corpus(real_data / "ptbxl_zscored").entries()]
    blocks = np.array([bool({"AVB", "_AVB"} & set(cell)) for cell in codes])
    assert blocks.any()
    for name in ("cpsc9", "code6"):
        assert not get_task(name).labels(codes)[1][blocks].any()


def test_cinc26_needs_snomed_codes(real_data: Path) -> None:
    codes = [entry.codes for entry in open_corpus(real_data / "cinc2021").entries()]
    labels, known = get_task("cinc26").labels(codes)
    assert known.all()
    names = get_task("cinc26").classes
    for row, cell in zip(labels, codes, strict=True):
        assert bool(row[names.index("PAC|SVPB")]) == bool({"284470004", "63593006"} & set(cell))
        assert bool(row[names.index("NSR")]) == ("426783006" in cell)
    with pytest.raises(LabelError, match=r"cinc26: none of .* has a code of this task"):
        task_labels("cinc26", pd.DataFrame({"codes": entries(real_data)}))
