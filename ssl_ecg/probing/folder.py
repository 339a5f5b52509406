"""Probes on a folder of embeddings: how well frozen embeddings tell the labels of a task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.splits import Folds
from ssl_ecg.features.baselines import BASELINES
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.probing.knn import KNNProbe
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.probing.runs import ClassRun, ProbeRun
from ssl_ecg.probing.values import ValueRun
from ssl_ecg.targets import find_targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KNNProbe", "LinearProbe", "probe_folder", "run_probe"]

FloatArray = NDArray[np.float64]


def run_probe(
    embeddings: Embeddings,
    task: str | Any,
    *,
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    baseline: Embeddings | None = None,
    label_sizes: Sequence[int | str] = (),
    draws: int = 10,
    knn: bool = True,
    also: Sequence[str] = (),
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Train probes on the training records, choose on the validation records, and judge on the test records.

    Parameters
    ----------
    embeddings : Embeddings
        With codes in the index.
    task : str or task
        Name of a label system, "age", a ``.csv`` file for `table_task`, or an object with ``name``, ``classes`` and
        ``labels(codes) -> (Y, known)``. Records whose labels are not known are left out and counted. For numbers such
        as age the probe is a ridge regression.
    train_folds, val_folds, test_folds : int or sequence of int, optional
        By default the last fold tests, the one before validates, the others train; without folds, patients
        are split 70 : 15 : 15.
    baseline : Embeddings, optional
        Of the same records, such as a random encoder's; gives paired differences.
    label_sizes : sequence of int or str
        Numbers of labelled training records, or shares such as "10%", to try in addition to all of them.
    draws : int
        Label subsets drawn for each size; within a draw they are nested.
    knn : bool
        Run the nearest-neighbour probe too.
    also : sequence of {"logistic", "forest", "lightgbm", "mlp"}
        Further classifiers, as for the expert features of `expert_embeddings`; see `ssl_ecg.features.baselines`. They
        see unknown features (NaN) as the median of the training records, as the probes do.
    n_resamples : int
        Bootstrap resamples of test patients.
    seed : int

    Returns
    -------
    dict
        ``linear`` and ``knn``: ``macro`` and ``per_class`` AUROC, average precision, F1 with 95 % intervals,
        thresholds, and the regularisation chosen; likewise each of `also`; ``difference`` to the baseline;
        ``label_efficiency``; ``classes``, ``counts``, ``split``, ``seed``, ``fingerprint``, ``versions``. Of numbers,
        ``ridge`` instead: R2, mean absolute error in their unit, and correlations, with ``kind`` "continuous".

    Raises
    ------
    LabelError
        If the task is unknown, a set is empty, a label size cannot be drawn, or a classifier is unknown.
    SignalError
        If LightGBM is asked for and not installed.
    """
    run = _open(embeddings, task, (train_folds, val_folds, test_folds), n_resamples, seed, also)
    return run.metrics(baseline, label_sizes, draws, knn)


def probe_folder(
    embeddings_dir: str | Path,
    task: str | Any,
    out: str | Path,
    *,
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    baseline: str | Path | None = None,
    n_labels: int | str | Sequence[int | str] | None = None,
    draws: int = 10,
    knn: bool = True,
    also: Sequence[str] = (),
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
    sizes = [] if n_labels is None else [n_labels] if isinstance(n_labels, int | str) else list(n_labels)
    run = _open(load_embeddings(embeddings_dir), task, (train_folds, val_folds, test_folds), n_resamples, seed, also)
    other = None if baseline is None else load_embeddings(baseline)
    metrics = run.metrics(other, sizes, draws, knn)
    table = run.predictions()
    write_whole(Path(out) / "predictions.parquet", lambda file: table.to_parquet(file, index=False))
    write_json(Path(out) / "metrics.json", metrics)
    return metrics


def _open(
    embeddings: Embeddings, task: str | Any, folds: Sequence[Folds], n_resamples: int, seed: int, also: Sequence[str]
) -> ProbeRun:
    """Find the targets of a task and split the records."""
    unknown = [name for name in also if name not in BASELINES]
    if unknown:
        raise LabelError("probe", f"no classifier {', '.join(unknown)}", f"choose from {', '.join(BASELINES)}")
    if seed < 0 or n_resamples < 1:
        problem = f"seed {seed}, {n_resamples} resamples"
        raise LabelError("probe", problem, "give a seed of 0 or more and at least one resample")
    targets = find_targets(task, embeddings.index)
    kind = ValueRun if targets.kind == "continuous" else ClassRun
    if also and kind is ValueRun:
        raise LabelError(targets.name, "is continuous, and further probes tell classes apart", "leave them out")
    run = kind(embeddings, targets, folds, n_resamples, seed)
    run.also = tuple(also)
    return run


def task_labels(task: str | Any, index: pd.DataFrame) -> tuple[str, tuple[str, ...], FloatArray, NDArray[np.bool_]]:
    """Give a task's name, its classes, the labels (record, class) and which records have known labels.

    A task is what `find_targets` takes.

    Raises
    ------
    LabelError
        If the task is unknown or continuous, or no record has a known label.
    """
    found = find_targets(task, index)
    if found.kind == "continuous":
        remedy = "divide it into classes, such as age over 60 as 0 or 1"
        raise LabelError(found.name, "is continuous, and here classes are judged", remedy)
    return found.name, found.classes, found.values, found.known
