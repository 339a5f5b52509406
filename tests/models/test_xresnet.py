"""xresnet1d50 and 101 against the papers' description, built from plain layers strip by strip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_ecg.errors import SignalError
from ssl_ecg.models.xresnet import Bottleneck, XResNet1d50, XResNet1d101

TINY = {"widths": (4, 4, 6, 6), "stem_widths": (4, 4, 8)}
DEPTHS = {XResNet1d50: (3, 4, 6, 3), XResNet1d101: (3, 4, 23, 3)}


@pytest.mark.parametrize("kind", DEPTHS)
def test_parameters_counted_by_hand(kind) -> None:
    """Of the benchmark's widths: 64 in every stage, 256 out, so that only the very first shortcut has weights."""
    stem = 5 * (12 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32 + 64)
    block = lambda n_in: n_in * 64 + 5 * 64 * 64 + 64 * 256 + 2 * (64 + 64 + 256)  # noqa: E731
    expected = stem + block(64) + (64 * 256 + 2 * 256) + (sum(DEPTHS[kind]) - 1) * block(256)
    encoder = kind()
    assert sum(p.numel() for p in encoder.parameters()) == expected
    assert (encoder.dim, encoder.n_features, encoder.stride) == (512, 256, 32)


def reference(ragged, strips, depths, stem_widths, widths):
    """The stem of three, ResNet-B bottlenecks, and ResNet-D shortcuts that average the one or two steps there are."""
    y = strips
    for k in range(3):
        y = ragged.relu(ragged.norm(ragged.conv(y, stem_widths[k], 5, 2 if k == 0 else 1)))
    y = ragged.windows(y, lambda w: w.amax(dim=1), 1, 1)
    for stage in range(4):
        for block in range(depths[stage]):
            stride = 2 if stage > 0 and block == 0 else 1
            z = ragged.relu(ragged.norm(ragged.conv(y, widths[stage], 1)))
            z = ragged.relu(ragged.norm(ragged.conv(z, widths[stage], 5, stride)))
            z = ragged.norm(ragged.conv(z, 4 * widths[stage], 1))
            if stride == 2:
                y = ragged.windows(y, lambda w: w.mean(dim=1), 0, 1)
            if len(y[0]) != 4 * widths[stage]:
                y = ragged.norm(ragged.conv(y, 4 * widths[stage], 1))
            y = ragged.relu(ragged.add(z, y))
    assert ragged.done()
    return ragged.mean_and_max(y)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", DEPTHS)
def test_equals_plain_layers(kind, training, ragged, strips, pad, unsettle) -> None:
    torch.manual_seed(0)
    encoder = kind(**TINY).train(training)
    unsettle(encoder)
    expected = reference(ragged(encoder), strips, DEPTHS[kind], TINY["stem_widths"], TINY["widths"])
    torch.testing.assert_close(encoder(*pad(strips)), expected, rtol=1e-3, atol=1e-3)


def test_blocks_start_as_identity_and_learn_from_the_second_step(silent_in_steps) -> None:
    torch.manual_seed(0)
    encoder = XResNet1d50(**TINY)
    x = torch.rand(4, 24, 30)
    later = [b for b in encoder.stages if isinstance(b, Bottleneck) and b.shortcut is None and b.stride == 1]
    assert len(later) == 12
    assert torch.equal(later[-1](x), x)
    first, second = silent_in_steps(encoder, 2)
    assert first
    assert not second
    assert not any(k.endswith("conv3.norm.weight") for silent in (first, second) for k in silent)


def test_last_gamma_is_set_in_every_block() -> None:
    gammas = [b.conv3.norm.weight for b in XResNet1d101(**TINY, last_gamma=0.5).stages]
    assert len(gammas) == 33
    assert all((g == 0.5).all() for g in gammas)


def test_convolutions_start_as_he_et_al() -> None:
    torch.manual_seed(0)
    for conv in (m for m in XResNet1d50().modules() if isinstance(m, nn.Conv1d)):
        fan_in = conv.in_channels * conv.kernel_size[0]
        assert conv.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)


@pytest.mark.parametrize("wrong", [{"kernel": 2}, {"widths": (8,)}, {"stem_widths": (8, 8)}, {"stem_kernel": -1}])
def test_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(SignalError, match="xresnet1d50"):
        XResNet1d50(**wrong)
