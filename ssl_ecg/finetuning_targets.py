"""Targets of fine-tuning as a network learns them, and how its outputs are read again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.readings import ClassReading, Reading, ValueReading
from ssl_ecg.targets import Targets


@dataclass(frozen=True)
class Learnt:
    """Targets as they are learnt: classes as they are, numbers on the scale of the training records.

    Attributes
    ----------
    targets : Targets
    scaled : float32 array (row, target)
        NaN where unknown.
    centre, scale : float64 array (target,)
        Zero and one for classes.
    """

    targets: Targets
    scaled: NDArray[np.float32]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, targets: Targets, truth: NDArray[np.floating], train: NDArray[np.int64]) -> Learnt:
        """Put targets on the scale of the training records.

        Raises
        ------
        LabelError
            If a number is the same, or unknown, in all of them.
        """
        n = len(targets.classes)
        if targets.kind == "classes":
            return cls(targets, truth.astype(np.float32), np.zeros(n), np.ones(n))
        for name, column in zip(targets.classes, truth[train].T, strict=True):
            if len(np.unique(column[np.isfinite(column)])) < 2:
                problem = f"{name} does not vary over the {len(train)} training records"
                raise LabelError(targets.name, problem, "give more training records")
        centre, scale = np.nanmean(truth[train], axis=0), np.nanstd(truth[train], axis=0)
        return cls(targets, ((truth - centre) / scale).astype(np.float32), centre, scale)

    def facts(self) -> dict[str, Any]:
        """Say what else makes a run on numbers this one."""
        if self.targets.kind == "classes":
            return {}
        scale = {"centre": self.centre.tolist(), "scale": self.scale.tolist()}
        return {"kind": "continuous", "unit": self.targets.unit, **scale}

    def check(self, bound: Mapping[str, Any]) -> None:
        """Refuse a loss that is for the other kind of targets, a forest beside a regression, and the answer as input.

        Raises
        ------
        RecipeError
        """
        from ssl_ecg.train.losses import LOSSES

        name, numbers = bound["loss"]["name"], self.targets.kind == "continuous"
        if LOSSES[name].continuous != numbers:
            fitting = [other for other, loss in LOSSES.items() if loss.continuous == numbers]
            problem = f"{name!r} is not for the {'numbers' if numbers else 'classes'} of task {self.targets.name!r}"
            remedy = f"--set loss.name={fitting[-1] if numbers else fitting[0]}; there are {', '.join(fitting)}"
            raise RecipeError("loss.name", problem, remedy)
        if numbers and "forest" in bound:
            raise RecipeError("forest", "is for classes, and the task is one of numbers", "leave it out")
        if self.targets.name == "age" and bound["head"]["metadata"]:
            raise RecipeError("head.metadata", "tells the head the age that it is to find", "--set head.metadata=false")

    def reading(self, bound: Mapping[str, Any]) -> Callable[[NDArray[np.floating], NDArray[np.float64]], Reading]:
        """Give the function that learns the reading."""
        if self.targets.kind == "classes":
            return partial(ClassReading.fit, self.targets.classes, str(bound["head"]["calibration"]))
        return partial(ValueReading.fit, self.targets.classes, self.targets.unit, self.centre, self.scale)
