"""Views of strips that are followed by padding: crops stay in what was recorded, and lengths are known."""

from __future__ import annotations

import pytest
import torch

from ssl_ecg.augment.transforms_crop import RandomCrop, RandomResizedCrop
from ssl_ecg.augment.views import Compose, Views, build_chain, where_padded
from ssl_ecg.methods.base import make_views
from ssl_ecg.models.conv1d import Conv1DEncoder

LENGTHS = torch.tensor([400, 250, 101, 100, 60, 1]).repeat(50)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ramps() -> torch.Tensor:
    """Sample t is t + 1, so that padding can be told from it."""
    x = torch.arange(1.0, 401.0).expand(len(LENGTHS), 2, 400)
    return x * (torch.arange(400) < LENGTHS[:, None])[:, None]


def test_crops_lie_in_what_was_recorded() -> None:
    x = RandomCrop(100)(ramps(), generator=seeded(), lengths=LENGTHS)
    for k, n in enumerate(LENGTHS.tolist()):
        first, size = int(x[k, 0, 0]), min(n, 100)
        assert x[k, 0, :size].tolist() == list(range(first, first + size))
        assert (x[k, :, size:] == 0).all()
        assert n >= 100 or first == 1
    starts = x[LENGTHS == 101][:, 0, 0]
    assert set(starts.tolist()) == {1.0, 2.0}
    assert RandomCrop(100, p=0.0)(ramps(), lengths=LENGTHS)[1, 0, 0] == 76, "the middle of what was recorded"


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_resized_crops_lie_in_what_was_recorded(interpolation: str) -> None:
    resize = RandomResizedCrop(100, 1.5, interpolation=interpolation)  # type: ignore[arg-type]
    x = resize(ramps(), generator=seeded(), lengths=LENGTHS)
    long = LENGTHS >= 100
    step = x[long, 0].diff(dim=1)
    assert (x[long] > 0).all()
    assert (step.amin(1) > 0).all() or interpolation == "cubic"
    assert 0.65 < float(step.median(1).values.min()) < 0.75
    assert 1.4 < float(step.median(1).values.max()) < 1.51
    for k in (~long).nonzero()[:, 0].tolist():
        assert torch.equal(x[k], ramps()[k, :, :100]), "a short strip keeps its speed and its start"


@pytest.mark.parametrize("crop", [RandomCrop(100), RandomCrop(100, p=0.5), RandomResizedCrop(100), RandomCrop()])
def test_whole_strips_are_cut_as_without_lengths(crop: RandomCrop) -> None:
    x = torch.randn(32, 2, 400, generator=seeded(1))
    whole = torch.full((32,), 400)
    assert torch.equal(crop(x, generator=seeded(), lengths=whole), crop(x, generator=seeded()))


def test_views_know_their_lengths_and_end_in_zeros() -> None:
    steps = ["gain", {"name": "emg", "p": 1.0}, {"name": "band_filter", "p": 1.0}, {"name": "lead_mask", "p": 0.5}]
    views = Views(build_chain(steps, fs=100.0, leads=("I", "II")).transforms, crop=100)
    own = views.lengths(LENGTHS, 400)
    assert own is not None
    assert own.tolist() == [min(n, 100) for n in LENGTHS.tolist()]
    batch = {"signal": ramps(), "length": LENGTHS}
    for view in (*views(batch), *views(ramps(), lengths=LENGTHS)):
        for k, n in enumerate(own.tolist()):
            assert (view[k, :, n:] == 0).all()
            assert n < 100 or view[k, :, n - 10 :].any()


def test_lengths_through_several_crops() -> None:
    chain = Compose([RandomCrop(200), RandomCrop(), RandomResizedCrop(150)])
    lengths, n_samples = chain.lengths(LENGTHS, 400)
    assert n_samples == 150
    assert lengths.tolist() == [min(n, 150) for n in LENGTHS.tolist()]
    x = chain(ramps(), generator=seeded(), lengths=LENGTHS)
    assert ((x != 0).sum(2)[:, 0] - lengths).abs().max() <= 1, "an end may be cut by interpolation"


def test_no_lengths_where_there_is_no_padding() -> None:
    assert where_padded(torch.tensor([4, 4]), 4) is None
    assert where_padded(None, 4) is None
    assert where_padded(torch.tensor([4, 3]), 4) is not None
    assert Views(crop=100).lengths(LENGTHS.clamp(min=100), 400) is None
    x, lengths = make_views(Views(crop=100), {"signal": torch.randn(4, 2, 400), "length": torch.full((4,), 400)})
    assert lengths is None
    assert x.shape == (8, 2, 100)


def test_more_views_on_request() -> None:
    batch = {"signal": ramps(), "length": LENGTHS}
    assert len(Views(crop=50)(batch, n_views=5)) == 5
    x, lengths = make_views(Views(crop=100), batch, n_views=3)
    assert x.shape == (900, 2, 100)
    assert lengths is not None
    assert torch.equal(lengths, LENGTHS.clamp(max=100).repeat(3))


def test_padding_changes_no_loss() -> None:
    """Strips with padding behind them give the views, and the loss, that they give without it."""
    from ssl_ecg.methods.simclr import SimCLR

    torch.manual_seed(0)
    method = SimCLR(Conv1DEncoder(n_leads=2, widths=(8, 16)), Views(crop=100), hidden_dim=16, out_dim=8)
    x = torch.randn(6, 2, 150)
    padded = torch.nn.functional.pad(x, (0, 50))
    losses = []
    for batch in ({"signal": x}, {"signal": padded, "length": torch.full((6,), 150)}):
        torch.manual_seed(1)
        losses.append(method.loss(batch).detach())
    torch.testing.assert_close(losses[0], losses[1])
    short = {"signal": torch.nn.functional.pad(x[..., :80], (0, 70)), "length": torch.full((6,), 80)}
    alone = SimCLR(method.encoder, Views(), hidden_dim=16, out_dim=8)
    alone.projector = method.projector
    torch.testing.assert_close(method.loss(short), alone.loss({"signal": x[..., :80]}))
