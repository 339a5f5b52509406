"""Partners on their way from an archive to a method."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.pretraining import pretrain
from ssl_ecg.scaling import scale_strips


class Keeper(nn.Module):
    """A method that keeps its batch."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Conv1DEncoder(n_leads=2, widths=(4, 8))
        self.encoder.preprocessing = Preprocessing(scale="lead")

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        self.batch = batch
        return self.encoder(batch["signal"]).sum()


@pytest.mark.filterwarnings("ignore:.*trainer.*")
def test_partners_are_scaled_as_their_strips_are() -> None:
    from ssl_ecg.train.adapter import MethodModule

    method = Keeper()
    module = MethodModule(method, lr=1e-3, weight_decay=0, steps=2, warmup_steps=0, seed=0)
    batch = {"signal": torch.randn(3, 2, 50), "partner": torch.randn(3, 2, 50) * 7}
    module.training_step(batch, 0)
    for name in batch:
        assert torch.equal(method.batch[name], scale_strips(batch[name], "lead"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Records of 10 s, 4 s and 0.8 s: some are shorter than a strip, and some than a view."""
    rng = np.random.default_rng(0)
    records = [
        Record(
            np.cumsum(rng.normal(size=(12, (1000, 400, 80)[k % 3])), axis=1).astype(np.float32) * 0.02,
            100.0,
            STANDARD_LEADS,
            f"r{k}",
            patient_id=f"p{k // 4}",
        )
        for k in range(24)
    ]
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", band=None, progress=False)


@pytest.mark.parametrize("recipe", ["clocs", "three_kg", "lead_contrast", "polywindow"])
def test_recipes_run_on_records_of_different_length(archive: Archive, recipe: str, tmp_path: Path) -> None:
    small = ["train.steps=3", "train.batch_size=12", "encoder.widths=[4,8]", "train.log_every=1"]
    pretrain(recipe, archive, tmp_path / "run", overrides=small, progress=False)
    with (tmp_path / "run" / "log.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]
    assert len(losses) == 3
    assert all(map(math.isfinite, losses))
