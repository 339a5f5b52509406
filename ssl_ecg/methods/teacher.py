"""Momentum teachers: copies that follow the student as an exponential moving average and get no gradients."""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import encode
from ssl_ecg.models.attention import DropPath


def make_teacher(module: nn.Module) -> Any:
    """Copy a module: the teacher starts as the student and is changed by `follow` only.

    It drops nothing, neither units nor paths, so that what it teaches does not depend on chance.

    Examples
    --------
    >>> teacher = make_teacher(nn.Linear(2, 3))
    >>> any(p.requires_grad for p in teacher.parameters())
    False
    """
    teacher = copy.deepcopy(module).requires_grad_(False)
    for part in teacher.modules():
        if isinstance(part, _DropoutNd):
            part.p = 0.0
        elif isinstance(part, DropPath):
            part.rate = 0.0
    return teacher


def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the teacher's parameters towards the student's: teacher = momentum teacher + (1 - momentum) student.

    Buffers are left alone. A teacher is called in training mode, so that it normalises with the statistics of the
    batch as the student does, and its running statistics follow its own activations, not the student's.

    Parameters
    ----------
    teacher, student : nn.Module
        Of the same architecture; the teacher is changed in place.
    momentum : float
        Share of the teacher that is kept, between 0 and 1.

    References
    ----------
    He et al. 2020, arXiv 1911.05722, eq. 2; Grill et al. 2020, arXiv 2006.07733, eq. 1.

    Examples
    --------
    >>> student = nn.Linear(1, 1, bias=False)
    >>> teacher = make_teacher(student)
    >>> _ = student.weight.data.fill_(1.0), teacher.weight.data.fill_(0.0)
    >>> follow(teacher, student, 0.9)
    >>> round(teacher.weight.item(), 3)
    0.1
    """
    from lightly.models.utils import update_momentum

    update_momentum(student, teacher, momentum)


def momentum_at(step: int, steps: int, start: float, end: float = 1.0) -> float:
    """Give the momentum of a step: it rises along half a cosine, so that the teacher comes to rest.

    Parameters
    ----------
    step, steps : int
        The step that begins, from 0, and the length of the run.
    start, end : float
        Momentum of the first step and of the last.

    References
    ----------
    Grill et al. 2020, arXiv 2006.07733, section 3.2: 1 - (1 - start) (cos(pi step / steps) + 1) / 2.

    Examples
    --------
    >>> momentum_at(0, 101, 0.9), round(momentum_at(50, 101, 0.9), 3), momentum_at(100, 101, 0.9)
    (0.9, 0.95, 1.0)
    """
    from lightly.utils.scheduler import cosine_schedule

    return float(cosine_schedule(min(step, steps), steps, start, end))


def check_momentum(momentum: float) -> None:
    """Refuse a momentum outside of 0 to 1.

    Raises
    ------
    RecipeError
    """
    if not 0 <= momentum <= 1:
        raise RecipeError("method.momentum", f"is {momentum}", "give a share between 0 and 1, such as 0.99")


class TaughtMethod(nn.Module):
    """What MoCo, BYOL and DINO share: an encoder and a projector, a teacher of each, and two views.

    The teachers follow when a step begins, by what the previous step made of the student: not at step 0, where both
    are the same.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings.
    views : Views
        Makes two augmented views of a batch.
    projector : nn.Module
        Embeddings to what is compared.
    momentum : float
        Of the first step; it rises to 1 over the run.

    Raises
    ------
    RecipeError
        If the momentum is not between 0 and 1.
    """

    def __init__(self, encoder: nn.Module, views: Views, projector: nn.Module, *, momentum: float) -> None:
        super().__init__()
        check_momentum(momentum)
        self.encoder = encoder
        self.views = views
        self.projector = projector
        self.teacher = make_teacher(encoder)
        self.teacher_projector = make_teacher(projector)
        self.momentum = momentum

    def begin_step(self, step: int, steps: int) -> None:
        """Let the teachers follow."""
        if step > 0:
            momentum = momentum_at(step, steps, self.momentum)
            follow(self.teacher, self.encoder, momentum)
            follow(self.teacher_projector, self.projector, momentum)

    def project(
        self, x: Float[Tensor, "strip lead time"], lengths: Int[Tensor, " strip"] | None = None
    ) -> Float[Tensor, "strip dim"]:
        """Encode in the trainer's precision, project in float32."""
        return _project(self.encoder, self.projector, x, lengths)

    @torch.no_grad()
    def teach(
        self, x: Float[Tensor, "strip lead time"], lengths: Int[Tensor, " strip"] | None = None
    ) -> Float[Tensor, "strip dim"]:
        """Encode and project with the teachers."""
        return _project(self.teacher, self.teacher_projector, x, lengths)


def _project(encoder: nn.Module, projector: nn.Module, x: Tensor, lengths: Tensor | None) -> Tensor:
    embeddings = encode(encoder, x, lengths)
    with torch.autocast(x.device.type, enabled=False):
        projected: Tensor = projector(embeddings)
        return projected
