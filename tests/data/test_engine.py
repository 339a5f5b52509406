"""Archives and embeddings made by the workers of a real Dask cluster, one of which is killed half-way."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from made_corpus import Made, made_record

import ssl_ecg
import ssl_ecg.data.engine_dask as engine_dask
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.engine import open_engine
from ssl_ecg.data.prepare import prepare
from ssl_ecg.errors import ArchiveError, CorpusError, SignalError

PATHS = os.pathsep.join([str(Path(ssl_ecg.__file__).parents[1]), str(Path(__file__).parent)])
CLUSTER = [
    sys.executable,
    "-m",
    "distributed.cli.dask_scheduler",
    "--host",
    "127.0.0.1",
    "--no-dashboard",
    "--no-jupyter",
]
WORKER = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-nanny", "--nthreads", "2", "--no-dashboard"]


@dataclass
class Cluster:
    """A scheduler and its workers, as processes of their own."""

    folder: Path
    port: int = 0
    scheduler: subprocess.Popen[bytes] | None = None
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def engine(self) -> str:
        return f"dask://127.0.0.1:{self.port}"

    def start(self, workers: int) -> Cluster:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.scheduler = self._started([*CLUSTER, "--port", str(self.port)])
        for _ in range(workers):
            self.add_worker()
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise RuntimeError("the scheduler did not start: " + (self.folder / "cluster.log").read_text())

    def add_worker(self) -> None:
        self.workers.append(self._started([*WORKER, f"tcp://127.0.0.1:{self.port}"]))

    def _started(self, command: list[str]) -> subprocess.Popen[bytes]:
        log = (self.folder / "cluster.log").open("ab")
        environment = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        for process in [*self.workers, self.scheduler]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    yield made
    made.stop()


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name[0] != "."
    }


def kill_during_a_shard(folder: Path, process: subprocess.Popen[bytes], after: int) -> threading.Thread:
    """Kill a worker while it writes a shard, once some are finished; the thread ends when that is done."""

    def watch() -> None:
        while process.poll() is None:
            finished = len(list(folder.glob("shards/*.parquet")))
            if finished >= after and list(folder.glob(f"shards/*-{process.pid}.part")):
                process.send_signal(signal.SIGKILL)
                process.wait()
            time.sleep(0.005)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
def test_a_worker_is_killed_half_way(cluster: Cluster, tmp_path: Path) -> None:
    corpus = Made(120, broken=(3, 77), pause=0.005)
    local = prepare(corpus, tmp_path / "local", workers=1, shard_records=10, progress=False)
    cluster.start(workers=2)
    out = tmp_path / "far"
    with open_engine(cluster.engine, 0) as engine:  # both are there before the work begins
        engine._client.wait_for_workers(2, timeout=30)  # type: ignore[attr-defined]
    watching = kill_during_a_shard(out, cluster.workers[0], after=3)
    far = prepare(corpus, out, shard_records=10, progress=False, engine=cluster.engine)
    watching.join(10)
    assert cluster.workers[0].returncode == -signal.SIGKILL
    assert cluster.workers[1].poll() is None
    assert far.fingerprint == local.fingerprint
    assert content(far.path) == content(local.path), "to the byte, and nothing else is left"

    # the same cluster, down to one worker, embeds it
    import torch

    from ssl_ecg.embedding.run import embed
    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.preprocessing import Preprocessing

    torch.manual_seed(0)
    encoder = build_encoder("conv1d", widths=[8, 16]).eval()
    encoder.preprocessing = Preprocessing(far.fs, far.leads, far.band, "none", 2)
    here = embed(encoder, local, batch_size=64)
    there = embed(encoder, far, batch_size=64, engine=cluster.engine, out=tmp_path / "e")
    assert np.allclose(here.vectors, there.vectors, rtol=1e-5, atol=1e-6)
    assert there.index["record_id"].tolist() == here.index["record_id"].tolist()


@pytest.mark.slow
def test_it_resumes_and_says_what_is_wrong(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(engine_dask, "PATIENCE", 2.0)
    cluster.start(workers=0)
    with pytest.raises(ArchiveError, match="no workers"):
        prepare(Made(40), tmp_path / "a", shard_records=10, progress=False, engine=cluster.engine)
    cluster.add_worker()
    monkeypatch.setattr(engine_dask, "PATIENCE", 30.0)
    hidden = Made(40)
    hidden.root = tmp_path / "only here"
    with pytest.raises(CorpusError, match="is not there for the worker"):
        prepare(hidden, tmp_path / "b", shard_records=10, progress=False, engine=cluster.engine)
    with pytest.raises(ArchiveError, match=r"a worker failed .*No module named 'mine'.* and workers have ssl_ecg"):
        prepare(OnlyHere(), tmp_path / "c", shard_records=10, progress=False, engine=cluster.engine)
    with monkeypatch.context() as other:
        other.setattr(engine_dask, "__version__", "0.0.1")
        with pytest.raises(ArchiveError, match=r"a worker has ssl_ecg .*, not 0\.0\.1"):
            prepare(Made(40), tmp_path / "v", shard_records=10, progress=False, engine=cluster.engine)

    # all workers die: what is finished stays, and a local run goes on with it
    slow = Made(60, pause=0.02)
    monkeypatch.setattr(engine_dask, "PATIENCE", 2.0)
    watching = kill_during_a_shard(tmp_path / "d", cluster.workers[0], after=2)
    with pytest.raises(ArchiveError, match=r"no workers for 2 s; .* it resumes"):
        prepare(slow, tmp_path / "d", shard_records=10, progress=False, engine=cluster.engine)
    watching.join(10)
    finished = sorted((tmp_path / "d" / "shards").glob("*.parquet"))
    assert 2 <= len(finished) < 6
    resumed = prepare(slow, tmp_path / "d", shard_records=10, progress=False, workers=1)
    whole = prepare(Made(60), tmp_path / "whole", shard_records=10, workers=1, progress=False)
    assert resumed.fingerprint == whole.fingerprint


class OnlyHere(Made):
    """Needs a module that the workers have not got."""

    def __init__(self) -> None:
        super().__init__(40)
        self._home = os.getpid()

    def __setstate__(self, state: dict[str, object]) -> None:
        if state["_home"] != os.getpid():
            raise ModuleNotFoundError("No module named 'mine'")
        self.__dict__.update(state)


def test_no_scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engine_dask, "CONNECT", 0.3)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ArchiveError, match=r"no Dask scheduler answers there; start one with 'dask scheduler'"):
        prepare(Made(3), tmp_path / "a", progress=False, engine=f"dask://127.0.0.1:{port}")
    assert not (tmp_path / "a").exists(), "nothing is begun"


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ArchiveError, match=re.escape("pip install 'ssl_ecg[dask]'")):
        prepare(Made(3), tmp_path / "a", progress=False, engine="dask://127.0.0.1:8786")


@pytest.mark.parametrize("engine", ["ray://host:1", "dask://", "dask://host", "dask://host:port", "127.0.0.1:8786", ""])
def test_unknown_engines(tmp_path: Path, engine: str) -> None:
    with pytest.raises(ArchiveError, match="dask://HOST:PORT"):
        prepare(Made(3), tmp_path / "a", progress=False, engine=engine)


def test_recordings_in_memory_stay_here(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="of this process only"):
        prepare([made_record(0)], tmp_path / "a", progress=False, engine="dask://127.0.0.1:8786")


def test_processes_are_what_there_is_without_an_engine(tmp_path: Path) -> None:
    one = prepare(Made(20), tmp_path / "a", progress=False, engine="processes", workers=1)
    assert one.fingerprint == prepare(Made(20), tmp_path / "b", progress=False, workers=1).fingerprint


def divided(shared: int, part: int) -> float:
    if part == 99:
        raise SignalError("part", "is 99")
    if part == 98:
        os._exit(1)
    return shared / part


@pytest.mark.slow
def test_processes_give_results_in_order_and_errors_as_they_are() -> None:
    with open_engine("processes", 2) as engine:
        results = engine.map(divided, 12, [*range(1, 12), 99])
        assert [next(results) for _ in range(11)] == [12 / k for k in range(1, 12)]
        with pytest.raises(SignalError, match="is 99"):
            next(results)
        with pytest.raises(ArchiveError, match="a worker process died"):
            list(engine.map(divided, 12, [1, 98]))


@pytest.mark.slow
def test_embedding_in_processes(tmp_path: Path) -> None:
    import torch

    from ssl_ecg.embedding.run import embed
    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.preprocessing import Preprocessing

    archive: Archive = prepare(Made(50), tmp_path / "a", progress=False, workers=1)
    torch.manual_seed(0)
    encoder = build_encoder("conv1d", widths=[8, 16]).eval()
    encoder.preprocessing = Preprocessing(archive.fs, archive.leads, archive.band, "none", 2)
    whole = embed(encoder, archive, batch_size=8).vectors
    assert np.allclose(embed(encoder, archive, batch_size=8, engine="processes").vectors, whole, rtol=1e-5, atol=1e-6)
