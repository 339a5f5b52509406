"""Crops and changes of speed against slow references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import CubicHermiteSpline

from ssl_ecg.augment.functional_time import crop, sample_at, stretched_positions, warped_positions
from ssl_ecg.augment.transforms_crop import RandomCrop, RandomResizedCrop
from ssl_ecg.augment.transforms_time import Speed, TimeMask, TimeWarp
from ssl_ecg.errors import RecipeError, SignalError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_crop_by_loops() -> None:
    x = torch.randn(9, 5, 70, generator=seeded())
    start = torch.randint(0, 31, (9,), generator=seeded(1))
    expected = np.stack([strip[:, s : s + 40] for strip, s in zip(x.numpy(), start.tolist(), strict=True)])
    np.testing.assert_array_equal(crop(x, start, 40), expected)
    view = x.transpose(0, 1)  # not contiguous
    assert torch.equal(crop(view, torch.zeros(5, dtype=torch.long), 40), view[..., :40])
    with pytest.raises(SignalError, match="does not fit"):
        crop(x, start, 71)


def test_random_crop_reaches_every_start() -> None:
    ramp = torch.arange(60.0).expand(4000, 1, 60)
    start = RandomCrop(50)(ramp, generator=seeded())[:, 0, 0].long()
    counts = torch.bincount(start, minlength=11)
    assert len(counts) == 11
    assert counts.min() > 4000 / 11 * 0.75


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_interpolation_against_scipy(interpolation: str) -> None:
    x = torch.randn(3, 4, 50, generator=seeded())
    position = torch.rand(3, 80, generator=seeded(1)) * 49
    fast = sample_at(x, position, interpolation=interpolation).numpy()  # type: ignore[arg-type]
    knots = np.arange(50)
    for b, lead in np.ndindex(3, 4):
        y = x[b, lead].double().numpy()
        at = position[b].double().numpy()
        if interpolation == "linear":
            slow = np.interp(at, knots, y)
        else:
            beyond = np.concatenate([y[:1], y, y[-1:]])
            slow = CubicHermiteSpline(knots, y, (beyond[2:] - beyond[:-2]) / 2)(at)
        np.testing.assert_allclose(fast[b, lead], slow, atol=1e-5)


def test_outside_is_zero() -> None:
    x = torch.ones(1, 2, 10)
    out = sample_at(x, torch.tensor([[-0.1, 0.0, 4.5, 9.0, 9.1, -100.0, 500.0]]))
    torch.testing.assert_close(out[0, 0], torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))


def test_warp_of_a_ramp_is_the_warp() -> None:
    coefficients = torch.rand(20, 4, generator=seeded()) * 2 - 1
    position = warped_positions(coefficients, 400, 0.3)
    ramp = torch.arange(400.0).expand(20, 2, 400)
    # Within the strip; at the ends the cubic levels off.
    inside = (position > 1) & (position < 398)
    warped = sample_at(ramp, position)[:, 1]
    torch.testing.assert_close(warped[inside], position[inside], atol=1e-3, rtol=1e-5)
    speed = position.double().diff(dim=1)
    assert speed.min() > 0.7 - 1e-3
    assert speed.max() < 1.3 + 1e-3
    assert (position[:, 0] == 0).all()
    torch.testing.assert_close(position[:, -1], torch.full((20,), 399.0), atol=1e-3, rtol=0)
    through = TimeWarp(0.3)(ramp, generator=seeded(2))[:, 0]
    assert (through - ramp[:, 0]).abs().max() > 2.0
    assert (through.diff(dim=1) >= 0).all()


def test_speed_moves_a_tone() -> None:
    fs, n_samples = 100.0, 4000
    tone = torch.sin(2 * torch.pi * 5.0 * torch.arange(n_samples) / fs).expand(40, 1, n_samples)
    out = Speed(1.25)(tone, generator=seeded())[:, 0, 800:3200]
    crossings = ((out[:, :-1] < 0) & (out[:, 1:] >= 0)).sum(1) / (2400 / fs)
    assert 3.9 < crossings.min() < 4.3
    assert 5.8 < crossings.max() < 6.4


def test_resized_crop_keeps_to_the_strip() -> None:
    ramp = torch.arange(300.0).expand(500, 1, 300)
    out = RandomResizedCrop(200, 1.25)(ramp, generator=seeded())[:, 0]
    speed = (out[:, 150] - out[:, 50]) / 100
    assert 0.8 - 1e-3 <= speed.min() < 0.82
    assert 1.22 < speed.max() <= 1.25 + 1e-3
    assert out.min() >= -0.1
    assert out.max() <= 299.1
    # The strip limits the piece: none runs beyond its ends.
    short = RandomResizedCrop(290, 1.25)(ramp, generator=seeded())[:, 0]
    assert ((short[:, 250] - short[:, 50]) / 200).max() <= 299 / 289 + 1e-3


def test_stretched_positions() -> None:
    position = stretched_positions(torch.tensor([0.5, 2.0]), torch.tensor([3.0, 0.0]), 4)
    assert position.tolist() == [[3.0, 3.5, 4.0, 4.5], [0.0, 2.0, 4.0, 6.0]]


def test_time_mask_takes_up_to_its_share() -> None:
    masked = TimeMask(0.4, 2)(torch.ones(2000, 12, 100), generator=seeded()) == 0
    assert (masked == masked[:, :1]).all()
    share = masked[:, 0].float().mean(1)
    assert 0.0 < share.min() <= 0.03
    assert 0.36 <= share.max() <= 0.4
    assert share.mean() == pytest.approx(0.19, abs=0.02)
    where = masked[:, 0].float().mean(0)
    assert where.min() > 0.0
    own = TimeMask(0.4, 2, per_lead=True)(torch.ones(50, 12, 100), generator=seeded()) == 0
    assert (own != own[:, :1]).any()


def test_impossible_parameters() -> None:
    for build in (
        lambda: RandomCrop(0),
        lambda: RandomResizedCrop(-1),
        lambda: RandomResizedCrop(10, 0.5),
        lambda: TimeWarp(0.6, strength=2.0),
        lambda: TimeWarp(waves=0),
        lambda: Speed(0.9),
        lambda: TimeMask(1.5),
        lambda: TimeMask(spans=0),
    ):
        with pytest.raises(RecipeError):
            build()
    with pytest.raises(SignalError, match="does not fit"):
        RandomResizedCrop(20)(torch.zeros(1, 12, 10))
