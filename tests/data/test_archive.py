from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_corpus import Made, made_record

from ssl_ecg.data import shard_files
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.errors import ArchiveError, SignalError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archive") / "a"
    prepare(Made(30, broken=(4,)), out, shard_records=8, workers=1, progress=False)
    return out


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_what_it_says_of_itself(folder: Path) -> None:
    archive = Archive(folder)
    assert (len(archive), archive.n_failed, archive.fs, archive.band) == (29, 1, 100.0, (0.5, 40.0))
    assert len(archive.leads) == 12
    assert archive.sources[0]["name"] == "made"
    assert archive.path == folder
    assert "29 records" in repr(archive)


def test_windows_are_parts_of_records(folder: Path) -> None:
    archive = Archive(folder)
    for i, start, length in ((0, 0, 200), (7, 13, 100), (28, 199, 1), (12, 50, 0)):
        window = archive.read_window(i, start, length)
        assert window.dtype == np.float32
        np.testing.assert_array_equal(window, archive.read(i)[:, start : start + length])


def test_rows_of_index_and_numbers_go_together(folder: Path) -> None:
    archive = Archive(folder)
    assert len(archive.index) == len(archive.n_samples) == len(archive.scales) == len(archive.patients) == 29
    assert (archive.index.n_samples == archive.n_samples).all()
    assert archive.lead_masks.shape == (29, 12)
    np.testing.assert_array_equal(archive.lead_mask(-1), archive.lead_masks[28])
    by_name = archive.index.patient_id.factorize()[0]
    np.testing.assert_array_equal(archive.patients, by_name)


@pytest.mark.parametrize("i", [29, -30])
def test_rows_that_are_not_there(folder: Path, i: int) -> None:
    with pytest.raises(IndexError):
        Archive(folder).read(i)


@pytest.mark.parametrize(("start", "length"), [(-1, 10), (0, 201), (200, 1), (10, -1)])
def test_windows_outside(folder: Path, start: int, length: int) -> None:
    with pytest.raises(SignalError, match="inside"):
        Archive(folder).read_window(0, start, length)


def test_negative_rows_count_from_the_end(folder: Path) -> None:
    np.testing.assert_array_equal(Archive(folder).read(-1), Archive(folder).read(28))


def test_what_was_read_belongs_to_the_reader(folder: Path) -> None:
    archive = Archive(folder)
    first = archive.read(3)
    first[:] = 7
    assert (archive.read(3) != 7).any()
    with pytest.raises(ValueError, match="read-only"):
        archive.steps(3, 0, 10)[:] = 0


def test_pickled(folder: Path) -> None:
    archive = Archive(folder)
    archive.read(5), archive.index, archive.failed
    content = pickle.dumps(archive)
    assert len(content) < 10_000
    again = pickle.loads(content)
    np.testing.assert_array_equal(again.read(5), archive.read(5))
    assert again.index.record_id[5] == archive.index.record_id[5]


def test_few_files_are_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "MOST_FILES", 2)
    archive, other = Archive(folder), Archive(folder)
    for i in np.random.default_rng(0).permutation(29):
        np.testing.assert_array_equal(archive.read(i), other.read(i))
        assert len(archive._shards._files) <= 2


@pytest.mark.parametrize("by_position", [True, False])
@pytest.mark.parametrize("whole", [0, 2**17])
def test_all_ways_of_reading(folder: Path, monkeypatch: pytest.MonkeyPatch, whole: int, by_position: bool) -> None:
    expected = Archive(folder).read(9)
    monkeypatch.setattr(shard_files, "WHOLE", whole)
    if not by_position:
        monkeypatch.delattr(shard_files.os, "pread", raising=False)
    archive = Archive(folder)
    np.testing.assert_array_equal(archive.read(9), expected)
    np.testing.assert_array_equal(archive.read_window(9, 60, 30), expected[:, 60:90])


def test_memory_does_not_grow_with_what_is_read(tmp_path: Path) -> None:
    """Twenty times the same 24 MB, read at random: no more of it stays than of one record."""
    psutil = pytest.importorskip("psutil")
    long = made_record(0, fs=100, seconds=600).replace(patient_id=None)
    records = (long.replace(record_id=f"x{k}") for k in range(18))
    archive = prepare(records, tmp_path / "a", workers=1, progress=False, shard_records=6)
    assert sum(archive._shards.sizes) > 25e6
    archive.read(0)
    before = psutil.Process().memory_info().rss
    for _ in range(2):
        for i in range(len(archive)):
            archive.read(i)
    assert psutil.Process().memory_info().rss - before < 15e6


def test_batches_of_the_index(folder: Path) -> None:
    archive = Archive(folder)
    parts = list(archive.batches(["record_id", "codes"], size=10))
    assert [len(part) for part in parts] == [9, 10, 10]
    assert [x for part in parts for x in part["record_id"].to_pylist()] == list(archive.index.record_id)
    assert archive.table(["codes"]).column_names == ["codes"]


def test_labels(folder: Path) -> None:
    labels, known = Archive(folder).labels("superclass")
    np.testing.assert_array_equal(labels, np.tile([1, 0, 0, 0, 0], (29, 1)))
    assert known.all()


class TestFingerprint:
    def _of(self, out: Path, **options: object) -> str:
        records = [made_record(k) for k in range(3)]
        return prepare(records, out, workers=1, progress=False, **options).fingerprint  # type: ignore[arg-type]

    def test_is_that_of_the_content(self, tmp_path: Path) -> None:
        one, two = self._of(tmp_path / "a"), self._of(tmp_path / "b")
        assert one == two
        assert len(one) == 64

    def test_differs_with_anything(self, tmp_path: Path) -> None:
        first = self._of(tmp_path / "a")
        assert self._of(tmp_path / "b", band=(0.5, 41)) != first
        assert self._of(tmp_path / "c", leads="I,II") != first
        records = [made_record(k) for k in range(3)]
        records[1] = records[1].replace(codes=("MI",))
        relabelled = prepare(records, tmp_path / "d", workers=1, progress=False)
        assert relabelled.fingerprint != first
        records = [made_record(k) for k in range(3)]
        records[1].signal[4, 100] += 0.01
        assert prepare(records, tmp_path / "e", workers=1, progress=False).fingerprint != first


class TestDamage:
    def _change(self, copy: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
        head = json.loads((copy / "archive.json").read_text())
        change(head)
        (copy / "archive.json").write_text(json.dumps(head))

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match=r"does not exist.*ssl-ecg prepare"):
            Archive(tmp_path / "nowhere")
        with pytest.raises(ArchiveError, match="is no archive"):
            Archive(tmp_path)

    def test_unfinished(self, copy: Path) -> None:
        (copy / "archive.json").unlink()
        with pytest.raises(ArchiveError, match="unfinished; run prepare again"):
            Archive(copy)

    def test_newer_version(self, copy: Path) -> None:
        self._change(copy, lambda head: head.update(format=99))
        with pytest.raises(ArchiveError, match=r"version 99.*update"):
            Archive(copy)

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1}', '{"format": "x"}', '{"format": 1, "fs": []}'])
    def test_description(self, copy: Path, text: str) -> None:
        (copy / "archive.json").write_text(text)
        with pytest.raises(ArchiveError, match="damaged"):
            Archive(copy)

    @pytest.mark.parametrize("key", ["fs", "leads", "band", "shards", "counts", "sources", "fingerprint"])
    def test_description_without(self, copy: Path, key: str) -> None:
        self._change(copy, lambda head: head.pop(key))
        with pytest.raises(ArchiveError, match="damaged"):
            Archive(copy)

    def test_index_missing_cut_or_of_another(self, copy: Path) -> None:
        content = (copy / "index.parquet").read_bytes()
        (copy / "index.parquet").write_bytes(content[:-50])
        with pytest.raises(ArchiveError, match="damaged"):
            Archive(copy).read(0)
        (copy / "index.parquet").unlink()
        with pytest.raises(ArchiveError, match=r"index.parquet.*missing"):
            Archive(copy).index  # noqa: B018
        (copy / "index.parquet").write_bytes(content)
        self._change(copy, lambda head: head["counts"].update(records=28))
        with pytest.raises(ArchiveError, match="does not fit"):
            Archive(copy).read(0)

    def test_shard_missing_or_cut(self, copy: Path) -> None:
        shard = copy / "shards" / "00001.i16"
        shard.write_bytes(shard.read_bytes()[:-2])
        archive = Archive(copy)
        archive.read(0)
        with pytest.raises(ArchiveError, match=r"00001.i16: has \d+ bytes instead of"):
            archive.read(10)
        shard.unlink()
        with pytest.raises(ArchiveError, match="missing"):
            archive.read(10)

    def test_shard_cut_while_it_is_open(self, copy: Path) -> None:
        archive = Archive(copy)
        archive.read(1)
        shard = copy / "shards" / "00000.i16"
        shard.write_bytes(shard.read_bytes()[:1000])
        with pytest.raises(ArchiveError, match="cannot be read"):
            archive.read(1)

    def test_changed_bytes_are_found_on_request(self, copy: Path) -> None:
        archive = Archive(copy)
        archive.verify()
        shard = copy / "shards" / "00002.i16"
        content = bytearray(shard.read_bytes())
        content[77] ^= 4
        shard.write_bytes(content)
        with pytest.raises(ArchiveError, match=r"00002.i16.*changed"):
            archive.verify()
