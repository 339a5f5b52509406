"""ResNet-18 and -34 against the table of the published network, built from plain layers strip by strip."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ssl_ecg.errors import SignalError
from ssl_ecg.models.resnet import ResNet18, ResNet34


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize(("n_leads", "published"), [(12, 16_610_185), (1, 16_599_625)])
def test_parameters_of_the_published_network(n_leads: int, published: int) -> None:
    encoder = ResNet34(n_leads=n_leads)
    assert (encoder.dim, encoder.n_features, encoder.stride) == (1024, 512, 32)
    assert count(encoder, nn.Linear(encoder.dim, 9)) == published


def reference(ragged, strips, depths, widths):
    """Stem, max pooling of three, basic blocks; a shortcut of length 1 where the shape changes."""
    y = ragged.relu(ragged.norm(ragged.conv(strips, widths[0], 15, 2)))
    y = ragged.windows(y, lambda w: w.amax(dim=1), 1, 1)
    for stage in range(4):
        for block in range(depths[stage]):
            stride = 2 if stage > 0 and block == 0 else 1
            z = ragged.relu(ragged.norm(ragged.conv(y, widths[stage], 7, stride)))
            z = ragged.norm(ragged.conv(z, widths[stage], 7))
            if stride == 2 or len(y[0]) != widths[stage]:
                y = ragged.norm(ragged.conv(y, widths[stage], 1, stride))
            y = ragged.relu(ragged.add(z, y))
    assert ragged.done()
    return ragged.mean_and_max(y)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("kind", "depths"), [(ResNet18, (2, 2, 2, 2)), (ResNet34, (3, 4, 6, 3))])
def test_equals_plain_layers(kind, depths, training, ragged, strips, pad, unsettle) -> None:
    """Also in training, where the batch statistics are those of strips of different length."""
    torch.manual_seed(0)
    widths = (6, 8, 8, 10)
    encoder = kind(widths=widths, dropout=0.0).train(training)
    unsettle(encoder)
    expected = reference(ragged(encoder), strips, depths, widths)
    torch.testing.assert_close(encoder(*pad(strips)), expected, rtol=1e-3, atol=1e-4)


def test_features_are_zero_past_the_end(strips, pad) -> None:
    x, lengths = pad(strips)
    features = ResNet18(widths=(4, 4, 4, 8)).forward_features(x, lengths)
    for row, n in zip(features, lengths.tolist(), strict=True):
        steps = -(-n // 32)
        assert row[:, :steps].abs().sum() > 0
        assert not row[:, steps:].any()


def test_dropout_is_applied_in_training_only() -> None:
    torch.manual_seed(0)
    encoder = ResNet18(widths=(4, 4, 4, 8), dropout=0.5, last_gamma=1.0)
    dropouts = [m for m in encoder.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in ResNet34(widths=(1, 1, 1, 1)).modules() if isinstance(m, nn.Dropout)] == [0.2] * 16
    assert len(dropouts) == 8
    x = torch.randn(4, 12, 200)
    assert not torch.equal(encoder(x), encoder(x))
    encoder.eval()
    assert torch.equal(encoder(x), encoder(x))


@pytest.mark.parametrize("wrong", [{"kernel": 4}, {"stem_kernel": 0}, {"widths": (8, 8)}, {"widths": (8, 8, 8, 0)}])
def test_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(SignalError, match="resnet18"):
        ResNet18(**wrong)


def test_blocks_start_as_identity_and_learn_from_the_second_step(silent_in_steps) -> None:
    torch.manual_seed(0)
    encoder = ResNet34(widths=(4, 6, 8, 8))
    later = [block for block in encoder.stages if block.shortcut is None]
    assert len(later) == 13
    x = torch.rand(4, 8, 30)
    assert torch.equal(later[-1](x), x)
    first, second = silent_in_steps(encoder, 2)
    assert first
    assert not second


def test_last_gamma_is_set_in_every_block() -> None:
    gammas = [block.norm2.weight for block in ResNet34(widths=(2, 2, 2, 2), last_gamma=0.5).stages]
    assert len(gammas) == 16
    assert all((gamma == 0.5).all() for gamma in gammas)
