"""Tasks from a user's own table: what it says is what is learnt, and what is wrong with it is named."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.cli import run
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import LabelError
from ssl_ecg.probing.folder import run_probe, task_labels
from ssl_ecg.tasks.table import TableTask, UnknownRecordWarning, table_task

INDEX = pd.DataFrame({"record_id": ["a", "b", "c", "d"], "corpus": ["x", "x", "y", "y"]})
NAN = float("nan")


def write(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def same(found: np.ndarray, expected: list[list[float]]) -> None:
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_multilabel_file_in_another_order(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeffrecord_id, MI ,"AF, new"\r\nc,1,\r\na,0,1\r\n\r\nb,,\r\nd,TRUE,0.0\r\n')
    task = table_task(path)
    assert (task.name, task.classes, task.kind) == ("mine", ("MI", "AF, new"), "multilabel")
    labels, known = task.labels_of(INDEX)
    same(labels, [[0, 1], [NAN, NAN], [1, NAN], [1, 0]])
    assert known.tolist() == [True, False, True, True]


@pytest.mark.parametrize("as_file", [True, False])
def test_files_and_frames_say_the_same(tmp_path: Path, as_file: bool) -> None:
    frame = pd.DataFrame(
        {"id": ["d", "a", "b"], "MI": [1, 0, None], "AF": [True, False, True], "age": [60.5, None, 40]}
    )
    frame["MI"] = frame["MI"].astype("Int64")
    source = tmp_path / "t.csv" if as_file else frame
    frame.to_csv(tmp_path / "t.csv", index=False)
    labels, _ = table_task(source, columns=["AF", "MI"]).labels_of(INDEX)
    same(labels, [[0, 0], [1, NAN], [NAN, NAN], [1, 1]])
    ages, known = table_task(source, kind="continuous", columns=["age"]).labels_of(INDEX)
    same(ages, [[NAN], [40], [NAN], [60.5]])
    assert known.tolist() == [False, True, False, True]


def test_multiclass_is_one_hot_in_the_order_of_names() -> None:
    frame = pd.DataFrame({"record_id": list("abcd"), "rhythm": ["SR", None, "AF", "SR"]})
    task = table_task(frame)
    assert (task.kind, task.classes) == ("multiclass", ("AF", "SR"))
    labels, known = task.labels_of(INDEX)
    same(labels, [[0, 1], [NAN, NAN], [1, 0], [0, 1]])
    assert known.tolist() == [True, False, True, True]
    grades = pd.DataFrame({"record_id": list("abcd"), "grade": [10, 2, 1, 2]})
    assert table_task(grades, kind="multiclass").classes == ("1", "2", "10")


def test_ids_that_are_numbers() -> None:
    index = pd.DataFrame({"record_id": ["1", "12"]})
    for ids in ([12, 1], [12.0, 1.0], ["12", " 1 "]):
        labels, _ = table_task(pd.DataFrame({"record_id": ids, "MI": [1, 0]})).labels_of(index)
        same(labels, [[0], [1]])


def test_corpus_tells_equal_ids_apart() -> None:
    index = pd.DataFrame({"record_id": ["1", "1", "2"], "corpus": ["x", "y", "y"]})
    frame = pd.DataFrame({"record_id": [1, 1], "corpus": ["y", "x"], "MI": [1, 0]})
    same(table_task(frame).labels_of(index)[0], [[0], [1], [NAN]])
    with pytest.raises(LabelError, match=r"several records of the archive.*\"corpus\""):
        table_task(frame[:1].drop(columns="corpus")).labels_of(index)
    with pytest.raises(LabelError, match="the index does not"):
        table_task(frame).labels_of(index[["record_id"]])
    only_two = pd.DataFrame({"record_id": [2], "MI": [1]})
    same(table_task(only_two).labels_of(index)[0], [[NAN], [NAN], [1]])


def test_unknown_ids_are_counted_aloud() -> None:
    frame = pd.DataFrame({"record_id": ["a", "zz", "b", "yy"], "MI": [1, 0, 0, 1]})
    with pytest.warns(UnknownRecordWarning, match=r"2 of 4 records of the table are not in the archive.*'zz'"):
        same(table_task(frame).labels_of(INDEX)[0], [[1], [0], [NAN], [NAN]])
    with pytest.raises(LabelError, match=r"none of its 2 record ids.*'zz'.*archive.index.record_id"):
        table_task(frame[frame["record_id"] > "x"]).labels_of(INDEX)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table_task(frame[frame["record_id"] < "x"]).labels_of(INDEX)


@pytest.mark.parametrize(
    ("text", "options", "match"),
    [
        ("record_id,MI\na,1\na,1\n", {}, "1 record ids stand in several rows, such as 'a'"),
        ("record_id,MI\n,1\nb,1\n", {}, "1 rows have no record id"),
        ("record_id,MI\n", {}, "no rows"),
        ("", {}, "no header"),
        ("record_id\na\n", {}, "0 columns of labels"),
        ("record_id;MI\na;1\n", {}, "separated by ';'"),
        ("record_id,MI,MI\na,1,0\n", {}, "two columns are called 'MI'"),
        ("record_id,MI\na,1,0\n", {}, "line 2 has 3 cells, the header 2"),
        ("record_id,MI\na,1\n", {"columns": ["AF"]}, "no column 'AF'; there are record_id, MI"),
        ("record_id,MI\na,1\n", {"id_column": "ecg"}, "no column 'ecg'"),
        ("record_id,MI\na,yes\n", {"kind": "multilabel"}, "column 'MI' of record 'a' holds 'yes'; give 0, 1"),
        ("record_id,MI\na,2\n", {"kind": "multilabel"}, "holds '2'"),
        ("record_id,age\na,old\n", {"kind": "continuous"}, "holds 'old'; give a number"),
        ("record_id,age\na,inf\n", {"kind": "continuous"}, "holds 'inf'"),
        ("record_id,age\na,61\nb,40\n", {}, "say with table_task"),
        ("record_id,rhythm,MI\na,SR,1\n", {}, "say with table_task"),
        ("record_id,rhythm,MI\na,SR,1\n", {"kind": "multiclass"}, "2 columns for one class"),
        ("record_id,rhythm\na,SR\nb,\n", {"kind": "multiclass"}, "1 classes"),
        ("record_id,MI\na,1\n", {"kind": "binary"}, "choose multilabel"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, options: dict, match: str) -> None:
    with pytest.raises(LabelError, match=match) as caught:
        table_task(write(tmp_path, text), **options)
    assert caught.value.remedy


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00x")
    for name in ("a.csv", "b.csv"):
        with pytest.raises(LabelError, match="cannot be read as a table"):
            table_task(tmp_path / name)


def test_a_table_has_no_codes(tmp_path: Path) -> None:
    task = table_task(write(tmp_path, "record_id,MI\na,1\n"))
    with pytest.raises(LabelError, match="not to codes"):
        task.labels([["MI"]])
    again = pickle.loads(pickle.dumps(task))  # loader processes are given tasks
    assert isinstance(again, TableTask)
    assert again == task


# ---------------------------------------------------------------- where tasks are used


def case(n: int = 240) -> Embeddings:
    rng = np.random.default_rng(0)
    index = pd.DataFrame(
        {
            "record_id": [f"r{k}" for k in range(n)],
            "patient_id": [f"p{k // 2}" for k in range(n)],
            "fold": np.arange(n) // 2 % 4 + 1,
            "codes": [["NORM"]] * n,
        }
    )
    return Embeddings(rng.normal(size=(n, 5)).astype(np.float32), index)


def test_probe_learns_from_a_file(tmp_path: Path) -> None:
    embeddings = case()
    truth = pd.DataFrame({"record_id": embeddings.index["record_id"], "late": 0.0, "sure": 0.0})
    truth["late"] = (embeddings.vectors[:, 0] > 0).astype(float)
    truth["sure"] = (embeddings.vectors[:, 1] > 0.3).astype(float)
    truth.loc[::3, "sure"] = np.nan
    truth = truth.drop(index=range(10)).sample(frac=1, random_state=0)
    truth.to_csv(tmp_path / "mine.CSV", index=False)
    found = run_probe(embeddings, str(tmp_path / "mine.CSV"), n_resamples=20, knn=False)
    assert found["task"] == "mine"
    assert found["classes"] == ["late", "sure"]
    assert found["counts"]["without_known_labels"] == 10
    assert found["linear"]["macro"]["auroc"]["value"] > 0.95
    test = truth[truth["record_id"].isin(embeddings.index.loc[embeddings.index["fold"] == 4, "record_id"])]
    assert found["counts"]["test"]["positives"] == {"late": test["late"].sum(), "sure": test["sure"].sum()}


def test_probe_of_the_command_line_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embeddings = case()
    embeddings.save(tmp_path / "e")
    table = pd.DataFrame({"record_id": embeddings.index["record_id"]})
    table["side"] = np.where(embeddings.vectors[:, 2] > 0, "right", "left")
    table.to_csv(tmp_path / "side.csv", index=False)
    out = str(tmp_path / "out")
    assert run(["probe", str(tmp_path / "e"), "--task", str(tmp_path / "side.csv"), "--out", out]) == 0
    columns = pd.read_parquet(tmp_path / "out" / "predictions.parquet").columns
    assert {"true_left", "true_right", "linear_left"} <= set(columns)
    assert run(["probe", str(tmp_path / "e"), "--task", str(tmp_path / "gone.csv"), "--out", out]) != 0
    assert "cannot be read as a table" in capsys.readouterr().err


def test_continuous_targets_are_refused_where_classes_are_learnt() -> None:
    embeddings = case()
    table = pd.DataFrame({"record_id": embeddings.index["record_id"], "age": np.arange(len(embeddings))})
    task = table_task(table, kind="continuous", name="age")
    assert task.labels_of(embeddings.index)[1].all()
    with pytest.raises(LabelError, match="age: is continuous"):
        task_labels(task, embeddings.index)
