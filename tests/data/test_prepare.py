from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from made_corpus import Made, made_record

from ssl_ecg.data import making, shards, workers
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.base import Entry
from ssl_ecg.data.memory import Records
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError, CorpusError, SignalError
from ssl_ecg.leads import LIMB_LEADS, STANDARD_LEADS, limb_residual
from ssl_ecg.signal import resample_band


def _prepare(sources: Any, out: Path, **options: Any) -> Archive:
    return prepare(sources, out, **{"workers": 1, "progress": False, **options})


def _content(folder: Path) -> dict[str, bytes]:
    """Every file of an archive, but for the order, which names the sources' options."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "prepare.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _wfdb(folder: Path, name: str, samples: np.ndarray, leads: tuple[str, ...], fs: float = 500) -> None:
    """Write (time, lead) int16 samples as a record of format 16, 1000 steps a mV."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {len(leads)} {fs:g} {len(samples)}"]
    lines += [f"{name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
    (folder / f"{name}.hea").write_text("\n".join(lines) + "\n")
    (folder / f"{name}.dat").write_bytes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive made in one go, in one process."""
    out = tmp_path_factory.mktemp("whole") / "a"
    _prepare([Made(50, broken=(3, 17)), Made(7, name="other")], out, shard_records=20)
    return out


class TestWhatIsWritten:
    def test_signals_are_those_of_the_sources(self, whole: Path) -> None:
        archive = Archive(whole)
        assert len(archive) == 55
        for i in (0, 3, 20, 54):
            k = int(archive.index.record_id[i][1:])
            expected = resample_band(made_record(k).signal, 250, 100, (0.5, 40))
            np.testing.assert_allclose(archive.read(i), expected, atol=archive.scales[i] * 0.51)

    def test_index(self, whole: Path) -> None:
        index = Archive(whole).index
        assert list(index.record_id[:4]) == ["r0", "r1", "r2", "r4"]
        assert index.corpus.value_counts().to_dict() == {"made": 48, "other": 7}
        assert list(index.patient_id[:4]) == ["made/record-r0", "made/p0", "made/p1", "made/p2"]
        assert not set(index.patient_id[index.corpus == "made"]) & set(index.patient_id[index.corpus == "other"])
        assert index.fold[3] == 5
        assert index.age[1] == 41
        assert set(index.sex) == {"female"}
        assert index.codes[0] == ["NORM"]
        assert index.source[0] == "made/0"
        assert set(index.fs_source) == {250.0}

    def test_failed_records_are_listed_with_their_reason(self, whole: Path) -> None:
        failed = Archive(whole).failed
        assert list(failed.record_id) == ["r3", "r17"]
        assert set(failed.reason) == {"is broken; mend it"}
        assert set(failed.status) == {"failed"}

    def test_description(self, whole: Path) -> None:
        head = json.loads((whole / "archive.json").read_text())
        assert head["counts"] == {"records": 55, "failed": 2}
        assert [source["name"] for source in head["sources"]] == ["made", "other"]
        assert head["sources"][0]["overlaps"] == ["other"]
        assert head["leads"] == list(STANDARD_LEADS)
        assert head["band"] == [0.5, 40.0]
        assert str(Path(__file__).parent) not in (whole / "archive.json").read_text()

    def test_nothing_else_is_left(self, whole: Path) -> None:
        names = {"archive.json", "index.parquet", "shards/00000.i16", "shards/00001.i16", "shards/00002.i16"}
        assert set(_content(whole)) == names

    def test_files_are_as_their_description_says(self, whole: Path) -> None:
        """Read without the library: offsets, sizes and scales of the index alone."""
        rows = pq.read_table(whole / "index.parquet").to_pylist()
        assert len(rows) == 57
        row = rows[30]
        shard = np.fromfile(whole / "shards" / f"{row['shard']:05d}.i16", "<i2")
        record = shard[row["offset"] : row["offset"] + 12 * row["n_samples"]].reshape(12, -1) * row["scale"]
        expected = resample_band(made_record(30).signal, 250, 100, (0.5, 40))
        np.testing.assert_allclose(record, expected, atol=row["scale"] * 0.51)


class TestSame:
    """The archive is the same to the byte, however it came to be."""

    SOURCES = staticmethod(lambda: [Made(50, broken=(3, 17)), Made(7, name="other")])

    @pytest.mark.parametrize("n", [2, 3])
    def test_with_more_workers(self, whole: Path, tmp_path: Path, n: int) -> None:
        _prepare(self.SOURCES(), tmp_path / "a", shard_records=20, workers=n)
        assert _content(tmp_path / "a") == _content(whole)

    def test_pieces_too_long_for_shared_memory(
        self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workers, "_SLOT", 20_000)
        _prepare(self.SOURCES(), tmp_path / "a", shard_records=20, workers=2)
        assert _content(tmp_path / "a") == _content(whole)

    def test_with_processes_that_start_anew(self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import multiprocessing

        monkeypatch.setattr(workers, "_context", lambda: multiprocessing.get_context("spawn"))
        _prepare(self.SOURCES(), tmp_path / "a", shard_records=20, workers=2)
        assert _content(tmp_path / "a") == _content(whole)

    @pytest.mark.parametrize("records", [1, 7, 1000])
    def test_samples_do_not_depend_on_the_size_of_shards(self, whole: Path, tmp_path: Path, records: int) -> None:
        archive = _prepare(self.SOURCES(), tmp_path / "a", shard_records=records)
        for i in (0, 19, 54):
            np.testing.assert_array_equal(archive.read(i), Archive(whole).read(i))

    @pytest.mark.parametrize("workers", [1, 2])
    def test_after_kill_9(self, whole: Path, tmp_path: Path, workers: int) -> None:
        out = tmp_path / "a"
        code = (
            "import sys; from made_corpus import Made; from ssl_ecg.data.prepare import prepare\n"
            "prepare([Made(50, broken=(3, 17), kill_at=45), Made(7, name='other')], sys.argv[1], shard_records=20,"
            f" workers={workers}, progress=False)"
        )
        run = subprocess.run([sys.executable, "-c", code, str(out)], cwd=Path(__file__).parent)
        assert run.returncode == -signal.SIGKILL
        assert not (out / "archive.json").exists()
        with pytest.raises(ArchiveError, match=r"unfinished.*run prepare again"):
            Archive(out)
        kept = {path.name: path.stat().st_mtime_ns for path in (out / "shards").glob("*.i16")}
        if workers == 1:
            assert set(kept) == {"00000.i16", "00001.i16"}
        _prepare(self.SOURCES(), out, shard_records=20)
        assert _content(out) == _content(whole)
        for name, when in kept.items():
            assert (out / "shards" / name).stat().st_mtime_ns == when

    def test_after_an_error_in_between(self, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        out = tmp_path / "a"
        for place in range(1, 7):  # at each of the six moves into place of the three shards
            with monkeypatch.context() as patch:
                _fail_at(patch, place)
                with pytest.raises(ArchiveError, match=r"No space left.*again"):
                    _prepare(self.SOURCES(), out, shard_records=20)
            assert not (out / "archive.json").exists()
            assert not list(out.rglob("*.part"))
        _prepare(self.SOURCES(), out, shard_records=20)
        assert _content(out) == _content(whole)

    def test_a_damaged_shard_is_made_anew(self, whole: Path, tmp_path: Path) -> None:
        out = tmp_path / "a"
        _interrupted(out, self.SOURCES(), shard_records=20)
        shard = out / "shards" / "00001.i16"
        content = bytearray(shard.read_bytes())
        content[100] ^= 1
        shard.write_bytes(content)
        _prepare(self.SOURCES(), out, shard_records=20)
        assert _content(out) == _content(whole)


def _fail_at(patch: pytest.MonkeyPatch, place: int) -> None:
    """Let the disk be full at the n-th move into place of a shard's files."""
    real, calls = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        if Path(target).parent.name == "shards":
            calls[0] += 1
            if calls[0] == min(place, 2):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    patch.setattr(shards.os, "replace", replace)


def _interrupted(out: Path, sources: Any, **options: Any) -> None:
    """Prepare all shards, and stop before the index."""
    with pytest.MonkeyPatch.context() as patch:

        def stop(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(making, "write_index", stop)
        with pytest.raises(KeyboardInterrupt):
            _prepare(sources, out, **options)


class TestResume:
    def test_a_finished_archive_is_given_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = _prepare(Made(5), tmp_path / "a")
        monkeypatch.setattr(Made, "read", lambda *_: pytest.fail("was read again"))
        assert _prepare(Made(5), tmp_path / "a").fingerprint == first.fingerprint

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"fs": 200}, "fs"),
            ({"band": None}, "band"),
            ({"leads": "I,II"}, "leads"),
            ({"shard_records": 6}, "shard records"),
        ],
    )
    @pytest.mark.parametrize("finished", [True, False])
    def test_other_options_are_refused(self, tmp_path: Path, change: dict[str, Any], word: str, finished: bool) -> None:
        if finished:
            _prepare(Made(5), tmp_path / "a", shard_records=5)
        else:
            _interrupted(tmp_path / "a", Made(5), shard_records=5)
        before = _content(tmp_path / "a")
        with pytest.raises(ArchiveError, match=f"other {word}"):
            _prepare(Made(5), tmp_path / "a", **{"shard_records": 5, **change})
        assert _content(tmp_path / "a") == before

    def test_other_sources_are_refused(self, tmp_path: Path) -> None:
        _prepare(Made(5), tmp_path / "a")
        for other in (Made(6), Made(5, name="b"), [Made(5), Made(5, name="b")]):
            with pytest.raises(ArchiveError, match="other sources"):
                _prepare(other, tmp_path / "a")

    def test_a_source_that_changed_meanwhile(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        _interrupted(tmp_path / "a", Made(5), shard_records=2)
        entries = Made.entries
        monkeypatch.setattr(Made, "entries", lambda self: reversed(list(entries(self))))
        with pytest.raises(ArchiveError, match=r"have changed.*resume=False"):
            _prepare(Made(5), tmp_path / "a", shard_records=2)
        archive = _prepare(Made(5), tmp_path / "a", shard_records=2, resume=False)
        assert list(archive.index.record_id) == ["r4", "r3", "r2", "r1", "r0"]

    def test_a_source_that_has_changed_since_it_was_finished(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, entries = _prepare(Made(5), tmp_path / "a"), Made.entries
        assert _prepare(Made(5), tmp_path / "a").fingerprint == first.fingerprint
        renamed = Entry("other", "other")
        for now in (lambda old: old[:4], lambda old: [*old, renamed], lambda old: [*old[:4], renamed]):
            with monkeypatch.context() as change:
                change.setattr(Made, "entries", lambda self, now=now: iter(now(list(entries(self)))))
                count = len(now([*range(5)]))
                with pytest.raises(ArchiveError, match=f"made of 5 records, its sources have {count} now, or others"):
                    _prepare(Made(5), tmp_path / "a")
        assert _prepare(Made(5), tmp_path / "a").fingerprint == first.fingerprint

    def test_another_list_of_recordings_is_not_taken_for_the_first(self, tmp_path: Path) -> None:
        records = [made_record(k) for k in range(4)]
        _prepare(records[:3], tmp_path / "a")
        with pytest.raises(ArchiveError, match="made of 3 records, its sources have 4 now"):
            _prepare(records, tmp_path / "a")

    def test_starting_over_removes_only_what_was_unfinished(self, tmp_path: Path) -> None:
        _interrupted(tmp_path / "a", Made(5), shard_records=1)
        assert len(_prepare(Made(3), tmp_path / "a", resume=False)) == 3
        with pytest.raises(ArchiveError, match="already"):
            _prepare(Made(3), tmp_path / "a", resume=False)

    def test_two_at_once(self, tmp_path: Path) -> None:
        pytest.importorskip("fcntl")
        out = tmp_path / "a"
        code = (
            "import sys; from made_corpus import Made; from ssl_ecg.data.prepare import prepare\n"
            "prepare(Made(400, pause=0.05), sys.argv[1], workers=1, progress=False)"
        )
        other = subprocess.Popen([sys.executable, "-c", code, str(out)], cwd=Path(__file__).parent)
        try:
            _wait_for(lambda: list(out.glob("shards/*.part")))
            for _ in range(2):  # who is refused leaves the lock to the other
                with pytest.raises(ArchiveError, match="another process"):
                    _prepare(Made(400), out)
        finally:
            other.kill()
            other.wait()

    def test_ctrl_c_ends_workers_and_resumes(self, tmp_path: Path) -> None:
        out = tmp_path / "a"
        code = (
            "import sys; from made_corpus import Made; from ssl_ecg.data.prepare import prepare\n"
            "prepare(Made(300, pause=0.01), sys.argv[1], shard_records=20, workers=2, progress=False)"
        )
        run = subprocess.Popen(
            [sys.executable, "-c", code, str(out)],
            cwd=Path(__file__).parent,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        _wait_for(lambda: (out / "shards" / "00000.parquet").exists())
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=30)
        assert len(re.findall("^KeyboardInterrupt", errors, re.MULTILINE)) == 1, errors  # of nobody but the first
        with pytest.raises(ProcessLookupError):
            os.killpg(run.pid, 0)  # nobody is left
        assert not list(out.rglob("*.part"))
        assert len(_prepare(Made(300), out, shard_records=20)) == 300


def _wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class TestFolder:
    def test_holds_something_else(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(ArchiveError, match="not empty"):
            _prepare(Made(3), tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("mine")
        with pytest.raises(ArchiveError, match="is a file"):
            _prepare(Made(3), tmp_path / "a")

    def test_cannot_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(ArchiveError, match="cannot be written"):
            _prepare(Made(3), tmp_path / "file" / "a")

    def test_empty_folder_is_welcome(self, tmp_path: Path) -> None:
        assert len(_prepare(Made(3), tmp_path)) == 3

    def test_full_disk_while_samples_are_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real, room = shards._write_all, [3 * 12 * 200 * 2 * 16]

        def write(file: Any, content: bytes) -> int:
            room[0] -= len(content)
            if room[0] < 0:
                file.write(content[: len(content) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(file, content)

        with monkeypatch.context() as patch:
            patch.setattr(shards, "_write_all", write)
            with pytest.raises(ArchiveError, match=r"No space left.*make room"):
                _prepare(Made(60), tmp_path / "a", shard_records=20)
        assert {path.name for path in (tmp_path / "a").rglob("*") if path.is_file()} == {
            "prepare.json", "00000.i16", "00000.parquet", "00001.i16", "00001.parquet",
        }  # fmt: skip
        assert len(_prepare(Made(60), tmp_path / "a", shard_records=20)) == 60

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_full_device(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "shards").mkdir(parents=True)
        (tmp_path / "a" / "shards" / "00000.i16.part").symlink_to("/dev/full")
        _start_order(tmp_path / "a", Made(3))
        with pytest.raises(ArchiveError, match="No space left"):
            _prepare(Made(3), tmp_path / "a")
        assert len(_prepare(Made(3), tmp_path / "a")) == 3

    def test_a_worker_that_dies(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        parent, real = os.getpid(), workers.prepare_piece

        def die(*args: Any) -> Any:
            if os.getpid() != parent:
                os._exit(9)
            return real(*args)

        monkeypatch.setattr(workers, "prepare_piece", die)
        with pytest.raises(ArchiveError, match=r"worker.*fewer workers"):
            _prepare(Made(50), tmp_path / "a", workers=2)


def _start_order(out: Path, corpus: Made) -> None:
    from ssl_ecg.data.canonical import Form
    from ssl_ecg.data.claim import order_of

    (out / "prepare.json").write_text(json.dumps(order_of(Form(), [corpus], 1000)))


class TestSources:
    def test_nothing(self, tmp_path: Path) -> None:
        for sources in ([], Made(0), [Made(0), Made(0, name="b")], iter(())):
            with pytest.raises(CorpusError):
                _prepare(sources, tmp_path / "a")
        assert not (tmp_path / "a").exists()

    def test_folder_without_records(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "readme.txt").write_text("nothing here")
        for source in (tmp_path / "data", f"folder:{tmp_path / 'data'}", tmp_path / "missing"):
            with pytest.raises(CorpusError):
                _prepare(source, tmp_path / "a")
        assert not (tmp_path / "a").exists()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_all_records_bad(self, tmp_path: Path, workers: int) -> None:
        with pytest.raises(ArchiveError, match=r"none of the 40 records.*r0: is broken; mend it"):
            _prepare(Made(40, broken=tuple(range(40))), tmp_path / "a", workers=workers)
        assert not (tmp_path / "a").exists()

    def test_the_same_record_twice(self, tmp_path: Path) -> None:
        with pytest.raises(ArchiveError, match="made/r0: occurs twice"):
            _prepare([Made(5), Made(3)], tmp_path / "a")
        with pytest.raises(ArchiveError, match="occurs twice"):
            _prepare([Made(5), Made(3)], tmp_path / "b", shard_records=2)

    def test_recordings_in_memory(self, tmp_path: Path) -> None:
        archive = _prepare((made_record(k) for k in range(40)), tmp_path / "a", workers=2)
        assert list(archive.index.record_id) == [f"r{k}" for k in range(40)]
        assert set(archive.index.corpus) == {"records"}
        assert archive.index.patient_id[5] == "records/p2"
        assert archive.index.codes[7] == ["NORM"]

    def test_named_recordings_beside_a_corpus_with_folds(self, tmp_path: Path) -> None:
        memory = Records([made_record(k) for k in range(30)], name="mine", folds=5)
        archive = _prepare([Made(20), memory], tmp_path / "a", workers=2)
        index = archive.index
        assert list(index.corpus) == ["made"] * 20 + ["mine"] * 30
        mine = index[index.corpus == "mine"]
        assert set(mine.fold) <= set(range(1, 6))
        assert (mine.groupby("patient_id").fold.nunique() == 1).all()

    def test_mixed_up(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="Record"):
            _prepare([made_record(0), "somewhere"], tmp_path / "a")
        with pytest.raises(CorpusError, match="Records"):
            _prepare([Made(2), made_record(0)], tmp_path / "b")

    @pytest.mark.parametrize(
        "options",
        [{"fs": 0}, {"fs": float("nan")}, {"band": (40, 0.5)}, {"band": (0.5, 60)}, {"leads": "I,nonsense"}],
    )
    def test_impossible_options(self, tmp_path: Path, options: dict[str, Any]) -> None:
        with pytest.raises(SignalError):
            _prepare(Made(2), tmp_path / "a", **options)
        assert not (tmp_path / "a").exists()

    @pytest.mark.parametrize("options", [{"leads": 5}, {"shard_records": 0}])
    def test_other_impossible_options(self, tmp_path: Path, options: dict[str, Any]) -> None:
        with pytest.raises(ArchiveError):
            _prepare(Made(2), tmp_path / "a", **options)


class TestLeads:
    def _one(self, tmp_path: Path, record: Record, **options: Any) -> tuple[Archive, Any]:
        archive = _prepare([record], tmp_path / "a", band=None, fs=record.fs, **options)
        return archive, archive.index.iloc[0]

    def test_order_and_case(self, tmp_path: Path) -> None:
        record = made_record(1)
        order = [0, 1, 2, 3, 5, 4, 11, 10, 9, 8, 7, 6]
        mixed = record.replace(signal=record.signal[order], leads=tuple(STANDARD_LEADS[k].upper() for k in order))
        archive, _ = self._one(tmp_path, mixed)
        np.testing.assert_allclose(archive.read(0), record.signal, atol=6e-4)
        assert archive.lead_mask(0).all()
        assert archive.table(["reason"])["reason"].to_pylist() == [None]

    def test_one_lead(self, tmp_path: Path) -> None:
        record = made_record(1)
        archive, row = self._one(tmp_path, record.replace(signal=record.signal[7:8], leads=("V2",)))
        assert archive.lead_mask(0).nonzero()[0].tolist() == [7]
        assert row.leads_present == 1 << 7
        assert (archive.read(0)[[k for k in range(12) if k != 7]] == 0).all()

    def test_limb_leads_are_derived(self, tmp_path: Path) -> None:
        record = made_record(1)
        archive, row = self._one(tmp_path, record.replace(signal=record.signal[[2, 5]], leads=("III", "aVF")))
        assert row.leads_present == 0b111111
        np.testing.assert_allclose(archive.read(0)[:6], record.signal[:6], atol=2e-3)
        assert limb_residual(archive.read(0)[:6], LIMB_LEADS) < 3e-3

    def test_derived_for_a_choice_of_leads(self, tmp_path: Path) -> None:
        record = made_record(1)
        archive, _ = self._one(
            tmp_path, record.replace(signal=record.signal[[0, 2]], leads=("I", "III")), leads="V1,II"
        )
        assert archive.leads == ("V1", "II")
        np.testing.assert_allclose(archive.read(0)[1], record.signal[1], atol=2e-3)
        assert archive.lead_mask(0).tolist() == [False, True]

    def test_unknown_names_are_left_out_and_noted(self, tmp_path: Path) -> None:
        record = made_record(1)
        archive, row = self._one(tmp_path, record.replace(signal=record.signal[:3], leads=("I", "RESP", "PLETH")))
        assert row.reason == "left out RESP, PLETH"
        assert archive.lead_mask(0).sum() == 1

    def test_doubles(self, tmp_path: Path) -> None:
        record = made_record(1)
        same = record.replace(signal=record.signal[[6, 6]], leads=("V1", "v1"))
        other = record.replace(signal=record.signal[[6, 7]], leads=("V1", "v1"), record_id="bad")
        alias = record.replace(signal=record.signal[[0, 1]], leads=("MLII", "II"), record_id="alias")
        archive = _prepare([same, other, alias], tmp_path / "a", band=None, fs=250)
        assert list(archive.index.reason) == ["left out v1 (a copy)", "left out MLII"]
        np.testing.assert_allclose(archive.read(1)[1], record.signal[1], atol=6e-4)
        assert archive.failed.reason[0].startswith("two different leads are called V1 (rows 1 and 2)")

    def test_no_lead_of_use(self, tmp_path: Path) -> None:
        record = made_record(1)
        records = [record, record.replace(signal=record.signal[:1], leads=("RESP",), record_id="resp")]
        archive = _prepare(records, tmp_path / "a")
        assert archive.failed.reason[0].startswith("has none of the archive's leads, only RESP")


class TestSamples:
    def _prepared(self, tmp_path: Path, *signals: np.ndarray, fs: float = 100, **options: Any) -> Archive:
        leads = STANDARD_LEADS[: len(signals[0])]
        records = [Record(x.astype(np.float32), fs, leads, f"x{k}") for k, x in enumerate(signals)]
        return _prepare([*records, made_record(99)], tmp_path / "a", **{"band": None, **options})

    def test_missing_and_infinite_samples(self, tmp_path: Path) -> None:
        x = np.ones((2, 300))
        x[0, 10:20], x[1, 30], x[1, 31] = np.nan, np.inf, -np.inf
        archive = self._prepared(tmp_path, x)
        out = archive.read(0)
        assert np.flatnonzero(np.isnan(out[0])).tolist() == [*range(10, 20)]
        assert np.flatnonzero(np.isnan(out[1])).tolist() == [30, 31]
        assert np.isnan(out[2, [10, 30]]).all()  # III is derived from both
        assert {"nan:I", "nan:II"} <= set(archive.index.quality[0])

    def test_a_lead_without_samples_is_absent(self, tmp_path: Path) -> None:
        x = np.ones((3, 300))
        x[2] = np.nan
        x[0, ::2] = 2
        archive = self._prepared(tmp_path, x)
        assert archive.lead_mask(0)[:6].all()
        np.testing.assert_allclose(archive.read(0)[2], 1 - x[0], atol=1e-3)
        assert "nan:III" in archive.index.quality[0]

    def test_records_without_use(self, tmp_path: Path) -> None:
        nothing, empty, huge = np.full((2, 100), np.nan), np.zeros((2, 0)), np.full((2, 100), 1e30)
        overflow = np.array([[3e38, -3e38] * 50] * 2)
        archive = self._prepared(tmp_path, nothing, empty, huge, overflow, band=(0.5, 40))
        assert len(archive) == 1
        reasons = list(archive.failed.reason)
        assert reasons[0].startswith("has no valid sample")
        assert reasons[1].startswith("has no samples")
        assert reasons[2].startswith("reaches 1e+06 mV")
        assert reasons[3].startswith("reaches 1e+06 mV")

    @pytest.mark.parametrize("peak", [0.5, 32.767, 33.0, 1000.0, 5e5])
    def test_resolution_follows_the_amplitude(self, tmp_path: Path, peak: float) -> None:
        x = np.linspace(-peak, peak, 500)[None]
        archive = self._prepared(tmp_path, x)
        assert archive.scales[0] == pytest.approx(max(1, np.ceil(peak / 32.767 - 1e-4)) * 1e-3)
        np.testing.assert_allclose(archive.read(0)[0], x[0], atol=archive.scales[0] * 0.501)

    def test_ten_thousand_hertz(self, tmp_path: Path) -> None:
        t = np.arange(50_000) / 10_000
        archive = self._prepared(tmp_path, np.sin(2 * np.pi * 5 * t)[None], fs=10_000)
        assert archive.n_samples[0] == 500
        np.testing.assert_allclose(archive.read(0)[0, 50:450], np.sin(2 * np.pi * 5 * t[::100])[50:450], atol=2e-3)

    def test_short_ones(self, tmp_path: Path) -> None:
        archive = self._prepared(tmp_path, np.ones((2, 1)), np.ones((2, 7)), band=(0.5, 40), fs=500)
        assert archive.n_samples[:2].tolist() == [1, 2]

    def test_quality_is_judged_before_filtering(self, tmp_path: Path) -> None:
        wave = np.sin(np.arange(1000) / 30)
        limb = [wave, 2 * wave, wave + 0.4, -1.5 * wave, 0 * wave, 1.5 * wave]
        archive = self._prepared(tmp_path, np.stack(limb), band=(0.5, 40))
        assert set(archive.index.quality[0]) == {"flat:aVL", "einthoven"}


class TestFiles:
    """Bad files in a folder of WFDB records: each becomes a row with its reason."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "data"
        samples = np.random.default_rng(0).integers(-900, 900, (1000, 2))
        for name in ("good", "truncated", "alone", "empty", "double", "other", "fast", "mono"):
            _wfdb(folder, name, samples, ("I", "II"))
        (folder / "truncated.dat").write_bytes((folder / "truncated.dat").read_bytes()[:900])
        (folder / "alone.dat").unlink()
        (folder / "empty.hea").write_text("")
        (folder / "garbage.hea").write_bytes(bytes(range(256)))
        (folder / "headless.dat").write_bytes(b"0" * 800)
        _wfdb(folder, "double", samples, ("V1", "V1"))
        _wfdb(folder, "other", samples, ("RESP", "ABP"))
        _wfdb(folder, "fast", samples.repeat(20, 0), ("I", "II"), fs=10_000)
        _wfdb(folder, "mono", samples[:, :1], ("V5",))
        return folder

    @pytest.mark.parametrize("workers", [1, 2])
    def test_each_is_listed(self, folder: Path, tmp_path: Path, workers: int) -> None:
        archive = _prepare(f"folder:{folder}", tmp_path / "a", workers=workers)
        assert set(archive.index.record_id) == {"good", "fast", "mono"}
        failed = archive.failed.set_index("record_id").reason
        assert set(failed.index) == {"truncated", "alone", "empty", "garbage", "double", "other"}
        assert failed.str.len().min() > 15
        assert "unexpected" not in " ".join(failed)

    def test_a_flaw_of_a_reader_costs_one_record(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        read = Made.read

        def broken(self: Made, entry: Any) -> Record:
            if entry.record_id == "r1":
                raise KeyError("oops")
            return read(self, entry)

        monkeypatch.setattr(Made, "read", broken)
        archive = _prepare(Made(3), tmp_path / "a")
        assert archive.failed.reason.tolist() == ["unexpected KeyError: 'oops'; please report it with the file"]

    def test_names_that_are_no_unicode(self, tmp_path: Path) -> None:
        record = made_record(0).replace(record_id="caf\udce9", codes=("\udcff",))
        archive = _prepare([record], tmp_path / "a")
        assert archive.index.record_id[0] == "caf?"
        _interrupted(tmp_path / "b", [record])
        assert len(_prepare([record], tmp_path / "b")) == 1
        assert archive.index.codes[0] == ["?"]

    def test_ages_that_are_no_number(self, tmp_path: Path) -> None:
        ages = (float("nan"), float("inf"), np.float32("nan"), np.float32(50), np.int64(60))
        records = [made_record(k).replace(age=age) for k, age in enumerate(ages)]
        archive = _prepare(records, tmp_path / "a")
        assert archive.table(["age"])["age"].to_pylist() == [None, None, None, 50, 60]


@pytest.mark.real
class TestReal:
    def test_all_corpora_in_one_archive(self, real_data: Path, tmp_path: Path) -> None:
        sources = ["mitdb", "cinc2021"]
        archive = _prepare([f"{name}:{real_data / name}" for name in sources], tmp_path / "a", workers=2)
        index = archive.index
        assert index.corpus.value_counts().to_dict() == {"cinc2021": 140, "mitdb": 16}
        assert archive.n_failed == 0
        assert archive.lead_masks[index.corpus == "cinc2021"].all()
        assert (archive.lead_masks[index.corpus == "mitdb"].sum(axis=1) == 2).all()
        archive.verify()

    def test_against_the_plain_way(self, real_data: Path, tmp_path: Path) -> None:
        """wfdb and SciPy, record by record."""
        import scipy.signal
        import wfdb

        corpus = open_corpus(f"cinc2011:{real_data / 'cinc2011'}")
        some = [entry for k, entry in enumerate(corpus.entries()) if k % 40 == 0]
        archive = _prepare([corpus.read(entry) for entry in some], tmp_path / "a")
        sos = scipy.signal.butter(4, [0.5, 40], "bandpass", fs=100, output="sos")
        compared = 0
        for i, entry in enumerate(some):
            record = wfdb.rdrecord(str(real_data / "cinc2011" / entry.location).removesuffix(".hea"))
            order = [[name.upper() for name in record.sig_name].index(lead.upper()) for lead in STANDARD_LEADS]
            x = scipy.signal.resample_poly(record.p_signal.T[order], 1, 5, axis=-1)
            if not archive.index.quality[i]:
                plain = scipy.signal.sosfiltfilt(sos, x, axis=-1)[:, 350:650]
                ours = archive.read(i)[:, 350:650]
                compared += 1
                assert np.median(np.abs(ours - plain)) < 0.004, entry.record_id
                assert min(np.corrcoef(a, b)[0, 1] for a, b in zip(ours, plain, strict=True)) > 0.995
        assert compared > 10
