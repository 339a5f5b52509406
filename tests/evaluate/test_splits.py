from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.splits import choose_split


def _index(folds, patients=None):
    patients = patients or [f"c/{k}" for k in range(len(folds))]
    return pd.DataFrame({"fold": pd.array(folds, dtype="Int64"), "patient_id": patients})


def _split(index, usable=None, **given):
    n = len(index)
    return choose_split(index, np.ones((n, 1)), np.ones(n, bool) if usable is None else usable, **given)


def test_official_folds_of_ptbxl():
    split = _split(_index(list(range(1, 11)) * 2))
    assert split.how == {"by": "folds", "train": list(range(1, 9)), "val": [9], "test": [10]}
    assert (len(split.train), split.val.tolist(), split.test.tolist()) == (16, [8, 18], [9, 19])


def test_last_folds_serve_when_the_official_test_fold_is_absent():
    assert _split(_index(list(range(1, 10)))).how["test"] == [9]


def test_rotation_given():
    split = _split(_index(list(range(1, 10))), test_folds=[1, 2, 3], val_folds=9)
    assert (split.how["train"], split.how["val"]) == ([4, 5, 6, 7, 8], [9])


def test_records_without_fold_or_label_are_left_out_and_counted():
    usable = np.array([True, True, True, True, False])
    split = _split(_index([1, 2, 3, None, 3]), usable)
    assert (split.n_without_fold, split.test.tolist()) == (1, [2])


def test_patients_are_split_where_there_are_no_folds():
    patients = [f"c/{k // 2}" for k in range(200)]
    split = _split(_index([None] * 200, patients), seed=2)
    sets = [set(np.array(patients)[rows]) for rows in split.sets().values()]
    assert sum(len(s) for s in sets) == len(set().union(*sets)) == 100
    assert [len(rows) for rows in split.sets().values()] == pytest.approx([140, 30, 30], abs=4)
    assert split.how["by"] == "patients"
    assert (_split(_index([None] * 200, patients), seed=2).test == split.test).all()
    assert len(set(_split(_index([None] * 200, patients), seed=3).test) ^ set(split.test))


def test_shared_patient_is_refused():
    with pytest.raises(LabelError, match=r"1 patients are in both train and test, such as a"):
        _split(_index([1, 2, 3], ["a", "b", "a"]))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"test_folds": 12}, "no labelled record in the test set"),
        ({"test_folds": 1, "val_folds": 1}, "two sets"),
    ],
)
def test_impossible_folds_are_refused(given, match):
    with pytest.raises(LabelError, match=match):
        _split(_index([1, 2, 3, 4]), **given)


@pytest.mark.parametrize("folds", [[None] * 60, [np.nan] * 60, pd.array([None] * 60, dtype="Int64")])
def test_absent_folds_in_any_type(folds, tmp_path):
    index = pd.DataFrame({"fold": folds, "patient_id": [f"c/{k}" for k in range(60)]})
    index.to_parquet(tmp_path / "i.parquet")
    for table in (index, pd.read_parquet(tmp_path / "i.parquet")):
        assert _split(table).how["by"] == "patients"
