"""Contrast across leads: how leads are parted, and the loss against loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.lead_contrast import LeadContrast
from ssl_ecg.methods.lead_groups import draw_lead_groups, part_leads
from ssl_ecg.models.conv1d import Conv1DEncoder


class Watched(Conv1DEncoder):
    """Keeps what it is shown."""

    seen: Tensor
    lengths: Tensor | None

    def forward(self, x, lengths=None):
        self.seen, self.lengths = x, lengths
        return super().forward(x, lengths)


def method(views: Views | None = None, **arguments: object) -> LeadContrast:
    torch.manual_seed(0)
    sizes = {"hidden_dim": 16, "out_dim": 8, "temperature": 0.3}
    return LeadContrast(Watched(widths=(8, 16)), views or Views(), **sizes, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("groups", [2, 3, 12])
@pytest.mark.parametrize("largest", [None, 1, 2])
def test_groups_deal_out_the_leads_that_are_there(groups: int, largest: int | None) -> None:
    torch.manual_seed(0)
    present = torch.rand(200, 12) < 0.7
    present[0], present[1] = True, False
    dealt = draw_lead_groups(present, groups, largest)
    assert dealt.shape == (groups, 200, 12)
    for k in range(200):
        there = present[k] if present[k].any() else torch.ones(12, dtype=torch.bool)
        n = int(there.sum())
        assert not (dealt[:, k] & ~there).any()
        sizes = dealt[:, k].sum(1).tolist()
        assert min(sizes) >= 1
        if n >= groups:
            assert dealt[:, k].sum(0).max() == 1, "disjoint"
            assert max(sizes) - min(sizes) <= 1
            assert sum(sizes) == (n if largest is None else min(n, groups * largest))
        else:
            assert dealt[:, k].any(0).sum() == n


def test_every_lead_is_as_likely_in_every_group() -> None:
    torch.manual_seed(0)
    dealt = draw_lead_groups(torch.ones(6000, 12, dtype=torch.bool), 3)
    assert ((dealt.float().mean(1) - 1 / 3).abs() < 0.03).all()


def test_windows_share_the_leads_that_all_of_them_have() -> None:
    x = torch.ones(2, 5, 12, 10)
    x[0, :, :4], x[1, :, 8:] = 0, 0
    first, second = (side.any(2) for side in part_leads(x, 2).chunk(2))
    assert not (first & second).any()
    assert (first | second)[:, 4:8].all()
    assert not (first | second)[:, [0, 1, 2, 3, 8, 9, 10, 11]].any()


@pytest.mark.parametrize("same_window", [True, False])
@pytest.mark.parametrize("groups", [2, 3])
def test_loss_against_loops(groups: int, same_window: bool) -> None:
    contrast = method(Views(crop=80), groups=groups, same_window=same_window)
    rows = [5, 9, 2, 9, 7]
    loss = contrast.loss({"signal": torch.randn(5, 12, 100), "row": torch.tensor(rows)})
    z = contrast.projector(contrast.encoder(contrast.encoder.seen)).detach().double()
    ids, n = rows * groups, 5 * groups
    score = [[math.exp(float(a @ b / a.norm() / b.norm()) / 0.3) for b in z] for a in z]
    expected = 0.0
    for i in range(n):
        positives = [j for j in range(n) if j != i and ids[j] == ids[i]]
        rest = sum(score[i][j] for j in range(n) if j != i)
        expected -= sum(math.log(score[i][j] / rest) for j in positives) / len(positives) / n
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def test_what_the_encoder_is_shown() -> None:
    x = torch.arange(1.0, 101.0).expand(64, 12, 100)
    contrast = method(Views(crop=80), leads_each=1)
    contrast.loss({"signal": x})
    shown = contrast.encoder.seen
    assert shown.shape == (128, 12, 80)
    assert ((shown != 0).any(2).sum(1) == 1).all(), "one lead each"
    first, second = shown.amax(1).chunk(2)
    assert torch.equal(first, second), "of the same window"
    contrast = method(Views(crop=80), same_window=False)
    contrast.loss({"signal": x})
    first, second = contrast.encoder.seen.amax(1).chunk(2)
    assert (first[:, 0] != second[:, 0]).float().mean() > 0.8, "each from its own crop"


@pytest.mark.parametrize("same_window", [True, False])
def test_padding_changes_no_loss(same_window: bool) -> None:
    x = torch.randn(5, 12, 90)
    losses = []
    for pad in (0, 30):
        contrast = method(same_window=same_window)
        data = {"signal": torch.nn.functional.pad(x, (0, pad)), "length": torch.full((5,), 90)}
        torch.manual_seed(3)
        losses.append(contrast.loss(data).detach())
        assert (contrast.encoder.lengths is None) == (pad == 0)
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("wrong", [{"groups": 1}, {"leads_each": 0}])
def test_impossible(wrong: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match=next(iter(wrong))):
        method(**wrong)


def test_one_lead_has_nothing_to_be_told_from() -> None:
    with pytest.raises(RecipeError, match=r"n_leads.*2 leads"):
        LeadContrast(Watched(n_leads=1, widths=(8, 16)), Views())
