"""Judges scores of test records over all splits of a protocol: figures with intervals, and paired differences."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.evaluate.bootstrap import Interval, bootstrap_intervals, paired_difference
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
_OF_RECORDS: dict[str, Any] = {"subset_accuracy": subset_accuracy, "hamming_loss": hamming_loss}


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
        return self if n >= len(self.proba[0]) else Scored(*([part[:n] for part in parts] for parts in (
            self.proba, self.decisions, self.chosen
        )))  # fmt: skip


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
        self.options: dict[str, Any] = {
            "groups": patients[rows],
            "parts": np.concatenate([np.full(len(split.test), name) for name, split in splits.items()]),
            "n_resamples": n_resamples,
        }

    def table(self, scored: Scored, *, whole: bool) -> dict[str, Any]:
        """Give macro AUROC; and if the `whole` table is asked for, all other figures, by class too, and curves.

        Curves, reliability and confusion are of the records of all splits together, the first draw; all other figures
        are computed within each split. Of a mean over classes, ``n_classes`` tells how many could be judged in any
        split.
        """
        proba = scored.joined
        if not whole:
            return {"macro": {"auroc": _macro(*self._intervals(auroc, proba))}}
        decisions = np.concatenate(scored.decisions, axis=1).astype(np.float64)
        judged = {name: self._intervals(metric, proba) for name, metric in _OF_SCORES.items()}
        judged |= {name: self._intervals(metric, decisions) for name, metric in _OF_DECISIONS.items()}
        whole_records = {"fmax": self._intervals(fmax, proba)}
        whole_records |= {name: self._intervals(metric, decisions) for name, metric in _OF_RECORDS.items()}
        if self.classes == list(cinc26().classes):
            whole_records["challenge_score"] = self._intervals(challenge_score, decisions)
        errors = self._calibration_errors(proba)
        per_class = {
            name: {
                **{metric: _brief(classes[k]) for metric, (_, classes) in judged.items()},
                "expected_calibration_error": {"value": errors[k]},
            }
            for k, name in enumerate(self.classes)
        }
        macro = {metric: _macro(*found) for metric, found in judged.items()}
        macro |= {metric: mean.to_dict() for metric, (mean, _) in whole_records.items()}
        error = macro_mean(errors)
        return {
            "macro": {**macro, "expected_calibration_error": {"value": error.value, "n_classes": error.defined}},
            "per_class": per_class,
            "roc": roc_curves(self.truth, proba[0]),
            "precision_recall": precision_recall_curves(self.truth, proba[0]),
            "prevalence": np.nanmean(self.truth, axis=0),
            "reliability": reliability(self.truth, proba[0]).to_dict(),
            "confusion": confusion(self.truth, decisions[0]),
        }

    def judged(self, key: str, scored: Scored) -> dict[str, Any]:
        """Give all that a report says of one way of judging, whole if it is with all labels or knows no number."""
        return {
            **self.table(scored, whole=key.partition("/")[2] in ("", "all")),
            "by_split": self.by_split(scored),
            "chosen": dict(zip(dict.fromkeys(self.options["parts"].tolist()), scored.chosen, strict=True)),
            "draws": len(scored.proba[0]),
        }

    def by_split(self, scored: Scored) -> dict[str, list[float]]:
        """Give macro AUROC of each split and draw."""
        parts = self.options["parts"]
        return {
            str(name): [
                float(np.nanmean(auroc(self.truth[parts == name], draw[parts == name]))) for draw in scored.joined
            ]
            for name in dict.fromkeys(parts)
        }

    def difference(self, a: Scored, b: Scored) -> dict[str, float]:
        """Give macro AUROC of `a` less that of `b`, on the same patients, with interval and p-value."""
        return paired_difference(self.truth, a.joined, b.joined, **self.options).to_dict()

    def _calibration_errors(self, proba: FloatArray) -> FloatArray:
        """Give the mean over splits and draws; without an interval, as resampling makes the error larger than it is."""
        parts = self.options["parts"]
        each = [
            expected_calibration_error(self.truth[parts == name], draw[parts == name])
            for name in dict.fromkeys(parts)
            for draw in proba
        ]
        return np.asarray(_mean_of(each))

    def _intervals(self, metric: Any, scores: NDArray[Any]) -> tuple[Interval, list[Interval]]:
        return bootstrap_intervals(self.truth, scores, metric=metric, **self.options)


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
