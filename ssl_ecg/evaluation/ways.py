"""The ways in which an evaluation judges an encoder, and what stands beside it: probes, training, expert features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.evaluate.judge import Answer, Scored, add_split
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluation.expert import ExpertBaselines
from ssl_ecg.evaluation.told import answer_of
from ssl_ecg.features.expert import expert_vectors
from ssl_ecg.features.hybrid import HybridProbe
from ssl_ecg.features.kept import kept_vectors
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.probing.knn import KNNProbe
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.recipes import load_recipe

Rows = NDArray[np.int64]
EXPERT, SCRATCH = "expert features", "scratch"
"""Models that stand beside encoders: classifiers without a network, and a network without pretraining."""
_SCRATCH_RECIPE = "finetune/scratch"


class Ways:
    """Train and ask, on all splits, with all numbers of labels.

    Parameters
    ----------
    protocol : Protocol
    archive : Archive
    splits : mapping of str to Split
    labels : array (record, class)
        NaN where unknown.
    classes : tuple of str
    out : path, optional
        Where runs of fine-tuning are kept.
    progress : bool
    """

    def __init__(
        self,
        protocol: Protocol,
        archive: Archive,
        splits: Mapping[str, Split],
        labels: NDArray[np.floating[Any]],
        classes: tuple[str, ...],
        out: Path | None,
        progress: bool,
    ) -> None:
        self.protocol, self.archive, self.splits, self.labels = protocol, archive, splits, labels
        self.classes, self.out, self.progress = classes, out, progress
        self.sizes = list(protocol.sizes(min(len(split.train) for split in splits.values())))

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """Expert features of every record."""
        rows = np.arange(len(self.archive))
        if self.out is None:
            return expert_vectors(self.archive, rows, progress=self.progress)
        return kept_vectors(self.archive, rows, self.out / "expert", progress=self.progress)

    def left_out(self) -> dict[str, str]:
        """Say which numbers of labels are not tried, as some split cannot give them, and why."""
        return self.protocol.left_out(min(len(split.train) for split in self.splits.values()))

    def subsets(self, split: Split) -> list[dict[str, Rows]]:
        """Give for each draw the training records by the name of the number of labels; all of them in the first."""
        wanted = self.protocol.sizes(len(split.train))
        sizes = {name: wanted[name] for name in self.sizes}
        drawn = []
        for draw in range(self.protocol.draws if sizes else 0):
            seed = draw_seed(self.protocol.seed, draw)
            chosen = nested_subsets(self.labels[split.train], sorted(set(sizes.values())), seed=seed)
            drawn.append({name: split.train[chosen[n]] for name, n in sizes.items()})
        first = {"all": split.train, **(drawn[0] if drawn else {})}
        return [first, *drawn[1:]]

    def probed(self, z: NDArray[np.float32]) -> dict[str, Scored]:
        """Probe embeddings with all numbers of labels on all splits: "linear/100" -> scores."""
        found: dict[str, Scored] = {}
        for split in self.splits.values():
            here: dict[str, list[Answer]] = {}
            for subset in self.subsets(split):
                for size, rows in subset.items():
                    for kind in self.protocol.probes:
                        here.setdefault(f"{kind}/{size}", []).append(self._probe(kind, z, rows, split))
            add_split(found, here)
        return found

    def _probe(self, kind: str, z: NDArray[np.float32], rows: Rows, split: Split) -> Answer:
        y, val, test = self.labels, split.val, split.test
        if kind == "hybrid":
            f = self.features
            hybrid = HybridProbe(seed=self.protocol.seed).fit(z[rows], f[rows], y[rows], z[val], f[val], y[val])
            return self._answer(hybrid.predict_proba(z[test], f[test]), hybrid.thresholds_, {"C": hybrid.linear_.C_})
        probe: Any = LinearProbe(seed=self.protocol.seed) if kind == "linear" else KNNProbe()
        proba = np.asarray(probe.fit(z[rows], y[rows], z[val], y[val]).predict_proba(z[test]))
        return self._answer(proba, probe.thresholds_, {"C": probe.C_} if kind == "linear" else {"k": probe.k_})

    def _answer(self, proba: NDArray[Any], thresholds: NDArray[Any], chosen: Mapping[str, Any]) -> Answer:
        """Decide before rounding: shares of neighbours may lie on a threshold."""
        named = dict(zip(self.classes, thresholds.tolist(), strict=True))
        return Answer(proba.astype(np.float32), proba >= thresholds, {**chosen, "thresholds": named})

    def expert(self) -> dict[str, Scored]:
        """Judge the classifiers on expert features that the protocol asks for: "forest/100" -> scores."""
        out = None if self.out is None else self.out / "expert"
        baselines = ExpertBaselines(
            self.features, self.labels, self.classes, self.archive.fingerprint, self.protocol.seed, out
        )
        subsets = {name: self.subsets(split) for name, split in self.splits.items()}
        return baselines.scored(self.protocol.also, self.splits, subsets, progress=self.progress)

    def trained(self, checkpoint: str | Path | None, architecture: Mapping[str, Any] | None) -> dict[str, Any]:
        """Fine-tune a checkpoint, and train from scratch, as the protocol says, on all splits and numbers of labels.

        Parameters
        ----------
        checkpoint : path or str, optional
            What is fine-tuned.
        architecture : mapping, optional
            Trained from scratch; that of the recipe unless given.

        Returns
        -------
        dict
            "encoder" and "scratch" -> scores by number of labels, as `probed` gives them.
        """
        ways: dict[str, tuple[Any, Any]] = {}
        if self.protocol.finetune and checkpoint is not None:
            ways["encoder"] = (self.protocol.finetune, checkpoint)
        if self.protocol.scratch or ways:
            scratch = load_recipe(self.protocol.scratch or _SCRATCH_RECIPE)
            ways[SCRATCH] = ({**scratch, "encoder": architecture} if architecture else scratch, None)
        draws = {name: self.subsets(split)[: self.protocol.finetune_draws] for name, split in self.splits.items()}
        total = len(ways) * sum(len(subset) for subsets in draws.values() for subset in subsets)
        found: dict[str, dict[str, Scored]] = {name: {} for name in ways}
        with tqdm(total=total, unit="run", desc="fine-tuning", disable=not (self.progress and total)) as bar:
            for split_name, split in self.splits.items():
                for name, (how, began) in ways.items():
                    here: dict[str, list[Answer]] = {}
                    for draw, subset in enumerate(draws[split_name]):
                        for size, rows in subset.items():
                            sets = {"train": rows, "val": split.val, "test": split.test}
                            where = f"finetuned/{name}-{split_name}-{size.replace('%', '-percent')}-{draw}"
                            here.setdefault(f"finetuned/{size}", []).append(self._finetune(how, began, sets, where))
                            bar.update()
                    add_split(found[name], here)
        return found

    def _finetune(self, recipe: Any, checkpoint: Any, rows: dict[str, Any], where: str) -> Answer:
        """Fine-tune once, unless that was done; give probabilities and decisions of the test records."""
        import pandas as pd

        run = (self.out or Path()) / where
        finetune(
            recipe, self.archive, run, checkpoint=checkpoint, task=self.protocol.task, rows=rows,
            overrides=[f"train.seed={self.protocol.seed}"], progress=self.progress,
        )  # fmt: skip
        table = pd.read_parquet(run / "predictions.parquet")
        table = table[table["set"] == "test"].set_index("row").loc[rows["test"]]
        facts = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        return answer_of(table, facts, self.classes)
