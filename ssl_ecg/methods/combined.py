"""Several methods at once: their losses, weighted and added, train one encoder."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ssl_ecg.augment.views import Views
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Batch, begin_step, check_positive, gate, released_encoder

_GIVEN = {
    "n_classes": ("learns from labels", "name a task, such as data.task=superclass"),
    "n_targets": ("learns from measurements", "set data.measures=true, or data.teacher"),
    "views": ("compares views", "give a section views"),
}
"""What parts are given: why they need it, and how to come by it."""


class Combined(nn.Module):
    """The weighted sum of the losses of several methods on one encoder.

    Parameters
    ----------
    encoder : nn.Module
    views : Views, optional
        Given to the parts that take views.
    parts : sequence of mapping
        For each part the `name` of its method, the arguments of its class, and perhaps its `weight` (1 by default).
    released : str, optional
        Name of the part that says which encoder is kept, its teacher's perhaps; the first one by default.
    n_targets, n_classes : int, optional
        Measurements of a recording, and classes of the labels, for the parts that learn from them; given by archive,
        teacher and task in a recipe.

    Raises
    ------
    RecipeError
        If there is no part, a name or an argument is unknown, a weight is not above zero, or a part lacks its views,
        measurements or labels.

    References
    ----------
    JEPA regularised by VICReg (C-JEPA): Mo and Tong 2024, arXiv 2410.19560.

    Examples
    --------
    >>> from ssl_ecg.models.conv1d import Conv1DEncoder
    >>> encoder = Conv1DEncoder(widths=(8, 16))
    >>> parts = [{"name": "autoencoder"}, {"name": "autoencoder", "corruption": "noise", "weight": 0.5}]
    >>> Combined(encoder, parts=parts).weights
    [1.0, 0.5]
    """

    def __init__(
        self,
        encoder: nn.Module,
        views: Views | None = None,
        *,
        parts: Sequence[Mapping[str, Any]],
        released: str | None = None,
        n_targets: int | None = None,
        n_classes: int | None = None,
    ) -> None:
        super().__init__()
        if not parts:
            raise RecipeError("method.parts", "is empty", "name two methods or more, each with its weight")
        self.encoder = encoder
        self.weights = [float(part.get("weight", 1.0)) for part in parts]
        for weight in self.weights:
            check_positive(weight=weight)
        given = {"views": views, "n_targets": n_targets, "n_classes": n_classes}
        self.parts = nn.ModuleList(_build_part(part, encoder, given) for part in parts)
        names = [str(part["name"]) for part in parts]
        if released is not None and released not in names:
            raise RecipeError("method.released", f"is {released!r}, no part", f"choose from {', '.join(names)}")
        self._kept = 0 if released is None else names.index(released)

    @property
    def released(self) -> nn.Module:
        """The encoder that the chosen part keeps."""
        return released_encoder(self.parts[self._kept])

    def begin_step(self, step: int, steps: int) -> None:
        """Tell all parts."""
        for part in self.parts:
            begin_step(part, step, steps)

    def loss(self, batch: Batch) -> Tensor:
        """Add the losses of the parts.

        Raises
        ------
        SignalError
            If the batch is too small for a part, or not finite.
        """
        total = gate(batch).new_zeros(())
        for weight, part in zip(self.weights, self.parts, strict=True):
            total = total + weight * part.loss(batch)  # type: ignore[operator]
        return total


def _build_part(part: Mapping[str, Any], encoder: nn.Module, given: Mapping[str, Any]) -> nn.Module:
    """Build the method of one part on the common encoder."""
    from ssl_ecg.methods.registry import METHODS  # here, as the registry lists this class too

    name = str(part.get("name"))
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(METHODS)}"
        raise RecipeError("method.parts", f"unknown method {name!r}", hint)
    method = METHODS[name]
    arguments = {key: value for key, value in part.items() if key not in ("name", "weight")}
    takes = inspect.signature(method).parameters
    for argument, (why, remedy) in _GIVEN.items():
        if argument in takes:
            arguments[argument] = given[argument]
            if given[argument] is None and takes[argument].default is inspect.Parameter.empty:
                raise RecipeError("method.parts", f"{name!r} {why}, and there are none", remedy)
    try:
        return method(encoder, **arguments)
    except TypeError as error:
        raise RecipeError(f"method.parts: {name}", str(error), "see its parameters with help()") from None
