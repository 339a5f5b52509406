"""FixMatch against loops over strips and classes."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.transforms_crop import RandomResizedCrop
from ssl_ecg.augment.transforms_leads import Gain
from ssl_ecg.augment.views import Compose, Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.fixmatch import FixMatch
from ssl_ecg.models.conv1d import Conv1DEncoder


def method(**options: object) -> FixMatch:
    torch.manual_seed(0)
    made = FixMatch(Conv1DEncoder(widths=(8, 16)), Views([Gain(largest=2.0)], crop=60), n_classes=3, **options)
    with torch.no_grad():
        made.head.weight *= 6  # so that some answers are sure and others are not
    return made


def batch(n: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    target = (torch.rand(n, 3, generator=generator) < 0.4).float()
    known = torch.rand(n, 3, generator=generator) < 0.5
    return {"signal": torch.randn(n, 12, 100, generator=generator), "target": target * known, "target_mask": known}


def logits(made: FixMatch, data: dict[str, torch.Tensor]) -> tuple[list[list[float]], list[list[float]]]:
    """The head's answers for the views that `loss` makes from the same seed."""
    torch.manual_seed(5)
    weak = made.weak(data["signal"])
    strong = made.views.chain(data["signal"])
    answers = made.head(made.encoder(torch.cat([weak, strong]))).detach().double()
    return answers[: len(weak)].tolist(), answers[len(weak) :].tolist()


def cross_entropy(logit: float, y: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -math.log(p) if y else -math.log(1 - p)


@pytest.mark.parametrize(("positive", "negative"), [(0.6, 0.4), (0.5, 0.1), ([0.6, 0.7, 0.55], [0.45, 0.2, 0.3])])
def test_loss(positive: float | list[float], negative: float | list[float]) -> None:
    made = method(positive=positive, negative=negative, unlabelled=0.7)
    data = batch()
    weak, strong = logits(made, data)
    above = positive if isinstance(positive, list) else [positive] * 3
    below = negative if isinstance(negative, list) else [negative] * 3
    supervised, consistency, pseudo = [], 0.0, []
    for b in range(12):
        for c in range(3):
            if data["target_mask"][b, c]:
                supervised.append(cross_entropy(weak[b][c], float(data["target"][b, c])))
            p = 1 / (1 + math.exp(-weak[b][c]))
            if p > above[c] or p < below[c]:
                pseudo.append(p > above[c])
                consistency += cross_entropy(strong[b][c], float(p > above[c]))
    assert 0 < sum(pseudo) < len(pseudo) < 36, "the example has present, absent and unsure classes"
    torch.manual_seed(5)
    expected = sum(supervised) / len(supervised) + 0.7 * consistency / 36
    assert float(made.loss(data)) == pytest.approx(expected, rel=1e-4)


def test_no_gradient_flows_through_pseudo_labels() -> None:
    data = batch()
    data["target_mask"][:] = False
    made = method(positive=0.5, negative=0.5)
    torch.manual_seed(5)
    made.loss(data).backward()
    through = made.head.weight.grad.clone()
    made.zero_grad()
    torch.manual_seed(5)
    both = torch.cat([made.weak(data["signal"]), made.views.chain(data["signal"])])
    answers = made.head(made.encoder(both))
    hard = (answers[:12].sigmoid() > 0.5).float().detach()
    p = answers[12:].sigmoid()
    torch.mean(-(hard * p.log() + (1 - hard) * (1 - p).log())).backward()
    torch.testing.assert_close(through, made.head.weight.grad, rtol=1e-4, atol=1e-6)


def test_weak_view_is_cropped_and_nothing_else() -> None:
    made = method()
    x = torch.randn(3, 12, 100)
    weak = made.weak(x)
    for strip, view in zip(x, weak, strict=True):
        assert any(torch.equal(strip[:, start : start + 60], view) for start in range(41))


def test_a_crop_that_changes_speed_gives_a_weak_view_at_its_own_speed() -> None:
    made = FixMatch(Conv1DEncoder(widths=(8, 16)), Views([RandomResizedCrop(60, largest=1.5), Gain()]), n_classes=3)
    test = batch()
    for strip, view in zip(test["signal"], made.weak(test["signal"]), strict=True):
        assert any(torch.equal(strip[:, start : start + 60], view) for start in range(41))
    assert torch.isfinite(made.loss(test))


def test_padding_of_short_strips_changes_nothing() -> None:
    """Strips of 40 to 100 samples, each on its own without padding, against all in one padded batch."""
    made, data = method(positive=0.6, negative=0.4).eval(), batch(5)
    made.views.chain = Compose(list(made.views.chain.transforms)[:1])  # the crop alone: a draw a strip, below
    lengths = torch.tensor([40, 55, 60, 60, 60])
    data["signal"] *= torch.arange(100) < lengths[:, None, None]
    alone = []
    for b, n in enumerate(lengths.tolist()):
        strip = data["signal"][b : b + 1, :, : min(n, 60)]
        alone.append(made.head(made.encoder(strip)).detach()[0].double())
    supervised, consistency = [], 0.0
    for b in range(5):
        for c in range(3):
            logit = float(alone[b][c])
            if data["target_mask"][b, c]:
                supervised.append(cross_entropy(logit, float(data["target"][b, c])))
            p = 1 / (1 + math.exp(-logit))
            if p > 0.6 or p < 0.4:
                consistency += cross_entropy(logit, float(p > 0.6))
    expected = sum(supervised) / len(supervised) + consistency / 15
    assert float(made.loss({**data, "length": lengths})) == pytest.approx(expected, rel=1e-4)
    torch.manual_seed(0)
    assert float(made.loss(data)) != pytest.approx(expected, rel=5e-4), "without lengths crops fall on zeros"


def test_crops_of_padded_strips_lie_within_them() -> None:
    made, data = method(), batch(4)
    lengths = torch.tensor([100, 70, 80, 30])
    data["signal"] = (data["signal"].abs() + 0.1) * (torch.arange(100) < lengths[:, None, None])
    for _ in range(5):
        views, own = made._both_views({**data, "length": lengths})
        assert own.tolist() == [60, 60, 60, 30] * 2
        recorded = (views != 0).all(dim=1)
        assert [row.nonzero().max().item() + 1 for row in recorded] == own.tolist()
        assert (recorded.sum(dim=1) == own).all()
    views, own = made._both_views({**data, "length": torch.tensor([100, 70, 80, 60])})
    assert own is None, "no view has any padding"


def test_alignment_follows_labels_and_predictions() -> None:
    made = method(align=True, positive=0.6, negative=0.4)
    data = batch()
    present, known, mean = [0.0] * 3, [0.0] * 3, [0.5] * 3
    for step in range(1, 4):
        answers = torch.randn(12, 3, generator=torch.Generator().manual_seed(step))
        pseudo, sure = made.pseudo_labels(answers, data["target"], data["target_mask"])
        for c in range(3):
            p = [1 / (1 + math.exp(-float(answers[b, c]))) for b in range(12)]
            present[c] += sum(float(data["target"][b, c]) for b in range(12) if data["target_mask"][b, c])
            known[c] += int(data["target_mask"][:, c].sum())
            mean[c] += (sum(p) / 12 - mean[c]) / step
            wanted = (present[c] + 1) / (known[c] + 2)
            for b in range(12):
                one, zero = p[b] * wanted / mean[c], (1 - p[b]) * (1 - wanted) / (1 - mean[c])
                aligned = one / (one + zero)
                assert bool(pseudo[b, c]) == (aligned > 0.6)
                assert bool(sure[b, c]) == (aligned > 0.6 or aligned < 0.4)
    again = method(align=True)
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.predicted, made.predicted), "a resumed run goes on with it"
    assert torch.equal(again.labels_seen, made.labels_seen)


def test_nothing_labelled_and_nothing_sure_is_no_loss_but_finite() -> None:
    made = method(positive=1.0, negative=0.0)
    data = batch()
    data["target_mask"][:] = False
    loss = made.loss(data)
    loss.backward()
    assert float(loss) == 0.0
    assert all(torch.isfinite(p.grad).all() for p in made.parameters() if p.grad is not None)


def test_batches_without_fitting_targets_are_refused() -> None:
    made, data = method(), batch()
    with pytest.raises(SignalError, match="has no targets"):
        made.loss({"signal": data["signal"]})
    with pytest.raises(SignalError, match="2 classes, the method was made for 3"):
        made.loss({**data, "target": data["target"][:, :2], "target_mask": data["target_mask"][:, :2]})


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"positive": 1.5}, "method.positive"),
        ({"negative": [0.1, 0.2]}, "2 thresholds for 3 classes"),
        ({"positive": [0.9, 0.9, 0.2], "negative": 0.3}, "is above"),
        ({"unlabelled": -1.0}, "method.unlabelled"),
        ({"unlabelled": float("nan")}, "method.unlabelled"),
        ({"positive": float("nan")}, "method.positive"),
    ],
)
def test_impossible_options(wrong: dict, hint: str) -> None:
    with pytest.raises(RecipeError, match=hint):
        method(**wrong)
