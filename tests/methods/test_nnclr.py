"""NNCLR against eq. 3 of the paper, written as loops; what its queue holds."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.nnclr import NNCLR, Queue
from ssl_ecg.models.conv1d import Conv1DEncoder


class Pair(Views):
    """Two fixed views."""

    def forward(self, batch, lead_mask=None, *, generator=None, n_views=None):
        return [batch, batch.flip(1)]


def build(**options) -> NNCLR:
    torch.manual_seed(0)
    sizes = {"hidden_dim": 16, "out_dim": 8, "queue_size": 10}
    return NNCLR(Conv1DEncoder(widths=(8, 16)), Pair(), **{**sizes, **options})


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


def slowly(z: torch.Tensor, predictions: torch.Tensor, held: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for i, own in enumerate(z):
        near = max(held, key=lambda candidate: cosine(own, candidate)) if len(held) else own
        terms = [math.exp(cosine(near, p) / temperature) for p in predictions]
        total -= math.log(terms[i] / sum(terms))
    return total / len(z)


def test_loss_with_an_empty_queue_a_part_and_after_a_turn() -> None:
    method = build(temperature=0.3)
    held = torch.zeros(0, 8, dtype=torch.float64)
    for seed in range(4):
        torch.manual_seed(seed)
        x = torch.randn(4, 12, 100)
        z = method.projector(method.encoder(torch.cat([x, x.flip(1)])))
        a, b = z.detach().double().chunk(2)
        pa, pb = method.predictor(z).detach().double().chunk(2)
        expected = (slowly(a, pb, held, 0.3) + slowly(b, pa, held, 0.3)) / 2
        assert float(method.loss({"signal": x}).detach()) == pytest.approx(expected, rel=1e-4)
        held = torch.cat([held, a])[-10:]


@pytest.mark.parametrize("pushes", [[3], [3, 3], [5, 5], [3, 3, 3, 3], [12], [4, 12, 3], [2, 10, 1]])
def test_queue_holds_the_last_vectors(pushes: list[int]) -> None:
    torch.manual_seed(0)
    queue = Queue(10, 4)
    everything = [torch.randn(n, 4) for n in pushes]
    for new in everything:
        queue.push(new)
    last = torch.cat(everything)[-10:]
    expected = sorted((row / row.norm()).tolist() for row in last)
    held = sorted(queue.vectors[: int(queue.pushed)].tolist())
    assert torch.tensor(held).shape == torch.tensor(expected).shape
    torch.testing.assert_close(torch.tensor(held), torch.tensor(expected))


def test_queue_is_in_the_state_and_restored_runs_go_on_alike() -> None:
    x = [torch.randn(4, 12, 100) for _ in range(4)]
    method, other = build(), build()
    for strips in x[:3]:
        method.loss({"signal": strips})
    other.load_state_dict(method.state_dict())
    assert other.loss({"signal": x[3]}).item() == method.loss({"signal": x[3]}).item()
    assert torch.equal(other.queue.vectors, method.queue.vectors)
    assert build().loss({"signal": x[3]}).item() != method.loss({"signal": x[3]}).item()


def test_one_strip_and_impossible_sizes_are_refused() -> None:
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        build().loss({"signal": torch.randn(1, 12, 100)})
    with pytest.raises(RecipeError, match="queue_size"):
        build(queue_size=0)
