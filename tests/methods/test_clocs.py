"""Contrast across time, leads and patients, against loops and by what the encoder is shown."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.clocs import CLOCS, segments
from ssl_ecg.models.conv1d import Conv1DEncoder

PATIENTS = [4, 1, 4, 2, 1, 7]


class Watched(Conv1DEncoder):
    """Keeps what it is shown."""

    seen: Tensor
    lengths: Tensor | None

    def forward(self, x, lengths=None):
        self.seen, self.lengths = x, lengths
        return super().forward(x, lengths)


def method(coding: str = "cmsc") -> CLOCS:
    torch.manual_seed(0)
    encoder = Watched(widths=(8, 16))
    return CLOCS(encoder, Views(), coding=coding, hidden_dim=16, out_dim=8, temperature=0.3)  # type: ignore[arg-type]


def batch(length: int = 200) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "signal": torch.randn(6, 12, length, generator=generator),
        "partner": torch.randn(6, 12, length, generator=generator),
        "patient": torch.tensor(PATIENTS),
        "row": torch.arange(6),
    }


def reference(z: Tensor, ids: list[int], temperature: float) -> float:
    """The mean, over all strips and all others of their patient, of -log of the softmax over all other strips."""
    z = z.detach().double()
    n = len(z)
    score = [[math.exp(float(a @ b / a.norm() / b.norm()) / temperature) for b in z] for a in z]
    losses = []
    for i in range(n):
        positives = [j for j in range(n) if j != i and ids[j] == ids[i]]
        rest = sum(score[i][j] for j in range(n) if j != i)
        losses.append(-sum(math.log(score[i][j] / rest) for j in positives) / len(positives))
    return sum(losses) / n


@pytest.mark.parametrize("coding", ["cmsc", "cmlc", "cmsmlc"])
@pytest.mark.parametrize("partner", [True, False])
def test_loss_against_loops(coding: str, partner: bool) -> None:
    clocs, data = method(coding), batch()
    if not partner:
        del data["partner"]
    loss = clocs.loss(data)
    z = clocs.projector(clocs.encoder(clocs.encoder.seen))
    assert len(z) == 12
    assert float(loss.detach()) == pytest.approx(reference(z, PATIENTS * 2, 0.3), rel=1e-4)


def test_segments_are_the_strip_and_its_partner_or_its_halves() -> None:
    clocs, data = method(), batch()
    clocs.loss(data)
    assert torch.equal(clocs.encoder.seen, torch.cat([data["signal"], data["partner"]]))
    del data["partner"]
    clocs.loss(data)
    assert torch.equal(clocs.encoder.seen, torch.cat([data["signal"][..., :100], data["signal"][..., 100:]]))
    assert clocs.encoder.lengths is None


def test_leads_of_the_two_sides_are_disjoint() -> None:
    data = batch()
    data["signal"][:, 3] = 0  # not recorded
    for coding in ("cmlc", "cmsmlc"):
        clocs = method(coding)
        clocs.loss(data)
        first, second = ((side != 0).any(2) for side in clocs.encoder.seen.chunk(2))
        assert not (first & second).any()
        assert (first | second).sum(1).tolist() == [11] * 6
        expected = (data["signal"], data["signal"] if coding == "cmlc" else data["partner"])
        for side, shown, whole in zip((first, second), clocs.encoder.seen.chunk(2), expected, strict=True):
            assert torch.equal(shown, whole * side[..., None])


@pytest.mark.parametrize("length", [200, 199])
def test_short_strips_are_halved_where_their_recording_is(length: int) -> None:
    signal = batch(length)["signal"]
    lengths = torch.tensor([length, length - 1, 100, 31, 2, 1])
    signal = signal * (torch.arange(length) < lengths[:, None])[:, None]
    halves = segments({"signal": signal, "length": lengths, "row": torch.arange(6)})
    for k, n in enumerate(lengths.tolist()):
        size = max(1, n // 2)
        for half, start in zip(halves, (0, min(size, n - 1)), strict=True):
            assert int(half["length"][k]) == size
            assert torch.equal(half["signal"][k, :, :size], signal[k, :, start : start + size])
            assert not half["signal"][k, :, size:].any()
    assert halves[0]["signal"].shape == (6, 12, length // 2)


def test_padding_changes_no_loss() -> None:
    """Strips of 160 samples in a batch of 200 give the loss of a batch of 160."""
    for coding in ("cmsc", "cmlc", "cmsmlc"):
        data = batch(160)
        losses = []
        for pad in (0, 40):
            clocs = method(coding)
            names = ("signal", "partner")
            sizes = {"length": torch.full((6,), 160), "partner_length": torch.full((6,), 160)}
            padded = {name: nn.functional.pad(data[name], (0, pad)) for name in names}
            torch.manual_seed(3)
            losses.append(clocs.loss({**data, **padded, **sizes}).detach())
            assert (clocs.encoder.lengths is None) == (pad == 0)
        torch.testing.assert_close(losses[0], losses[1])


def test_only_the_partner_is_short() -> None:
    clocs, data = method(), batch()
    data |= {"length": torch.full((6,), 200), "partner_length": torch.tensor([200, 150, 200, 200, 200, 7])}
    clocs.loss(data)
    assert clocs.encoder.lengths is not None
    assert clocs.encoder.lengths.tolist() == [200] * 6 + [200, 150, 200, 200, 200, 7]


def test_without_patients_every_strip_is_its_own() -> None:
    clocs, data = method(), batch()
    del data["patient"]
    loss = clocs.loss(data)
    z = clocs.projector(clocs.encoder(clocs.encoder.seen))
    assert float(loss.detach()) == pytest.approx(reference(z, [0, 1, 2, 3, 4, 5] * 2, 0.3), rel=1e-4)


def test_unknown_coding() -> None:
    with pytest.raises(RecipeError, match=r"method.coding.*cmsmlc"):
        method("cmss")


@pytest.mark.parametrize("coding", ["cmlc", "cmsmlc"])
def test_one_lead_has_nothing_to_be_told_from(coding: str) -> None:
    with pytest.raises(RecipeError, match=r"n_leads.*2 leads"):
        CLOCS(Watched(n_leads=1, widths=(8, 16)), Views(), coding=coding)  # type: ignore[arg-type]
    CLOCS(Watched(n_leads=1, widths=(8, 16)), Views(), coding="cmsc").loss({"signal": torch.randn(4, 1, 100)})


def test_a_broken_partner_is_refused() -> None:
    data = batch()
    data["partner"][2, 3, 4] = torch.nan
    with pytest.raises(SignalError, match="NaN"):
        method().loss(data)
