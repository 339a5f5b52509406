"""Scaling of batches: each strip as it would be scaled alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ssl_ecg.scaling import scale_strips


@pytest.mark.parametrize("mode", ["none", "record", "lead"])
def test_padding_does_not_count(mode: str) -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([50, 31, 8])
    x = 3 + torch.randn(3, 4, 50)
    x = x * (torch.arange(50) < lengths[:, None, None])
    x[1, 2] = 0
    scaled = scale_strips(x, mode, lengths)
    for k, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(scaled[k, :, :n], scale_strips(x[k : k + 1, :, :n], mode)[0])
        assert not scaled[k, :, n:].any()
    assert not scaled[1, 2].any()


def test_against_numpy() -> None:
    x = np.random.default_rng(0).normal(2, 3, (2, 3, 40)).astype(np.float32)
    x[0, 1] = 0
    by_lead = scale_strips(torch.from_numpy(x), "lead").numpy()
    np.testing.assert_allclose(by_lead[1], (x[1] - x[1].mean(1, keepdims=True)) / x[1].std(1, keepdims=True), rtol=1e-4)
    by_record = scale_strips(torch.from_numpy(x), "record").numpy()
    present = np.delete(x[0], 1, axis=0)
    np.testing.assert_allclose(by_record[0], x[0] / np.sqrt((present**2).mean()), rtol=1e-4)
