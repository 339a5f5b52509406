"""Batch normalisation settled on fixed strips: neither padding nor dropout counts."""

from __future__ import annotations

import torch

from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.norm import BatchNorm
from ssl_ecg.models.resnet import ResNet18
from ssl_ecg.train.settle import FixedStrips, settle_norms


def test_padding_does_not_count() -> None:
    torch.manual_seed(0)
    encoder = Conv1DEncoder(widths=(8, 16))
    x = torch.randn(20, 12, 90)
    settle_norms(encoder, FixedStrips(x, None))
    expected = {name: value.clone() for name, value in encoder.state_dict().items() if "running" in name}
    padded = torch.nn.functional.pad(x, (0, 60))
    settle_norms(encoder, FixedStrips(padded, torch.full((20,), 90)))
    for name, value in expected.items():
        torch.testing.assert_close(encoder.state_dict()[name], value, rtol=1e-4, atol=1e-5)
    assert not encoder.training


def test_nothing_is_dropped_while_it_settles() -> None:
    """The variance behind a dropout would be wider than in evaluation, and another each time."""
    torch.manual_seed(0)
    encoder = ResNet18(widths=(4, 4, 8, 8), dropout=0.5, last_gamma=1.0)
    x = torch.randn(100, 12, 400)
    settle_norms(encoder, FixedStrips(x, None))
    seen: list[torch.Tensor] = []
    norm = [part for part in encoder.modules() if isinstance(part, BatchNorm)][-2]  # behind the last dropout
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        encoder(x)
    torch.testing.assert_close(norm.running_var, seen[0].var(dim=(0, 2)), rtol=2e-2, atol=0)
    assert not any(part.training for part in encoder.modules())
