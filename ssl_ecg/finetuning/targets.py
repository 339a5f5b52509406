"""Targets of fine-tuning as a network learns them, and how its outputs are read again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning
from ssl_ecg.readings.base import Reading
from ssl_ecg.readings.classes import ClassReading, ExclusiveReading, ThresholdRule
from ssl_ecg.readings.values import ValueReading
from ssl_ecg.recipes import load_recipe
from ssl_ecg.targets import Targets
from ssl_ecg.tasks import get_task


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
            return {"kind": "multiclass"} if self.targets.exclusive else {}
        scale = {"centre": self.centre.tolist(), "scale": self.scale.tolist()}
        return {"kind": "continuous", "unit": self.targets.unit, **scale}

    def warn(self, train: NDArray[np.int64]) -> None:
        """Name the classes of which the training records cannot teach anything."""
        if self.targets.kind != "classes":
            return
        for name, column in zip(self.targets.classes, self.scaled[train].T, strict=True):
            known = column[np.isfinite(column)]
            sides = {"positive": known > 0, "negative": known < 1}
            if (what := next((side for side, there in sides.items() if not there.any()), None)) is not None:
                text = f"{name} has no {what} among the {len(train)} training records: it cannot be learnt"
                warnings.warn(text, UndefinedClassWarning, stacklevel=3)

    def suited(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """Give the recipe with cross-entropy over all classes in place of that of each, where a record has one class.

        Raises
        ------
        RecipeError
            If an override gave the loss what that one does not take.
        """
        loss = dict(bound["loss"])
        if not self.targets.exclusive or loss.pop("name") != "bce":
            return dict(bound)
        return load_recipe({**bound, "loss": {"name": "cross_entropy", **loss}})

    def check(self, bound: Mapping[str, Any]) -> None:
        """Refuse settings for another kind of targets, a forest beside a regression, and the answer as input.

        Raises
        ------
        RecipeError
        """
        from ssl_ecg.train.losses.classes import LOSSES

        numbers = self.targets.kind == "continuous"
        self._check_loss(bound["loss"]["name"], LOSSES)
        if not numbers:
            self._check_decisions(bound["head"])
        if numbers and "forest" in bound:
            raise RecipeError("forest", "is for classes, and the task is one of numbers", "leave it out")
        if self.targets.name == "age" and bound["head"]["metadata"]:
            raise RecipeError("head.metadata", "tells the head the age that it is to find", "--set head.metadata=false")

    def _check_loss(self, name: str, losses: Mapping[str, Any]) -> None:
        """Refuse a loss for another kind of targets."""
        numbers, exclusive = self.targets.kind == "continuous", self.targets.exclusive
        fitting = [key for key, loss in losses.items() if (loss.continuous, loss.exclusive) == (numbers, exclusive)]
        if name in fitting:
            return
        what = "numbers" if numbers else "classes, of which a record has one," if exclusive else "classes"
        problem = f"{name!r} is not for the {what} of task {self.targets.name!r}"
        remedy = f"--set loss.name={fitting[-1] if numbers else fitting[0]}; there are {', '.join(fitting)}"
        raise RecipeError("loss.name", problem, remedy)

    def _check_decisions(self, head: Mapping[str, Any]) -> None:
        """Refuse thresholds and calibration that the task cannot have."""
        if self.targets.exclusive and head["calibration"] == "isotonic":
            problem = "'isotonic' is for one class at a time, and here a record has one of several"
            raise RecipeError("head.calibration", problem, "--set head.calibration=temperature")
        if self.targets.exclusive and head["thresholds"] != "f1":
            problem = f"{head['thresholds']!r} stands beside classes of which a record has one: the largest decides"
            raise RecipeError("head.thresholds", problem, "leave it out, or give the classes as columns of 0 and 1")
        if head["thresholds"] == "evolved" and self.targets.classes != get_task("cinc26").classes:
            problem = f"'evolved' is for the challenge score of cinc26, and the task is {self.targets.name!r}"
            raise RecipeError("head.thresholds", problem, "--set head.thresholds=f1, or sensitivity")

    def reading(self, bound: Mapping[str, Any]) -> Callable[[NDArray[np.floating], NDArray[np.float64]], Reading]:
        """Give the function that learns the reading."""
        head = bound["head"]
        if self.targets.exclusive:
            return partial(ExclusiveReading.fit, self.targets.classes, str(head["calibration"]))
        if self.targets.kind == "classes":
            rule = ThresholdRule(head["thresholds"], float(head["sensitivity"]))
            return partial(ClassReading.fit, self.targets.classes, str(head["calibration"]), rule)
        return partial(ValueReading.fit, self.targets.classes, self.targets.unit, self.centre, self.scale)
