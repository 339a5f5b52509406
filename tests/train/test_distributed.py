"""Runs of two processes: they end together, whatever ends them, and resume exactly."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecipeError, TrainingError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.train.checkpoint import load_encoder
from ssl_ecg.train.launch import Place, check_devices, find_place, launch
from ssl_ecg.train.monitor import log_curves, read_log
from ssl_ecg.train.state import load_state

ROOT = Path(__file__).parents[2]
SCRIPT = """
import faulthandler, json, os, sys, time
faulthandler.dump_traceback_later(500)  # in each process, so that one that hangs says where
from ssl_ecg import pretrain
from ssl_ecg.methods.simclr import SimCLR

loss = SimCLR.loss

def slow(self, batch):
    time.sleep(float(os.environ.get("SECONDS_A_STEP", 0)))
    return loss(self, batch)

SimCLR.loss = slow
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "views": {"crop": 100, "transforms": [{"name": "gain"}, {"name": "lead_mask", "p": 0.5}]},
    "method": {"name": "simclr", "hidden_dim": 16, "out_dim": 8},
    "data": {"seconds": 2},
    "train": {
        "steps": 13, "batch_size": 8, "log_every": 1, "monitor_every": 4, "checkpoint_every": 4,
        "precision": "float32", "sampling": "shards", "workers": 1,
    },
    **json.loads(os.environ.get("INSTEAD", "{}")),
}

if __name__ == "__main__":
    pretrain(RECIPE, sys.argv[1], sys.argv[2], progress=False, devices=int(sys.argv[3]), task="superclass")
"""
TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(
            np.cumsum(rng.normal(size=(12, 400)), axis=1).astype(np.float32) * 0.05,
            100.0,
            STANDARD_LEADS,
            f"r{k}",
            patient_id=f"p{k // 2}",
            codes=("NORM",) if k % 2 else ("MI",),
        )
        for k in range(40)
    ]
    out = tmp_path_factory.mktemp("data") / "archive"
    return prepare(records, out, band=None, shard_records=8, progress=False)


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "run.py"
    file.write_text(SCRIPT)
    return file


def start(
    script: Path, archive: Archive, out: Path, devices: int = 2, seconds_a_step: float = 0.0, **env: str
) -> subprocess.Popen[str]:
    """Run a user's script in a process group of its own."""
    command = [sys.executable, str(script), str(archive.path), str(out), str(devices)]
    settings = {**os.environ, "PYTHONPATH": str(ROOT), "SECONDS_A_STEP": str(seconds_a_step), **env}
    return subprocess.Popen(command, env=settings, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    try:
        errors = process.communicate(timeout=600)[1]
    except subprocess.TimeoutExpired:
        pytest.fail(f"the run hangs:\n{kill(process)}")
    assert process.returncode == status, errors
    return errors


def kill(process: subprocess.Popen[str]) -> str:
    """End a whole process group, which would be in the way of what follows; give what it has said."""
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[1]


@pytest.fixture(scope="module")
def undisturbed(script: Path, archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(start(script, archive, out))
    return out


def ranks(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Give the processes that train, by rank."""
    trainers = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "spawn_main" in " ".join(child.cmdline()):
                trainers.append(child)
    return sorted(trainers, key=lambda child: child.pid)


@contextmanager
def under_way(script: Path, archive: Archive, out: Path) -> Iterator[subprocess.Popen[str]]:
    """Begin a run and wait until it is between two saved states."""
    process = start(script, archive, out, seconds_a_step=0.3)
    try:
        deadline = time.monotonic() + 240
        while not ((rows := read_log(out / "log.csv")) and int(rows[-1]["step"]) >= 6):
            assert process.poll() is None, "the run ended by itself"
            if time.monotonic() > deadline:
                pytest.fail(f"the run did not get so far:\n{kill(process)}")
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            kill(process)


def imports_torch(process: psutil.Process) -> bool:
    return any("libtorch" in place.path for place in process.memory_maps())


def saved(out: Path) -> int:
    return int(load_state(out / "last.ckpt")["global_step"])


def check_same(out: Path, undisturbed: Path) -> None:
    first, second = (load_state(run / "last.ckpt")["state_dict"] for run in (out, undisturbed))
    assert first.keys() == second.keys()
    assert [key for key in first if not torch.equal(first[key], second[key])] == []
    ours, theirs = log_curves(out / "log.csv"), log_curves(undisturbed / "log.csv")
    assert ours["step"].tolist() == theirs["step"].tolist() == list(range(1, 14))
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
    np.testing.assert_allclose(ours["probe_auroc"], theirs["probe_auroc"])
    x = torch.randn(2, 12, 200)
    assert torch.equal(load_encoder(out)(x), load_encoder(undisturbed)(x))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others_and_the_run_resumes_exactly(
    rank: int, script: Path, archive: Archive, undisturbed: Path, tmp_path: Path
) -> None:
    with under_way(script, archive, tmp_path / "run") as process:
        both = ranks(process)
        assert len(both) == 2
        both[rank].kill()
        errors = finish(process, status=1)
    assert f"process {rank} of 2: was ended with signal SIGKILL" in errors
    assert not any(child.is_running() for child in both)
    assert saved(tmp_path / "run") % 5 == 4, "in the midst of a pass, which has five batches"
    assert not (tmp_path / "run" / "encoder").exists()
    finish(start(script, archive, tmp_path / "run"))
    check_same(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("reached", ["all", "parent", "parent by SIGTERM", "second", "children of a killed parent"])
def test_a_stopped_run_is_saved_where_it_was_and_resumes_exactly(
    reached: str, script: Path, archive: Archive, undisturbed: Path, tmp_path: Path
) -> None:
    """Ctrl-C reaches the whole process group; other signals only some of it."""
    with under_way(script, archive, tmp_path / "run") as process:
        both = ranks(process)
        if reached == "all":
            os.killpg(process.pid, signal.SIGINT)
        elif reached == "parent":
            process.send_signal(signal.SIGINT)
        elif reached == "parent by SIGTERM":
            process.terminate()
        elif reached == "second":
            both[1].terminate()
        else:
            process.kill()
        errors = process.communicate(timeout=300)[1]
        assert process.returncode != 0
        psutil.wait_procs(both, timeout=300)
    assert not any(child.is_running() for child in both)
    assert 6 <= saved(tmp_path / "run") < 13, errors
    finish(start(script, archive, tmp_path / "run"))
    check_same(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("reached", ["all", "parent", "first"])
def test_a_run_that_is_stopped_while_it_starts_leaves_nobody_behind(
    reached: str, script: Path, archive: Archive, tmp_path: Path
) -> None:
    """The first process waits for the second, which is held, where Python hears no signal."""
    process = start(script, archive, tmp_path / "run")
    try:
        while len(both := ranks(process)) < 2:
            assert process.poll() is None, "the run ended by itself"
            time.sleep(0.05)
        both[1].suspend()
        deadline = time.monotonic() + 240
        while not any(place.status == psutil.CONN_LISTEN for place in both[0].net_connections()):
            if time.monotonic() > deadline:
                pytest.fail(f"the first process does not wait:\n{kill(process)}")
            time.sleep(0.05)
        time.sleep(1)
        if reached == "all":
            os.killpg(process.pid, signal.SIGTERM)
        else:
            (process if reached == "parent" else both[0]).terminate()
        both[1].resume()
        errors = process.communicate(timeout=300)[1]
        assert "KeyboardInterrupt" in errors
        assert not any(child.is_running() for child in both)
    finally:
        if process.poll() is None:
            kill(process)


@pytest.mark.slow
def test_processes_that_still_import_end_without_a_word(script: Path, archive: Archive, tmp_path: Path) -> None:
    """A Ctrl-C in a terminal reaches them too, long before they run what they are to."""
    process = start(script, archive, tmp_path / "run")
    while len(both := ranks(process)) < 2 or not all(imports_torch(child) for child in both):
        assert process.poll() is None, "the run ended by itself"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    errors = finish(process, -signal.SIGINT)
    assert errors.count("Traceback") == 1, errors  # the parent's
    psutil.wait_procs(both, timeout=300)
    assert not any(child.is_running() for child in both)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_processes_that_others_start_train_alike(
    launcher: str, script: Path, archive: Archive, undisturbed: Path, tmp_path: Path
) -> None:
    """As torchrun and srun start them: two processes that know their places from the environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    processes = []
    for rank in ("0", "1"):
        env = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        if launcher == "torchrun":
            env |= dict(zip(TORCHRUN, (rank, rank, "2", "2", "test"), strict=True))
        else:
            env |= {f"SLURM_{name}": "2" for name in ("NTASKS", "STEP_NUM_TASKS", "NTASKS_PER_NODE")}
            env |= {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NODEID": "0", "SLURM_NNODES": "1"}
            env |= {"SLURM_STEP_NUM_NODES": "1", "SLURM_JOB_ID": "77", "SLURM_NODELIST": "localhost"}
        processes.append(start(script, archive, tmp_path / "run", 1, **env))
    for process in processes:
        finish(process)
    check_same(tmp_path / "run", undisturbed)


@pytest.mark.slow
@pytest.mark.slow
def test_layers_that_a_loss_does_not_reach_hold_nobody_up(script: Path, archive: Archive, tmp_path: Path) -> None:
    encoder = {"name": "resnet_lstm", "widths": [8, 8], "hidden": 8, "dense": 8}
    method = {"name": "autoencoder", "corruption": "mask", "patch": 20}
    instead = json.dumps({"encoder": encoder, "method": method, "views": None})
    said = finish(start(script, archive, tmp_path / "run", INSTEAD=instead))
    assert said.count("does not reach attention, dense of the encoder") == 1
    assert saved(tmp_path / "run") == 13


def test_errors_come_back_from_the_processes() -> None:
    with pytest.raises(RecipeError, match="give 1 or more"):
        launch(check_devices, (0, Place()), 2)
    with pytest.raises(TrainingError, match="cannot be sent to other processes"):
        launch(print, (lambda: None,), 2)


def test_place_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*TORCHRUN, *(key for key in os.environ if key.startswith("SLURM_"))]:
        monkeypatch.delenv(name, raising=False)
    assert find_place() == Place(0, 1, 1, "")
    monkeypatch.setenv("SLURM_NTASKS", "6")  # a batch script that srun has not started
    monkeypatch.setenv("SLURM_PROCID", "0")
    assert find_place().world == 1
    for name, value in {"SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "4", "SLURM_STEP_NUM_NODES": "2"}.items():
        monkeypatch.setenv(name, value)
    assert find_place() == Place(4, 6, 2, "slurm")
    assert find_place().devices == 3
    monkeypatch.setenv("SLURM_STEP_NUM_NODES", "4")
    with pytest.raises(RecipeError, match="6 processes on 4 hosts"):
        find_place()
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert find_place().world == 1
    for name, value in zip(TORCHRUN, ("5", "1", "8", "2", "x"), strict=True):
        monkeypatch.setenv(name, value)
    assert find_place() == Place(5, 8, 4, "torchrun")


def test_numbers_of_processes_that_cannot_be_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_devices(2, Place(0, 8, 4, "torchrun"))
    with pytest.raises(RecipeError, match="torchrun has started 2 processes on each host"):
        check_devices(4, Place(0, 8, 4, "torchrun"))
    with pytest.raises(RecipeError, match="give 1 or more"):
        check_devices(0, Place())
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(RecipeError, match="2 of 1 GPUs"):
        check_devices(2, Place())
