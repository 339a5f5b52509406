"""BYOL against eq. 2 of the paper, written as loops."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import SignalError
from ssl_ecg.methods.base import released_encoder
from ssl_ecg.methods.byol import BYOL
from ssl_ecg.models.conv1d import Conv1DEncoder


class Pair(Views):
    """Two fixed views."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def test_loss() -> None:
    torch.manual_seed(0)
    method = BYOL(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8)
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    x = torch.randn(5, 12, 100)
    pair = torch.cat([x, x.flip(1)])
    predicted = method.predictor(method.projector(method.encoder(pair))).detach().double()
    target = method.teacher_projector(method.teacher(pair)).double()
    total = 0.0
    for i in range(5):
        for one, other in ((i, i + 5), (i + 5, i)):
            difference = predicted[one] / predicted[one].norm() - target[other] / target[other].norm()
            total += float((difference**2).sum())
    assert float(method.loss({"signal": x}).detach()) == pytest.approx(total / 5, rel=1e-5)


def test_the_student_is_released_and_one_strip_refused() -> None:
    method = BYOL(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8)
    assert released_encoder(method) is method.encoder
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        method.loss({"signal": torch.randn(1, 12, 100)})
