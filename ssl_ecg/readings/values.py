"""Numbers such as age, each with an interval that was learnt on validation records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.evaluate.regression import mean_absolute_error, pearson, r2, spearman
from ssl_ecg.readings.base import FloatArray, Reading

LEVEL = 0.9
"""Share of records whose number lies within the interval."""
_OF_VALUES = {"r2": r2, "mean_absolute_error": mean_absolute_error, "pearson": pearson, "spearman": spearman}


@dataclass(frozen=True)
class ValueReading(Reading):
    """Numbers in their unit, each with an interval.

    The interval is as wide on both sides: the distance that the share `LEVEL` of the validation records does not
    exceed, with the correction for few records. It holds for records like these on average, not for each kind of
    record, and is a little short where training was stopped by the same records.

    Attributes
    ----------
    classes : tuple of str
    unit : str
    centre, scale : float64 array (target,)
        A model puts out ``(value - centre) / scale``.
    half_width : float64 array (target,)
        Infinite where there are too few validation records.

    References
    ----------
    Lei et al. 2018, doi 10.1080/01621459.2017.1307116, algorithm 2 (split conformal intervals).
    """

    prefix: ClassVar[str] = "value"
    classes: tuple[str, ...]
    unit: str
    centre: FloatArray
    scale: FloatArray
    half_width: FloatArray

    @classmethod
    def fit(
        cls,
        classes: Sequence[str],
        unit: str,
        centre: FloatArray,
        scale: FloatArray,
        truth: NDArray[np.floating],
        raw: FloatArray,
    ) -> ValueReading:
        """Learn the interval from values and outputs of validation records."""
        return cls(tuple(classes), unit, centre, scale, conformal_width(truth, raw * scale + centre))

    @classmethod
    def from_card(cls, classes: Sequence[str], card: Mapping[str, Any]) -> ValueReading:
        """Take up again what `card` gave."""
        width = [np.inf if value is None else float(value) for value in card["half_width"]]
        centre, scale = (np.asarray(card[name], dtype=np.float64) for name in ("centre", "scale"))
        return cls(tuple(classes), str(card["unit"]), centre, scale, np.array(width))

    def answer(self, raw: FloatArray) -> FloatArray:
        """Give values in their unit."""
        return raw * self.scale + self.centre

    def card(self) -> dict[str, Any]:
        """Give scale, unit and interval."""
        return {
            "unit": self.unit, "centre": self.centre, "scale": self.scale, "half_width": self.half_width,
            "level": LEVEL,
        }  # fmt: skip

    def about(self) -> dict[str, Any]:
        """Say how wide the interval is."""
        return {"interval": {"level": LEVEL, "half_width": dict(zip(self.classes, self.half_width, strict=True))}}

    def figures(self, truth: NDArray[np.floating], answers: FloatArray) -> dict[str, Any]:
        """Give R2, mean absolute error and correlations, and the share of records within the interval."""
        found = {name: metric(truth, answers) for name, metric in _OF_VALUES.items()}
        within = np.where(np.isfinite(truth), np.abs(truth - answers) <= self.half_width, np.nan)
        known = np.isfinite(truth).sum(axis=0)
        found["coverage"] = np.nansum(within, axis=0) / np.where(known > 0, known, np.nan)
        return {
            "records": len(truth),
            "macro": {name: _mean(values) for name, values in found.items()},
            "n_classes_judged": int(np.isfinite(found["r2"]).sum()),
            "per_class": {
                name: {"known": int(known[k]), **{metric: float(values[k]) for metric, values in found.items()}}
                for k, name in enumerate(self.classes)
            },
        }

    def decide(self, answers: FloatArray) -> None:
        """Decide nothing."""
        return

    def columns(self, answers: FloatArray, there: NDArray[np.bool_]) -> dict[str, Any]:
        """Give values and the ends of their intervals; missing where these are infinite."""
        width = np.where(np.isfinite(self.half_width), self.half_width, np.nan)
        parts = (answers, answers - width, answers + width)
        return dict(zip(self.types(), [column for part in parts for column in part.T], strict=True))

    def types(self) -> dict[str, str]:
        """Give names and types of the columns."""
        return {f"{part}_{name}": "float64" for part in ("value", "low", "high") for name in self.classes}

    def of_ensemble(self, others: Sequence[Any], said: tuple[FloatArray, FloatArray] | None) -> ValueReading:
        """Learn the interval of the mean values; the widest of the members' where it cannot."""
        widest = np.max([one.half_width for one in (self, *others)], axis=0)
        width = widest if said is None else conformal_width(*said)
        none, one = np.zeros(len(self.classes)), np.ones(len(self.classes))
        return ValueReading(self.classes, self.unit, none, one, width)


def conformal_width(truth: NDArray[np.floating], answers: FloatArray, level: float = LEVEL) -> FloatArray:
    """Give the distance from the answer within which a new value lies with a probability of `level` (target,).

    Examples
    --------
    >>> conformal_width(np.arange(10.0)[:, None], np.zeros((10, 1)), 0.5)
    array([5.])
    >>> conformal_width(np.zeros((3, 1)), np.zeros((3, 1)), 0.9)  # too few
    array([inf])
    """
    widths = []
    for error in np.abs(np.asarray(truth, np.float64) - answers).T:
        known = np.sort(error[np.isfinite(error)])
        place = int(np.ceil((len(known) + 1) * level))
        widths.append(known[place - 1] if place <= len(known) else np.inf)
    return np.array(widths)


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
