from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.s4 import S4Encoder
from ssl_ecg.models.state_space import RingConvolution, StateSpace


def perturbed(module: torch.nn.Module) -> torch.nn.Module:
    for p in module.parameters():
        p.data += 0.1 * torch.randn_like(p)
    return module.double()


def recurrence(space: StateSpace, u: Tensor) -> Tensor:
    """x_k = A x_(k-1) + B u_k, y = Re(C x) + D u, one feature map, state and sample at a time; u (step, width)."""
    out = space.skip.detach() * u
    for h in range(u.shape[1]):
        step = math.exp(space.log_step[h])
        for direction in range(space.output.shape[0]):
            samples = u[:, h].tolist()[:: 1 if direction == 0 else -1]
            y = [0.0] * len(samples)
            for n in range(space.frequency.shape[1]):
                pole = complex(-math.exp(space.log_decay[h, n]), float(space.frequency[h, n]))
                discrete = cmath.exp(step * pole)
                c = complex(*space.output[direction, h, n].tolist())
                for conjugate in (False, True):
                    a = discrete.conjugate() if conjugate else discrete
                    b = (a - 1) / (pole.conjugate() if conjugate else pole)
                    state = 0j
                    for k, sample in enumerate(samples):
                        state = a * state + b * sample
                        y[k] += ((c.conjugate() if conjugate else c) * state).real
            out[:, h] += torch.tensor(y[:: 1 if direction == 0 else -1], dtype=torch.float64)
    return out


@pytest.mark.parametrize("init", ["lin", "inv"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("length", [1, 2, 37])
@torch.no_grad()
def test_state_space_against_its_recurrence(length: int, bidirectional: bool, init: str) -> None:
    torch.manual_seed(0)
    space = perturbed(StateSpace(3, 4, bidirectional=bidirectional, init=init, steps=(0.05, 0.5)))
    u = torch.randn(2, length, 3, dtype=torch.float64)
    torch.testing.assert_close(space(u), torch.stack([recurrence(space, strip) for strip in u]))


@torch.no_grad()
def test_kernel_is_the_impulse_response() -> None:
    torch.manual_seed(0)
    space = perturbed(StateSpace(2, 6))
    impulse = torch.zeros(29, 2, dtype=torch.float64)
    impulse[0] = 1
    space.skip.data.zero_()
    first = recurrence(space, impulse)  # forward kernel, and the backward one at lag zero
    kernel = space.kernel(29)
    torch.testing.assert_close(kernel[0].T[1:], first[1:])
    torch.testing.assert_close(kernel.sum(0)[:, 0], first[0])


@torch.no_grad()
def test_initial_states() -> None:
    """S4D-Lin: -1/2 + i pi n; S4D-Inv: -1/2 + i N/pi (N / (2n + 1) - 1)."""
    torch.manual_seed(0)
    lin, inv = StateSpace(2, 8, init="lin"), StateSpace(2, 8, init="inv")
    assert lin.frequency[1].tolist() == pytest.approx([0, math.pi, 2 * math.pi, 3 * math.pi])
    assert inv.frequency[1].tolist() == pytest.approx([8 / math.pi * (8 / q - 1) for q in (1, 3, 5, 7)])
    assert lin.log_decay.exp().unique().tolist() == pytest.approx([0.5])
    steps = StateSpace(4000, 2).log_step.detach().exp()
    assert steps.aminmax().min.item() == pytest.approx(0.001, rel=0.02)
    assert steps.aminmax().max.item() == pytest.approx(0.1, rel=0.02)
    assert steps.median().item() == pytest.approx(0.01, rel=0.2)  # log-uniform


def test_gradients_against_differences() -> None:
    torch.manual_seed(0)
    u = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    ring = torch.randn(3, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(RingConvolution.apply, (u, ring))
    space = perturbed(StateSpace(2, 4))
    v = torch.randn(1, 6, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, *_: space(u), (v, *space.parameters()))


def slow_encoder(encoder: S4Encoder, strip: Tensor) -> Tensor:
    """Features (step, width) of one strip alone, with layer normalisation."""

    def normed(v: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
        deviation = v - v.mean(1, keepdim=True)
        return deviation / (deviation.square().mean(1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias

    kernel = encoder.stem.weight.shape[2]
    padded = F.pad(strip, (kernel // 2, kernel))
    starts = range(0, strip.shape[1], encoder.stride)
    windows = [(encoder.stem.weight * padded[:, s : s + kernel]).sum((1, 2)) + encoder.stem.bias for s in starts]
    y = torch.stack(windows)
    for block in encoder.blocks:
        hidden = F.gelu(recurrence(block.state_space, normed(y, block.norm.norm)))
        value, gate = (hidden @ block.mix.weight.T + block.mix.bias).chunk(2, dim=1)
        y = y + value / (1 + torch.exp(-gate))
    return normed(y, encoder.norm.norm)


@pytest.mark.parametrize("bidirectional", [False, True])
@torch.no_grad()
def test_encoder_against_loops_with_padding(bidirectional: bool) -> None:
    torch.manual_seed(0)
    encoder = S4Encoder(n_leads=2, width=3, depth=2, state=4, stride=3, kernel=5, bidirectional=bidirectional)
    encoder = perturbed(encoder).eval()
    lengths = torch.tensor([26, 17])
    x = torch.randn(2, 2, 26, dtype=torch.float64) * (torch.arange(26) < lengths[:, None, None])
    features, pooled = encoder.forward_features(x, lengths), encoder(x, lengths)
    for k in range(2):
        expected = slow_encoder(encoder, x[k, :, : lengths[k]])
        torch.testing.assert_close(features[k, :, : len(expected)], expected.T)
        assert not features[k, :, len(expected) :].any()
        torch.testing.assert_close(pooled[k], expected.mean(0))


@torch.no_grad()
def test_one_direction_does_not_look_ahead() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 80)
    later = x.clone()
    later[..., 41:] += 1
    for bidirectional in (False, True):
        encoder = S4Encoder(n_leads=2, width=4, depth=2, state=4, kernel=3, bidirectional=bidirectional)
        change = (encoder.forward_features(x) - encoder.forward_features(later)).abs().amax((0, 1))
        assert (change[:10].max() < 1e-5) is not bidirectional  # step 10 sees samples 39 to 41
        assert change[10] > 1e-4


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_batch_normalisation_leaves_padding_out(training: bool) -> None:
    torch.manual_seed(0)
    encoder = S4Encoder(n_leads=2, width=4, depth=2, state=4, norm="batch").train(training)
    x = torch.randn(3, 2, 61)
    padded = encoder(F.pad(x, (0, 40)), torch.full((3,), 61))
    torch.testing.assert_close(padded, encoder(x), rtol=1e-4, atol=1e-5)


def test_size() -> None:
    assert sum(p.numel() for p in S4Encoder().parameters()) < 1_000_000


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"state": 5}, "5 states"),
        ({"kernel": 4}, "kernel 4"),
        ({"norm": "group"}, "unknown norm 'group'"),
        ({"init": "legs"}, "unknown init 'legs'"),
    ],
)
def test_bad_parameters_are_refused(kwargs: dict, message: str) -> None:
    with pytest.raises(SignalError, match=message):
        S4Encoder(**kwargs)
