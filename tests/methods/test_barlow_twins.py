"""Barlow Twins against eq. 1 and 2 of the paper, written as loops, with its gradient."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.barlow_twins import BarlowTwins
from ssl_ecg.models.conv1d import Conv1DEncoder


class Pair(Views):
    """Two fixed views."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def build(**options) -> BarlowTwins:
    torch.manual_seed(0)
    return BarlowTwins(Conv1DEncoder(widths=(8, 16)), Pair(), **{"hidden_dim": 16, "out_dim": 6, **options})


def slowly(a: torch.Tensor, b: torch.Tensor, redundancy: float) -> torch.Tensor:
    total = torch.zeros((), dtype=a.dtype)
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            one, other = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            correlation = (one * other).sum() / ((one**2).sum() * (other**2).sum()).sqrt()
            total = total + ((1 - correlation) ** 2 if i == j else redundancy * correlation**2)
    return total


@pytest.mark.parametrize("redundancy", [5e-3, 0.5])
def test_loss(redundancy: float) -> None:
    method = build(redundancy=redundancy)
    x = torch.randn(9, 12, 100)
    a, b = method.projector(method.encoder(torch.cat([x, x.flip(1)]))).detach().double().chunk(2)
    expected = float(slowly(a, b, redundancy))
    # lightly adds 1e-5 to the variances, which are small here
    assert float(method.loss({"signal": x}).detach()) == pytest.approx(expected, rel=2e-3)


def test_gradient() -> None:
    method = build()
    a, b = torch.randn(7, 6).requires_grad_(), torch.randn(7, 6).requires_grad_()
    method.correlate(a, b).backward()
    one, other = (z.detach().double().requires_grad_() for z in (a, b))
    slowly(one, other, 5e-3).backward()
    torch.testing.assert_close(a.grad.double(), one.grad, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(b.grad.double(), other.grad, rtol=1e-3, atol=1e-4)


def test_one_strip_and_impossible_sizes_are_refused() -> None:
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        build().loss({"signal": torch.randn(1, 12, 100)})
    with pytest.raises(RecipeError, match="redundancy"):
        build(redundancy=0)
