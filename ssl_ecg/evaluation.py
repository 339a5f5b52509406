"""Measuring an encoder by a protocol: where it stands beside an untrained one and beside published figures."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.ensemble import columns_of
from ssl_ecg.errors import RecipeError
from ssl_ecg.evaluate.judge import Judge, Scored, add_split
from ssl_ecg.evaluate.protocol import Protocol, seen_folds
from ssl_ecg.evaluate.references import completeness, find_references, is_part
from ssl_ecg.evaluate.report import Report
from ssl_ecg.evaluate.robustness import robustness
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.evaluate.screening import screening
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluate.vectors import Function, vectors_of
from ssl_ecg.features.expert import expert_embeddings
from ssl_ecg.features.hybrid import HybridProbe
from ssl_ecg.finetuning import finetune
from ssl_ecg.knn_probe import KNNProbe
from ssl_ecg.linear_probe import LinearProbe
from ssl_ecg.pretraining import random_encoder, versions
from ssl_ecg.probe import task_labels
from ssl_ecg.recipes import load_recipe

if TYPE_CHECKING:
    from torch import nn


def evaluate(
    protocol: str | Path | Mapping[str, Any],
    encoder: str | Path | nn.Module | Function,
    archive: Archive | str | Path,
    out: str | Path | None = None,
    *,
    baseline: nn.Module | Function | None = None,
    overrides: Sequence[str] = (),
    n_resamples: int = 1000,
    progress: bool = True,
) -> Report:
    """Measure an encoder by a protocol.

    The encoder is never trained on test records' labels, and everything that is chosen is chosen on validation. The
    report says if it has seen the test records without labels in pretraining, and if the data are a part of a corpus.

    Parameters
    ----------
    protocol : str, Path or mapping
        A name such as "superclass" or "label-efficiency", a YAML file, or its content.
    encoder : str, Path, Module or callable
        A run folder, checkpoint folder or released name; an encoder; or any function from strips, float32
        (record, lead, time) in mV at the archive's rate, to embeddings (record, dim).
    archive : Archive or path
    out : path, optional
        Folder for `report.json`, `report.txt` and, with fine-tuning, its runs; what is there already is not trained
        again.
    baseline : Module or callable, optional
        What to take differences to: the untrained encoder of the checkpoint's recipe unless given; a function has
        none.
    overrides : sequence of str
        Such as ``"protocol.draws=3"``.
    n_resamples : int
        Of patients, for the intervals.
    progress : bool

    Raises
    ------
    RecipeError, ArchiveError, LabelError, CheckpointError
        As the protocol, the archive, the task or the checkpoint demand.
    """
    bound = load_recipe(protocol, overrides)
    if "protocol" not in bound:
        raise RecipeError(str(protocol)[:80], "is no protocol", "see 'ssl-ecg recipes list' for evaluate/...")
    archive = archive if isinstance(archive, Archive) else Archive(archive)
    return _Evaluation(Protocol(**bound["protocol"]), encoder, archive, out, baseline, n_resamples, progress).report(
        bound
    )


class _Evaluation:
    """One protocol on one archive."""

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
        self.protocol, self.archive, self.progress = protocol, archive, progress
        self.out = None if out is None else Path(out)
        self.references = find_references(protocol.references)
        self.name, self.classes, found, known = task_labels(protocol.task, archive.index)
        self.labels = np.where(known[:, None], found, np.nan)
        self.splits = protocol.splits(archive.index, self.labels, known)
        self.patients = archive.index["patient_id"].astype(str).to_numpy()
        self.judge = Judge(self.splits, self.labels, self.patients, self.classes, n_resamples=n_resamples)
        self.n_resamples = n_resamples
        self.checkpoint = encoder if isinstance(encoder, str | Path) else None
        self.models, self.card = self._models(encoder, baseline)

    def _models(self, encoder: Any, baseline: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Give the encoders by name, and the card of the first."""
        from ssl_ecg.train.checkpoint import load_encoder

        made = load_encoder(encoder) if isinstance(encoder, str | Path) else encoder
        card = getattr(made, "card", None)
        if baseline is None and card and "recipe" in card and "data" in card["recipe"]:
            baseline = random_encoder(card["recipe"], self.archive, seed=self.protocol.seed)
        return {"encoder": made, **({} if baseline is None else {"untrained": baseline})}, card

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Expert features of every record."""
        return expert_embeddings(self.archive, impute=False, progress=self.progress).vectors

    def report(self, bound: Mapping[str, Any]) -> Report:
        """Measure everything and write it down."""
        started = time.perf_counter()
        vectors = {name: vectors_of(model, self.archive) for name, model in self.models.items()}
        scored = {name: self._probed(z) for name, z in vectors.items()}
        if self.protocol.finetune:
            for name, found in self._finetuned(self.protocol.finetune).items():
                scored.setdefault(name, {}).update(found)
        records = {str(name): int(n) for name, n in self.archive.index["corpus"].value_counts().items()}
        seen = seen_folds(self.card, list(records))
        content = {
            "protocol": dict(bound),
            "task": self.name,
            "classes": list(self.classes),
            "archive": {
                "fingerprint": self.archive.fingerprint, "fs": self.archive.fs, "leads": list(self.archive.leads),
                "corpora": completeness(records), "part": is_part(records),
            },
            "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            "encoder": _about(self.models["encoder"]),
            "splits": {name: self._describe(split, seen) for name, split in self.splits.items()},
            "results": {
                model: {key: self._judged(key, found) for key, found in kinds.items()}
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
            "seconds": time.perf_counter() - started,
            "versions": versions(),
        }  # fmt: skip
        report = Report(content)
        if self.out is not None:
            report.write(self.out)
        return report

    def subsets(self, split: Split) -> list[dict[str, NDArray[np.int64]]]:
        """Give for each draw the training records by the name of the number of labels; all of them in the first."""
        sizes = self.protocol.sizes(len(split.train))
        drawn = []
        for draw in range(self.protocol.draws if sizes else 0):
            seed = draw_seed(self.protocol.seed, draw)
            chosen = nested_subsets(self.labels[split.train], sorted(set(sizes.values())), seed=seed)
            drawn.append({name: split.train[chosen[n]] for name, n in sizes.items()})
        first = {"all": split.train, **(drawn[0] if drawn else {})}
        return [first, *drawn[1:]]

    def _probed(self, z: NDArray[np.float32]) -> dict[str, Scored]:
        """Probe embeddings with all numbers of labels on all splits: "linear/100" -> scores."""
        found: dict[str, Scored] = {}
        for split in self.splits.values():
            here: dict[str, list[tuple[Any, Any]]] = {}
            for subset in self.subsets(split):
                for size, rows in subset.items():
                    for kind in self.protocol.probes:
                        here.setdefault(f"{kind}/{size}", []).append(self._probe(kind, z, rows, split))
            add_split(found, here)
        return found

    def _probe(self, kind: str, z: NDArray[np.float32], rows: NDArray[np.int64], split: Split) -> tuple[Any, Any]:
        y, val, test = self.labels, split.val, split.test
        if kind == "hybrid":
            f = self.features
            hybrid = HybridProbe(seed=self.protocol.seed).fit(z[rows], f[rows], y[rows], z[val], f[val], y[val])
            proba = np.asarray(hybrid.predict_proba(z[test], f[test]), np.float32)
            return proba, proba >= hybrid.thresholds_
        probe: Any = LinearProbe(seed=self.protocol.seed) if kind == "linear" else KNNProbe()
        proba = np.asarray(probe.fit(z[rows], y[rows], z[val], y[val]).predict_proba(z[test]), np.float32)
        return proba, proba >= probe.thresholds_

    def _finetuned(self, recipe: str) -> dict[str, dict[str, Scored]]:
        """Fine-tune the checkpoint, and train its architecture from scratch, on all splits and numbers of labels."""
        scratch = {**load_recipe("finetune/scratch"), "encoder": (self.card or {})["architecture"]}
        ways: dict[str, tuple[Any, Any]] = {"encoder": (recipe, self.checkpoint), "scratch": (scratch, None)}
        found: dict[str, dict[str, Scored]] = {name: {} for name in ways}
        for split_name, split in self.splits.items():
            for name, (how, checkpoint) in ways.items():
                here: dict[str, list[tuple[Any, Any]]] = {}
                for draw, subset in enumerate(self.subsets(split)[: self.protocol.finetune_draws]):
                    for size, rows in subset.items():
                        sets = {"train": rows, "val": split.val, "test": split.test}
                        where = f"finetuned/{name}-{split_name}-{size.rstrip('%')}-{draw}"
                        here.setdefault(f"finetuned/{size}", []).append(self._finetune(how, checkpoint, sets, where))
                add_split(found[name], here)
        return found

    def _finetune(self, recipe: Any, checkpoint: Any, rows: dict[str, Any], where: str) -> tuple[Any, Any]:
        """Fine-tune once, unless that was done; give probabilities and decisions of the test records."""
        import pandas as pd

        run = (self.out or Path()) / where
        finetune(
            recipe, self.archive, run, checkpoint=checkpoint, task=self.protocol.task, rows=rows,
            overrides=[f"train.seed={self.protocol.seed}"], progress=self.progress,
        )  # fmt: skip
        table = pd.read_parquet(run / "predictions.parquet")
        table = table[table["set"] == "test"].set_index("row").loc[rows["test"]]
        proba = columns_of(table, self.classes)[1].astype(np.float32)
        thresholds = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["thresholds"]
        chosen = np.array([np.inf if thresholds[c] is None else thresholds[c] for c in self.classes])
        return proba, proba >= chosen

    def _judged(self, key: str, scored: Scored) -> dict[str, Any]:
        return {
            **self.judge.table(scored, whole=key.endswith("/all")),
            "by_split": self.judge.by_split(scored),
            "draws": len(scored.proba[0]),
        }

    def _differences(self, scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
        """Give paired differences: the encoder less every other model, by probe and number of labels."""
        own = scored["encoder"]
        return {
            f"encoder - {other}": {
                key: self.judge.difference(own[key], theirs) for key, theirs in kinds.items() if key in own
            }
            for other, kinds in scored.items()
            if other != "encoder"
        }

    def _describe(self, split: Split, seen: Mapping[str, list[int]]) -> dict[str, Any]:
        index = self.archive.index.iloc[split.test]
        met = [
            name
            for name, folds in seen.items()
            if set(index.loc[index["corpus"] == name, "fold"].dropna()) & set(folds)
        ]
        return {
            "how": split.how,
            "records": {name: len(rows) for name, rows in split.sets().items()},
            "positives": dict(zip(self.classes, np.nansum(self.labels[split.test], axis=0).astype(int), strict=True)),
            "seen_in_pretraining": met,
        }


def _about(model: Any) -> dict[str, Any]:
    if not hasattr(model, "parameters"):
        return {"function": getattr(model, "__name__", type(model).__name__)}
    return {"parameters": sum(p.numel() for p in model.parameters()), "dim": int(model.dim)}
