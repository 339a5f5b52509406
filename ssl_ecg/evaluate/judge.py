"""Judges scores of test records over all splits of a protocol: figures with intervals, and paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.evaluate.bootstrap import Interval, Resamples, Statistic
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.curves import precision_recall_curves, roc_curves
from ssl_ecg.evaluate.decisions import (
    accuracy,
    confusion,
    fbeta,
    fmax,
    gbeta,
    hamming_loss,
    specificity_at_sensitivity,
    subset_accuracy,
)
from ssl_ecg.evaluate.metrics import auroc, average_precision, f1, precision, recall, specificity
from ssl_ecg.evaluate.metrics import macro as macro_mean
from ssl_ecg.evaluate.reliability import expected_calibration_error, reliability
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.tasks.cinc2021 import cinc26

FloatArray = NDArray[np.floating[Any]]
_OF_SCORES: dict[str, Any] = {
    "auroc": auroc,
    "average_precision": average_precision,
    "specificity_at_90_sensitivity": specificity_at_sensitivity,
}
_OF_DECISIONS: dict[str, Any] = {
    "f1": f1,
    "precision": precision,
    "recall": recall,
    "specificity": specificity,
    "accuracy": accuracy,
    "f2": partial(fbeta, shared=True),
    "g2": partial(gbeta, shared=True),
}
"""F2 and G2 as in the CinC Challenge 2020 and the PTB-XL benchmark: a record's classes share its weight."""
_OF_RECORDS: dict[str, Any] = {"fmax": fmax, "subset_accuracy": subset_accuracy, "hamming_loss": hamming_loss}
"""Not by class; of scores the first, of decisions the others."""
_CHALLENGE = "challenge_score"


class Answer(NamedTuple):
    """What one model said of the test records of one split, once.

    Attributes
    ----------
    proba : float array (record, class)
    decisions : bool array (record, class)
    chosen : mapping
        What validation chose, such as thresholds.
    """

    proba: FloatArray
    decisions: NDArray[np.bool_]
    chosen: Mapping[str, Any]


@dataclass
class Scored:
    """What one model said of the test records, split by split.

    Attributes
    ----------
    proba : list of float array (draw, record, class)
        One for each split.
    decisions : list of bool array (draw, record, class)
        By thresholds that validation chose.
    chosen : list of list of mapping
        What validation chose, for each split and draw.
    """

    proba: list[FloatArray]
    decisions: list[NDArray[np.bool_]]
    chosen: list[list[Mapping[str, Any]]] = field(default_factory=list)

    @property
    def joined(self) -> FloatArray:
        """The test records of all splits one after the other."""
        return np.concatenate(self.proba, axis=1)

    def draws(self, n: int) -> Scored:
        """Keep the first draws only."""
        if n >= len(self.proba[0]):
            return self
        proba, decisions = [part[:n] for part in self.proba], [part[:n] for part in self.decisions]
        return Scored(proba, decisions, [part[:n] for part in self.chosen])


def add_split(scored: dict[str, Scored], answers: Mapping[str, Sequence[Answer]]) -> None:
    """Add what was said of the test records of one more split: for each key the answers of every draw."""
    for key, draws in answers.items():
        entry = scored.setdefault(key, Scored([], []))
        entry.proba.append(np.stack([answer.proba for answer in draws]))
        entry.decisions.append(np.stack([answer.decisions for answer in draws]))
        entry.chosen.append([answer.chosen for answer in draws])


class Judge:
    """Figures are means over the splits; patients are drawn within each split.

    Parameters
    ----------
    splits : mapping of str to Split
    labels : array (record, class)
        Of the whole archive; NaN where unknown.
    patients : array of str (record,)
    classes : sequence of str
    n_resamples : int
    """

    def __init__(
        self,
        splits: Mapping[str, Split],
        labels: FloatArray,
        patients: NDArray[Any],
        classes: Sequence[str],
        *,
        n_resamples: int = 1000,
    ) -> None:
        rows = np.concatenate([split.test for split in splits.values()])
        self.truth, self.classes = labels[rows], list(classes)
        self.parts = np.concatenate([np.full(len(split.test), name) for name, split in splits.items()])
        self.samples = Resamples(self.truth, patients[rows], self.parts, n_resamples)
        self.of_records = _OF_RECORDS
        if self.classes == list(cinc26().classes):
            self.of_records = {**_OF_RECORDS, _CHALLENGE: challenge_score}
        self._statistics: dict[tuple[int, str], tuple[Scored, Statistic]] = {}

    def table(self, scored: Scored, *, whole: bool) -> dict[str, Any]:
        """Give macro AUROC; and if the `whole` table is asked for, all other figures, by class too, and curves.

        Curves, reliability and confusion are of the records of all splits together, the first draw; all other figures
        are computed within each split. Of a mean over classes, ``n_classes`` tells how many could be judged in any
        split.
        """
        if not whole:
            return {"macro": {"auroc": _macro(*self._intervals("auroc", scored))}}
        proba = scored.joined
        judged = {name: self._intervals(name, scored) for name in (*_OF_SCORES, *_OF_DECISIONS)}
        errors = self._calibration_errors(proba)
        per_class = {
            name: {
                **{metric: _brief(classes[k]) for metric, (_, classes) in judged.items()},
                "expected_calibration_error": {"value": errors[k]},
            }
            for k, name in enumerate(self.classes)
        }
        macro = {metric: _macro(*found) for metric, found in judged.items()}
        macro |= {metric: self._intervals(metric, scored)[0].to_dict() for metric in self.of_records}
        error = macro_mean(errors)
        return {
            "macro": {**macro, "expected_calibration_error": {"value": error.value, "n_classes": error.defined}},
            "per_class": per_class,
            "roc": roc_curves(self.truth, proba[0]),
            "precision_recall": precision_recall_curves(self.truth, proba[0]),
            "prevalence": np.nanmean(self.truth, axis=0),
            "reliability": reliability(self.truth, proba[0]).to_dict(),
            "confusion": confusion(self.truth, _decided(scored)[0]),
        }

    def judged(self, key: str, scored: Scored) -> dict[str, Any]:
        """Give all that a report says of one way of judging, whole if it is with all labels or knows no number."""
        return {
            **self.table(scored, whole=is_whole(key)),
            "by_split": self.by_split(scored),
            "chosen": dict(zip(dict.fromkeys(self.parts.tolist()), scored.chosen, strict=True)),
            "draws": len(scored.proba[0]),
        }

    def by_split(self, scored: Scored) -> dict[str, list[float]]:
        """Give macro AUROC of each split and draw."""
        parts = self.parts
        return {
            str(name): [
                float(np.nanmean(auroc(self.truth[parts == name], draw[parts == name]))) for draw in scored.joined
            ]
            for name in dict.fromkeys(parts)
        }

    def difference(self, a: Scored, b: Scored, metric: str = "auroc") -> dict[str, float]:
        """Give a macro metric of `a` less that of `b`, on the same patients, with interval and p-value."""
        return self.samples.difference(self._statistic(metric, a), self._statistic(metric, b)).to_dict()

    def differences(self, key: str, a: Scored, b: Scored) -> dict[str, Any]:
        """Give all that a report says of a difference: macro AUROC, and under "metrics" the others of a whole table."""
        found: dict[str, Any] = self.difference(a, b)
        if is_whole(key):
            others = [name for name in (*_OF_SCORES, *_OF_DECISIONS, *self.of_records) if name != "auroc"]
            found["metrics"] = {name: self.difference(a, b, name) for name in others}
        return found

    def _calibration_errors(self, proba: FloatArray) -> FloatArray:
        """Give the mean over splits and draws; without an interval, as resampling makes the error larger than it is."""
        parts = self.parts
        each = [
            expected_calibration_error(self.truth[parts == name], draw[parts == name])
            for name in dict.fromkeys(parts)
            for draw in proba
        ]
        return np.asarray(_mean_of(each))

    def _intervals(self, name: str, scored: Scored) -> tuple[Interval, list[Interval]]:
        return self.samples.intervals(self._statistic(name, scored))

    def _statistic(self, name: str, scored: Scored) -> Statistic:
        """Resample a metric of a scoring once, for its interval and for all its differences."""
        key = (id(scored), name)
        if key not in self._statistics:
            metric = (_OF_SCORES | _OF_DECISIONS | self.of_records)[name]
            values = scored.joined if name in (*_OF_SCORES, "fmax") else _decided(scored)
            self._statistics[key] = (scored, self.samples.statistic(metric, values))  # kept too: its id is the key
        return self._statistics[key][1]


def is_whole(key: str) -> bool:
    """Tell whether a way of judging has every figure: with all labels, or where no number of them is known.

    Examples
    --------
    >>> is_whole("linear/all"), is_whole("ensemble"), is_whole("linear/50")
    (True, True, False)
    """
    return key.partition("/")[2] in ("", "all")


def _decided(scored: Scored) -> FloatArray:
    """Give the decisions of all splits one after the other, as numbers."""
    return np.concatenate(scored.decisions, axis=1).astype(np.float64)


def _mean_of(rows: Sequence[FloatArray]) -> FloatArray:
    """Average over rows, NaN left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class that no split could judge stays NaN
        return np.asarray(np.nanmean(rows, axis=0))


def _macro(mean: Interval, classes: Sequence[Interval]) -> dict[str, float]:
    """Give a mean over classes as plain numbers, and over how many of them it is."""
    return {**mean.to_dict(), "n_classes": sum(bool(np.isfinite(of.value)) for of in classes)}


def _brief(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
