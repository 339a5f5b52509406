"""Supervised contrast against loops over pairs, and its two ends: SimCLR and the published single-label loss."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.methods.supcon import SupCon, label_overlap
from ssl_ecg.models.conv1d import Conv1DEncoder


class Pair(Views):
    """Two fixed views, so that a reference can be computed on the same numbers."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def method(**options: object) -> SupCon:
    torch.manual_seed(0)
    return SupCon(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8, **options)


def batch(n: int = 7, classes: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    target = (torch.rand(n, classes, generator=generator) < 0.5).float()
    known = torch.ones(n, classes, dtype=torch.bool)
    known[2] = known[5] = False  # no labels
    known[1, 0] = False  # some of them
    return {"signal": torch.randn(n, 12, 100, generator=generator), "target": target * known, "target_mask": known}


def cosines(made: torch.nn.Module, x: torch.Tensor) -> list[list[float]]:
    z = made.projector(made.encoder(torch.cat([x, x.flip(1)]))).detach().double()
    z = z / z.norm(dim=1, keepdim=True)
    return (z @ z.T).tolist()


def jaccard(data: dict[str, torch.Tensor], i: int, j: int) -> float:
    classes = [c for c in range(3) if data["target_mask"][i, c] and data["target_mask"][j, c]]
    a = {c for c in classes if data["target"][i, c]}
    b = {c for c in classes if data["target"][j, c]}
    if not classes:
        return 0.0
    return len(a & b) / len(a | b) if a | b else 1.0


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_loss(share: float) -> None:
    made, data = method(label_weight=share, temperature=0.2), batch()
    similar, n = cosines(made, data["signal"]), 7
    total = 0.0
    for i in range(2 * n):
        log_sum = math.log(sum(math.exp(similar[i][k] / 0.2) for k in range(2 * n) if k != i))
        nll = [log_sum - similar[i][j] / 0.2 for j in range(2 * n)]
        own = nll[(i + n) % (2 * n)]
        weights = {j: jaccard(data, i % n, j % n) for j in range(2 * n) if j != i}
        if not data["target_mask"][i % n].any():
            assert not any(weights.values())
            total += own
            continue
        labelled = sum(weights[j] * nll[j] for j in weights) / sum(weights.values())
        total += (1 - share) * own + share * labelled
    assert made.loss(data).item() == pytest.approx(total / (2 * n), rel=1e-4)


def test_without_labels_it_is_simclr() -> None:
    made, data = method(label_weight=1.0, temperature=0.3), batch()
    torch.manual_seed(0)
    plain = SimCLR(Conv1DEncoder(widths=(8, 16)), Pair(), hidden_dim=16, out_dim=8, temperature=0.3)
    data["target_mask"][:] = False
    assert made.loss(data).item() == pytest.approx(plain.loss(data).item(), rel=1e-5)


def test_single_labels_are_the_published_loss() -> None:
    made, data = method(label_weight=1.0, temperature=0.1), batch()
    label = [0, 0, 1, 2, 1, 0, 2]
    data["target"], data["target_mask"] = torch.eye(3)[label], torch.ones(7, 3, dtype=torch.bool)
    similar = cosines(made, data["signal"])
    total = 0.0
    for i in range(14):
        positives = [p for p in range(14) if p != i and label[p % 7] == label[i % 7]]
        below = sum(math.exp(similar[i][a] / 0.1) for a in range(14) if a != i)
        total += -sum(math.log(math.exp(similar[i][p] / 0.1) / below) for p in positives) / len(positives)
    assert made.loss(data).item() == pytest.approx(total / 14, rel=1e-4)


def test_label_overlap() -> None:
    data = batch()
    known = data["target_mask"].float()
    overlap = label_overlap(data["target"], known, data["target"], known)
    for i in range(7):
        for j in range(7):
            assert overlap[i, j].item() == pytest.approx(jaccard(data, i, j), abs=1e-6)


def test_batches_without_targets_are_refused() -> None:
    with pytest.raises(SignalError, match="has no targets"):
        method().loss({"signal": torch.randn(4, 12, 100)})
    data = batch()
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        method().loss({key: value[:1] for key, value in data.items()})


@pytest.mark.parametrize("wrong", [{"label_weight": 1.5}, {"label_weight": float("nan")}, {"temperature": 0.0}])
def test_impossible_options(wrong: dict) -> None:
    with pytest.raises(RecipeError, match=f"method.{next(iter(wrong))}"):
        method(**wrong)
