from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ssl_ecg.errors import SignalError
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.decoder import Conv1DDecoder
from ssl_ecg.models.layers import MultiScaleConv


def test_multi_scale_is_convolutions_side_by_side() -> None:
    torch.manual_seed(0)
    layer = MultiScaleConv(3, 7, (3, 5, 9), stride=2)
    x = torch.randn(2, 3, 41)
    expected = [F.conv1d(x, conv.weight, stride=2, padding=conv.kernel_size[0] // 2) for conv in layer.scales]
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=1))
    assert [part.shape[1] for part in expected] == [3, 2, 2]


def test_separable_filters_each_map_alone() -> None:
    torch.manual_seed(0)
    layer = MultiScaleConv(4, 6, (3, 5), separable=True)
    x = torch.randn(2, 4, 30)
    filtered = torch.stack(
        [
            F.conv1d(x[:, k : k + 1], conv.weight[j : j + 1], padding=conv.kernel_size[0] // 2)[:, 0]
            for conv, maps in zip(layer.scales, ((0, 1), (2, 3)), strict=True)
            for j, k in enumerate(maps)
        ],
        dim=1,
    )
    expected = torch.einsum("oi,bit->bot", layer.mix.weight[:, :, 0], filtered)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


def test_separable_needs_fewer_weights() -> None:
    count = lambda **kw: sum(p.numel() for p in Conv1DEncoder(**kw).parameters())  # noqa: E731
    assert count(separable=True) < 0.4 * count()


@pytest.mark.parametrize("pool", ["mean", "max", "meanmax"])
def test_pooling(pool: str) -> None:
    torch.manual_seed(0)
    encoder = Conv1DEncoder(widths=(8, 16), pool=pool).eval()
    x = torch.randn(2, 12, 200)
    features = encoder.forward_features(x)
    parts = {"mean": [features.mean(2)], "max": [features.max(2).values]}
    parts["meanmax"] = parts["mean"] + parts["max"]
    torch.testing.assert_close(encoder(x), torch.cat(parts[pool], 1))
    assert encoder.dim == encoder(x).shape[1]


def test_blocks_start_as_their_shortcut_if_gamma_is_zero() -> None:
    torch.manual_seed(0)
    first, second = Conv1DEncoder(widths=(6, 8), blocks=2, last_gamma=0.0).stages
    x = torch.rand(2, 6, 21)
    torch.testing.assert_close(first(x), F.relu(first.shortcut(x)))
    x = torch.rand(2, 8, 11)
    assert torch.equal(second(x), x)
    assert all((block.norm2.weight == 1).all() for block in Conv1DEncoder(widths=(6, 8, 8)).stages)


@pytest.mark.parametrize(
    "wrong", [{"kernels": (4,)}, {"widths": (8,)}, {"pool": "sum"}, {"widths": (8, 0)}, {"stem_kernels": ()}]
)
def test_impossible_parameters(wrong: dict) -> None:
    with pytest.raises(SignalError, match="conv1d"):
        Conv1DEncoder(**wrong)


@pytest.mark.parametrize("length", [160, 161, 175, 250])
def test_decoder_gives_back_the_length(length: int) -> None:
    encoder = Conv1DEncoder(widths=(8, 16, 16))
    decoder = Conv1DDecoder(encoder.n_features, 12, encoder.stride)
    x = torch.randn(2, 12, length)
    assert decoder(encoder.forward_features(x), length).shape == x.shape
