"""Probes on a folder of embeddings: how well frozen embeddings tell the labels of a task."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.embeddings import Embeddings, align, load_embeddings
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.metrics import auroc, average_precision, f1
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.evaluate.splits import Folds, Split, choose_split
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.knn_probe import KNNProbe
from ssl_ecg.linear_probe import LinearProbe

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KNNProbe", "LinearProbe", "probe_folder", "run_probe"]

FloatArray = NDArray[np.float64]
_PACKAGES = ("ssl_ecg", "numpy", "scipy", "faiss-cpu")
_BRIEF = ("value", "low", "high")


def run_probe(
    embeddings: Embeddings,
    task: str | Any,
    *,
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    baseline: Embeddings | None = None,
    label_sizes: Sequence[int] = (),
    draws: int = 10,
    knn: bool = True,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Train probes on the training records, choose on the validation records, and judge on the test records.

    Parameters
    ----------
    embeddings : Embeddings
        With codes in the index.
    task : str or task
        Name of a label system, ``.csv`` file for `table_task`, or an object with ``name``, ``classes`` and
        ``labels(codes) -> (Y, known)``. Records whose labels are not known are left out and counted.
    train_folds, val_folds, test_folds : int or sequence of int, optional
        By default the last fold tests, the one before validates, the others train; without folds, patients
        are split 70 : 15 : 15.
    baseline : Embeddings, optional
        Of the same records, such as a random encoder's; gives paired differences.
    label_sizes : sequence of int
        Numbers of labelled training records to try in addition to all of them.
    draws : int
        Label subsets drawn for each size; within a draw they are nested.
    knn : bool
        Run the nearest-neighbour probe too.
    n_resamples : int
        Bootstrap resamples of test patients.
    seed : int

    Returns
    -------
    dict
        ``linear`` and ``knn``: ``macro`` and ``per_class`` AUROC, average precision, F1 with 95 % intervals,
        thresholds, and the regularisation chosen; ``difference`` to the baseline; ``label_efficiency``;
        ``classes``, ``counts``, ``split``, ``seed``, ``fingerprint``, ``versions``.

    Raises
    ------
    LabelError
        If the task is unknown, a set is empty, or a label size cannot be drawn.
    """
    return _Run(embeddings, task, (train_folds, val_folds, test_folds), n_resamples, seed).metrics(
        baseline, label_sizes, draws, knn
    )


def probe_folder(
    embeddings_dir: str | Path,
    task: str | Any,
    out: str | Path,
    *,
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    baseline: str | Path | None = None,
    n_labels: int | Sequence[int] | None = None,
    draws: int = 10,
    knn: bool = True,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Probe a folder of embeddings; write ``metrics.json`` and ``predictions.parquet`` (test records).

    Parameters are those of ``run_probe``, with folders in place of embeddings; ``n_labels`` is one size or
    several.

    Raises
    ------
    ArchiveError, LabelError
        If a folder cannot be read or written, or the task does not fit the records.
    """
    sizes = [] if n_labels is None else np.atleast_1d(np.asarray(n_labels, dtype=np.int64)).tolist()
    run = _Run(load_embeddings(embeddings_dir), task, (train_folds, val_folds, test_folds), n_resamples, seed)
    other = None if baseline is None else load_embeddings(baseline)
    metrics = run.metrics(other, sizes, draws, knn)
    table = run.predictions()
    write_whole(Path(out) / "predictions.parquet", lambda file: table.to_parquet(file, index=False))
    write_json(Path(out) / "metrics.json", metrics)
    return metrics


class _Run:
    """One task on one split: labels and rows are fixed here, encoders and label sizes vary."""

    def __init__(
        self, embeddings: Embeddings, task: str | Any, folds: Sequence[Folds], n_resamples: int, seed: int
    ) -> None:
        if seed < 0 or n_resamples < 1:
            problem = f"seed {seed}, {n_resamples} resamples"
            raise LabelError("probe", problem, "give a seed of 0 or more and at least one resample")
        self.embeddings, self.seed, self.n_resamples = embeddings, seed, n_resamples
        self.task, self.classes, self.labels, self.known = task_labels(task, embeddings.index)
        train, val, test = folds
        self.split: Split = choose_split(
            embeddings.index, self.labels, self.known,
            train_folds=train, val_folds=val, test_folds=test, seed=seed,
        )  # fmt: skip
        self.patients = embeddings.index["patient_id"].astype(str).to_numpy()
        self.truth = self.labels[self.split.test]
        self.scores: dict[str, FloatArray] = {}

    def metrics(self, baseline: Embeddings | None, sizes: Sequence[int], draws: int, knn: bool) -> dict[str, Any]:
        """Run the probes and collect everything that ``metrics.json`` holds."""
        if len(sizes) and draws < 1:
            raise LabelError("probe", f"{draws} draws of each label size", "give 1 or more")
        out: dict[str, Any] = {
            "task": self.task, "classes": list(self.classes), "seed": self.seed, "split": self.split.how,
            "counts": self._counts(), "fingerprint": self.embeddings.fingerprint, "versions": _versions(),
        }  # fmt: skip
        encoders = {"": self.embeddings.vectors}
        if baseline is not None:
            encoders["baseline"] = align(baseline, self.embeddings)
            out["baseline"] = {"fingerprint": baseline.fingerprint}
            out["difference"] = {}
        probes: dict[str, Any] = {"linear": LinearProbe(seed=self.seed)}
        if knn:
            probes["knn"] = KNNProbe()
        for name, probe in probes.items():
            for encoder, vectors in encoders.items():
                place = out[encoder] if encoder else out
                place[name] = self._probe(probe, vectors, f"{encoder}_{name}".lstrip("_"))
            if baseline is not None:
                pair = (self.scores[name], self.scores[f"baseline_{name}"])
                out["difference"][name] = self._difference(*pair)
        if len(sizes):
            out["label_efficiency"] = self._label_efficiency(encoders, sizes, draws)
        return out

    def predictions(self) -> pd.DataFrame:
        """Give truth and probability of every class for the test records."""
        columns = ["record_id", "corpus", "patient_id", "fold", "row"]
        table = self.embeddings.index.iloc[self.split.test][columns].reset_index(drop=True)
        blocks = {"true": self.truth, **self.scores}
        more = {f"{name}_{c}": block[:, k] for name, block in blocks.items() for k, c in enumerate(self.classes)}
        return table.assign(**more)

    def _fit(self, probe: Any, vectors: NDArray[np.float32], train: NDArray[np.int64]) -> FloatArray:
        """Fit a probe and give its probabilities of the test records."""
        val = self.split.val
        probe.fit(vectors[train], self.labels[train], vectors[val], self.labels[val])
        return np.asarray(probe.predict_proba(vectors[self.split.test]))

    def _probe(self, probe: Any, vectors: NDArray[np.float32], key: str) -> dict[str, Any]:
        self.scores[key] = score = self._fit(probe, vectors, self.split.train)
        thresholds = probe.thresholds_
        judged = {
            "auroc": self._intervals(auroc, score),
            "average_precision": self._intervals(average_precision, score),
            "f1": self._intervals(f1, score >= thresholds),
        }
        chosen = {"C": probe.C_} if isinstance(probe, LinearProbe) else {"k": probe.k_}
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
                for k, c in enumerate(self.classes)
            },
        }

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
            self.truth, score, other, groups=groups, n_resamples=self.n_resamples, seed=self.seed
        )
        return interval.to_dict()

    def _label_efficiency(
        self, encoders: Mapping[str, NDArray[np.float32]], sizes: Sequence[int], draws: int
    ) -> list[dict[str, Any]]:
        """Probe with few labels: for each size, the mean over draws, with intervals over test patients."""
        rows = self.split.train
        subsets = [nested_subsets(self.labels[rows], sizes, seed=draw_seed(self.seed, draw)) for draw in range(draws)]
        out: list[dict[str, Any]] = []
        for size in sizes:
            scores = {}
            entry: dict[str, Any] = {"n_labels": size, "n_validation": len(self.split.val)}
            for encoder, vectors in encoders.items():
                probes = [LinearProbe(seed=self.seed) for _ in subsets]
                pairs = zip(probes, subsets, strict=True)
                score = np.stack([self._fit(probe, vectors, rows[subset[size]]) for probe, subset in pairs])
                scores[encoder] = score
                entry[encoder or "linear"] = {
                    "macro_auroc": self._intervals(auroc, score)[0],
                    "draws": [float(np.nanmean(auroc(self.truth, draw))) for draw in score],
                    "C": [probe.C_ for probe in probes],
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
                "positives": dict(zip(self.classes, np.nansum(self.labels[rows], axis=0).astype(int), strict=True)),
            }
            for name, rows in self.split.sets().items()
        }
        counts["without_known_labels"] = int((~self.known).sum())
        counts["without_fold_in_use"] = self.split.n_without_fold
        return counts


def task_labels(task: str | Any, index: pd.DataFrame) -> tuple[str, tuple[str, ...], FloatArray, NDArray[np.bool_]]:
    """Give a task's name, its classes, the labels (record, class) and which records have known labels.

    A task is a name, a ``.csv`` file, or has ``name``, ``classes`` and ``labels_of(index)`` or ``labels(codes)``.

    Raises
    ------
    LabelError
        If the task is unknown or continuous, or no record has a known label.
    """
    if isinstance(task, str | Path):
        from ssl_ecg.tasks import get_task
        from ssl_ecg.tasks.table import table_task

        task = table_task(task) if str(task).lower().endswith(".csv") else get_task(str(task))
    if getattr(task, "kind", "multilabel") == "continuous":
        remedy = "divide it into classes, such as age over 60 as 0 or 1"
        raise LabelError(task.name, "is continuous, and probes and fine-tuning learn classes", remedy)
    found, certain = task.labels_of(index) if hasattr(task, "labels_of") else task.labels(index["codes"])
    labels: FloatArray = np.asarray(found, dtype=np.float64)
    known: NDArray[np.bool_] = np.asarray(certain, dtype=bool)
    if not known.any():
        problem = f"none of {len(known)} records has a code of this task or a known label"
        raise LabelError(task.name, problem, "choose a task that fits the codes of the corpus")
    return str(task.name), tuple(task.classes), labels, known


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found
