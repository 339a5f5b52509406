"""Partners on their way to a method."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.preprocessing import Preprocessing
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
