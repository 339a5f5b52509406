"""The labels that semi-supervised pretraining may see: those of the records it trains on, or a few of them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from torch import nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError, LabelError, RecipeError
from ssl_ecg.evaluate.sampling import nested_subsets
from ssl_ecg.features.expert import feature_names
from ssl_ecg.methods.registry import METHODS
from ssl_ecg.tasks import get_task
from ssl_ecg.train.taught import check_teacher


def training_targets(
    archive: Archive,
    rows: Int64[np.ndarray, " item"],
    task: str,
    *,
    labels: int | None = None,
    seed: int = 0,
) -> Float32[np.ndarray, "record class"]:
    """Give the targets of the records that are trained on.

    Parameters
    ----------
    archive : Archive
    rows : int64 array (item,)
        The records that are trained on; no other record's labels are looked at.
    task : str
        Name of a task.
    labels : int, optional
        Keep the labels of this many records only: a stratified choice in which those for fewer labels are contained.
        All of them unless given.
    seed : int
        Of the choice.

    Returns
    -------
    float32 array (record, class)
        For every row of `archive.index`: 1 where a class is present, 0 where it is absent, NaN where it is not known
        or not to be seen.

    Raises
    ------
    LabelError
        If the task is unknown, none of the records has a label of it, or fewer than `labels` have.
    """
    system = get_task(task)
    chosen = np.unique(rows)
    pieces = [system.labels(batch["codes"].to_pylist()) for batch in archive.batches(["codes"])]
    values, known = (np.concatenate(part)[chosen] for part in zip(*pieces, strict=True))
    labelled = np.flatnonzero(known)
    if not len(labelled):
        problem = f"none of the {len(chosen)} records to train on has a label of it"
        raise LabelError(f"task {task!r}", problem, "choose a task that fits the codes of the corpus")
    if labels is not None:
        labelled = labelled[nested_subsets(values[labelled], [labels], seed=seed)[labels]]
    targets = np.full((len(archive), len(system.classes)), np.nan, np.float32)
    targets[chosen[labelled]] = values[labelled]
    return targets


def repeated(
    rows: Int64[np.ndarray, " item"], targets: Float32[np.ndarray, "record class"], share: float
) -> Int64[np.ndarray, " more"]:
    """Repeat the labelled records among `rows` until they are at least `share` of them.

    With fifty labels among twenty thousand records, most batches would hold none.

    Examples
    --------
    >>> targets = np.array([[1.0], [np.nan], [np.nan], [np.nan]], np.float32)
    >>> repeated(np.arange(4), targets, 0.5).tolist()
    [0, 1, 2, 3, 0, 0]
    """
    if not 0 <= share < 1:
        raise RecipeError("data.labelled_share", f"is {share}", "give a share of the strips, 0 or more and below 1")
    labelled = rows[~np.isnan(targets[rows]).all(axis=1)]
    wanted = math.ceil(share * (len(rows) - len(labelled)) / (1 - share))
    extra = max(0, wanted - len(labelled))
    return np.concatenate([rows, np.resize(labelled, extra)])


def check_folds_named(archive: Archive, folds: list[int] | None) -> None:
    """Refuse to take labels from an archive with folds unless it is said from which.

    Raises
    ------
    ArchiveError
        If it is not.
    """
    if folds is not None:
        return
    there = sorted(set(archive.table(["fold"])["fold"].drop_null().to_pylist()))
    if there:
        problem = f"has folds {there}, and the labels of the test folds must not be trained on"
        raise ArchiveError(str(archive.path), problem, "name the training folds, such as --set data.folds=[1,2,3]")


def class_arguments(recipe: Mapping[str, Any]) -> dict[str, int]:
    """Give the arguments of a method that follow from the task; refuse labels that nobody uses.

    Parameters
    ----------
    recipe : mapping
        A bound recipe. Methods, or parts of one, to which labels are of use have `learns_from_labels = True`, and
        perhaps a parameter `n_classes`.

    Raises
    ------
    RecipeError
        If the method learns from labels and the recipe names no task, or the other way round.
    LabelError
        If the task is unknown.
    """
    name, task = recipe["method"]["name"], recipe["data"].get("task")
    if not any(getattr(part, "learns_from_labels", False) for part in _parts(recipe["method"])):
        if task is not None:
            problem = f"is {task!r}, but the method {name!r} learns nothing from labels"
            raise RecipeError("data.task", problem, "take it out, or choose a method that does")
        return {}
    if task is None:
        problem = f"is missing, and the method {name!r} learns from labels"
        raise RecipeError("data.task", problem, "name a task, such as --set data.task=superclass")
    takes = _takes("n_classes", recipe["method"])
    return {"n_classes": len(get_task(task).classes)} if takes else {}


def target_arguments(recipe: Mapping[str, Any], archive: Archive) -> dict[str, int]:
    """Give the arguments of a method that follow from measurements or a teacher; refuse what nobody uses.

    Parameters
    ----------
    recipe : mapping
        A bound recipe. Methods, or parts of one, that learn from them have a parameter `n_targets`; those that compare
        strips with their partners have `learns_from_partners = True`.
    archive : Archive

    Raises
    ------
    RecipeError
        If the method learns from such targets and the recipe asks for none, or the other way round, or if partners
        are read for a method that does not look at them.
    CheckpointError
        If the teacher cannot be loaded or does not fit the archive.
    """
    name, data = recipe["method"]["name"], recipe["data"]
    partner = data.get("partner", "none")
    if partner != "none" and not any(getattr(part, "learns_from_partners", False) for part in _parts(recipe["method"])):
        problem = f"is {partner!r}, but the method {name!r} learns nothing from partners"
        raise RecipeError("data.partner", problem, "take it out, or choose a method that does, such as clocs")
    measured, teacher = data.get("measures", False), data.get("teacher")
    takes = _takes("n_targets", recipe["method"])
    if takes and not measured and teacher is None:
        problem = f"is missing, and the method {name!r} learns from measurements or a teacher"
        raise RecipeError("data.teacher", problem, "name a checkpoint, or set data.measures=true")
    if not takes and (measured or teacher is not None):
        problem = f"is given, but the method {name!r} learns nothing from it"
        raise RecipeError("data.measures" if measured else "data.teacher", problem, "take it out")
    if not takes:
        return {}
    return {"n_targets": len(feature_names(archive.leads)) if measured else check_teacher(str(teacher), archive)}


def _parts(settings: Mapping[str, Any]) -> list[type[nn.Module]]:
    """Give the classes of a method, or of its parts."""
    if "parts" in settings:
        return [method for part in settings["parts"] for method in _parts(part)]
    return [METHODS[settings["name"]]]


def _takes(argument: str, settings: Mapping[str, Any]) -> bool:
    return any(argument in inspect.signature(part).parameters for part in _parts(settings))


def labels_used(strips: Strips, task: str | None) -> dict[str, Any] | None:
    """Say for the card which labels an encoder has learnt from, so that nobody takes it for an unsupervised one."""
    if strips.targets is None or task is None:
        return None
    records = int((~np.isnan(strips.targets)).any(axis=1).sum())
    return {"task": task, "classes": list(get_task(task).classes), "records": records}
