"""Fine-tuning in two processes is that of one with the same batches, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from ssl_ecg import Archive, prepare
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecipeError
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.train.monitor import read_log
from ssl_ecg.train.state import load_state

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, os, sys, time
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.train.supervised.model import Supervised

loss = Supervised.loss

def slow(self, batch):
    time.sleep(float(os.environ.get("SECONDS_A_STEP", 0)))
    return loss(self, batch)

Supervised.loss = slow

if __name__ == "__main__":
    archive, table, out, devices, recipe = sys.argv[1:]
    finetune(json.loads(recipe), archive, out, task=table, progress=False, devices=int(devices))
"""
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "head": {},
    "data": {"seconds": 2.5, "scale": "record"},
    "train": {
        "steps": 6, "batch_size": 10, "validate_every": 2, "checkpoint_every": 2, "lr": 1e-2, "precision": "float32",
        "ema": 0.9, "schedule": "plateau", "plateau_patience": 0,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(rng.normal(size=(12, 250)).astype(np.float32), 100.0, STANDARD_LEADS, f"r{k}", patient_id=f"p{k}")
        for k in range(72)
    ]
    out = tmp_path_factory.mktemp("data") / "archive"
    return prepare(records, out, band=None, progress=False)


@pytest.fixture(scope="module")
def tables(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Labels of which a third is unknown, so that halves of a batch know unequally many; and numbers."""
    rng = np.random.default_rng(1)
    classes = pd.DataFrame((rng.random((72, 3)) < 0.5).astype(float), columns=list("abc"))
    classes = classes.mask(rng.random((72, 3)) < 0.35)
    classes["a"] = classes["a"].fillna(0)
    numbers = pd.DataFrame({"x": rng.normal(size=72) * 7 + 40})
    folder, found = tmp_path_factory.mktemp("tables"), {}
    for name, table in (("classes", classes), ("numbers", numbers)):
        found[name] = folder / f"{name}.csv"
        table.assign(record_id=archive.index["record_id"]).to_csv(found[name], index=False)
    return found


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("script") / "run.py"
    file.write_text(SCRIPT)
    return file


def start(
    script: Path, archive: Archive, table: Path, out: Path, devices: int, recipe: dict, seconds: float = 0
) -> subprocess.Popen[str]:
    command = [sys.executable, str(script), str(archive.path), str(table), str(out), str(devices), json.dumps(recipe)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SECONDS_A_STEP": str(seconds)}
    return subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process: subprocess.Popen[str]) -> None:
    try:
        errors = process.communicate(timeout=600)[1]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail(f"the run hangs:\n{process.communicate()[1]}")
    assert process.returncode == 0, errors


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = (run / "encoder" / "encoder.safetensors", run / "head" / "head.safetensors")
    return {f"{file.stem}.{name}": value for file in files for name, value in load_file(file).items()}


def same(a: Path, b: Path, tolerance: float) -> None:
    for first, second in zip(read_log(a / "log.csv"), read_log(b / "log.csv"), strict=True):
        for name in set(first) - {"seconds"}:
            assert float(first[name] or 0) == pytest.approx(float(second[name] or 0), rel=1e-3, abs=1e-5), name
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    for name, value in one.items():
        difference = float((value.double() - two[name].double()).abs().max())
        assert difference <= tolerance * max(float(value.abs().max()), 1e-2), name


CASES = {
    "full": ("classes", RECIPE),
    "linear_then_full": (
        "classes",
        {**RECIPE, "train": {**RECIPE["train"], "mode": "linear_then_full", "linear_share": 0.5, "norms": "fixed"}},
    ),
    "numbers": ("numbers", {**RECIPE, "loss": "huber"}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(name: str, script: Path, archive: Archive, tables: dict, tmp_path: Path) -> None:
    table, recipe = CASES[name]
    for devices in (1, 2):
        finish(start(script, archive, tables[table], tmp_path / str(devices), devices, recipe))
    same(tmp_path / "1", tmp_path / "2", 5e-3)
    metrics = [json.loads((tmp_path / devices / "metrics.json").read_text()) for devices in "12"]
    figure = "r2" if table == "numbers" else "auroc"
    assert metrics[0]["test"]["macro"][figure] == pytest.approx(metrics[1]["test"]["macro"][figure], abs=0.02)
    assert metrics[0].keys() == metrics[1].keys()
    assert metrics[0]["training"]["best_step"] == metrics[1]["training"]["best_step"]


@pytest.mark.slow
def test_a_stopped_run_resumes_exactly(script: Path, archive: Archive, tables: dict, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    finish(start(script, archive, tables["classes"], whole, 2, RECIPE))
    process = start(script, archive, tables["classes"], out, 2, RECIPE, seconds=0.5)
    deadline = time.monotonic() + 240
    while not any(int(row["step"]) >= 2 for row in read_log(out / "log.csv")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=300)
    assert process.returncode != 0
    assert 2 <= load_state(out / "last.ckpt")["global_step"] < 6
    assert not (out / "encoder").exists()
    finish(start(script, archive, tables["classes"], out, 2, RECIPE))
    one, two = weights(whole), weights(out)
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_batches_that_cannot_be_shared_are_refused(archive: Archive, tables: dict, tmp_path: Path) -> None:
    recipe = {**RECIPE, "train": {**RECIPE["train"], "batch_size": 9}}
    with pytest.raises(RecipeError, match="9 strips for 2 processes"):
        finetune(recipe, archive, tmp_path / "a", task=str(tables["classes"]), progress=False, devices=2)
