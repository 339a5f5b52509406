"""Every encoder in the registry keeps the contract, simply by being there."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.models.registry import ENCODERS, Encoder, build_encoder
from ssl_ecg.train.checkpoint import load_encoder, save_encoder

SMALL = {
    "conv1d": {"widths": (8, 16, 24)},
    # at a gamma of zero, the default, the blocks get no gradient in the first step: tests/models
    "resnet18": {"widths": (4, 8, 8, 12), "last_gamma": 0.2},
    "resnet34": {"widths": (4, 8, 8, 12), "last_gamma": 0.2},
    "xresnet1d50": {"widths": (4, 4, 4, 4), "stem_widths": (4, 4, 8), "last_gamma": 0.2},
    "xresnet1d101": {"widths": (4, 4, 4, 4), "stem_widths": (4, 4, 8), "last_gamma": 0.2},
    "resnet_lstm": {"widths": (8, 8), "hidden": 4, "dense": 8},
    "lead_attention": {"stem_widths": (4, 8), "strides": (2, 2), "width": 8, "heads": 2, "blocks": (1, 1, 1)},
    "s4": {"width": 8, "depth": 2, "state": 4},
    "transformer": {"width": 16, "depth": 2, "heads": 2},
}


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


def test_double_precision_differs_by_rounding(name: str) -> None:
    x = torch.randn(2, 12, 300)
    single, double = build(name).eval(), build(name).eval().double()
    embedded = double(x.double())
    assert embedded.dtype == torch.float64
    torch.testing.assert_close(single(x).double(), embedded, rtol=1e-3, atol=1e-4)


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


@pytest.mark.parametrize("training", [False, True])
def test_padding_does_not_matter(name: str, training: bool) -> None:
    """A short strip in a padded batch gives what it gives alone; in training, what a batch without padding gives."""
    encoder = build(name).train(training)
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    length, lengths = 301, torch.tensor([301, 187, 301, 187])
    x = torch.randn(4, 12, length)
    x = x * (torch.arange(length) < lengths[:, None, None])
    if training:  # all of one length, so that the batch statistics of the unpadded batch are known
        padded = encoder(torch.cat([x[1::2], x[1::2]]), torch.full((4,), 187))
        alone = build(name).train()
        for module in alone.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        torch.testing.assert_close(padded, alone(torch.cat([x[1::2], x[1::2]])[..., :187]), rtol=1e-3, atol=1e-4)
        return
    together = encoder(x, lengths)
    alone = torch.cat([encoder(x[k : k + 1, :, : lengths[k]]) for k in range(4)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_lengths_beyond_the_batch_are_refused(name: str) -> None:
    with pytest.raises(SignalError, match="lengths from 10 to 400"):
        build(name)(torch.randn(2, 12, 300), torch.tensor([10, 400]))


def test_an_absent_lead_is_just_silent(name: str) -> None:
    """Zeros in place of a lead are finite in, finite out, also if only one lead is left or none."""
    encoder = build(name).eval()
    x = torch.randn(3, 12, 256)
    x[0, 3] = 0
    x[1, 1:] = 0
    x[2] = 0
    assert torch.isfinite(encoder(x)).all()


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
