"""FixMatch for several labels: what the encoder is sure of on a weak view is the label of a strong one."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from ssl_ecg.augment.transforms_crop import Crop, RandomCrop
from ssl_ecg.augment.views import Compose, Views, where_padded
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.methods.base import Batch, check_positive, encode, gate, targets_of
from ssl_ecg.methods.gathering import mean_of_all
from ssl_ecg.processes import sum_of_all

_FOLLOWED = 100
"""Steps that the running mean of the predictions looks back."""


class FixMatch(nn.Module):
    """Learn from few labels, and from the classifier's own confident answers on the rest.

    Every strip gives a weak view, which is cropped as the strong one and not changed otherwise, and a strong view,
    which is augmented. A linear head answers for each class by itself. Labelled strips are learnt from their weak
    views. Of all strips, the classes whose probability on the weak view is above `positive` or below `negative` are
    learnt as present or absent from the strong view; classes in between are left out, class by class.

    Parameters
    ----------
    encoder : nn.Module
        Strips to embeddings, with `.dim`.
    views : Views
        Its chain makes the strong view, its crop alone, at its own speed, the weak one.
    n_classes : int
        Classes of the task; given by the task in a recipe.
    positive, negative : float or list of float
        A class is taken as present above `positive`, as absent below `negative`; one for all classes or one for each.
    unlabelled : float
        Weight of the loss on pseudo-labels.
    align : bool
        Shift the probabilities before they are compared with the thresholds, so that on average each class is as
        frequent as among the labels: rare classes otherwise never reach theirs.

    References
    ----------
    Sohn et al. 2020, arXiv 2001.07685, eq. 3 and 4, here with one sigmoid for each class instead of a softmax.
    Berthelot et al. 2020, arXiv 1911.09785, section 3.1 (distribution alignment).
    """

    learns_from_labels: ClassVar[bool] = True
    positive: Tensor
    negative: Tensor
    predicted: Tensor
    labels_seen: Tensor
    steps_seen: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        views: Views,
        *,
        n_classes: int,
        positive: float | list[float] = 0.95,
        negative: float | list[float] = 0.05,
        unlabelled: float = 1.0,
        align: bool = False,
    ) -> None:
        super().__init__()
        check_positive(n_classes=n_classes)
        if not 0 <= unlabelled < math.inf:
            raise RecipeError("method.unlabelled", f"is {unlabelled}", "give 0 or more")
        self.encoder = encoder
        self.views = views
        crops = [step for step in views.chain.transforms if isinstance(step, Crop)]
        self.weak = Compose(crop if isinstance(crop, RandomCrop) else RandomCrop(crop.length) for crop in crops)
        self.head = nn.Linear(int(encoder.dim), n_classes)  # type: ignore[arg-type]
        self.n_classes, self.unlabelled, self.align = n_classes, unlabelled, align
        self.register_buffer("positive", _thresholds("positive", positive, n_classes), persistent=False)
        self.register_buffer("negative", _thresholds("negative", negative, n_classes), persistent=False)
        if bool((self.negative > self.positive).any()):
            raise RecipeError("method.negative", "is above method.positive", "for example 0.05 and 0.95")
        self.register_buffer("predicted", torch.full((n_classes,), 0.5))
        self.register_buffer("labels_seen", torch.zeros(2, n_classes))  # present, and known
        self.register_buffer("steps_seen", torch.zeros(()))

    def loss(self, batch: Batch) -> Tensor:
        """Give the loss on labels and on pseudo-labels.

        Raises
        ------
        SignalError
            If the batch is empty, not finite, or has no targets of `n_classes` classes.
        """
        signal = gate(batch)
        target, known = targets_of(batch)
        if target.shape[1] != self.n_classes:
            problem = f"has targets of {target.shape[1]} classes, the method was made for {self.n_classes}"
            raise SignalError("batch", problem, "give both the same task")
        embeddings = encode(self.encoder, *self._both_views(batch))
        with torch.autocast(signal.device.type, enabled=False):
            weak, strong = self.head(embeddings).chunk(2)
            supervised = mean_of_all(_cross_entropy(weak, target), known)
            pseudo, sure = self.pseudo_labels(weak.detach(), target, known)
            consistency = mean_of_all(_cross_entropy(strong, pseudo) * sure, torch.ones_like(sure))
            return supervised + self.unlabelled * consistency

    def _both_views(self, batch: Batch) -> tuple[Float[Tensor, "rows lead time"], Int[Tensor, " rows"] | None]:
        """Make the weak views and after them the strong ones, with their lengths where any is padded."""
        signal, lead_mask = batch["signal"], batch.get("lead_mask")
        lengths = where_padded(batch.get("length"), signal.shape[-1])
        chains = (self.weak, self.views.chain)
        with torch.autocast(signal.device.type, enabled=False):
            made = torch.cat([chain(signal, lead_mask, lengths=lengths) for chain in chains])
        if lengths is None:
            return made, None
        own = torch.cat([chain.lengths(lengths, signal.shape[-1])[0] for chain in chains])
        return made, where_padded(own, made.shape[-1])

    @torch.no_grad()
    def pseudo_labels(
        self,
        logits: Float[Tensor, "batch class"],
        target: Float[Tensor, "batch class"],
        known: Bool[Tensor, "batch class"],
    ) -> tuple[Float[Tensor, "batch class"], Bool[Tensor, "batch class"]]:
        """Give the pseudo-labels of weak views, and where the classifier is sure enough of them."""
        p = torch.sigmoid(logits)
        if self.align:
            self._follow(p, target, known)
            wanted = (self.labels_seen[0] + 1) / (self.labels_seen[1] + 2)  # as if a strip of each kind had been seen
            present, absent = p * wanted / self.predicted, (1 - p) * (1 - wanted) / (1 - self.predicted)
            p = present / (present + absent)
        return (p > self.positive).float(), (p > self.positive) | (p < self.negative)

    def _follow(self, p: Tensor, target: Tensor, known: Tensor) -> None:
        """Keep count of the labels, and a running mean of the predictions; over all processes."""
        self.labels_seen += sum_of_all(torch.stack([(target * known).sum(0), known.float().sum(0)]))
        sums = sum_of_all(torch.cat([p.sum(0), p.new_tensor([float(len(p))])]))
        self.steps_seen += 1
        mean = (sums[:-1] / sums[-1]).clamp(1e-6, 1 - 1e-6)
        self.predicted.lerp_(mean, 1 / min(float(self.steps_seen), _FOLLOWED))


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, target, reduction="none")


def _thresholds(name: str, values: float | list[float], n_classes: int) -> Tensor:
    """Give one threshold for each class."""
    listed = values if isinstance(values, list) else [values] * n_classes
    if len(listed) != n_classes:
        problem = f"has {len(listed)} thresholds for {n_classes} classes"
        raise RecipeError(f"method.{name}", problem, "give one number, or one for each class")
    if not all(0 <= value <= 1 for value in listed):
        raise RecipeError(f"method.{name}", f"is {values}", "give probabilities, from 0 to 1")
    return torch.tensor(listed, dtype=torch.float32)
