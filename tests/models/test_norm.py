"""Batch normalisation that leaves padding out, against the plain one on what is left."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ssl_ecg.models.norm import BatchNorm, synchronise_norms


def test_without_mask_it_is_the_plain_one() -> None:
    x = torch.randn(4, 3, 10)
    ours, plain = BatchNorm(3), nn.BatchNorm1d(3)
    assert torch.equal(ours(x), plain(x))
    assert torch.equal(ours.running_var, plain.running_var)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_mask_equals_the_plain_one_over_the_rest(momentum: float | None) -> None:
    """The steps that count, laid side by side in one long strip, pass the plain normalisation."""
    torch.manual_seed(0)
    ours, plain = BatchNorm(3, momentum=momentum), nn.BatchNorm1d(3, momentum=momentum)
    nn.init.normal_(ours.weight)
    plain.weight.data.copy_(ours.weight.data)
    lengths = [10, 4, 7, 1]
    for _ in range(3):
        x = 50 + torch.randn(4, 3, 10)
        mask = torch.stack([torch.arange(10) < n for n in lengths])[:, None]
        out = ours(x, mask)
        expected = plain(torch.cat([x[k, :, :n] for k, n in enumerate(lengths)], dim=1)[None])[0]
        got = torch.cat([out[k, :, :n] for k, n in enumerate(lengths)], dim=1)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
        assert not (out * ~mask).any()
    torch.testing.assert_close(ours.running_mean, plain.running_mean)
    torch.testing.assert_close(ours.running_var, plain.running_var)


def test_gradient_equals_the_plain_one() -> None:
    x = torch.randn(5, 2, 8, dtype=torch.float32, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    weight = torch.randn(5, 2, 8)
    (BatchNorm(2)(x, torch.ones(5, 1, 8, dtype=torch.bool)) * weight).sum().backward()
    (nn.BatchNorm1d(2)(y) * weight).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


def test_conversion_keeps_everything() -> None:
    head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm2d(4))
    weight = head[1].weight
    twin = copy.deepcopy(head)
    synchronise_norms(head)
    assert type(head[1]) is BatchNorm
    assert type(head[2]) is nn.BatchNorm2d
    assert head[1].weight is weight
    x = torch.randn(6, 4)
    assert torch.equal(head[1](x), twin[1](x))
