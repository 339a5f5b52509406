"""The supervised losses against loops over plain formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.tasks.cinc2021 import challenge_weights
from ssl_ecg.train.losses.challenge import ChallengeScore, soft_challenge_score
from ssl_ecg.train.losses.classes import BCE, LOSSES, Asymmetric, Focal, WeightedBCE


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bce(p: float, y: float) -> float:
    return -(y * math.log(p) + (1 - y) * math.log(1 - p))


def focal(p: float, y: float, alpha: float | None, gamma: float) -> float:
    right = p if y == 1 else 1 - p
    weight = 1.0 if alpha is None else (alpha if y == 1 else 1 - alpha)
    return -weight * (1 - right) ** gamma * math.log(right)


def asymmetric(p: float, y: float, positive: float, negative: float, margin: float) -> float:
    if y == 1:
        return -((1 - p) ** positive) * math.log(p)
    shifted = max(p - margin, 0.0)
    return -(shifted**negative) * math.log(1 - shifted)


COUNTS = ([2.0, 9.0, 400.0], [8.0, 1.0, 1.0])
CASES = [
    (BCE(), lambda p, y, k: bce(p, y)),
    (BCE(smoothing=0.2), lambda p, y, k: bce(p, 0.8 * y + 0.1)),
    (WeightedBCE(), lambda p, y, k: bce(p, y) * ([4.0, 1 / 9, 1 / 20][k] if y else 1)),
    (WeightedBCE(power=0.5), lambda p, y, k: bce(p, y) * ([2.0, 1 / 3, 1 / 20][k] if y else 1)),
    (Focal(), lambda p, y, k: focal(p, y, None, 2)),
    (Focal(alpha=0.25, gamma=1.5), lambda p, y, k: focal(p, y, 0.25, 1.5)),
    (Focal(alpha=0.4, gamma=0), lambda p, y, k: focal(p, y, 0.4, 0)),
    (Focal(gamma=1, power=0.5), lambda p, y, k: focal(p, y, None, 1) * [2.0, 1 / 3, 1 / 20][k]),
    (WeightedBCE(power=0, negative=0.1), lambda p, y, k: bce(p, y) * (1 if y else 0.1)),
    (Asymmetric(), lambda p, y, k: asymmetric(p, y, 0, 4, 0.05)),
    (Asymmetric(gamma_positive=1, gamma_negative=2.5, margin=0.2), lambda p, y, k: asymmetric(p, y, 1, 2.5, 0.2)),
    (Asymmetric(gamma_positive=0, gamma_negative=0, margin=0), lambda p, y, k: bce(p, y)),
]


@pytest.fixture(scope="module")
def batch() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    logits = torch.tensor(rng.normal(size=(7, 3)) * 2, dtype=torch.float32)
    return logits, torch.tensor(rng.random((7, 3)) < 0.4).float(), torch.tensor(rng.random((7, 3)) < 0.7)


@pytest.mark.parametrize(("loss", "formula"), CASES)
def test_values_are_those_of_the_formula_over_known_labels(loss, formula, batch) -> None:
    logits, target, mask = batch
    loss.set_priors(*map(torch.tensor, COUNTS))
    wanted = [
        formula(sigmoid(float(logits[i, k])), float(target[i, k]), k) for i in range(7) for k in range(3) if mask[i, k]
    ]
    assert float(loss(logits, target, mask)) == pytest.approx(sum(wanted) / len(wanted), rel=1e-5)


def wide() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A batch with the 26 classes of the challenge."""
    rng = np.random.default_rng(1)
    logits = torch.tensor(rng.normal(size=(9, 26)) * 2, dtype=torch.float32)
    return logits, torch.tensor(rng.random((9, 26)) < 0.1).float(), torch.tensor(rng.random((9, 26)) < 0.8)


@pytest.mark.parametrize("name", LOSSES)
def test_unknown_labels_neither_count_nor_pull(name: str, batch) -> None:
    logits, target, mask = wide() if name == "challenge" else batch
    loss = LOSSES[name]()
    loss.set_priors(*map(torch.tensor, COUNTS))
    logits = logits.clone().requires_grad_()
    value = loss(logits, target, mask)
    (gradient,) = torch.autograd.grad(value, logits)
    assert (gradient[~mask] == 0).all()
    assert (gradient[mask] != 0).any()
    assert torch.equal(loss(logits, torch.where(mask, target, torch.nan), mask), value)
    nothing = loss(logits, target, torch.zeros_like(mask))
    assert nothing.item() == 0
    assert float(torch.autograd.grad(nothing, logits)[0].abs().sum()) == 0


@pytest.mark.parametrize(
    "loss", [LOSSES[name]() for name in LOSSES] + [Focal(gamma=0.5), Asymmetric(gamma_positive=0.5, gamma_negative=0.5)]
)
def test_extreme_logits_give_finite_losses_and_gradients(loss) -> None:
    values = [-200.0, -40.0, 40.0, 200.0]
    values = (values * 7)[:26] if isinstance(loss, ChallengeScore) else values
    logits = torch.tensor([values] * 2, requires_grad=True)
    target = torch.stack([torch.zeros(len(values)), torch.ones(len(values))])
    value = loss(logits, target, torch.ones_like(target, dtype=torch.bool))
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: BCE(smoothing=1), lambda: WeightedBCE(largest=0.5), lambda: Focal(gamma=-1), lambda: Focal(alpha=2),
        lambda: Asymmetric(margin=1), lambda: Asymmetric(gamma_negative=-1), lambda: WeightedBCE(negative=0),
        lambda: Focal(largest=0), lambda: ChallengeScore(score=-1), lambda: ChallengeScore(bce=0, score=0),
    ],
)  # fmt: skip
def test_impossible_settings_are_refused(make) -> None:
    with pytest.raises(RecipeError):
        make()


def counted_challenge_score(labels: np.ndarray, decisions: np.ndarray, weights: np.ndarray) -> float:
    """The challenge's score as its description has it: pairs of classes, record by record."""
    total = 0.0
    for y, p in zip(labels, decisions, strict=True):
        either = max(1, sum(1 for a, b in zip(y, p, strict=True) if a or b))
        for j in range(len(y)):
            for k in range(len(p)):
                if y[j] and p[k]:
                    total += weights[j][k] / either
    return total


def test_on_hard_decisions_the_soft_score_is_that_of_the_challenge() -> None:
    rng = np.random.default_rng(0)
    labels, decisions = rng.random((40, 26)) < 0.1, rng.random((40, 26)) < 0.15
    labels[3], decisions[4] = False, False
    weights = challenge_weights()
    known = torch.ones(40, 26, dtype=torch.bool)
    given = (torch.from_numpy(x).double() for x in (decisions, labels))
    score = soft_challenge_score(*given, known, torch.from_numpy(weights))
    assert float(score) == pytest.approx(counted_challenge_score(labels, decisions, weights), rel=1e-12)
    loss = ChallengeScore(bce=0.0, score=2.0)
    logits = torch.where(torch.from_numpy(decisions), 60.0, -60.0)
    value = loss(logits, torch.from_numpy(labels).float(), known)
    assert float(value) == pytest.approx(-2 * counted_challenge_score(labels, decisions, weights) / 40, rel=1e-5)


def test_soft_score_leads_to_the_right_answer() -> None:
    logits, target, _ = wide()
    known = torch.ones_like(target, dtype=torch.bool)
    target[:, 3] = 1.0
    right = soft_challenge_score(target, target, known, torch.from_numpy(challenge_weights()).float())
    logits = logits.clone().requires_grad_()
    loss = ChallengeScore(bce=0.0)
    first = -float(loss(logits, target, known)) * len(target)
    for _ in range(200):
        (gradient,) = torch.autograd.grad(loss(logits, target, known), logits)
        logits = (logits - 3.0 * gradient * len(target)).detach().requires_grad_()
    last = -float(loss(logits, target, known)) * len(target)
    assert first < last <= float(right) + 1e-4
    assert last > 0.8 * float(right)


def test_parts_of_the_challenge_loss() -> None:
    logits, target, mask = wide()
    p = torch.sigmoid(logits)
    n_known = int(mask.any(dim=1).sum())
    score = soft_challenge_score(p, target, mask, torch.from_numpy(challenge_weights()).float())
    flat = (4 * p * (1 - p))[mask].mean()
    wanted = 0.5 * BCE()(logits, target, mask) - 0.25 * score / n_known + 2 * flat
    assert float(ChallengeScore(bce=0.5, score=0.25, sparsity=2.0)(logits, target, mask)) == pytest.approx(
        float(wanted)
    )
    with pytest.raises(LabelError, match="26 classes"):
        ChallengeScore()(logits[:, :5], target[:, :5], mask[:, :5])
