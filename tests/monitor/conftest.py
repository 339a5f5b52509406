"""A small encoder, and simulated recordings with ventricular beats."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.train.checkpoint import load_encoder


@cache
def simulated(seconds: float, fs: float, findings: str, seed: int = 3) -> Record:
    return simulate(1, seed=seed, findings=[findings], seconds=seconds, fs=fs)[0]


@pytest.fixture(scope="session")
def encoder():
    torch.manual_seed(0)
    return Conv1DEncoder(widths=(4, 8)).eval()


@pytest.fixture(scope="session")
def released():
    """An encoder that has learned: what an untrained one makes of a beat says little about its shape."""
    return load_encoder("conv1d-small")


@pytest.fixture(scope="session")
def recording():
    return simulated


@pytest.fixture
def saved(tmp_path: Path):
    """Write rows as an .npy file, of which nothing else is known."""

    def write(signal: np.ndarray, name: str = "r1") -> Path:
        np.save(tmp_path / f"{name}.npy", signal)
        return tmp_path / f"{name}.npy"

    return write
