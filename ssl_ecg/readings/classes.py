"""Probabilities of classes, calibrated, and the decisions that follow from them."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.calibration import CALIBRATORS, Calibrator, load_calibrator
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, best_f1_thresholds
from ssl_ecg.evaluate.thresholds import evolved_thresholds, sensitivity_thresholds
from ssl_ecg.readings.base import FloatArray, Reading

_FEW = 10  # records of which nothing is learnt, as in `Calibrator`
_EDGE = 1e-7  # probabilities nearer to 0 have no logarithm that means anything
_TINY = 1e-300
_LOG_T = float(np.log(20.0))


@dataclass(frozen=True)
class ThresholdRule:
    """How the thresholds of decisions are chosen on validation records.

    Attributes
    ----------
    rule : {"f1", "sensitivity", "evolved"}
        The best F1 of each class; the highest threshold of each class that reaches `sensitivity`; or those of all
        classes together that evolution finds for the score of the CinC challenge 2021, for `cinc26` alone (best F1 on
        records on which that score is undefined).
    sensitivity : float
        Above 0, at most 1.
    """

    rule: Literal["f1", "sensitivity", "evolved"] = "f1"
    sensitivity: float = 0.9

    def choose(self, truth: NDArray[np.floating], proba: FloatArray) -> FloatArray:
        """Choose the thresholds (class,) from labels and probabilities (record, class).

        Examples
        --------
        >>> truth, proba = np.array([[0.0], [1.0], [0.0], [1.0]]), np.array([[0.1], [0.3], [0.4], [0.8]])
        >>> ThresholdRule("f1").choose(truth, proba), ThresholdRule("sensitivity", 0.5).choose(truth, proba)
        (array([0.2]), array([0.6]))
        """
        if self.rule == "sensitivity":
            return sensitivity_thresholds(truth, proba, sensitivity=self.sensitivity)
        if self.rule == "evolved" and np.isfinite(challenge_score(truth, truth == 1)).all():
            return evolved_thresholds(truth, proba)
        return best_f1_thresholds(truth, proba)

    def to_dict(self) -> dict[str, Any]:
        """Give plain values."""
        return asdict(self) if self.rule == "sensitivity" else {"rule": self.rule}


class _Classes(Reading):
    """What readings of classes have in common: columns of probabilities and of decisions."""

    prefix: ClassVar[str] = "proba"

    @abstractmethod
    def decide(self, answers: FloatArray) -> NDArray[np.bool_]:
        """Say which classes a record is said to have (record, class)."""

    def columns(self, answers: FloatArray, there: NDArray[np.bool_]) -> dict[str, Any]:
        """Give probabilities and decisions."""
        import pandas as pd

        decided = [pd.arrays.BooleanArray(column.copy(), ~there) for column in self.decide(answers).T]
        return dict(zip(self.types(), [*answers.T, *decided], strict=True))

    def types(self) -> dict[str, str]:
        """Give names and types of the columns."""
        proba = {f"proba_{name}": "float64" for name in self.classes}
        return proba | {f"decision_{name}": "boolean" for name in self.classes}


@dataclass(frozen=True)
class ClassReading(_Classes):
    """Probabilities of classes, calibrated, and the thresholds of decisions.

    Attributes
    ----------
    classes : tuple of str
    calibrator : Calibrator or None
    thresholds : float64 array (class,)
        For calibrated probabilities.
    rule : ThresholdRule
        By which they were chosen.
    """

    classes: tuple[str, ...]
    calibrator: Calibrator | None
    thresholds: FloatArray
    rule: ThresholdRule = field(default_factory=ThresholdRule)

    @classmethod
    def fit(
        cls,
        classes: Sequence[str],
        calibration: str,
        rule: ThresholdRule,
        truth: NDArray[np.floating],
        raw: FloatArray,
    ) -> ClassReading:
        """Calibrate, and choose the thresholds; classes too rare for calibration keep their probabilities.

        Parameters
        ----------
        classes : sequence of str
        calibration : {"temperature", "isotonic", "none"}
        rule : ThresholdRule
        truth, raw : arrays (record, class)
            Labels and probabilities of validation records.
        """
        calibrator = None
        if calibration != "none":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedClassWarning)  # said in metrics.json
                calibrator = CALIBRATORS[calibration]().fit(truth, raw)
        proba = raw if calibrator is None else calibrator.transform(raw)
        return cls(tuple(classes), calibrator, rule.choose(truth, proba), rule)

    @classmethod
    def from_card(cls, classes: Sequence[str], card: Mapping[str, Any]) -> ClassReading:
        """Take up again what `card` gave; thresholds of older versions are those of the best F1."""
        kept = card.get("calibration")
        calibrator = None if kept is None else load_calibrator(kept)
        rule = ThresholdRule(**card.get("thresholds_by", {}))
        return cls(tuple(classes), calibrator, np.asarray(card["thresholds"], dtype=np.float64), rule)

    def answer(self, raw: FloatArray) -> FloatArray:
        """Calibrate."""
        return raw if self.calibrator is None else self.calibrator.transform(raw)

    def card(self) -> dict[str, Any]:
        """Give thresholds and calibration."""
        calibration = None if self.calibrator is None else self.calibrator.to_dict()
        return {"thresholds": self.thresholds, "thresholds_by": self.rule.to_dict(), "calibration": calibration}

    def about(self) -> dict[str, Any]:
        """Say which thresholds were chosen, and which classes are not calibrated."""
        about: dict[str, Any] = {"kind": "none"}
        if self.calibrator is not None:
            left = [self.classes[k] for k in self.calibrator.identity_]
            about = {"kind": self.calibrator.kind, "not_calibrated": left}
        chosen = dict(zip(self.classes, self.thresholds.tolist(), strict=True))
        return {"thresholds": chosen, "thresholds_by": self.rule.to_dict(), "calibration": about}

    def figures(self, truth: NDArray[np.floating], answers: FloatArray) -> dict[str, Any]:
        """Give AUROC, average precision, F1, precision and recall."""
        from ssl_ecg.train.evaluation import judge

        return judge(truth, answers, self.decide(answers), self.classes)

    def decide(self, answers: FloatArray) -> NDArray[np.bool_]:
        """Say which probabilities are at least the threshold."""
        return np.asarray(answers >= self.thresholds)

    def of_ensemble(self, others: Sequence[Any], said: tuple[FloatArray, FloatArray] | None) -> ClassReading:
        """Choose the thresholds of the mean probabilities by the same rule.

        Where it cannot they are the mean of the members'.
        """
        if said is not None:
            thresholds = self.rule.choose(*said)
        else:
            thresholds = np.asarray(np.mean([one.thresholds for one in (self, *others)], axis=0))
        return ClassReading(self.classes, None, thresholds, self.rule)


@dataclass(frozen=True)
class ExclusiveReading(_Classes):
    """Probabilities of classes of which a record has one: they sum to one, and the largest decides.

    Attributes
    ----------
    classes : tuple of str
    temperature : float or None
        Divides the logarithms of the probabilities, all alike, so that the order of the classes stays; None leaves
        them as they are.

    References
    ----------
    Guo et al. 2017, arXiv:1706.04599, eq. 9.
    """

    classes: tuple[str, ...]
    temperature: float | None

    @classmethod
    def fit(
        cls, classes: Sequence[str], calibration: str, truth: NDArray[np.floating], raw: FloatArray
    ) -> ExclusiveReading:
        """Learn the temperature of the least log loss, if the validation records are ten or more of several classes.

        Parameters
        ----------
        classes : sequence of str
        calibration : {"temperature", "none"}
        truth, raw : arrays (record, class)
            Labels and probabilities of validation records.
        """
        from scipy.optimize import minimize_scalar

        known = np.asarray(np.nansum(truth, axis=1) == 1)
        place = np.argmax(np.nan_to_num(truth[known]), axis=1)
        if calibration == "none" or len(place) < _FEW or len(set(place.tolist())) < 2:
            return cls(tuple(classes), None)
        given = raw[known]

        def loss(log_temperature: float) -> float:
            right = _tempered(given, float(np.exp(log_temperature)))[np.arange(len(place)), place]
            return float(-np.log(right.clip(min=np.finfo(np.float64).tiny)).mean())

        found = minimize_scalar(loss, bounds=(-_LOG_T, _LOG_T), method="bounded", options={"xatol": 1e-8})
        return cls(tuple(classes), float(np.exp(found.x)))

    @classmethod
    def from_card(cls, classes: Sequence[str], card: Mapping[str, Any]) -> ExclusiveReading:
        """Take up again what `card` gave.

        Raises
        ------
        LabelError
            If the temperature is none.
        """
        kept = card.get("temperature")
        if kept is not None and not 0 < float(kept) < np.inf:
            raise LabelError("calibration", f"has the temperature {kept}", "fine-tune again")
        return cls(tuple(classes), None if kept is None else float(kept))

    def answer(self, raw: FloatArray) -> FloatArray:
        """Calibrate, so that the probabilities of each record sum to one."""
        if self.temperature is not None:
            return _tempered(raw, self.temperature)
        return np.asarray((raw + _TINY) / (raw + _TINY).sum(axis=1, keepdims=True))

    def card(self) -> dict[str, Any]:
        """Give the temperature; there are no thresholds."""
        return {"thresholds": None, "temperature": self.temperature}

    def about(self) -> dict[str, Any]:
        """Say how it is decided, and what the temperature is."""
        kind = "none" if self.temperature is None else "temperature"
        return {"decision": "the largest probability", "calibration": {"kind": kind, "temperature": self.temperature}}

    def figures(self, truth: NDArray[np.floating], answers: FloatArray) -> dict[str, Any]:
        """Give AUROC, average precision, F1, precision and recall, and the share of records of the right class."""
        from ssl_ecg.train.evaluation import judge

        decided, known = self.decide(answers), np.isfinite(truth).all(axis=1)
        right = (np.nan_to_num(truth) * decided).sum(axis=1)[known]
        accuracy = float(right.mean()) if len(right) else float("nan")
        return {**judge(truth, answers, decided, self.classes), "accuracy": accuracy}

    def decide(self, answers: FloatArray) -> NDArray[np.bool_]:
        """Say which class has the largest probability, the first of equals; none where nothing is known."""
        known = np.isfinite(answers).all(axis=1, keepdims=True)
        best = np.argmax(np.nan_to_num(answers, nan=0.0), axis=1)
        return np.asarray((best[:, None] == np.arange(answers.shape[1])) & known)

    def of_ensemble(self, others: Sequence[Any], said: tuple[FloatArray, FloatArray] | None) -> ExclusiveReading:
        """Leave the mean probabilities as they are: the largest decides."""
        return ExclusiveReading(self.classes, None)


def _tempered(proba: FloatArray, temperature: float) -> FloatArray:
    """Divide the logarithms of probabilities by a temperature, and bring the sum of each record to one."""
    log = np.log(np.clip(proba, _EDGE, None)) / temperature
    odds = np.exp(log - log.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
