"""Every encoder in the registry keeps the contract, simply by being there."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.errors import RecipeError
from ssl_ecg.models.registry import ENCODERS, Encoder, build_encoder
from ssl_ecg.train.checkpoint import load_encoder, save_encoder

SMALL = {"conv1d": {"widths": (8, 16, 24)}}


@pytest.fixture(params=sorted(ENCODERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def build(name: str, **kwargs: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_encoder(name, **{**SMALL[name], **kwargs})


@pytest.mark.parametrize("n_leads", [1, 2, 3, 8, 12])
@pytest.mark.parametrize("length", [250, 333, 1000])
def test_shapes(name: str, n_leads: int, length: int) -> None:
    encoder = build(name, n_leads=n_leads).eval()
    x = torch.randn(3, n_leads, length)
    features = encoder.forward_features(x)
    assert encoder(x).shape == (3, encoder.dim)
    assert features.shape == (3, encoder.n_features, -(-length // encoder.stride))
    assert isinstance(encoder, Encoder)


def test_gradient_reaches_every_parameter(name: str) -> None:
    encoder = build(name)
    encoder(torch.randn(4, 12, 256)).square().sum().backward()
    silent = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert silent == []


def test_batch_does_not_matter_in_evaluation(name: str) -> None:
    encoder = build(name).eval()
    x = torch.randn(5, 12, 300)
    together = encoder(x)
    alone = torch.cat([encoder(x[k : k + 1]) for k in range(5)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_round_trip_through_a_checkpoint(name: str, tmp_path) -> None:
    encoder = build(name).eval()
    save_encoder(encoder, tmp_path / "c", architecture={"name": name, **SMALL[name]})
    loaded = load_encoder(tmp_path / "c")
    x = torch.randn(2, 12, 400)
    assert torch.equal(encoder(x), loaded(x))
    assert loaded.preprocessing == encoder.preprocessing
    assert not loaded.training


def test_unknown_name_and_parameter() -> None:
    with pytest.raises(RecipeError, match="did you mean 'conv1d'"):
        build_encoder("conv1")
    with pytest.raises(RecipeError, match="width"):
        build_encoder("conv1d", width=3)
