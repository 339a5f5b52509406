"""What every transform must do; a new one is tested by standing in TRANSFORMS."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_ecg.augment.base import LeadMap, Transform
from ssl_ecg.augment.transforms import TRANSFORMS, build_transform, parameters_of
from ssl_ecg.augment.views import Compose
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.leads import LEAD_SETS, STANDARD_LEADS, limb_residual

FS = 250.0
NOISE = torch.randn(3, 6000, generator=torch.Generator().manual_seed(1)).cumsum(1)

# What a transform needs or offers beyond its defaults; one not named here is tested with these alone.
EXTRA: dict[str, list[dict[str, Any]]] = {
    "real_noise": [{"noise": NOISE}, {"noise": NOISE, "per_lead": True}],
    "baseline_wander": [{}, {"per_lead": True}],
    "powerline": [{}, {"per_lead": True}],
    "emg": [{}, {"per_lead": True}],
    "time_mask": [{}, {"per_lead": True}],
    "dipole_rotation": [{}, {"residual": "drop"}],
    "dipole_scaling": [{}, {"residual": "scale"}],
}
CASES = [(name, options) for name in TRANSFORMS for options in EXTRA.get(name, [{}])]
each = pytest.mark.parametrize(
    ("name", "options"), CASES, ids=["-".join([name, *map(str, o.values())])[:40] for name, o in CASES]
)


def make(name: str, options: dict[str, Any], **more: Any) -> Transform:
    shared = {"fs": FS} if "fs" in parameters_of(name) else {}
    if name == "crop" and "length" not in more:
        more["length"] = 200
    return build_transform(name, **{**shared, **options, **more})


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def consistent(batch: int, n_samples: int, seed: int = 0) -> Tensor:
    """Strips that obey Einthoven and Goldberger, written out by hand [mV]."""
    rng = np.random.default_rng(seed)
    smooth = np.hanning(9)[None, None, :]
    raw = rng.normal(size=(batch, 8, n_samples + 8))
    eight = np.stack([[np.convolve(row, smooth[0, 0], "valid") for row in strip] for strip in raw]) / 2.0
    one, two = eight[:, 0], eight[:, 1]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return torch.from_numpy(np.concatenate([np.stack(limb, 1), eight[:, 2:]], 1)).float()


def residual(x: Tensor) -> float:
    return max(limb_residual(strip.double().numpy(), STANDARD_LEADS) for strip in x)


@each
def test_same_seed_same_views(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options, p=0.7), consistent(16, 300)
    torch.manual_seed(3)
    first = transform(x)
    torch.manual_seed(3)
    assert torch.equal(first, transform(x))
    assert not torch.equal(first, transform(x))


@each
def test_own_generator_leaves_the_global_one_alone(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options), consistent(8, 300)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = transform(x, generator=seeded(5))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, transform(x, generator=seeded(5)))
    assert not torch.equal(first, transform(x, generator=seeded(6)))


@each
def test_each_sample_has_its_own_draw(name: str, options: dict[str, Any]) -> None:
    # White noise, so that no two filters or crops give the same.
    x = torch.randn(1, 12, 400, generator=seeded(2)).expand(24, -1, -1)
    views = make(name, options)(x, generator=seeded(0)).flatten(1)
    distinct = {tuple(view[::97].tolist()) for view in views}
    fewest = 5 if name == "lead_sets" else 18  # there are seven sets
    assert len(distinct) >= fewest  # a lead mask may drop nothing twice, two crops may be one


@each
def test_input_is_not_touched(name: str, options: dict[str, Any]) -> None:
    for p in (0.5, 1.0):
        x = consistent(9, 301)
        before = x.clone()
        transform = make(name, options, p=p)
        transform(x, torch.ones(9, 12, dtype=torch.bool), generator=seeded(1))
        Compose([transform, make(name, options, p=p, **({"length": 100} if name == "crop" else {}))])(x)
        assert torch.equal(x, before)


@each
def test_shape_dtype_finite(name: str, options: dict[str, Any]) -> None:
    for batch, n_samples in ((1, 1), (1, 7), (3, 2), (2, 501)):
        more = {"length": n_samples} if name == "crop" else {}
        transform = make(name, options, **more)
        for x in (consistent(batch, n_samples), torch.zeros(batch, 12, n_samples)):
            view = transform(x, generator=seeded(0))
            assert view.shape == x.shape
            assert view.dtype == torch.float32
            assert view.isfinite().all()
    empty = make(name, options, **({"length": 20} if "crop" in name else {}))(torch.zeros(0, 12, 50))
    assert empty.shape[:2] == (0, 12)


@each
def test_double_precision_is_kept(name: str, options: dict[str, Any]) -> None:
    assert make(name, options)(consistent(4, 300).double(), generator=seeded(0)).dtype == torch.float64


@each
def test_p_and_strength_of_zero_change_nothing(name: str, options: dict[str, Any]) -> None:
    x = consistent(8, 300)
    whole = {"length": None} if name == "crop" else {}
    assert torch.equal(make(name, options, p=0.0, **whole)(x), x)
    assert torch.equal(make(name, options, strength=0.0, **whole)(x), x)
    assert torch.equal(Compose([make(name, options, strength=0.0, **whole)])(x), x)
    if name == "crop":
        middle = make(name, options, p=0.0, length=100)(x)
        assert torch.equal(middle, x[..., 100:200])


@each
def test_p_is_the_share_of_strips_changed(name: str, options: dict[str, Any]) -> None:
    x = consistent(400, 60)
    more: dict[str, Any] = {"length": 30} if "crop" in name else {}
    plain = make(name, options, p=0.0, **more)(x)
    share = {}
    for p in (0.3, 1.0):
        view = make(name, options, p=p, **more)(x, generator=seeded(4))
        share[p] = float((view != plain).flatten(1).any(1).float().mean())
    assert share[1.0] > 0.8  # a lead mask may drop nothing, a crop may fall on the middle
    assert share[0.3] == pytest.approx(0.3 * share[1.0], abs=0.08)


@each
def test_lead_relations_hold_iff_it_says_so(name: str, options: dict[str, Any]) -> None:
    x = consistent(32, 400)
    transform = make(name, options)
    assert residual(x) < 1e-5
    for seed in range(3):
        left = residual(transform(x, generator=seeded(seed)))
        if transform.keeps_lead_relations:
            assert left < 1e-4
        else:
            assert left > 1e-2
    assert isinstance(transform.keeps_lead_relations, bool)


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if make(*case).time_only])
def test_time_only_commutes_with_lead_maps(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options), consistent(8, 300)
    lead_map = torch.randn(8, 12, 12, generator=seeded(9)) / 4
    before = transform(lead_map @ x, generator=seeded(1))
    after = lead_map @ transform(x, generator=seeded(1))
    torch.testing.assert_close(before, after, atol=2e-5, rtol=1e-4)


@each
def test_absent_leads_stay_zero(name: str, options: dict[str, Any]) -> None:
    mask = torch.rand(40, 12, generator=seeded(8)) > 0.4
    mask[:, 1] = True
    x = consistent(40, 300) * mask.unsqueeze(-1)
    view = make(name, options)(x, mask, generator=seeded(0))
    assert (view[~mask] == 0).all()
    assert view.flatten(1).any(1).all()


@pytest.mark.parametrize(("name", "options"), [case for case in CASES if "crop" not in case[0]])
def test_padded_strips_change_as_they_would_alone(name: str, options: dict[str, Any]) -> None:
    """The same draws, a strip with padding and the strip alone; crops have tests of their own."""
    transform = make(name, options)
    for n in (300, 173, 40, 1):
        x = consistent(1, 300)
        chain, lengths = Compose([transform]), torch.tensor([n])
        x[..., n:] = 7.0  # what an earlier transform left in the padding
        padded = chain(x, generator=seeded(n), lengths=lengths)
        assert (padded[..., n:] == 0).all()
        if name in ("emg", "real_noise"):  # where in the noise a piece starts goes by the strips' common length
            continue
        alone = chain(x[..., :n].clone(), generator=seeded(n))
        torch.testing.assert_close(padded[..., :n], alone, atol=1e-5, rtol=1e-5)


@each
def test_padding_beside_whole_strips_changes_nothing_of_these(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options, p=0.7), consistent(8, 300)
    lengths = torch.tensor([300, 20] * 4)
    mixed = transform(x, generator=seeded(2), lengths=lengths)
    torch.testing.assert_close(mixed[::2], transform(x, generator=seeded(2))[::2])


@each
def test_gradient_reaches_the_signal(name: str, options: dict[str, Any]) -> None:
    for p in (0.5, 1.0):
        x = consistent(6, 200).requires_grad_()
        make(name, options, p=p, **({"length": 150} if "crop" in name else {}))(x, generator=seeded(0)).sum().backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert x.grad.flatten(1).any(1).all()


@each
def test_fewer_leads(name: str, options: dict[str, Any]) -> None:
    for count, leads in LEAD_SETS.items():
        x = consistent(5, 300)[:, [STANDARD_LEADS.index(lead) for lead in leads]]
        named = {"leads": leads} if "leads" in parameters_of(name) else {}
        if "dipole" in name and count < 8:
            with pytest.raises(SignalError, match="V1"):
                make(name, options, **named)
            continue
        view = make(name, options, **named)(x, generator=seeded(0))
        assert view.shape[:2] == x.shape[:2]
        assert view.isfinite().all()
        if named and count < 12 and not options.get("per_lead"):
            with pytest.raises(SignalError, match="leads"):
                make(name, options)(x)


@each
def test_what_is_no_strip_is_refused(name: str, options: dict[str, Any]) -> None:
    transform = make(name, options)
    for wrong in (torch.zeros(12, 300), torch.zeros(2, 12, 300, dtype=torch.int16)):
        with pytest.raises(SignalError, match="batch, lead, time"):
            transform(wrong)
    for mask in (torch.ones(2, 11, dtype=torch.bool), torch.ones(2, 12)):
        with pytest.raises(SignalError, match="lead_mask"):
            transform(torch.zeros(2, 12, 300), mask)
    with pytest.raises(RecipeError, match="probability"):
        make(name, options, p=1.5)
    with pytest.raises(RecipeError, match="strength"):
        make(name, options, strength=-1.0)


@each
def test_pickle_state_and_layout(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options), consistent(6, 300)
    expected = transform(x, generator=seeded(0))
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(x, generator=seeded(0)), expected)
    assert not transform.state_dict()  # nothing that a checkpoint would have to carry
    assert f"p={transform.p}" in repr(transform)
    strided = x.transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(transform(strided, generator=seeded(0)), expected)


class _AllTransforms:
    """Collate function that applies every transform in the worker."""

    def __init__(self) -> None:
        self.transforms = [make(name, options) for name, options in CASES]

    def __call__(self, rows: list[Tensor]) -> list[Tensor]:
        x = torch.stack(rows)
        return [transform(x).flatten(1).sum(1) for transform in self.transforms]


def test_workers_and_epochs_draw_differently() -> None:
    strips = [consistent(1, 300)[0]] * 16
    loader = torch.utils.data.DataLoader(
        strips, batch_size=4, num_workers=2, collate_fn=_AllTransforms(), multiprocessing_context="fork"
    )
    torch.manual_seed(11)
    batches = [batch for _ in range(2) for batch in loader]
    for k, (name, _) in enumerate(CASES):
        firsts = {tuple(batch[k].tolist()) for batch in batches}
        assert len(firsts) == len(batches) == 8, f"{name} repeats over workers or epochs"


@each
def test_lead_maps_fuse_to_the_same(name: str, options: dict[str, Any]) -> None:
    transform, x = make(name, options), consistent(7, 320)
    gain, rotation = build_transform("lead_gain", p=0.5), build_transform("dipole_rotation", p=0.5)
    chain = [gain, rotation, transform, rotation, gain]
    fused = Compose(chain)(x, generator=seeded(2))
    generator, y = seeded(2), x
    for step in chain:
        y = step(y, generator=generator)
    torch.testing.assert_close(fused, y, atol=1e-4, rtol=1e-4)


def test_registry() -> None:
    for name, kind in TRANSFORMS.items():
        assert issubclass(kind, Transform)
        assert name == name.lower()
        assert {"p", "strength"} <= set(parameters_of(name))
        assert kind.__doc__
    assert issubclass(TRANSFORMS["gain"], LeadMap)
    with pytest.raises(RecipeError, match="'gain'"):
        build_transform("gian")
    with pytest.raises(RecipeError, match="'largest'"):
        build_transform("gain", largset=2.0)
    with pytest.raises(RecipeError, match="fs"):
        build_transform("emg")
