"""Which records of an archive a pretraining run sees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Partner, Strips
from ssl_ecg.errors import ArchiveError, RecipeError
from ssl_ecg.features.statistics import pywavelets
from ssl_ecg.preprocessing import Scale
from ssl_ecg.signal import QualityFlag
from ssl_ecg.train.labelled import check_folds_named, repeated, training_targets
from ssl_ecg.train.measures import measure_targets
from ssl_ecg.train.reduced_leads import ReducedStrips, choose_leads, with_leads
from ssl_ecg.train.taught import teacher_targets

Measuring = Literal["now", "wait", "later"]


def open_strips(
    archive: Archive,
    *,
    seconds: float = 10.0,
    scale: Scale = "none",
    folds: list[int] | None = None,
    corpora: list[str] | None = None,
    exclude_codes: list[str] | None = None,
    exclude_quality: Sequence[QualityFlag] = ("nan", "amplitude"),
    partner: Partner = "none",
    task: str | None = None,
    labels: int | None = None,
    labels_seed: int = 0,
    labelled_share: float = 0.0,
    measures: bool = False,
    measure_workers: int = 1,
    teacher: str | None = None,
    leads: list[str] | None = None,
    progress: bool = False,
    measuring: Measuring = "now",
    folder: str | Path | None = None,
) -> Strips:
    """Open the strips for pretraining.

    Parameters
    ----------
    archive : Archive
    seconds : float
        Length of a strip [s]; longer records give a random crop each time.
    scale : {"none", "record", "lead"}
        How strips are scaled; see `Preprocessing`. It is applied on the device and kept with the encoder.
    folds : list of int, optional
        Only records of these folds; records without a fold are always in. Leave the test folds out.
    corpora : list of str, optional
        Only these corpora.
    exclude_codes : list of str, optional
        Leave out records that carry any of these codes, such as "unacceptable".
    exclude_quality : sequence of str
        Leave out records with any of these quality flags (`flat`, `saturated`, `nan`, `amplitude`, `einthoven`).
    partner : {"none", "window", "patient"}
        Also read for each strip another window of the record, or a window of another record of the patient, for
        methods that compare them; see `Strips`.
    task : str, optional
        Give the labels of this task with the strips, for methods that learn from labels too. Only the records that
        are trained on give theirs, and an archive with folds needs `folds`.
    labels : int, optional
        Only this many records give their labels, the others count as unlabelled; all that have some unless given.
    labels_seed : int
        Of the choice of labelled records; with one seed, fewer labels are among more.
    labelled_share : float
        Repeat labelled records until they are this share of the strips.
    measures : bool
        Give the expert features of each record with the strips (see `expert_features`), for methods that learn
        from them; needs PyWavelets. They are computed once for a run, in some ten milliseconds a record.
    measure_workers : int
        Processes that compute them; a script that asks for more than one must guard what it does with
        ``if __name__ == "__main__":``.
    teacher : str, optional
        A pretrained encoder (run folder, checkpoint folder or released name), whose embedding of each whole record,
        with all leads, is given with the strips, for methods that learn from it; computed once for a run.
    leads : list of str, optional
        The only leads that strips show: the others are zero and marked as absent, and records that have none of
        these are left out. The encoder keeps them in mind: all that it embeds later is reduced to them. Unless given,
        those of the checkpoint that a run goes on from, or all.
    progress : bool
        Of measurements and teacher.
    measuring : {"now", "wait", "later"}
        Compute them; wait for another process that does and keeps them in `folder`; or leave them out for now, so
        that a run can be checked first.
    folder : path, optional
        Where they are kept, and found when a run goes on.

    Raises
    ------
    ArchiveError
        If nothing is left, or labels are wanted of an archive with folds and `folds` is not given.
    LabelError
        If the task is unknown, or too few records have a label of it.
    RecipeError
        If labels are asked for without a task, or two kinds of targets together, or the share is impossible.
    SignalError
        If measurements are asked for and PyWavelets is not installed, or a lead is not there.
    CheckpointError
        If the teacher cannot be loaded or does not fit the archive.
    """
    shown = None if leads is None else choose_leads(leads, archive.leads)
    keep = _wanted(archive, folds, corpora, exclude_codes, exclude_quality) & with_leads(archive, shown)
    rows = np.flatnonzero(keep)
    if not len(rows):
        remedy = "loosen data.folds, data.corpora, data.exclude_codes, data.exclude_quality or data.leads"
        raise ArchiveError(str(archive.path), f"none of {len(keep)} records is left to train on", remedy)
    targets = None
    if task is None and (labels is not None or labelled_share):
        raise RecipeError("data.task", "is not given, but labels are wanted", "name a task, such as superclass")
    kinds = {"data.measures": measures, "data.task": task is not None, "data.teacher": teacher is not None}
    asked = [name for name, wanted in kinds.items() if wanted]
    if len(asked) > 1:
        raise RecipeError(asked[0], f"stands beside {asked[1]}", "take one of them out")
    if measures:
        pywavelets()  # is it there?
    once: dict[str, Any] = {"folder": folder, "compute": measuring == "now", "progress": progress}
    if measures and measuring != "later":
        targets = measure_targets(archive, rows, workers=measure_workers, **once)
    if teacher is not None and measuring != "later":
        targets = teacher_targets(archive, rows, teacher, **once)
    if task is not None:
        check_folds_named(archive, folds)
        targets = training_targets(archive, rows, task, labels=labels, seed=labels_seed)
        rows = repeated(rows, targets, labelled_share)
    if shown is not None:
        return ReducedStrips(archive, seconds, leads=shown, rows=rows, targets=targets, partner=partner)
    return Strips(archive, seconds, rows=rows, targets=targets, partner=partner)


def _wanted(
    archive: Archive,
    folds: list[int] | None,
    corpora: list[str] | None,
    exclude_codes: Sequence[str] | None,
    exclude_quality: Sequence[str],
) -> Bool[np.ndarray, " record"]:
    """Say which records to train on, going through the index in pieces: of a million it would fill a gigabyte."""
    unwanted, bad = set(exclude_codes or ()), set(exclude_quality)
    parts = [np.ones(0, bool)]
    for batch in archive.batches(["fold", "corpus", "codes", "quality"]):
        keep = np.ones(len(batch), bool)
        if folds is not None:
            keep &= [fold is None or fold in folds for fold in batch["fold"].to_pylist()]
        if corpora is not None:
            keep &= [corpus in corpora for corpus in batch["corpus"].to_pylist()]
        if unwanted:
            keep &= [unwanted.isdisjoint(codes) for codes in batch["codes"].to_pylist()]
        if bad:
            flags = batch["quality"].to_pylist()
            keep &= [bad.isdisjoint(flag.split(":")[0] for flag in found) for found in flags]
        parts.append(keep)
    return np.concatenate(parts)
