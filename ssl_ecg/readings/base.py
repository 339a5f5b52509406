"""What every reading of a model's outputs does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Reading(ABC):
    """How the outputs (record, class) of a model are read: `ClassReading`, `ExclusiveReading`, `ValueReading`."""

    prefix: ClassVar[str]
    """Of the columns that hold answers."""
    classes: tuple[str, ...]

    @abstractmethod
    def answer(self, raw: FloatArray) -> FloatArray:
        """Turn outputs into answers (record, class)."""

    @abstractmethod
    def card(self) -> dict[str, Any]:
        """Give all that predicting needs as plain numbers."""

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """Say for metrics.json what was learnt."""

    @abstractmethod
    def figures(self, truth: NDArray[np.floating], answers: FloatArray) -> dict[str, Any]:
        """Judge answers: records, macro and per class."""

    @abstractmethod
    def decide(self, answers: FloatArray) -> NDArray[np.bool_] | None:
        """Say which classes a record is said to have (record, class); None where answers are numbers."""

    @abstractmethod
    def columns(self, answers: FloatArray, there: NDArray[np.bool_]) -> dict[str, Any]:
        """Give the columns of a table of predictions; missing where a record is not `there`."""

    @abstractmethod
    def types(self) -> dict[str, str]:
        """Give the names of these columns and their types."""

    @abstractmethod
    def of_ensemble(self, others: Sequence[Any], said: tuple[FloatArray, FloatArray] | None) -> Reading:
        """Give the reading of the mean answers of this and other members.

        Parameters
        ----------
        others : sequence of Reading
        said : (truth, answers), optional
            Mean answers for validation records, if those of all members are the same.
        """
