"""Measuring by a protocol: where an encoder, or a fine-tuned model, stands beside others and published figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import RecipeError
from ssl_ecg.evaluate.folds import drawn_folds
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.references import comparable, completeness, find_references, is_part
from ssl_ecg.evaluate.report import Report
from ssl_ecg.evaluate.robustness import robustness
from ssl_ecg.evaluate.screening import screening
from ssl_ecg.evaluate.seen import Past, refuse_learnt
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluate.vectors import Function, vectors_of
from ssl_ecg.evaluation.predictions import judge_predictions
from ssl_ecg.evaluation.ways import EXPERT, Ways
from ssl_ecg.files import check_writable
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.probing.folder import task_labels
from ssl_ecg.provenance import versions
from ssl_ecg.recipe_checks import check_kind
from ssl_ecg.recipes import load_recipe

if TYPE_CHECKING:
    from torch import nn


def evaluate(
    protocol: str | Path | Mapping[str, Any],
    encoder: str | Path | Sequence[str | Path] | nn.Module | Function,
    archive: Archive | str | Path | None = None,
    out: str | Path | None = None,
    *,
    baseline: str | Path | Sequence[str | Path] | nn.Module | Function | None = None,
    overrides: Sequence[str] = (),
    n_resamples: int = 1000,
    progress: bool = True,
) -> Report:
    """Measure an encoder, or what fine-tuned runs have said, by a protocol.

    Nothing is trained on test records' labels, and everything that is chosen is chosen on validation. An encoder that
    has learnt labels of test records before, in fine-tuning or in pretraining with labels, is refused. The report says
    if it has seen the test records without labels in pretraining, and if the data are a part of a corpus.

    Parameters
    ----------
    protocol : str, Path or mapping
        A name such as "superclass", "label-efficiency" or "predictions", a YAML file, or its content.
    encoder : str, Path, Module, callable or sequence of paths
        A run folder (also one of fine-tuning, whose encoder it is then), checkpoint folder or released name; an
        encoder; or any function from strips, float32 (record, lead, time) in mV at the archive's rate, to embeddings
        (record, dim). For "predictions", run folders of `finetune`, or a folder of several seeds: runs with the same
        test records answer together, those with others are further splits.
    archive : Archive or path, optional
        Not needed for "predictions", but says there how much of a corpus was there.
    out : path, optional
        Folder for `report.json`, `report.txt` and, with fine-tuning, its runs; what is there already is not trained
        again.
    baseline : as encoder, optional
        What to take differences to, beside the untrained encoder of the checkpoint's recipe; a function has none of
        the latter, nor have predictions.
    overrides : sequence of str
        Such as ``"protocol.draws=3"``.
    n_resamples : int
        Of patients, for intervals and p-values.
    progress : bool

    Raises
    ------
    RecipeError, ArchiveError, LabelError, CheckpointError
        As the protocol, the archive, the task or the checkpoint demand; a `LabelError` if test records' labels have
        been learnt and ``protocol.seen_labels`` does not say to go on.
    """
    bound = load_recipe(protocol, overrides)
    check_kind(bound, protocol, "evaluation")
    plan, started = Protocol(**bound["protocol"]), time.perf_counter()
    if out is not None:
        check_writable(Path(out) / "report.json")
    archive = Archive(archive) if isinstance(archive, str | Path) else archive
    if plan.judges == "predictions":
        content = judge_predictions(plan, encoder, archive, baseline, n_resamples)
    elif archive is None:
        raise RecipeError("archive", "is not given", "name a prepared archive (--data)")
    else:
        content = _Evaluation(
            plan, _single(encoder, "encoder"), archive, out, _single(baseline, "baseline"), n_resamples, progress
        ).content()
    report = Report({
        "protocol": dict(bound), **content, "seconds": time.perf_counter() - started, "versions": versions()
    })  # fmt: skip
    if out is not None:
        report.write(Path(out))
    return report


def _single(model: Any, name: str) -> Any:
    """Take one model out of a sequence of one."""
    if not isinstance(model, list | tuple):
        return model
    if len(model) != 1:
        raise RecipeError(name, f"is {len(model)} folders", "give one; only the protocol 'predictions' takes several")
    return model[0]


class _Evaluation:
    """An encoder by one protocol on one archive."""

    def __init__(
        self,
        protocol: Protocol,
        encoder: Any,
        archive: Archive,
        out: str | Path | None,
        baseline: Any,
        n_resamples: int,
        progress: bool,
    ) -> None:
        if protocol.finetune and (out is None or not isinstance(encoder, str | Path)):
            raise RecipeError("protocol.finetune", "needs a checkpoint and a folder", "give both, or take it out")
        if protocol.scratch and out is None:
            raise RecipeError("protocol.scratch", "needs a folder for its runs", "give one (--out), or take it out")
        self.protocol, self.archive, self.progress = protocol, archive, progress
        references = find_references(protocol.references)
        self.name, self.classes, found, known = task_labels(protocol.task, archive.index)
        self.references = comparable(references, str(protocol.task), self.classes)
        self.labels = np.where(known[:, None], found, np.nan)
        self.splits = protocol.splits(archive.index, self.labels, known)
        self.patients = archive.index["patient_id"].astype(str).to_numpy()
        self.judge = Judge(self.splits, self.labels, self.patients, self.classes, n_resamples=n_resamples)
        self.n_resamples = n_resamples
        self.checkpoint = encoder if isinstance(encoder, str | Path) else None
        self.models, self.pasts = self._models({"encoder": encoder, "baseline": baseline})
        self.learnt = {name: self._learnt(past) for name, past in self.pasts.items()}
        if not protocol.seen_labels:
            self._refuse_learnt({"encoder": encoder, "baseline": baseline})
        outside = None if out is None else Path(out)
        self.ways = Ways(protocol, archive, self.splits, self.labels, self.classes, outside, progress)

    def _models(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Past]]:
        """Give the encoders by name, the untrained one of the first among them, and what each has learnt from."""
        from ssl_ecg.train.checkpoint import load_encoder

        models, pasts = {}, {}
        for name, model in given.items():
            if model is not None:
                named = isinstance(model, str | Path)
                models[name] = load_encoder(model) if named else model
                pasts[name] = Past.of(getattr(models[name], "card", None), model if named else None)
        card = getattr(models["encoder"], "card", None)
        if card and "data" in card.get("recipe", {}):
            models["untrained"] = random_encoder(card["recipe"], self.archive, seed=self.protocol.seed)
        return models, pasts

    def _learnt(self, past: Past) -> dict[str, tuple[int, int]]:
        """Count for each split the test records whose labels a model has learnt, and all."""
        index, fingerprint = self.archive.index, self.archive.fingerprint
        return {
            name: (int(past.labels(index, split, fingerprint).sum()), len(split.test))
            for name, split in self.splits.items()
        }

    def _refuse_learnt(self, given: Mapping[str, Any]) -> None:
        clean = [name for name in self.splits if not any(counts[name][0] for counts in self.learnt.values())]
        for name, counts in self.learnt.items():
            who = str(given[name]) if isinstance(given[name], str | Path) else name
            refuse_learnt(who, counts, self.pasts[name].tasks(), clean)

    def content(self) -> dict[str, Any]:
        """Measure everything."""
        vectors = {name: vectors_of(model, self.archive) for name, model in self.models.items()}
        scored = {name: self.ways.probed(z) for name, z in vectors.items()}
        card = getattr(self.models["encoder"], "card", None) or {}
        for name, kinds in self.ways.trained(self.checkpoint, card.get("architecture")).items():
            scored.setdefault(name, {}).update(kinds)
        about = {name: _about(model, self.pasts.get(name)) for name, model in self.models.items()}
        if self.protocol.also:
            scored[EXPERT] = self.ways.expert()
            about[EXPERT] = {"features": self.ways.features.shape[1], "classifiers": list(self.protocol.also)}
        return {
            "task": self.name,
            "classes": list(self.classes),
            "archive": about_archive(self.archive),
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "encoder": about["encoder"],
            "models": about,
            "splits": {name: self._describe(name, split) for name, split in self.splits.items()},
            "left_out": self.ways.left_out(),
            "results": {
                model: {key: self.judge.judged(key, found) for key, found in kinds.items()}
                for model, kinds in scored.items()
            },
            "differences": self._differences(scored),
            "robustness": robustness(
                self.protocol.changes(), self.models, vectors, self.archive, self.splits, self.labels, self.judge,
                seed=self.protocol.seed, progress=self.progress,
            ),
            "screening": screening(
                self.protocol.detectors, self.protocol.usual, vectors, self.splits, self.labels, self.classes,
                self.patients, n_resamples=self.n_resamples, seed=self.protocol.seed,
            ) if self.protocol.detectors else {},
            "references": [vars(reference) for reference in self.references],
        }  # fmt: skip

    def _differences(self, scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
        """Give paired differences: the encoder less every other model, by probe and number of labels.

        Where the encoder was not judged that way, its first way with as many labels takes its place, on the draws
        that both have; ``way`` says which.
        """
        own = scored["encoder"]
        first = next(iter(own)).partition("/")[0]
        found: dict[str, Any] = {}
        for other, kinds in scored.items():
            for key, theirs in kinds.items() if other != "encoder" else ():
                way = key if key in own else f"{first}/{key.partition('/')[2]}"
                if way in own:
                    n = min(len(own[way].proba[0]), len(theirs.proba[0]))
                    gain = self.judge.differences(key, own[way].draws(n), theirs.draws(n))
                    told = {} if way == key else {"way": way}
                    found.setdefault(f"encoder - {other}", {})[key] = {**gain, **told}
        return found

    def _describe(self, name: str, split: Split) -> dict[str, Any]:
        index = self.archive.index.iloc[split.test]
        there = set(_corpora(index))
        seen = {
            model: {
                "signals": _corpora(index[past.signals(index)]),
                "labels": self.learnt[model][name][0],
                "finetuned": sorted(there & set(past.finetuned())),
            }
            for model, past in self.pasts.items()
        }
        drawn = [f"{corpus} ({n})" for corpus, n in drawn_folds(self.archive).items() if corpus in there]
        return {
            "how": split.how if split.how.get("by") != "folds" else {**split.how, "prepared": drawn},
            "records": {part: len(rows) for part, rows in split.sets().items()},
            "without_fold": split.n_without_fold,
            "positives": dict(zip(self.classes, np.nansum(self.labels[split.test], axis=0).astype(int), strict=True)),
            "seen_in_pretraining": seen["encoder"]["signals"],
            "seen": seen,
        }


def about_archive(archive: Archive) -> dict[str, Any]:
    """Say for a report what an archive is, and how much of each corpus it holds."""
    records = {str(name): int(n) for name, n in archive.index["corpus"].value_counts().items()}
    return {
        "fingerprint": archive.fingerprint, "fs": archive.fs, "leads": list(archive.leads),
        "corpora": completeness(records), "part": is_part(records),
    }  # fmt: skip


def _corpora(index: Any) -> list[str]:
    return sorted(set(index["corpus"].astype(str)))


def _about(model: Any, past: Past | None) -> dict[str, Any]:
    """Say what a model is: its size, the fingerprint of its weights, and which labels it has learnt from."""
    from ssl_ecg.embedding.identity import weights_fingerprint

    if not hasattr(model, "parameters"):
        return {"function": getattr(model, "__name__", type(model).__name__)}
    about = {"parameters": sum(p.numel() for p in model.parameters()), "dim": int(model.dim)}
    history: dict[str, Any] = {}
    if past is not None:
        history = {"labels_of": past.tasks(), "finetuned_on": past.finetuned(), "lost": list(past.unknown)}
    return {**about, "weights": weights_fingerprint(model), **{name: what for name, what in history.items() if what}}
