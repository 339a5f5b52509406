"""The loss of several positives against loops over its equations, in one process and in two."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from ssl_ecg.errors import SignalError
from ssl_ecg.methods.positives import multi_positive_loss

IDS = torch.tensor([3, 1, 3, 7, 1, 3, 9, 7])  # 9 has no positive


def embeddings(n: int = 8, dim: int = 5) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def reference(z: Tensor, weights: list[list[float]], temperature: float, against: str) -> float:
    """Loops over Khosla et al. eq. 2 and over the poly-view losses of Shidani et al."""
    n = len(z)
    score = [[math.exp(float(a @ b / a.norm() / b.norm()) / temperature) for b in z] for a in z]
    losses = []
    for i in range(n):
        positives = [j for j in range(n) if j != i and weights[i][j] > 0]
        if not positives:
            continue
        negatives = sum(score[i][j] for j in range(n) if j != i and j not in positives)
        everyone = sum(score[i][j] for j in range(n) if j != i)
        total = sum(weights[i][j] for j in positives)
        shares = {j: weights[i][j] / total for j in positives}
        if against == "all":
            losses.append(-sum(shares[j] * math.log(score[i][j] / everyone) for j in positives))
        likelihood = {j: score[i][j] / (score[i][j] + negatives) for j in positives}
        if against == "geometric":
            losses.append(-sum(shares[j] * math.log(likelihood[j]) for j in positives))
        if against == "arithmetic":
            losses.append(-math.log(sum(shares[j] * likelihood[j] for j in positives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("against", ["all", "geometric", "arithmetic"])
@pytest.mark.parametrize("temperature", [0.1, 0.7])
def test_against_loops(against: str, temperature: float) -> None:
    z = embeddings()
    by_id = [[float(a == b) for b in IDS.tolist()] for a in IDS.tolist()]
    loss = multi_positive_loss(z, IDS, temperature, against=against)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(reference(z, by_id, temperature, against), rel=1e-9)
    weights = torch.rand(8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weights[weights < 0.5] = 0
    weights[4] = 0
    loss = multi_positive_loss(z, weights=weights, temperature=temperature, against=against)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(reference(z, weights.tolist(), temperature, against), rel=1e-9)


def test_one_positive_each_is_lightlys_ntxent() -> None:
    from lightly.loss import NTXentLoss

    a, b = embeddings(16).chunk(2)
    expected = NTXentLoss(temperature=0.2)(a, b)
    for against in ("all", "geometric", "arithmetic"):  # without a second positive they agree
        loss = multi_positive_loss(torch.cat([a, b]), torch.arange(8).repeat(2), 0.2, against=against)  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("against", ["all", "geometric", "arithmetic"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ids", [IDS, torch.zeros(8, dtype=torch.int64), torch.arange(8)])
def test_gradient_is_finite_also_without_negatives_or_positives(ids: Tensor, dtype: torch.dtype, against: str) -> None:
    z = embeddings().to(dtype).requires_grad_()
    loss = multi_positive_loss(z, ids, 0.01, against=against)  # type: ignore[arg-type]
    loss.backward()
    assert z.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(z.grad).all()
    if len(ids.unique()) == len(ids):
        assert float(loss.detach()) == 0.0


def test_gradient_agrees_with_differences() -> None:
    for against in ("all", "geometric", "arithmetic"):
        compared = partial(multi_positive_loss, ids=IDS, temperature=0.5, against=against)
        torch.autograd.gradcheck(compared, (embeddings().requires_grad_(),))


@pytest.mark.parametrize(
    "wrong", [{}, {"ids": IDS, "weights": torch.eye(8)}, {"ids": IDS[:5]}, {"weights": torch.eye(5)}]
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Tensor]) -> None:
    with pytest.raises(SignalError, match="multi_positive_loss"):
        multi_positive_loss(embeddings(), **wrong)  # type: ignore[arg-type]


def _half(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    half = slice(rank * 4, rank * 4 + 4)
    weights = (IDS[half, None] == IDS).double()
    results = {}
    for against in ("all", "geometric", "arithmetic"):
        for name, positives in (("ids", {"ids": IDS[half]}), ("weights", {"weights": weights})):
            z = embeddings()[half].clone().requires_grad_()
            loss = multi_positive_loss(z, temperature=0.2, against=against, **positives)  # type: ignore[arg-type]
            (loss / 2).backward()  # as gradients are averaged over the processes
            results[f"{against} {name}"] = (loss.detach(), z.grad)
    torch.save(results, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_loss_and_gradient_of_one(tmp_path: Path) -> None:
    spawn(_half, (str(tmp_path),), nprocs=2)
    halves = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for key in halves[0]:
        z = embeddings().requires_grad_()
        loss = multi_positive_loss(z, IDS, 0.2, against=key.split()[0])  # type: ignore[arg-type]
        loss.backward()
        torch.testing.assert_close((halves[0][key][0] + halves[1][key][0]) / 2, loss.detach())
        torch.testing.assert_close(torch.cat([half[key][1] for half in halves]), z.grad)
