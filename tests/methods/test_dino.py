"""DINO against eq. 1 to 4 of the paper, written as loops; local crops, centre and temperature."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.base import begin_step, released_encoder
from ssl_ecg.methods.dino import DINO
from ssl_ecg.models.conv1d import Conv1DEncoder


def build(views: Views | None = None, **options) -> DINO:
    torch.manual_seed(0)
    sizes = {"hidden_dim": 16, "bottleneck_dim": 8, "out_dim": 12, "n_local": 3, "local_crop": 40}
    return DINO(Conv1DEncoder(widths=(8, 16)), views or Views(crop=80), **{**sizes, **options})


def softmax(row: list[float]) -> list[float]:
    top = max(row)
    terms = [math.exp(value - top) for value in row]
    return [term / sum(terms) for term in terms]


def slowly(teacher: list, student: list, centre: list[float], sharp: float, soft: float) -> float:
    """Views of (strip, prototype); the first views of the student are those of the teacher."""
    total, pairs = 0.0, 0
    for i, target in enumerate(teacher):
        for j, told in enumerate(student):
            if i == j:
                continue
            pairs += 1
            for t, s in zip(target.tolist(), told.tolist(), strict=True):
                p = softmax([(value - c) / sharp for value, c in zip(t, centre, strict=True)])
                q = softmax([value / soft for value in s])
                total -= sum(a * math.log(b) for a, b in zip(p, q, strict=True)) / len(target)
    return total / pairs


class Recorded(DINO):
    """Notes what student and teacher see and give."""

    def project(self, x, lengths=None):
        out = super().project(x, lengths)
        self.notes.append(("student", tuple(x.shape), out.detach().double()))
        return out

    def teach(self, x, lengths=None):
        out = super().teach(x, lengths)
        self.notes.append(("teacher", tuple(x.shape), out.double()))
        return out


def test_loss_centre_and_crops() -> None:
    method = build(temperature=0.2, first_temperature=0.05, centre_momentum=0.8)
    method.__class__ = Recorded
    with torch.no_grad():
        for parameter in method.teacher.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    centre = [0.0] * 12
    for _ in range(3):
        method.notes = []
        loss = method.loss({"signal": torch.randn(4, 12, 100)})
        (_, _, whole), (_, seen, taught), (_, pieces, local) = sorted(
            method.notes, key=lambda note: (-note[1][2], note[0])
        )
        assert seen == (8, 12, 80)
        assert pieces == (12, 12, 40)
        student, teacher = [*whole.split(4), *local.split(4)], taught.split(4)
        assert float(loss.detach()) == pytest.approx(slowly(teacher, student, centre, 0.05, 0.2), rel=1e-4)
        mean = taught.mean(0).tolist()
        centre = [0.8 * c + 0.2 * m for c, m in zip(centre, mean, strict=True)]
        assert method.criterion.center.flatten().tolist() == pytest.approx(centre, rel=1e-4, abs=1e-6)


def test_works_without_local_crops() -> None:
    assert torch.isfinite(build(n_local=0).loss({"signal": torch.randn(4, 12, 100)}))


def test_prototypes_have_length_one() -> None:
    head = build().projector
    x = torch.randn(5, head.layers.layers[0].in_features)
    vectors = head.layers.eval()(x).double()
    for i in range(5):
        for k in range(12):
            prototype = head.prototypes[k].double()
            expected = vectors[i] @ prototype / vectors[i].norm() / prototype.norm()
            assert float(head(x)[i, k].detach()) == pytest.approx(float(expected.detach()), abs=1e-5)


def test_teacher_temperature_warms_up_evenly_and_follows_from_the_step() -> None:
    method = build(first_temperature=0.02, teacher_temperature=0.06, warmup=0.5)
    seen = []
    for step in (0, 5, 10, 19):
        begin_step(method, step, 20)
        seen.append(method.sharpness)
    assert seen == pytest.approx([0.02, 0.04, 0.06, 0.06])


def test_the_teacher_is_released() -> None:
    method = build()
    assert released_encoder(method) is method.teacher


def test_mistakes_are_named() -> None:
    with pytest.raises(RecipeError, match="n_local -1"):
        build(n_local=-1)
    with pytest.raises(RecipeError, match="teacher_temperature"):
        build(teacher_temperature=0)
    with pytest.raises(RecipeError, match="warmup 2"):
        build(warmup=2)
    with pytest.raises(SignalError):
        build(local_crop=81).loss({"signal": torch.randn(4, 12, 100)})
