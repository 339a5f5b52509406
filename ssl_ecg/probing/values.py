"""Runs of probes on continuous targets such as age."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.evaluate.regression import mean_absolute_error, pearson, r2, spearman
from ssl_ecg.probing.ridge import RidgeProbe
from ssl_ecg.probing.runs import ProbeRun

FloatArray = NDArray[np.float64]
_OF_VALUES: dict[str, Any] = {
    "r2": r2,
    "mean_absolute_error": mean_absolute_error,
    "pearson": pearson,
    "spearman": spearman,
}


class ValueRun(ProbeRun):
    """A ridge regression of numbers, judged by R2, mean absolute error and correlations."""

    linear, strength, figure, metric = "ridge", "penalty", "r2", staticmethod(r2)

    def _about(self) -> dict[str, Any]:
        return {"kind": "continuous", "unit": self.targets.unit}

    def _probes(self, knn: bool) -> dict[str, Any]:
        return {"ridge": RidgeProbe(seed=self.seed)}

    def _answer(self, probe: Any, vectors: NDArray[np.float32]) -> FloatArray:
        return np.asarray(probe.predict(vectors))

    def _chosen(self, probe: Any) -> Any:
        return probe.penalty_.tolist()

    def _judged(self, probe: Any, score: FloatArray) -> dict[str, Any]:
        judged = {name: self._intervals(metric, score) for name, metric in _OF_VALUES.items()}
        return {
            "penalty": probe.penalty_.tolist(),
            "validation_r2": probe.validation_,
            "macro": {name: macro for name, (macro, _) in judged.items()},
            "per_class": {
                c: {name: each[k] for name, (_, each) in judged.items()} for k, c in enumerate(self.targets.classes)
            },
        }

    def _described(self, labels: FloatArray) -> dict[str, Any]:
        return {
            "mean": dict(zip(self.targets.classes, np.nanmean(labels, axis=0), strict=True)),
            "deviation": dict(zip(self.targets.classes, np.nanstd(labels, axis=0), strict=True)),
        }
