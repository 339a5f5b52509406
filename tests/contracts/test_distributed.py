"""Every pretraining method in the registry gives with two processes what it gives with one, simply by being there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_ecg.methods.registry import METHODS

SCRIPT = Path(__file__).with_name("two_processes.py")
APART = "simclr-apart"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train all methods in two processes on halves of the batches, and in one on the whole."""
    out = tmp_path_factory.mktemp("found")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = str(SCRIPT.parents[2])
    env = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "PYTHONPATH": root}
    command = [sys.executable, str(SCRIPT), str(out), *sorted(METHODS), APART]
    both = [subprocess.Popen(command, env={**env, "RANK": str(rank)}) for rank in (0, 1)]
    assert [process.wait(timeout=1200) for process in both] == [0, 0]
    return out


def read(out: Path, name: str) -> list[dict]:
    """Give what one process found alone, and what each of two found."""
    wrong = [file.read_text() for file in out.glob(f"{name}.*.txt")]
    assert not wrong, "\n".join(wrong)
    return [torch.load(out / f"{name}.{which}.pt", weights_only=True) for which in ("alone", "0", "1")]


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float) -> bool:
    """Compare by the largest value, as entries that ought to be zero hold rounding."""
    ours, theirs = ours.double(), theirs.double()
    return bool((ours - theirs).abs().max() <= tolerance * max(float(theirs.abs().max()), 1e-2))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_two_processes_train_as_one(name: str, found: Path) -> None:
    alone, first, second = read(found, name)
    torch.testing.assert_close(first["losses"], alone["losses"], rtol=1e-4, atol=1e-6)
    assert first["gradients"].keys() == alone["gradients"].keys()
    off = [k for k, g in first["gradients"].items() if not close(g, alone["gradients"][k], 1e-3)]
    assert not off, "gradients of the first step"
    off = [k for k, value in first["state"].items() if not close(value, alone["state"][k], 2e-3)]
    assert not off, "state after the last step"
    assert [k for k, value in first["state"].items() if not torch.equal(value, second["state"][k])] == []


def test_a_method_that_does_not_gather_is_found(found: Path) -> None:
    alone, first, _ = read(found, APART)
    assert (first["losses"] - alone["losses"]).abs().min() > 0.1
