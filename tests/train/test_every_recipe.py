"""Every recipe of pretraining that is shipped trains, at a small size, on records of different length."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.memory import Records
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.simulate import simulate
from ssl_ecg.methods.base import released_encoder
from ssl_ecg.pretraining import build_method, pretrain
from ssl_ecg.recipes import list_recipes, load_recipe
from ssl_ecg.train.checkpoint import load_encoder

RECIPES = sorted(name for name in list_recipes() if name.startswith("pretrain/"))
ENCODERS = {"conv1d": {"widths": [4, 8]}, "transformer": {"width": 16, "depth": 1, "heads": 2}}
SIZES = {
    "hidden_dim": 16, "out_dim": 8, "bottleneck_dim": 8, "context_dim": 16, "queue_size": 32,
    "width": 16, "depth": 1, "heads": 2,
}  # fmt: skip
"""Of whatever a method has beside the encoder."""
ELSEWHERE = {"pretrain/demo", "pretrain/guided", "pretrain/simclr_noise"}
"""Those whose like is trained in quicker tests too: simclr, test_measures.py and test_noise_parts.py."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Records of 10 s, 4 s and 0.8 s with codes and folds: some shorter than a strip, and some than a view."""
    records = [
        replace(record, signal=record.signal[:, : (1000, 1000, 400, 80)[k % 4]], annotations=None)
        for k, record in enumerate(simulate(32, seed=0, seconds=10, fs=100))
    ]
    return prepare(Records(records, folds=10), tmp_path_factory.mktemp("data") / "archive", workers=1, progress=False)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    signal = np.random.default_rng(0).normal(size=(360 * 30, 2))
    wfdb.wrsamp("em", 360, ["mV"] * 2, ["noise1", "noise2"], signal, fmt=["16"] * 2, write_dir=str(folder))
    return folder


def smaller(method: Mapping[str, Any], place: str = "method") -> Iterator[str]:
    """Overrides of the sizes that a method has, and those of its parts."""
    for key, value in method.items():
        if key in SIZES:
            yield f"{place}.{key}={SIZES[key]}"
        for k, part in enumerate(value if key == "parts" else ()):
            yield from smaller(part, f"{place}.parts.{k}")


def overrides(name: str, noise: Path) -> list[str]:
    recipe = load_recipe(name)
    found = ["train.steps=3", "train.batch_size=8", "train.log_every=1", "train.precision=float32"]
    found += [f"encoder.{key}={value}" for key, value in ENCODERS[recipe["encoder"]["name"]].items()]
    found += smaller(recipe["method"])
    for k, step in enumerate(recipe.get("views", {}).get("transforms", ())):
        if step["name"] == "real_noise":
            found.append(f"views.transforms.{k}.noise={noise}")
    return found


@pytest.mark.filterwarnings("ignore:.*collapsing.*")
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in ELSEWHERE else []) for name in RECIPES]
)
def test_recipe_trains(name: str, archive: Archive, noise: Path, tmp_path: Path) -> None:
    run = pretrain(name, archive, tmp_path / "run", overrides=overrides(name, noise), progress=False)
    with (run / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))
    encoder = load_encoder(run)
    untrained = released_encoder(build_method(load_recipe(run / "recipe.yaml"), archive))
    before = dict(untrained.named_parameters())
    assert any(not torch.equal(p, before[key]) for key, p in encoder.named_parameters()), "nothing was learned"
    with torch.inference_mode():
        z = encoder(torch.from_numpy(archive.read(0)[None]))
    assert z.shape == (1, encoder.dim)
    assert bool(torch.isfinite(z).all())
