"""Every pretraining method in the registry keeps the contract, simply by being there."""

from __future__ import annotations

import inspect

import pytest
import torch

from ssl_ecg.augment.views import Views, build_chain
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.base import Method, begin_step, released_encoder
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.train.monitor import effective_rank, normalised_std

CLASSES = 6
"""Of the targets; every second strip has them."""
TOKENS = {"name": "transformer", "width": 64, "depth": 1, "heads": 4, "patch": 24, "tokens": "lead"}
ENCODER = {"masked": TOKENS}
"""For methods that do not take every encoder."""
PREDICTOR = {"width": 32, "depth": 1, "heads": 2}
PARTS = [{"name": "jepa", **PREDICTOR}, {"name": "vicreg", "weight": 0.1, "hidden_dim": 64, "out_dim": 64}]
ARGUMENTS: dict[str, dict] = {
    "combined": {"parts": PARTS},
    "cpc": {"context_dim": 32, "horizon": 4, "anchors": 6},
    "jepa": PREDICTOR,
    "masked": {"mask_ratio": 0.3, "width": 64, "depth": 1, "heads": 2},
}
"""For methods that need some, or are too slow at their usual size."""


def build(name: str, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    encoder = build_encoder(**ENCODER.get(name, {"name": "conv1d", "widths": (8, 16, 32)}))
    arguments = dict(ARGUMENTS.get(name, {}))
    if "views" in inspect.signature(METHODS[name]).parameters:
        steps = ["gain", {"name": "lead_mask", "drop": 0.3, "p": 0.5}]
        arguments["views"] = Views(build_chain(steps, fs=100).transforms, crop=96)
    if "n_classes" in inspect.signature(METHODS[name]).parameters:
        arguments["n_classes"] = CLASSES
    if "n_targets" in inspect.signature(METHODS[name]).parameters:
        arguments["n_targets"] = CLASSES
    return METHODS[name](encoder, **arguments)


def batch(n: int = 16, length: int = 192, seed: int = 0) -> dict[str, torch.Tensor]:
    """Beats of different shape and rate: something that can be told apart and reconstructed."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(length) / 100
    rate = 1 + 2 * torch.rand(n, 1, 1, generator=generator)
    shape = torch.randn(n, 12, 3, generator=generator)
    waves = torch.stack([torch.sin(2 * torch.pi * rate * k * time) for k in (1, 2, 3)], dim=2)[:, 0]
    return {
        "signal": shape @ waves,
        "lead_mask": torch.ones(n, 12, dtype=torch.bool),
        "row": torch.arange(n),
        "patient": torch.arange(n) // 2,
        "length": torch.full((n,), length),
        "target": (shape[:, :CLASSES, 0] > 0).float() * (torch.arange(n) % 2 == 0)[:, None],
        "target_mask": (torch.arange(n) % 2 == 0)[:, None].expand(n, CLASSES).clone(),
    }


@pytest.fixture(params=sorted(METHODS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_loss_falls_and_nothing_collapses(name: str) -> None:
    method = build(name)
    assert isinstance(method, Method)
    data = batch(32)
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        begin_step(method, step, 40)
        loss = method.loss(data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert torch.isfinite(torch.tensor(losses)).all()
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])
    z = released_encoder(method).eval()(data["signal"]).detach()
    assert effective_rank(z) > 3
    assert normalised_std(z) > 0.05


def test_loss_is_a_scalar_that_reaches_every_parameter(name: str) -> None:
    method = build(name)
    loss = method.loss(batch())
    assert loss.shape == ()
    loss.backward()
    silent = [key for key, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert silent == []


def test_same_seed_same_loss(name: str) -> None:
    def once(seed: int) -> float:
        method = build(name)
        torch.manual_seed(seed)
        return method.loss(batch()).item()

    assert once(1) == once(1)
    if not (name == "autoencoder" and build(name).corruption == "none"):
        assert once(1) != once(2)


def test_bad_batches_are_refused(name: str) -> None:
    method = build(name)
    broken = batch(4)
    broken["signal"][1, 2, 3] = float("nan")
    with pytest.raises(SignalError, match="NaN"):
        method.loss(broken)
    with pytest.raises(SignalError, match="strips"):
        method.loss(batch(0))
    with pytest.raises(SignalError, match="shape"):
        method.loss({"signal": torch.zeros(3, 4)})


@pytest.mark.parametrize("contrastive", ["simclr", "vicreg"])
def test_a_batch_of_one_is_refused(contrastive: str) -> None:
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        build(contrastive).loss(batch(1))


def test_batch_is_not_changed(name: str) -> None:
    data = batch()
    before = {key: value.clone() for key, value in data.items()}
    build(name).loss(data)
    assert all(torch.equal(data[key], before[key]) for key in data)


def test_autocast_changes_the_loss_only_a_little(name: str) -> None:
    def once(enabled: bool) -> float:
        method = build(name)
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = method.loss(batch())
        assert loss.dtype == torch.float32
        return float(loss.detach())

    assert once(True) == pytest.approx(once(False), rel=0.05)


@pytest.mark.parametrize("wrong", [{"hidden_dim": 0}, {"out_dim": -1}, {"layers": 0}])
@pytest.mark.parametrize("contrastive", ["simclr", "vicreg"])
def test_impossible_sizes_are_named(contrastive: str, wrong: dict) -> None:
    encoder = build_encoder("conv1d", widths=(8, 16))
    with pytest.raises(RecipeError, match=f"method.{next(iter(wrong))}"):
        METHODS[contrastive](encoder, Views(crop=96), **wrong)
