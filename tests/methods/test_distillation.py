"""Distillation: its loss against plain loops, and that it can be learnt."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.distillation import Distillation
from ssl_ecg.models.conv1d import Conv1DEncoder


def batch(n: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "signal": torch.randn(n, 12, 64, generator=generator),
        "target": torch.randn(n, 4, generator=generator),
        "target_mask": torch.ones(n, 4, dtype=torch.bool),
    }


def make() -> Distillation:
    torch.manual_seed(0)
    return Distillation(Conv1DEncoder(widths=(8, 16)), Views([]), n_targets=4, hidden_dim=8)


def test_loss_is_the_mean_squared_error() -> None:
    method, data = make().eval(), batch()
    data["target_mask"][2] = False  # a record that the teacher has not seen
    with torch.no_grad():
        told = method.guide(method.encoder(data["signal"]))
        errors = [(told[i, k] - data["target"][i, k]).item() ** 2 for i in range(6) if i != 2 for k in range(4)]
        assert method.loss(data).item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)


def test_the_student_learns_what_the_teacher_says() -> None:
    method, data = make(), batch(32)
    optimiser = torch.optim.Adam(method.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = method.loss(data)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(RecipeError, match="n_targets"):
        Distillation(Conv1DEncoder(widths=(8, 16)), Views([]), n_targets=0)
    data = batch()
    del data["target"]
    with pytest.raises(SignalError, match="has no targets"):
        make().loss(data)
    with pytest.raises(SignalError, match="1 strips"):
        make().loss(batch(1))
