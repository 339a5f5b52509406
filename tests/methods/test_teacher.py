"""Teachers against the closed form of the average, and what the methods with teachers have in common."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import begin_step
from ssl_ecg.methods.byol import BYOL
from ssl_ecg.methods.dino import DINO
from ssl_ecg.methods.moco import MoCo
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.methods.teacher import follow, make_teacher, momentum_at
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.models.resnet import ResNet18
from ssl_ecg.models.transformer import TransformerEncoder

TAUGHT = {"byol": BYOL, "dino": DINO, "moco": MoCo}
SMALL = {"hidden_dim": 16, "out_dim": 8}


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    extra = {"n_local": 2, "local_crop": 30} if name == "dino" else {}
    return TAUGHT[name](Conv1DEncoder(widths=(8, 16)), Views(crop=60), **SMALL, **extra)


def test_average_after_k_steps_is_the_closed_form() -> None:
    student = torch.nn.Linear(3, 2)
    teacher = make_teacher(student)
    seen = [student.weight.detach().clone()]
    for _ in range(7):
        student.weight.data = torch.randn(2, 3)
        seen.append(student.weight.detach().clone())
        follow(teacher, student, 0.9)
    expected = 0.9**7 * seen[0].double()
    for k in range(1, 8):
        expected += 0.1 * 0.9 ** (7 - k) * seen[k].double()
    torch.testing.assert_close(teacher.weight.detach().double(), expected, rtol=1e-5, atol=1e-6)
    assert not teacher.weight.requires_grad
    assert student.weight.requires_grad


def test_a_teacher_drops_nothing() -> None:
    parts = [torch.nn.Dropout(0.5), torch.nn.Dropout1d(0.5), torch.nn.AlphaDropout(0.5)]
    x = torch.randn(2, 3, 50)
    assert torch.equal(make_teacher(torch.nn.Sequential(*parts)).train()(x), x)


def test_buffers_of_a_teacher_are_its_own() -> None:
    student = torch.nn.BatchNorm1d(2)
    teacher = make_teacher(student)
    student(torch.randn(8, 2) + 5)
    before = teacher.running_mean.clone()
    follow(teacher, student, 0.5)
    assert torch.equal(teacher.running_mean, before)
    assert int(teacher.num_batches_tracked) == 0


@pytest.mark.parametrize(
    "student",
    [
        ResNet18(widths=(4, 4, 8, 8), dropout=0.5, last_gamma=1.0),
        TransformerEncoder(width=16, depth=2, heads=2, patch=10, drop_path=0.5),
    ],
    ids=["dropout", "drop path"],
)
def test_a_teacher_leaves_nothing_to_chance(student: torch.nn.Module) -> None:
    teacher, x = make_teacher(student), torch.randn(4, 12, 100)
    assert teacher.training
    assert torch.equal(teacher(x), teacher(x))
    assert not torch.equal(student(x), student(x))


@pytest.mark.parametrize(("start", "end"), [(0.99, 1.0), (0.5, 0.9)])
def test_momentum_rises_along_half_a_cosine(start: float, end: float) -> None:
    steps = 21
    for step in range(steps):
        expected = end - (end - start) * (math.cos(math.pi * step / (steps - 1)) + 1) / 2
        assert momentum_at(step, steps, start, end) == pytest.approx(expected, abs=1e-12)
    assert momentum_at(0, 1, start, end) == end


@pytest.mark.parametrize("name", sorted(TAUGHT))
def test_teacher_follows_when_a_step_begins_but_not_the_first(name: str) -> None:
    method = build(name)
    start = [p.detach().clone() for p in (*method.teacher.parameters(), *method.teacher_projector.parameters())]
    for parameter in method.parameters():
        if parameter.requires_grad:
            parameter.data += 1.0
    begin_step(method, 0, 10)
    teachers = [*method.teacher.parameters(), *method.teacher_projector.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(start, teachers, strict=True))
    begin_step(method, 4, 10)
    kept = momentum_at(4, 10, 0.99)
    for a, b in zip(start, teachers, strict=True):
        torch.testing.assert_close(b.detach(), a + (1 - kept), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", sorted(TAUGHT))
def test_teacher_gets_no_gradient_and_is_in_the_state(name: str) -> None:
    method = build(name)
    method.loss({"signal": torch.randn(4, 12, 80)}).backward()
    teachers = [*method.teacher.parameters(), *method.teacher_projector.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in teachers)
    assert {"teacher.", "teacher_projector."} <= {key.split(".")[0] + "." for key in method.state_dict()}


@pytest.mark.parametrize("name", sorted(TAUGHT))
def test_restored_state_goes_on_with_the_same_loss(name: str) -> None:
    def train(method: torch.nn.Module, first: int, last: int) -> list[float]:
        losses = []
        for step in range(first, last):
            torch.manual_seed(step)
            begin_step(method, step, 6)
            loss = method.loss({"signal": torch.randn(4, 12, 80)})
            method.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in method.parameters():
                    if p.grad is not None:
                        p -= 0.05 * p.grad
            losses.append(loss.item())
        return losses

    whole = train(build(name), 0, 6)
    begun = build(name)
    train(begun, 0, 3)
    other = build(name)
    other.load_state_dict(begun.state_dict())
    assert train(other, 3, 6) == whole[3:]


@pytest.mark.parametrize("name", sorted(TAUGHT))
@pytest.mark.parametrize("wrong", [{"momentum": 1.5}, {"momentum": -0.1}, {"hidden_dim": 0}, {"out_dim": -1}])
def test_impossible_parameters_are_named(name: str, wrong: dict) -> None:
    with pytest.raises(RecipeError, match=f"method.{next(iter(wrong))}"):
        TAUGHT[name](Conv1DEncoder(widths=(8, 16)), Views(), **{**SMALL, **wrong})


@pytest.mark.parametrize("name", ["moco", "byol", "dino"])
def test_padding_leaves_the_loss_as_it_is(name: str) -> None:
    """Strips of 120 samples give the same loss alone and followed by zeros."""

    def loss(padding: int) -> float:
        torch.manual_seed(0)
        more = {"local_crop": 40, "n_local": 2} if name == "dino" else {}
        method = METHODS[name](Conv1DEncoder(widths=(8, 16)), Views(), **more)
        x = torch.randn(6, 12, 120)
        torch.manual_seed(1)
        signal = torch.nn.functional.pad(x, (0, padding))
        return method.loss({"signal": signal, "length": torch.full((6,), 120)}).item()

    assert loss(40) == pytest.approx(loss(0), rel=1e-4)
