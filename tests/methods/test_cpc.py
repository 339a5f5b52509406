"""CPC against a loop over strips, moments, steps ahead and candidates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.cpc import CPC
from ssl_ecg.models.conv1d import Conv1DEncoder


def make(**arguments: object) -> CPC:
    torch.manual_seed(0)
    small = {"horizon": 2, "context_dim": 6, "out_dim": 5, "anchors": 100, "temperature": 0.3}
    return CPC(Conv1DEncoder(widths=(4, 8)), **{**small, **arguments})


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / a.norm() / b.norm())


def reference(method: CPC, z: Tensor, steps: list[int], first: int, negatives: str) -> float:
    """Equation 4 of the paper, candidate by candidate; z (batch, step, feature) and the true length of each strip."""
    n, total = len(z), 0.0
    context = method.context(z)[0]
    for b in range(n):
        each = []
        for t in range(z.shape[1] - first - 1):
            for k, matrix in enumerate(method.predict):
                ahead = t + first + k
                if ahead >= steps[b]:
                    continue
                told = matrix.weight @ context[b, t]
                target = [[method.project.weight @ z[c, s] for s in range(z.shape[1])] for c in range(n)]
                true = math.exp(cosine(told, target[b][ahead]) / 0.3)
                wrong = 0.0
                if negatives != "other":
                    own = [s for s in range(steps[b]) if s != ahead]
                    wrong += sum(math.exp(cosine(told, target[b][s]) / 0.3) for s in own)
                if negatives != "same":
                    others = [c for c in range(n) if c != b and ahead < steps[c]]
                    wrong += sum(math.exp(cosine(told, target[c][ahead]) / 0.3) for c in others)
                each.append(-math.log(true / (true + wrong)))
        total += sum(each) / len(each) / n
    return total


@pytest.mark.parametrize("negatives", ["both", "same", "other"])
@pytest.mark.parametrize("first", [1, 3])
@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_loss_over_the_feature_map(negatives: str, first: int, cell: str) -> None:
    method = make(negatives=negatives, first=first, cell=cell).eval()
    x = torch.randn(3, 12, 32)
    with torch.no_grad():
        z = method.encoder.forward_features(x).transpose(1, 2)
        expected = reference(method, z, [8, 8, 8], first, negatives)
    assert method.loss({"signal": x}).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("negatives", ["both", "same"])
@pytest.mark.parametrize("window", [None, 8])
def test_padding_is_neither_predicted_nor_a_candidate(negatives: str, window: int | None) -> None:
    method = make(negatives=negatives, window=window).eval()
    lengths = torch.tensor([64, 40, 48])
    x = torch.randn(3, 12, 64) * (torch.arange(64) < lengths[:, None, None])
    stride = window or 4
    with torch.no_grad():
        z, keep = method.sequence(x, lengths)
        assert keep.sum(1).tolist() == [64 // stride, 40 // stride, 48 // stride]
        expected = reference(method, z, keep.sum(1).tolist(), 1, negatives)
    assert method.loss({"signal": x, "length": lengths}).item() == pytest.approx(expected, rel=1e-4)


def test_pieces_are_encoded_alone() -> None:
    method = make(window=20).eval()
    x = torch.randn(3, 12, 70)
    z, keep = method.sequence(x)
    assert z.shape == (3, 3, 8)
    assert bool(keep.all())
    for k in range(3):
        torch.testing.assert_close(z[:, k], method.encoder(x[..., 20 * k : 20 * k + 20]), rtol=1e-4, atol=1e-5)


def test_context_sees_the_past_only() -> None:
    method = make(window=20).eval()
    x = torch.randn(2, 12, 100)
    later = x.clone()
    later[..., 60:] += 1
    first, second = (method.context(method.sequence(signal)[0])[0] for signal in (x, later))
    torch.testing.assert_close(first[:, :3], second[:, :3])
    assert not torch.allclose(first[:, 3:], second[:, 3:])


def test_chance_is_the_logarithm_of_the_number_of_candidates() -> None:
    method = make(negatives="both", temperature=1e6)
    loss = method.loss({"signal": torch.randn(5, 12, 40)})
    assert loss.item() == pytest.approx(math.log(10 + 5 - 1), rel=1e-3)


def test_anchors_are_a_random_part() -> None:
    method = make(anchors=2).eval()
    x = torch.randn(3, 12, 80)
    losses = {round(method.loss({"signal": x}).item(), 6) for _ in range(8)}
    assert len(losses) > 1


def test_strips_too_short_for_the_horizon() -> None:
    with pytest.raises(SignalError, match="10 steps, predicted 12 ahead"):
        make(horizon=10, first=3).loss({"signal": torch.randn(3, 12, 40)})


@pytest.mark.parametrize("negatives", ["both", "other"])
def test_other_strips_need_a_batch(negatives: str) -> None:
    with pytest.raises(SignalError, match="1 strips, the method needs 2"):
        make(negatives=negatives).loss({"signal": torch.randn(1, 12, 80)})
    assert torch.isfinite(make(negatives="same").loss({"signal": torch.randn(1, 12, 80)}))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [({"cell": "rnn"}, "gru or lstm"), ({"negatives": "none"}, "both, same or other"), ({"horizon": 0}, "horizon"),
     ({"window": 0}, "window"), ({"temperature": 0.0}, "temperature"), ({"anchors": 0}, "anchors")],
)  # fmt: skip
def test_impossible_parameters(wrong: dict, match: str) -> None:
    with pytest.raises(RecipeError, match=match):
        make(**wrong)
