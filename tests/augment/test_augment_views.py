"""Chains and views."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.augment.transforms_crop import RandomCrop
from ssl_ecg.augment.transforms_lead_sets import LeadSets
from ssl_ecg.augment.transforms_leads import DipoleRotation, Gain, LeadGain, LeadMask
from ssl_ecg.augment.transforms_noise import EMG
from ssl_ecg.augment.transforms_time import BandFilter, TimeMask
from ssl_ecg.augment.views import Compose, Views, build_chain
from ssl_ecg.errors import RecipeError, SignalError

CHAIN = [
    {"name": "resized_crop", "length": 250},
    "gain",
    {"name": "dipole_rotation", "degrees": 30.0},
    {"name": "baseline_wander", "p": 0.5},
    {"name": "emg", "p": 0.5},
    "time_mask",
    {"name": "band_filter", "p": 0.3},
    {"name": "lead_mask", "p": 0.5},
]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def strips(batch: int = 8, n_samples: int = 400) -> torch.Tensor:
    return torch.randn(batch, 12, n_samples, generator=seeded(99))


def test_long_chain_is_its_steps_in_turn() -> None:
    chain, x = build_chain(CHAIN, fs=100.0), strips()
    mask = torch.rand(8, 12, generator=seeded(3)) > 0.1
    x = x * mask.unsqueeze(-1)
    before = x.clone()
    fused = chain(x, mask, generator=seeded(1))
    generator, y = seeded(1), x
    for step in chain.transforms:
        y = step(y, mask, generator=generator)
    torch.testing.assert_close(fused, y, atol=1e-4, rtol=1e-4)
    assert torch.equal(x, before)
    assert (fused[~mask] == 0).all()


def test_chain_says_what_it_keeps() -> None:
    assert Compose([Gain(), DipoleRotation(), TimeMask()]).keeps_lead_relations
    assert not Compose([Gain(), LeadGain()]).keeps_lead_relations
    assert Compose([]).keeps_lead_relations
    assert not Views([LeadMask()], crop=10).keeps_lead_relations


def test_gradient_through_a_chain() -> None:
    x = strips().requires_grad_()
    build_chain(CHAIN, fs=100.0)(x, generator=seeded()).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()


def test_views_are_different_crops_of_the_strips() -> None:
    ramp = torch.arange(400.0).expand(64, 12, 400)
    views = Views(n_views=3, crop=100)(ramp, generator=seeded())
    assert [tuple(view.shape) for view in views] == [(64, 12, 100)] * 3
    starts = torch.stack([view[:, 0, 0] for view in views])
    assert (views[0][:, 0].diff(dim=1) == 1).all()
    assert (starts[0] != starts[1]).float().mean() > 0.9
    assert (starts[1] != starts[2]).float().mean() > 0.9


def test_views_of_a_batch() -> None:
    x = strips(4)
    mask = torch.ones(4, 12, dtype=torch.bool)
    mask[:, 3] = False
    x[:, 3] = 0
    noise = EMG(fs=100.0)
    for views in (
        Views([noise])({"signal": x, "lead_mask": mask, "row": torch.arange(4)}),
        Views([noise])(x, mask),
        Views([noise])({"signal": x, "lead_mask": torch.ones_like(mask)}, mask),
    ):
        assert len(views) == 2
        assert all((view[:, 3] == 0).all() and (view[:, 4] != x[:, 4]).any() for view in views)
    assert (Views([noise])({"signal": x})[0][:, 3] != 0).any()


def test_views_never_share_memory() -> None:
    x = strips(2)
    first, second = Views()(x)
    assert torch.equal(first, x)
    first.zero_()
    assert second.any()
    assert x.any()


def test_views_are_reproducible() -> None:
    views, x = Views(build_chain(CHAIN[1:], fs=100.0).transforms, crop=200), strips()
    torch.manual_seed(7)
    first = views(x)
    torch.manual_seed(7)
    again = views(x)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_wrong_recipes() -> None:
    with pytest.raises(RecipeError, match="'time_mask'"):
        build_chain(["time_mas"], fs=100.0)
    with pytest.raises(RecipeError, match="'share'"):
        build_chain([{"name": "time_mask", "shar": 0.1}], fs=100.0)
    with pytest.raises(RecipeError, match="no name"):
        build_chain([{"share": 0.1}], fs=100.0)
    with pytest.raises(RecipeError, match="no transform"):
        Compose([torch.nn.ReLU()])  # type: ignore[list-item]
    with pytest.raises(RecipeError, match="views"):
        Views(n_views=0)
    with pytest.raises(RecipeError, match=r"^crop: 0 samples"):
        Views(crop=0)
    with pytest.raises(RecipeError, match=r"^largest of transform 'gain': 0\.5 is out of range"):
        build_chain([{"name": "gain", "largest": 0.5}], fs=100.0)
    with pytest.raises(RecipeError, match="kinds"):
        BandFilter(fs=100.0, kinds=("middle",))
    with pytest.raises(RecipeError, match="low"):
        BandFilter(fs=100.0, low=(5.0, 1.0))
    with pytest.raises(RecipeError, match="largest"):
        Gain(0.5)
    with pytest.raises(RecipeError, match="drop"):
        LeadMask(2.0)
    with pytest.raises(SignalError, match="does not fit"):
        Compose([RandomCrop(500)])(strips())


def test_lead_mask_drops_with_up_to_its_probability() -> None:
    kept = (LeadMask(0.5)(torch.ones(3000, 12, 1), generator=seeded())[:, :, 0] != 0).float()
    assert kept.mean() == pytest.approx(0.75, abs=0.02)
    assert kept.any(1).all()
    assert kept.mean(0).std() < 0.02
    present = torch.zeros(500, 12, dtype=torch.bool)
    present[:, :2] = True
    all_but_one = LeadMask(1.0, strength=1.0)(present.unsqueeze(-1).float(), present, generator=seeded())
    assert (all_but_one[:, :2, 0].sum(1) >= 1).all()


def test_transforms_that_drop_leads_leave_one_together() -> None:
    x = torch.ones(400, 12, 5)
    present = torch.rand(400, 12, generator=torch.Generator().manual_seed(1)) < 0.5
    present[:, 3] = True
    for mask in (None, present):
        signal = x if mask is None else x * mask.unsqueeze(-1)
        for first, then in ((LeadSets([1, 2]), LeadMask(0.9)), (LeadMask(1.0), LeadMask(1.0))):
            left = Compose([first, Gain(), then])(signal, mask)[:, :, 0] != 0
            assert left.any(1).all()
            assert (left.sum(1) < 12).any()


def test_gain_is_even_on_a_logarithmic_scale() -> None:
    gain = Gain(2.0)(torch.ones(4000, 12, 1), generator=seeded())[:, :, 0]
    assert (gain == gain[:, :1]).all()
    assert 0.5 <= gain.min() < 0.52
    assert 1.95 < gain.max() <= 2.0
    assert gain[:, 0].log2().mean() == pytest.approx(0.0, abs=0.03)


def test_strips_with_an_absent_lead_are_not_turned() -> None:
    x, mask = strips(6), torch.ones(6, 12, dtype=torch.bool)
    mask[::2, 8] = False
    x = x * mask.unsqueeze(-1)
    turned = DipoleRotation()(x, mask, generator=seeded())
    torch.testing.assert_close(turned[::2], x[::2])
    assert (turned[1::2] != x[1::2]).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_same_views_on_the_accelerator() -> None:
    chain, x = build_chain(CHAIN, fs=100.0), strips()
    mask = torch.rand(8, 12, generator=seeded(3)) > 0.1
    x = x * mask.unsqueeze(-1)
    expected = chain(x, mask, generator=seeded(1))
    view = chain.cuda()(x.cuda(), mask.cuda(), generator=seeded(1))
    assert view.device.type == "cuda"
    torch.testing.assert_close(view.cpu(), expected, atol=1e-4, rtol=1e-4)
