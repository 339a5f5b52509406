"""Several windows of a record against loops over the equations of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.polywindow import PolyWindow
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.models.conv1d import Conv1DEncoder

SIZES = {"hidden_dim": 16, "out_dim": 8}


def encoder() -> Conv1DEncoder:
    torch.manual_seed(0)
    return Conv1DEncoder(widths=(8, 16))


class Rolled(Views):
    """Fixed views, so that a reference can be computed on the same numbers."""

    def forward(self, batch, lead_mask=None, *, lengths=None, generator=None, n_views=None):
        return [batch.roll(k, dims=1) for k in range(n_views or self.n_views)]


@pytest.mark.parametrize("against", ["geometric", "arithmetic", "all"])
@pytest.mark.parametrize("m", [2, 4])
def test_loss_against_loops(m: int, against: str) -> None:
    """With K records and M windows: x[i][a] is window a of record i."""
    method = PolyWindow(encoder(), Rolled(), windows=m, against=against, temperature=0.2, **SIZES)  # type: ignore[arg-type]
    x = torch.randn(5, 12, 100)
    views = torch.cat([x.roll(k, dims=1) for k in range(m)])
    z = method.projector(method.encoder(views)).detach().double().view(m, 5, -1)
    z = z / z.norm(dim=2, keepdim=True)

    def score(i: int, a: int, j: int, b: int) -> float:
        return math.exp(float(z[a, i] @ z[b, j]) / 0.2)

    total = 0.0
    for i in range(5):
        for a in range(m):
            negatives = sum(score(i, a, j, c) for j in range(5) if j != i for c in range(m))
            own = [score(i, a, i, b) for b in range(m) if b != a]
            if against == "all":
                terms = [math.log(s / (sum(own) + negatives)) for s in own]
                total -= sum(terms) / len(own)
            elif against == "geometric":
                total -= sum(math.log(s / (s + negatives)) for s in own) / len(own)
            else:
                total -= math.log(sum(s / (s + negatives) for s in own) / len(own))
    assert float(method.loss({"signal": x}).detach()) == pytest.approx(total / (5 * m), rel=1e-4)


@pytest.mark.parametrize("against", ["geometric", "arithmetic", "all"])
def test_two_windows_are_simclr(against: str) -> None:
    poly = PolyWindow(encoder(), Views(crop=80), windows=2, against=against, **SIZES)  # type: ignore[arg-type]
    pair = SimCLR(poly.encoder, Views(crop=80), **SIZES)
    pair.projector = poly.projector
    x = torch.randn(9, 12, 100)
    losses = []
    for method in (poly, pair):
        torch.manual_seed(1)
        losses.append(method.loss({"signal": x, "row": torch.arange(9) * 3}).detach())
    torch.testing.assert_close(losses[0], losses[1])


@pytest.mark.parametrize("wrong", [{"windows": 1}, {"against": "some"}])
def test_impossible(wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=f"method.{next(iter(wrong))}"):
        PolyWindow(encoder(), Views(), **wrong)  # type: ignore[arg-type]
