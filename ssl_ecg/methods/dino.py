"""DINO: a student given pieces tells what a teacher given more makes of the same recording."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from ssl_ecg.augment.transforms_crop import RandomCrop
from ssl_ecg.augment.views import Views, where_padded
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, check_positive, gate, make_views
from ssl_ecg.methods.teacher import TaughtMethod


class DINO(TaughtMethod):
    """Self-distillation without labels, with several crops of different length.

    The teacher sees two views, the student also some local crops. The teacher's output is centred, against one
    prototype for all, and sharpened by a low temperature, against all prototypes for each.
    Released is the teacher, which is better than the student throughout training in the paper (section 5.2).

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Makes the two global views of a batch.
    n_local : int
        Local crops of each strip.
    local_crop : int
        Their length [samples], at most that of the views.
    hidden_dim, bottleneck_dim, out_dim : int
        Width of the two hidden layers of the head, of the vectors of length one before the prototypes, and the number
        of prototypes.
    temperature : float
        Of the student.
    teacher_temperature, first_temperature : float
        Of the teacher after the warm-up, and in the first step.
    warmup : float
        Share of the run in which the teacher's temperature rises from the one to the other, evenly.
    centre_momentum : float
        Share of the centre that is kept in a step.
    momentum : float
        Of the teacher in the first step; it rises to 1 over the run.

    Raises
    ------
    RecipeError
        If a parameter is out of range.

    References
    ----------
    Caron et al. 2021, arXiv 2104.14294, eq. 1 to 4 and section 3.1.
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        n_local: int = 4,
        local_crop: int = 75,
        hidden_dim: int = 512,
        bottleneck_dim: int = 128,
        out_dim: int = 1024,
        temperature: float = 0.1,
        teacher_temperature: float = 0.04,
        first_temperature: float = 0.04,
        warmup: float = 0.1,
        centre_momentum: float = 0.9,
        momentum: float = 0.99,
    ) -> None:
        check_positive(
            hidden_dim=hidden_dim, bottleneck_dim=bottleneck_dim, out_dim=out_dim, temperature=temperature,
            teacher_temperature=teacher_temperature, first_temperature=first_temperature,
        )  # fmt: skip
        if n_local < 0 or not 0 <= warmup <= 1 or not 0 <= centre_momentum < 1:
            problem = f"n_local {n_local}, warmup {warmup}, centre_momentum {centre_momentum}"
            raise RecipeError("method", problem, "give shares between 0 and 1 and no negative number of crops")
        from lightly.loss import DINOLoss

        projector = PrototypeHead(int(encoder.dim), hidden_dim, bottleneck_dim, out_dim)  # type: ignore[arg-type]
        super().__init__(encoder, views, projector, momentum=momentum)
        self.cut = RandomCrop(local_crop)
        self.n_local = n_local
        self.temperatures = (first_temperature, teacher_temperature)
        self.warmup = warmup
        self.sharpness = first_temperature
        self.criterion = DINOLoss(out_dim, student_temp=temperature, center_momentum=centre_momentum)

    @property
    def released(self) -> nn.Module:
        """The teacher's encoder."""
        teacher: nn.Module = self.teacher
        return teacher

    def begin_step(self, step: int, steps: int) -> None:
        """Let the teachers follow, and set their temperature."""
        super().begin_step(step, steps)
        first, last = self.temperatures
        done = min(step / max(self.warmup * steps, 1), 1.0)
        self.sharpness = first + (last - first) * done

    def loss(self, batch: Batch) -> Tensor:
        """Give the cross-entropy of the student's prototypes to the teacher's, over all pairs of different views.

        The centre follows the teacher's output, after it was used.

        Raises
        ------
        SignalError
            If the batch has fewer than two strips, which batch normalisation needs, or is not finite, or if the views
            are shorter than the local crops.
        """
        signal = gate(batch, at_least=2)
        whole = make_views(self.views, batch, n_views=2)
        told, taught = [self.project(*whole)], self.teach(*whole)
        if self.n_local:
            told.append(self.project(*self._cut(*make_views(self.views, batch, n_views=self.n_local))))
        with torch.autocast(signal.device.type, enabled=False):
            student = torch.split(torch.cat(told), len(signal))
            value: Tensor = self.criterion(list(taught.chunk(2)), list(student), teacher_temp=self.sharpness)
            return value

    def _cut(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Cut local crops out of views; give them and, where some are padded, their lengths."""
        crops: Tensor = self.cut(x, lengths=lengths)
        if lengths is not None:
            lengths = where_padded(self.cut.lengths(lengths, x.shape[-1]), crops.shape[-1])
        return crops, lengths


class PrototypeHead(nn.Module):
    """Three layers, then cosines to prototypes.

    lightly's head of this kind cannot be copied for a teacher (torch's older weight normalisation), so that only its
    layers are used; a prototype has length one here as there.
    """

    def __init__(self, in_dim: int, hidden_dim: int, bottleneck_dim: int, out_dim: int) -> None:
        super().__init__()
        from lightly.models.modules.heads import ProjectionHead

        self.layers = ProjectionHead(
            [
                (in_dim, hidden_dim, nn.BatchNorm1d(hidden_dim), nn.GELU()),
                (hidden_dim, hidden_dim, nn.BatchNorm1d(hidden_dim), nn.GELU()),
                (hidden_dim, bottleneck_dim, None, None),
            ]
        )
        self.prototypes = nn.Parameter(torch.randn(out_dim, bottleneck_dim) / bottleneck_dim**0.5)

    def forward(self, x: Float[Tensor, "strip in_dim"]) -> Float[Tensor, "strip out_dim"]:
        """Give the cosine to every prototype."""
        vectors = functional.normalize(self.layers(x), dim=1)
        return functional.linear(vectors, functional.normalize(self.prototypes, dim=1))
