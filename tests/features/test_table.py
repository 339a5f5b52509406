"""Tables in files: the same numbers as NumPy reads, written row by row, gone on with after an interruption."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ssl_ecg.errors import ArchiveError
from ssl_ecg.features.table import TableFile, write_table

VALUES = np.random.default_rng(0).normal(size=(100, 7)).astype(np.float32)


def parts(start: int, stop: int = 100) -> Iterator[NDArray[np.float32]]:
    for first in range(start, stop, 8):
        yield VALUES[first : min(first + 8, stop)]


def test_rows_and_columns_are_those_of_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_ecg.features.table._AT_ONCE", 4 * 7 * 9)
    table = write_table(tmp_path / "sub" / "t.npy", (100, 7), parts)
    assert [file.name for file in table.path.parent.iterdir()] == ["t.npy"]
    np.testing.assert_array_equal(np.load(table.path), VALUES)
    rows = np.array([99, 0, 0, 41])
    np.testing.assert_array_equal(table[rows], VALUES[rows])
    np.testing.assert_array_equal(table.columns(2, 5), VALUES[:, 2:5])
    assert table[rows[:0]].shape == (0, 7)


@pytest.mark.parametrize("torn", [0, 3])
def test_an_interrupted_table_is_gone_on_with(torn: int, tmp_path: Path) -> None:
    def stopped(start: int) -> Iterator[NDArray[np.float32]]:
        yield from parts(start, 40)
        raise KeyboardInterrupt

    path, begun = tmp_path / "t.npy", []
    with pytest.raises(KeyboardInterrupt):
        write_table(path, (100, 7), stopped)
    assert not path.exists()
    with path.with_suffix(".part").open("ab") as file:
        file.write(b"\1" * torn)  # of a row that a crash has cut short
    table = write_table(path, (100, 7), lambda start: begun.append(start) or parts(start))
    assert begun == [40]
    np.testing.assert_array_equal(np.load(table.path), VALUES)


def test_a_partial_table_of_another_shape_is_not_gone_on_with(tmp_path: Path) -> None:
    def stopped(start: int) -> Iterator[NDArray[np.float32]]:
        yield VALUES[:, :5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "t.npy", (200, 5), stopped)
    np.testing.assert_array_equal(np.load(write_table(tmp_path / "t.npy", (100, 7), parts).path), VALUES)


def test_what_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    for content in (VALUES.astype(float), VALUES[0], np.asfortranarray(VALUES)):
        np.save(path, content)
        with pytest.raises(ValueError, match="shape"):
            TableFile(path)
    np.save(path, VALUES)
    table = TableFile(path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut short"):
        TableFile(path)
    with pytest.raises(ArchiveError, match="cut short"):
        table[np.array([99])]
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match="cannot be written"):
        write_table(tmp_path / "file" / "t.npy", (100, 7), parts)
