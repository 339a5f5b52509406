"""Runs of probes on one task and one split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.embedding.vectors import Embeddings, align
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.metrics import auroc, average_precision, f1
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.evaluate.splits import Folds, Split, choose_split
from ssl_ecg.features.baselines import BASELINES
from ssl_ecg.features.expert import fill_unknown, medians
from ssl_ecg.probing.knn import KNNProbe
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.provenance import versions
from ssl_ecg.targets import Targets, count_labels

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
_BRIEF = ("value", "low", "high")


class ProbeRun(ABC):
    """One task on one split: targets and rows are fixed here, encoders and label sizes vary.

    Parameters
    ----------
    embeddings : Embeddings
    targets : Targets
    folds : (train, val, test)
        As in `choose_split`.
    n_resamples, seed : int
        Of the bootstrap, and of split and draws.
    """

    linear: str
    """Name of the linear probe."""
    strength: str
    """Name of its strength."""
    figure: str
    """Name of the figure that is compared."""
    metric: Any
    """That figure, as `bootstrap_intervals` takes it."""

    def __init__(
        self, embeddings: Embeddings, targets: Targets, folds: Sequence[Folds], n_resamples: int, seed: int
    ) -> None:
        self.embeddings, self.seed, self.n_resamples = embeddings, seed, n_resamples
        self.targets, self.labels = targets, targets.values
        train, val, test = folds
        self.split: Split = choose_split(
            embeddings.index, targets.strata, targets.known,
            train_folds=train, val_folds=val, test_folds=test, seed=seed,
        )  # fmt: skip
        self.patients = embeddings.index["patient_id"].astype(str).to_numpy()
        self.truth = self.labels[self.split.test]
        self.scores: dict[str, FloatArray] = {}
        self.also: tuple[str, ...] = ()

    def metrics(
        self, baseline: Embeddings | None, label_sizes: Sequence[int | str], draws: int, knn: bool
    ) -> dict[str, Any]:
        """Run the probes and collect everything that ``metrics.json`` holds."""
        sizes = [count_labels(size, len(self.split.train)) for size in label_sizes]
        if len(sizes) and draws < 1:
            raise LabelError("probe", f"{draws} draws of each label size", "give 1 or more")
        out: dict[str, Any] = {
            "task": self.targets.name, "classes": list(self.targets.classes), **self._about(), "seed": self.seed,
            "split": self.split.how, "counts": self._counts(), "fingerprint": self.embeddings.fingerprint,
            "versions": versions(),
        }  # fmt: skip
        encoders = {"": self.embeddings.vectors}
        if baseline is not None:
            encoders["baseline"] = align(baseline, self.embeddings)
            out["baseline"] = {"fingerprint": baseline.fingerprint}
            out["difference"] = {}
        for name, probe in self._probes(knn).items():
            for encoder, vectors in encoders.items():
                place = out[encoder] if encoder else out
                key = f"{encoder}_{name}".lstrip("_")
                self.scores[key] = score = self._fit(probe, vectors, self.split.train)
                place[name] = self._judged(probe, score)
            if baseline is not None:
                pair = (self.scores[name], self.scores[f"baseline_{name}"])
                out["difference"][name] = self._difference(*pair)
        if len(sizes):
            out["label_efficiency"] = self._label_efficiency(encoders, sizes, draws)
        return out

    def predictions(self) -> pd.DataFrame:
        """Give the truth, and what each probe says, of the test records."""
        columns = ["record_id", "corpus", "patient_id", "fold", "row"]
        table = self.embeddings.index.iloc[self.split.test][columns].reset_index(drop=True)
        blocks = {"true": self.truth, **self.scores}
        names = self.targets.classes
        return table.assign(
            **{f"{name}_{c}": block[:, k] for name, block in blocks.items() for k, c in enumerate(names)}
        )

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """Say what kind of targets it is."""

    @abstractmethod
    def _probes(self, knn: bool) -> dict[str, Any]:
        """Build the probes."""

    @abstractmethod
    def _answer(self, probe: Any, vectors: NDArray[np.float32]) -> FloatArray:
        """Let a fitted probe answer."""

    @abstractmethod
    def _judged(self, probe: Any, score: FloatArray) -> dict[str, Any]:
        """Give the figures of a fitted probe."""

    @abstractmethod
    def _chosen(self, probe: Any) -> Any:
        """Say which strength a fitted linear probe has."""

    def _fit(self, probe: Any, vectors: NDArray[np.float32], train: NDArray[np.int64]) -> FloatArray:
        """Fit a probe and give its answers for the test records; unknown features get the median of training."""
        val = self.split.val
        if not np.isfinite(vectors).all():
            vectors = fill_unknown(vectors, medians(vectors[train]))
        probe.fit(vectors[train], self.labels[train], vectors[val], self.labels[val])
        return self._answer(probe, vectors[self.split.test])

    def _intervals(self, metric: Any, score: NDArray[Any]) -> tuple[dict[str, Any], list[dict[str, float]]]:
        """Give the macro interval, with the number of classes judged, and those of the classes."""
        macro, classes = bootstrap_intervals(
            self.truth, score, metric=metric, groups=self.patients[self.split.test],
            n_resamples=self.n_resamples, seed=self.seed,
        )  # fmt: skip
        brief = [{name: getattr(interval, name) for name in _BRIEF} for interval in classes]
        judged = sum(np.isfinite(interval.value) for interval in classes)
        return {**macro.to_dict(), "n_classes_judged": int(judged)}, brief

    def _difference(self, score: FloatArray, other: FloatArray) -> dict[str, float]:
        groups = self.patients[self.split.test]
        interval = paired_difference(
            self.truth, score, other, metric=self.metric, groups=groups, n_resamples=self.n_resamples,
            seed=self.seed,
        )  # fmt: skip
        return interval.to_dict()

    def _label_efficiency(
        self, encoders: Mapping[str, NDArray[np.float32]], sizes: Sequence[int], draws: int
    ) -> list[dict[str, Any]]:
        """Probe with few labels: for each size, the mean over draws, with intervals over test patients."""
        rows, strata = self.split.train, self.targets.strata
        subsets = [nested_subsets(strata[rows], sizes, seed=draw_seed(self.seed, draw)) for draw in range(draws)]
        out: list[dict[str, Any]] = []
        for size in sizes:
            scores = {}
            entry: dict[str, Any] = {"n_labels": size, "n_validation": len(self.split.val)}
            for encoder, vectors in encoders.items():
                probes = [self._probes(knn=False)[self.linear] for _ in subsets]
                pairs = zip(probes, subsets, strict=True)
                score = np.stack([self._fit(probe, vectors, rows[subset[size]]) for probe, subset in pairs])
                scores[encoder] = score
                entry[encoder or self.linear] = {
                    f"macro_{self.figure}": self._intervals(self.metric, score)[0],
                    "draws": [float(np.nanmean(self.metric(self.truth, draw))) for draw in score],
                    self.strength: [self._chosen(probe) for probe in probes],
                }
            if "baseline" in scores:
                entry["difference"] = self._difference(scores[""], scores["baseline"])
            out.append(entry)
        return out

    def _counts(self) -> dict[str, Any]:
        counts: dict[str, Any] = {
            name: {
                "records": len(rows),
                "patients": len(set(self.patients[rows])),
                **self._described(self.labels[rows]),
            }
            for name, rows in self.split.sets().items()
        }
        counts["without_known_labels"] = int((~self.targets.known).sum())
        counts["without_fold_in_use"] = self.split.n_without_fold
        return counts

    @abstractmethod
    def _described(self, labels: FloatArray) -> dict[str, Any]:
        """Describe the labels of a set."""


class ClassRun(ProbeRun):
    """Probes that tell classes: linear and nearest neighbours, judged by AUROC, average precision and F1."""

    linear, strength, figure, metric = "linear", "C", "auroc", staticmethod(auroc)

    def _about(self) -> dict[str, Any]:
        return {}

    def _probes(self, knn: bool) -> dict[str, Any]:
        more = {name: BASELINES[name]().set_params(seed=self.seed) for name in self.also}
        return {"linear": LinearProbe(seed=self.seed), **({"knn": KNNProbe()} if knn else {}), **more}

    def _answer(self, probe: Any, vectors: NDArray[np.float32]) -> FloatArray:
        return np.asarray(probe.predict_proba(vectors))

    def _chosen(self, probe: Any) -> Any:
        return probe.C_

    def _judged(self, probe: Any, score: FloatArray) -> dict[str, Any]:
        thresholds = probe.thresholds_
        judged = {
            "auroc": self._intervals(auroc, score),
            "average_precision": self._intervals(average_precision, score),
            "f1": self._intervals(f1, score >= thresholds),
        }
        chosen = {name: getattr(probe, f"{name}_") for name in ("C", "k") if hasattr(probe, f"{name}_")}
        positives = np.nansum(self.truth, axis=0).astype(int)
        return {
            **chosen,
            "validation_macro_auroc": probe.validation_,
            "macro": {name: macro for name, (macro, _) in judged.items()},
            "per_class": {
                c: {
                    **{name: classes[k] for name, (_, classes) in judged.items()},
                    "threshold": thresholds[k],
                    "n_positive": int(positives[k]),
                    "learnt": k not in probe.degenerate_,
                }
                for k, c in enumerate(self.targets.classes)
            },
        }

    def _described(self, labels: FloatArray) -> dict[str, Any]:
        positives = np.nansum(labels, axis=0).astype(int)
        return {"positives": dict(zip(self.targets.classes, positives, strict=True))}
