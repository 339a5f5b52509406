"""The quick convolution against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ssl_ecg.models.convolution import Conv1d, DoublingConv1d
from ssl_ecg.models.norm import BatchNorm

CASES = [
    {"out_channels": 6, "kernel_size": 5, "padding": 2},
    {"out_channels": 6, "kernel_size": 15, "stride": 2, "padding": 7, "bias": False},
    {"out_channels": 8, "kernel_size": 3, "dilation": 2, "padding": 2, "groups": 4},
    {"out_channels": 5, "kernel_size": 1, "stride": 3},
    {"out_channels": 4, "kernel_size": 3, "padding": "same"},
    {"out_channels": 4, "kernel_size": 3, "padding": 1, "padding_mode": "circular"},
]


@pytest.mark.parametrize("time", [200, 61, 7])
@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("leads_last", [False, True])
def test_equals_torchs_own_with_all_gradients(case, time, leads_last):
    torch.manual_seed(0)
    quick = Conv1d(4, **case)
    own = nn.Conv1d(4, **case)
    own.load_state_dict(quick.state_dict())
    x = torch.randn(3, time, 4).transpose(1, 2) if leads_last else torch.randn(3, 4, time)
    found, expected = ([convolution(given), given] for convolution, given in ((quick, leaf(x)), (own, leaf(x))))
    torch.testing.assert_close(found[0], expected[0])
    towards = torch.randn_like(expected[0])
    for out, _ in (found, expected):
        out.backward(towards)
    torch.testing.assert_close(found[1].grad, expected[1].grad)
    for name, parameter in quick.named_parameters():
        torch.testing.assert_close(parameter.grad, own.get_parameter(name).grad, rtol=1e-4, atol=1e-5)
        assert parameter.grad.stride() == parameter.stride()


@pytest.mark.parametrize("time", [200, 31, 3, 1])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9, 15])
@pytest.mark.parametrize("bias", [False, True])
def test_doubling_equals_up_sampling_before_torchs_own(kernel, bias, time):
    torch.manual_seed(0)
    quick = DoublingConv1d(4, 6, kernel, bias=bias)
    own = nn.Conv1d(4, 6, kernel, padding=kernel // 2, bias=bias)
    own.load_state_dict(quick.state_dict())  # has the weights of the convolution and nothing else
    x = torch.randn(3, 4, time)
    found, expected = leaf(x), leaf(x)
    y, z = quick(found), own(expected.repeat_interleave(2, dim=2))
    torch.testing.assert_close(y, z, rtol=1e-4, atol=1e-5)
    towards = torch.randn_like(z)
    y.backward(towards)
    z.backward(towards)
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5)
    for name, parameter in quick.named_parameters():
        torch.testing.assert_close(parameter.grad, own.get_parameter(name).grad, rtol=1e-4, atol=1e-4)
        assert parameter.grad.stride() == parameter.stride()


def leaf(x):
    return x.detach().clone(memory_format=torch.preserve_format).requires_grad_()


def test_feature_maps_of_a_step_stay_side_by_side():
    x = torch.randn(2, 12, 100)
    for training in (True, False):
        norm = BatchNorm(16).train(training)
        y = norm(Conv1d(12, 16, 7, stride=2, padding=3)(x))
        y = Conv1d(16, 16, 5, padding=2)(F.relu(y + y))
        assert y.shape == (2, 16, 50)
        assert y.stride(1) == 1
    assert DoublingConv1d(16, 8, 7)(y).stride(1) == 1


def test_few_steps_are_left_to_torchs_own():
    y = Conv1d(12, 16, 7, padding=3)(torch.randn(2, 6, 12).transpose(1, 2))
    assert y.stride(2) == 1


def test_states_are_those_of_torchs_own():
    quick, own = Conv1d(12, 16, 7), nn.Conv1d(12, 16, 7)
    assert {k: v.shape for k, v in quick.state_dict().items()} == {k: v.shape for k, v in own.state_dict().items()}
    assert all(p.is_contiguous() for p in quick.parameters())
