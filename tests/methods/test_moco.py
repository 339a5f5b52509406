"""MoCo v3 against eq. 1 of the paper, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import SignalError
from ssl_ecg.methods.base import released_encoder
from ssl_ecg.methods.moco import MoCo
from ssl_ecg.models.conv1d import Conv1DEncoder


class Pair(Views):
    """Two fixed views."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def contrast_slowly(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for i, query in enumerate(queries):
        cosine = [float(query @ key / query.norm() / key.norm()) for key in keys]
        total -= math.log(math.exp(cosine[i] / temperature) / sum(math.exp(c / temperature) for c in cosine))
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_loss(temperature: float) -> None:
    torch.manual_seed(0)
    method = MoCo(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8, temperature=temperature)
    with torch.no_grad():
        for parameter in method.teacher.parameters():  # as after some steps: not the student
            parameter += 0.1 * torch.randn_like(parameter)
    x = torch.randn(6, 12, 100)
    pair = torch.cat([x, x.flip(1)])
    queries = method.predictor(method.projector(method.encoder(pair))).detach().double()
    keys = method.teacher_projector(method.teacher(pair)).double()
    expected = contrast_slowly(queries[:6], keys[6:], temperature) + contrast_slowly(queries[6:], keys[:6], temperature)
    assert float(method.loss({"signal": x}).detach()) == pytest.approx(expected, rel=1e-4)


def test_the_student_is_released_and_one_strip_refused() -> None:
    method = MoCo(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8)
    assert released_encoder(method) is method.encoder
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        method.loss({"signal": torch.randn(1, 12, 100)})
