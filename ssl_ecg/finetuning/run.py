"""Fine-tuning from a recipe: the whole line from a checkpoint and labels to a classifier and its figures."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError
from ssl_ecg.evaluate.splits import Folds
from ssl_ecg.features.statistics import pywavelets
from ssl_ecg.finetuning.data_used import data_used
from ssl_ecg.finetuning.forest import add_forest
from ssl_ecg.finetuning.results import Trained, write_results
from ssl_ecg.finetuning.targets import Learnt
from ssl_ecg.pretraining import pretrained, untrained_encoder
from ssl_ecg.provenance import versions
from ssl_ecg.recipe_checks import check_kind, check_overrides
from ssl_ecg.recipes import load_recipe
from ssl_ecg.run_folder import claimed
from ssl_ecg.targets import find_targets
from ssl_ecg.train.supervised.rows import KFold, Rows, choose_rows, few_labels

if TYPE_CHECKING:
    from ssl_ecg.train.supervised.data import LabelledData
    from ssl_ecg.train.supervised.fit import Outcome
    from ssl_ecg.train.supervised.model import Supervised


def finetune(
    recipe: str | Path | Mapping[str, Any],
    archive: Archive | str | Path,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    task: str | Any = "superclass",
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    rows: Mapping[str, Sequence[int] | NDArray[np.integer]] | None = None,
    folds: int | None = None,
    fold: int | None = None,
    fold_seed: int = 0,
    labels: int | str | None = None,
    draw: int = 0,
    test_leads: Sequence[str | Sequence[str]] = (),
    overrides: Sequence[str] = (),
    progress: bool = True,
    devices: int = 1,
) -> Path:
    """Train a classifier on labels, or a regression on numbers, from a pretrained encoder or from scratch.

    What is chosen (weights, strength of the probe, thresholds) is chosen on the validation records; the test
    records are looked at once, at the end.

    Parameters
    ----------
    recipe : str, Path or mapping
        A name such as "finetune/default" or "finetune/scratch", a YAML file, or its content.
    archive : Archive or path
        As `prepare` made it.
    out : path
        Run folder. A run that was stopped there goes on exactly where it was.
    checkpoint : path or str, optional
        Run folder, checkpoint folder or released name: its encoder takes the place of the one of the recipe. From
        scratch unless given.
    task : str or Task
        As `find_targets` takes it. Numbers, such as "age", need a recipe with a loss for them: "finetune/regression",
        or ``"loss.name=huber"`` among the overrides.
    train_folds, val_folds, test_folds : int or sequence of int, optional
        As in `run_probe`: what is not given follows from the archive. With training and validation folds and no
        test folds, nothing is tested.
    rows : mapping, optional
        Rows of the archive as "train", "val" and perhaps "test", in place of folds.
    folds, fold, fold_seed : int, optional
        In place of both: deal the labelled records to so many folds, by patient and with labels spread in proportion;
        number `fold`, from 1 on, tests, the next one validates, and the others train. The folds are the same for every
        `fold`. See `finetune_folds` for all of them.
    labels : int or str, optional
        Train on this many of the labelled training records, or a share such as "10%", stratified, and nested between
        numbers. Validation records keep their labels.
    draw : int
        Which choice of them.
    test_leads : sequence of str
        Lead sets such as "I,II" with which the classifier is judged too: the other leads are zero, and thresholds
        and calibration are those of validation with the same leads.
    overrides : sequence of str
        Such as ``"train.steps=500"``; ``"forest=true"`` puts a random forest on expert features beside the network.
    progress : bool
    devices : int
        Processes to start on this host; see `ssl_ecg.train.fit.fit`. Under torchrun or srun leave it at 1 and call
        this in every process; the first writes the files.

    Returns
    -------
    Path
        The run folder: `encoder/` and `head/` (weights and cards; the head's has the classes in order, the
        thresholds and the calibration, and beside it `reference.safetensors`, by which `predict` knows records that
        are unlike the training data), `metrics.json`, `predictions.parquet`, `log.csv`, `recipe.yaml`, `run.json` and
        `last.ckpt`; with a forest also `forest/`.

    Raises
    ------
    RecipeError, ArchiveError, LabelError, CheckpointError, TrainingError, SignalError
        As the recipe, the archive, the task, the checkpoint, a state found in `out` or the leads demand.
    """
    from ssl_ecg.train.launch import find_place
    from ssl_ecg.train.reduced_leads import choose_leads

    bound = load_recipe(recipe, overrides)
    check_kind(bound, recipe, "fine-tuning")
    check_overrides(overrides, bound, checkpoint)
    archive = archive if isinstance(archive, Archive) else Archive(archive)
    out = Path(out)
    if any((*out.glob("seed-*"), *out.glob("fold-*"))):
        raise CheckpointError(str(out), "holds runs of several seeds or folds", "choose another --out")
    targets = find_targets(task, archive.index)
    truth = np.where(targets.known[:, None], targets.values, np.nan)
    truth = truth.astype(np.float32) if targets.kind == "classes" else truth
    known = targets.known & np.isfinite(truth).any(axis=1)
    division, strata = KFold.of(folds, fold, fold_seed), targets.strata
    chosen = choose_rows(archive.index, strata, known, (train_folds, val_folds, test_folds), rows, division)
    n_labelled = len(chosen["train"])
    chosen["train"] = few_labels(chosen["train"], strata, labels, draw)
    learnt = Learnt.of(targets, truth, chosen["train"])
    bound = learnt.suited(bound)
    learnt.check(bound)
    if "forest" in bound:
        pywavelets()  # is it there?
    model, card = _build(bound, archive, checkpoint, len(targets.classes))
    reduced = [choose_leads(names, bound["data"].get("leads") or archive.leads) for names in test_leads]
    data = _open(bound, archive, learnt.scaled, chosen["train"], model)
    facts = {
        "archive": archive.fingerprint, "task": targets.name, "classes": list(targets.classes), "labels": labels,
        "draw": draw, "rows": {key: _fingerprint(value) for key, value in chosen.items()},
        "encoder": _weights_of(model), **({} if division is None else {"division": asdict(division)}), **learnt.facts(),
    }  # fmt: skip
    first, told = find_place().rank == 0, {"facts": facts, "targets": targets.fingerprint}
    started_on = "other records or weights"
    with claimed(out, bound, told, started_on=started_on, notes={"versions": versions()}, write=first):
        if first:
            learnt.warn(chosen["train"])
        _start(model, bound, data, chosen)
        start = copy.deepcopy(model).eval() if "forest" in bound else None
        outcome = _fit(model, bound, data, chosen["val"], out, progress, devices)
        if not first:
            return out
        trained = Trained(model, data, chosen, truth, learnt.reading(bound))
        if start is not None:
            trained = add_forest(trained, start, bound["forest"], out, progress=progress)
        pretraining = {"checkpoint": None if checkpoint is None else str(checkpoint), "encoder": facts["encoder"]}
        origin = {**pretraining, "pretrained_on": card}
        facts |= data_used(archive, chosen, n_labelled, targets.fingerprint)
        write_results(out, trained, bound, outcome, facts, origin, test_leads=reduced)
    return out


def _build(
    bound: dict[str, Any], archive: Archive, checkpoint: str | Path | None, n_classes: int
) -> tuple[Supervised, Any]:
    """Build the model with the encoder of a checkpoint, or an untrained one; and say what it was pretrained on."""
    import torch

    from ssl_ecg.augment.views import build_views
    from ssl_ecg.train.heads import Head
    from ssl_ecg.train.losses.classes import LOSSES
    from ssl_ecg.train.supervised.data import read_metadata
    from ssl_ecg.train.supervised.model import Supervised

    pretrained_on = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(bound["train"]["seed"])
        if checkpoint is None:
            encoder = untrained_encoder(bound, archive)
        else:
            encoder = pretrained(bound, archive, checkpoint)
            pretrained_on = encoder.card.get("pretrained_on")  # type: ignore[union-attr, operator]
        head = Head(int(encoder.dim), n_classes, **bound["head"])  # type: ignore[arg-type]
        changes = bound["views"]["transforms"] or bound["views"].get("crop") is not None
        views = build_views(bound["views"], fs=archive.fs, leads=archive.leads, n_views=1) if changes else None
        loss = dict(bound["loss"])
        criterion = LOSSES[loss.pop("name")](**loss)
        metadata = torch.from_numpy(read_metadata(archive))
        return Supervised(encoder, head, criterion, views=views, metadata=metadata), pretrained_on


def _open(
    bound: Mapping[str, Any],
    archive: Archive,
    targets: NDArray[np.float32],
    train: NDArray[np.int64],
    model: Supervised,
) -> LabelledData:
    """Open the strips, and tell the loss how common the classes are among the training records."""
    import torch

    from ssl_ecg.train.supervised.data import open_labelled

    data = open_labelled(archive, targets, train, **bound["data"])
    if not model.criterion.continuous:
        labels = targets[data.train.record_rows]
        positive, negative = (torch.from_numpy(np.nansum(part, axis=0)) for part in (labels, 1 - labels))
        model.criterion.set_priors(positive, negative)
    return data


def _start(model: Supervised, bound: Mapping[str, Any], data: LabelledData, chosen: Rows) -> None:
    """Standardise what the head sees, and begin with a linear probe if the recipe says so."""
    from ssl_ecg.train.evaluation import embed_windows, fit_probe

    if bound["head"]["start"] == "probe":
        model.head.start_from(fit_probe(model, data, chosen["val"]))
    elif bound["train"]["norms"] == "fixed":  # elsewhere the embedding is not yet what it will be
        model.head.standardise(embed_windows(model, data.windows(np.unique(data.train.record_rows))))


def _fit(
    model: Supervised,
    bound: Mapping[str, Any],
    data: LabelledData,
    val: NDArray[np.int64],
    out: Path,
    progress: bool,
    devices: int,
) -> Outcome:
    from ssl_ecg.train.evaluation import Validation
    from ssl_ecg.train.supervised.fit import fit_supervised

    figure = "r2" if model.criterion.continuous else "auroc"
    validate = Validation.of(data, val, figure)
    settings = bound["train"]
    return fit_supervised(
        model, data.train, out, validate, progress=progress, figure=figure, devices=devices, **settings
    )


def _fingerprint(rows: NDArray[np.int64]) -> str:
    return hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()


def _weights_of(model: Supervised) -> str:
    from ssl_ecg.embedding.identity import weights_fingerprint

    return weights_fingerprint(model.encoder)
