"""Judges scores of test records over all splits of a protocol: figures with intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.evaluate.bootstrap import Interval, bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.metrics import auroc, average_precision, f1
from ssl_ecg.evaluate.splits import Split

FloatArray = NDArray[np.floating[Any]]


@dataclass
class Scored:
    """What one model said of the test records, split by split.

    Attributes
    ----------
    proba : list of float array (draw, record, class)
        One for each split.
    decisions : list of bool array (draw, record, class)
        By thresholds that validation chose.
    """

    proba: list[FloatArray]
    decisions: list[NDArray[np.bool_]]

    @property
    def joined(self) -> FloatArray:
        """The test records of all splits one after the other."""
        return np.concatenate(self.proba, axis=1)


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
        """Give macro AUROC; and if the `whole` table is asked for, average precision, F1, and all of it by class."""
        if not whole:
            return {"macro": {"auroc": self._intervals(auroc, scored.joined)[0].to_dict()}}
        judged = {
            "auroc": self._intervals(auroc, scored.joined),
            "average_precision": self._intervals(average_precision, scored.joined),
            "f1": self._intervals(f1, np.concatenate(scored.decisions, axis=1)),
        }
        per_class = {
            name: {metric: _brief(classes[k]) for metric, (_, classes) in judged.items()}
            for k, name in enumerate(self.classes)
        }
        return {"macro": {metric: macro.to_dict() for metric, (macro, _) in judged.items()}, "per_class": per_class}

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
        """Give macro AUROC of `a` less that of `b`, on the same patients."""
        return paired_difference(self.truth, a.joined, b.joined, **self.options).to_dict()

    def _intervals(self, metric: Any, scores: NDArray[Any]) -> tuple[Interval, list[Interval]]:
        return bootstrap_intervals(self.truth, scores, metric=metric, **self.options)


def _brief(interval: Interval) -> dict[str, float]:
    return {"value": interval.value, "low": interval.low, "high": interval.high}
