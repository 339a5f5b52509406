"""Calibrators: maps from probabilities to ones that can be taken at their word, learnt on validation records.

How well they are calibrated is measured by `ssl_ecg.evaluate.reliability`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning
from ssl_ecg.evaluate.reliability import checked_proba

FloatArray = NDArray[np.float64]
_EDGE = 1e-7  # probabilities nearer to 0 and 1 have no logit that means anything
_LOG_T = float(np.log(20.0))  # temperatures from 1/20 to 20: beyond, all that is left is 0 and 1, or 0.5


class Calibrator(ABC):
    """Maps probabilities to calibrated ones, class by class; learnt on validation records.

    A class with fewer than `min_count` positives or negatives keeps its probabilities, with a warning.

    Parameters
    ----------
    min_count : int
    """

    kind: str

    def __init__(self, *, min_count: int = 10) -> None:
        self.min_count = min_count

    def fit(self, y_true: ArrayLike, proba: ArrayLike) -> Calibrator:
        """Learn from labels (record, class), NaN where unknown, and probabilities.

        Raises
        ------
        LabelError
            If shapes differ or probabilities lie outside 0 to 1.
        """
        truth, given = checked_proba(y_true, proba)
        self.curves_: list[Any] = []
        for k in range(truth.shape[1]):
            known = np.isfinite(truth[:, k])
            y = truth[known, k]
            enough = min(y.sum(), len(y) - y.sum()) >= max(self.min_count, 1)
            self.curves_.append(self._learn(y, given[known, k]) if enough else None)
        if self.identity_:
            text = f"{self.kind} calibration: fewer than {self.min_count} positives or negatives, so that"
            message = f"{text} probabilities are kept, in classes {self.identity_}"
            warnings.warn(message, UndefinedClassWarning, stacklevel=2)
        return self

    @property
    def identity_(self) -> list[int]:
        """Columns that keep their probabilities."""
        return [k for k, curve in enumerate(self.curves_) if curve is None]

    def transform(self, proba: ArrayLike) -> FloatArray:
        """Give calibrated probabilities (record, class).

        Raises
        ------
        LabelError
            If nothing was learnt, the number of classes is another, or probabilities lie outside 0 to 1.
        """
        if not hasattr(self, "curves_"):
            raise LabelError(f"{self.kind} calibration", "has learnt nothing yet", "call fit first")
        given = np.asarray(proba, dtype=np.float64)
        if given.ndim != 2 or given.shape[1] != len(self.curves_):
            problem = f"probabilities have shape {given.shape}, learnt were {len(self.curves_)} classes"
            raise LabelError(f"{self.kind} calibration", problem, "give (record, class)")
        checked_proba(np.zeros_like(given), given)
        pairs = zip(self.curves_, given.T, strict=True)
        return np.stack([p if curve is None else self._apply(curve, p) for curve, p in pairs], axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Give plain numbers for JSON."""
        return {"kind": self.kind, "min_count": self.min_count, "curves": self.curves_}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibrator:
        """Take up again what `to_dict` gave.

        Raises
        ------
        LabelError
            If it is not of this kind, or damaged.
        """
        try:
            if content["kind"] != cls.kind:
                raise ValueError(f"is of kind {content['kind']!r}")
            new = cls(min_count=int(content["min_count"]))
            new.curves_ = [None if curve is None else cls._checked(curve) for curve in content["curves"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LabelError(f"{cls.kind} calibration", f"is damaged ({error!r})", "fit it again") from error
        return new

    @abstractmethod
    def _learn(self, y: FloatArray, proba: FloatArray) -> Any:
        """Give what `_apply` needs, as plain numbers."""

    @abstractmethod
    def _apply(self, curve: Any, proba: FloatArray) -> FloatArray:
        """Calibrate the probabilities of one class."""

    @staticmethod
    @abstractmethod
    def _checked(curve: Any) -> Any:
        """Give what was stored for one class; ValueError if it makes no sense."""


class TemperatureScaling(Calibrator):
    """Divides the logit of each class by a temperature of its own, that of the least log loss.

    The ranking within a class, and so its AUROC, stays. A bias that a weighted or focal loss brings stays too,
    but for its size: `IsotonicCalibration` mends that.

    References
    ----------
    Guo et al. 2017, arXiv:1706.04599, section 4.2, here for one sigmoid a class.

    Examples
    --------
    >>> y = np.repeat([[0], [1], [0], [1]], [80, 20, 20, 80], axis=0)
    >>> sure = np.repeat([[0.01], [0.99]], 100, axis=0)  # right four times in five
    >>> TemperatureScaling().fit(y, sure).transform([[0.01], [0.99]]).round(3).ravel().tolist()
    [0.2, 0.8]
    """

    kind = "temperature"

    def _learn(self, y: FloatArray, proba: FloatArray) -> float:
        from scipy.optimize import minimize_scalar

        margin = np.where(y == 1, 1.0, -1.0) * _logit(proba)

        def loss(log_temperature: float) -> float:  # log loss, which has one minimum over the temperature
            return float(np.logaddexp(0.0, -margin * np.exp(-log_temperature)).mean())

        found = minimize_scalar(loss, bounds=(-_LOG_T, _LOG_T), method="bounded", options={"xatol": 1e-8})
        return float(np.exp(found.x))

    def _apply(self, curve: float, proba: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + np.exp(-_logit(proba) / curve)))

    @staticmethod
    def _checked(curve: Any) -> float:
        temperature = float(curve)
        if not 0 < temperature < np.inf:
            raise ValueError(f"temperature {temperature}")
        return temperature


class IsotonicCalibration(Calibrator):
    """Maps the probability of each class through the rising steps of least squares, linear between their knots.

    It may join neighbours in the ranking, so that AUROC can change a little; give it a few hundred records.

    References
    ----------
    Zadrozny and Elkan 2002, doi:10.1145/775047.775151.

    Examples
    --------
    >>> y, p = np.repeat([[0], [1], [0], [1]], [80, 20, 20, 80], axis=0), np.repeat([[0.4], [0.6]], 100, axis=0)
    >>> IsotonicCalibration().fit(y, p).transform([[0.1], [0.5], [0.6]]).round(3).ravel().tolist()
    [0.2, 0.5, 0.8]
    """

    kind = "isotonic"

    def _learn(self, y: FloatArray, proba: FloatArray) -> dict[str, list[float]]:
        from sklearn.isotonic import IsotonicRegression

        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(proba, y)
        return {"x": model.X_thresholds_.tolist(), "y": model.y_thresholds_.tolist()}

    def _apply(self, curve: Mapping[str, list[float]], proba: FloatArray) -> FloatArray:
        return np.interp(proba, curve["x"], curve["y"])

    @staticmethod
    def _checked(curve: Any) -> dict[str, list[float]]:
        x, y = ([float(v) for v in curve[axis]] for axis in ("x", "y"))
        rises = bool(np.all(np.diff(x) > 0)) and bool(np.all(np.diff(y) >= 0))
        if not x or len(x) != len(y) or not rises or not 0 <= y[0] <= y[-1] <= 1:
            raise ValueError("knots do not rise from 0 to 1")
        return {"x": x, "y": y}


CALIBRATORS: dict[str, type[Calibrator]] = {"temperature": TemperatureScaling, "isotonic": IsotonicCalibration}
"""Kind -> class."""


def load_calibrator(content: Mapping[str, Any]) -> Calibrator:
    """Take up a calibrator of any kind from what its `to_dict` gave.

    Raises
    ------
    LabelError
        If the kind is unknown, or the content damaged.

    Examples
    --------
    >>> load_calibrator({"kind": "temperature", "min_count": 10, "curves": [2.0, None]}).identity_
    [1]
    """
    kind = content.get("kind")
    if kind not in CALIBRATORS:
        raise LabelError("calibration", f"there is no kind {kind!r}", f"choose from {', '.join(CALIBRATORS)}")
    return CALIBRATORS[kind].from_dict(content)


def _logit(proba: FloatArray) -> FloatArray:
    inside = np.clip(proba, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(inside) - np.log1p(-inside))
