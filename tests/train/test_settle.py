"""Batch normalisation settled on fixed strips: padding does not count."""

from __future__ import annotations

import torch

from ssl_ecg.models.conv1d import Conv1DEncoder
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
