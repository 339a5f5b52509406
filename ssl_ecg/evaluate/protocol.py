"""What is measured, on which records, with how many labels: a protocol, as a recipe says it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.augment.noise_parts import NSTDB, Part
from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.evaluate.perturbations import Perturbation, build_perturbation
from ssl_ecg.evaluate.sampling import grouped_folds
from ssl_ecg.evaluate.screening import check_detectors
from ssl_ecg.evaluate.splits import Split, choose_split
from ssl_ecg.features.baselines import BASELINES

if TYPE_CHECKING:
    import pandas as pd

Probe = Literal["linear", "knn", "hybrid"]
How = Literal["auto", "folds", "rotations"]
Judges = Literal["encoder", "predictions"]
_PSEUDO_FOLDS = 9
_OFFICIAL = 10
_PUBLISHED = "ptbxl"
"""The corpus whose folds are published with it and used by all."""


@dataclass(frozen=True)
class Protocol:
    """One way to measure an encoder.

    Parameters
    ----------
    judges : {"encoder", "predictions"}
        What is judged: the embeddings of an encoder, or what fine-tuned runs have said of their test records. The
        latter have their task and split; of the parameters below only `references` and `seen_labels` matter to them.
    task : str
        Name of a label system.
    split : {"auto", "folds", "rotations"}
        "folds": the last fold tests, the one before validates, the others train (PTB-XL's official 10, 9 and 1-8).
        "rotations": each third of the folds tests in turn, and the last of the others validates; patients are
        dealt to nine folds where the corpus has none. "auto": the former where there are ten folds.
    only : list of str
        Names of the splits to judge, such as "1-3"; all of them unless given.
    seen_labels : bool
        Measure also an encoder that has learnt the labels of test records; the report says so.
    train_corpora, test_corpora : list of str, optional
        Train and validate on some corpora and test on others; given both, nothing is split by folds.
    probes : list of {"linear", "knn", "hybrid"}
        "hybrid": the linear probe averaged with a forest on embeddings and expert features (see `HybridProbe`; needs
        PyWavelets).
    label_sizes : list of int
        Numbers of labelled training records to try beside all of them.
    label_shares : list of float
        Shares of the training records likewise.
    draws : int
        Nested, stratified choices of each number of labels.
    perturbations : list
        Changes of the test records, each a name of `PERTURBATIONS` with arguments; the probe is the linear one that
        all clean training records gave.
    noise : str, optional
        Folder of the MIT-BIH Noise Stress Test Database (records bw, em, ma): its noise is added to the changes, at
        each of `snr`.
    snr : list of float
        Signal to noise [dB].
    noise_part : {"all", "first", "second"}
        Half of each record of noise: "second" for an encoder that was pretrained with noise of the first, such as by
        the recipe pretrain/simclr_noise.
    detectors : list of str
        Detectors that are fitted on usual records only and judged on telling unusual ones; names of
        `ssl_ecg.screen.detectors.DETECTORS`.
    usual : str
        The class that a usual record has, and no other.
    also : list of {"logistic", "forest", "lightgbm", "mlp"}
        Classifiers on expert features, with every number of labels and draw, as a baseline without a network (see
        `ssl_ecg.features.baselines`; needs PyWavelets, and LightGBM for its own).
    finetune : str, optional
        A recipe with which the encoder is fine-tuned too, and trained from scratch beside it.
    scratch : str, optional
        A recipe with which the encoder's architecture is trained from scratch, beside its probes or its fine-tuning;
        with `finetune` it is "finetune/scratch" unless given.
    finetune_draws : int
        Draws of few labels in fine-tuning and from scratch.
    references : list of str
        Published figures to stand beside; names in the table of references.
    seed : int

    Raises
    ------
    RecipeError
        If a value is impossible.
    """

    judges: Judges = "encoder"
    task: str = "superclass"
    split: How = "auto"
    only: list[str] = field(default_factory=list)
    seen_labels: bool = False
    train_corpora: list[str] | None = None
    test_corpora: list[str] | None = None
    probes: list[Probe] = field(default_factory=lambda: ["linear", "knn"])
    label_sizes: list[int] = field(default_factory=list)
    label_shares: list[float] = field(default_factory=list)
    draws: int = 10
    perturbations: list[dict[str, Any]] = field(default_factory=list)
    noise: str | None = None
    snr: list[float] = field(default_factory=lambda: [24.0, 18.0, 12.0, 6.0, 0.0])
    noise_part: Part = "all"
    detectors: list[str] = field(default_factory=list)
    usual: str = "NORM"
    also: list[str] = field(default_factory=list)
    finetune: str | None = None
    scratch: str | None = None
    finetune_draws: int = 2
    references: list[str] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.train_corpora is None) != (self.test_corpora is None):
            raise RecipeError(
                "protocol.test_corpora", "stands alone", "give train_corpora and test_corpora, or neither"
            )
        if self.draws < 1 or self.finetune_draws < 1 or self.seed < 0:
            problem = f"draws {self.draws} and {self.finetune_draws}, seed {self.seed}"
            raise RecipeError("protocol", problem, "give one draw or more and a seed of 0 or more")
        if not self.probes and not self.finetune:
            raise RecipeError("protocol.probes", "is empty", "name a probe, or a recipe in protocol.finetune")
        if any(n < 1 for n in self.label_sizes) or any(not 0 < share < 1 for share in self.label_shares):
            problem = f"label_sizes {self.label_sizes}, label_shares {self.label_shares}"
            raise RecipeError("protocol", problem, "give whole numbers from 1 on, and shares between 0 and 1")
        if unknown := [name for name in self.also if name not in BASELINES]:
            raise RecipeError("protocol.also", f"no classifier {unknown[0]!r}", f"choose from {', '.join(BASELINES)}")
        if self.judges == "predictions" and (self.also or self.scratch):
            name = "also" if self.also else "scratch"
            raise RecipeError(f"protocol.{name}", "trains, and stored predictions are only read", "leave it out")
        check_detectors(self.detectors)

    def changes(self) -> list[Perturbation]:
        """Give the changes of the test records.

        Raises
        ------
        RecipeError
            If a name or an argument is unknown.
        """
        noise = [] if self.noise is None else [str(Path(self.noise) / name) for name in NSTDB]
        how = {"name": "noise", "part": self.noise_part}
        added = [{**how, "record": record, "snr": snr} for record in noise for snr in self.snr]
        return [build_perturbation(change) for change in [*self.perturbations, *added]]

    def splits(self, index: pd.DataFrame, labels: NDArray[Any], known: NDArray[np.bool_]) -> dict[str, Split]:
        """Divide the labelled records, once or in rotation.

        Parameters
        ----------
        index : DataFrame
            Of an archive.
        labels : array (record, class)
        known : bool array (record,)

        Raises
        ------
        LabelError
            If a set would be empty, two sets share a patient, or a split asked for is not among them.
        """
        found = self._splits(index, labels, known)
        if unknown := [name for name in self.only if name not in found]:
            raise LabelError("protocol.only", f"no split {unknown[0]!r}", f"choose from {', '.join(found)}")
        return {name: split for name, split in found.items() if name in self.only or not self.only}

    def _splits(self, index: pd.DataFrame, labels: NDArray[Any], known: NDArray[np.bool_]) -> dict[str, Split]:
        if self.train_corpora is not None and self.test_corpora is not None:
            return {"transfer": self._transfer(index, labels, known)}
        folds = np.asarray(index["fold"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
        present = sorted({int(fold) for fold in folds[known & np.isfinite(folds)]})
        if self.split == "folds" or (self.split == "auto" and _OFFICIAL in present):
            split = choose_split(index, labels, known, seed=self.seed)
            return {_name(split, index): split}
        drawn: dict[str, int] = {}
        if len(present) < 3:
            rows = np.flatnonzero(known)
            patients = index["patient_id"].astype(str).to_numpy()[rows]
            shares = [1 / _PSEUDO_FOLDS] * _PSEUDO_FOLDS
            folds = np.full(len(index), np.nan)
            folds[rows] = 1 + grouped_folds(labels[rows], patients, shares=shares, seed=self.seed)
            present = list(range(1, _PSEUDO_FOLDS + 1))
            drawn = {"drawn": _PSEUDO_FOLDS, "seed": self.seed}
        table = index.assign(fold=folds)
        thirds = [[int(fold) for fold in part] for part in np.array_split(present, 3)]
        rotated = {f"{test[0]}-{test[-1]}": _rotation(table, labels, known, present, test) for test in thirds}
        return {name: replace(split, how={**split.how, **drawn}) for name, split in rotated.items()}

    def _transfer(self, index: pd.DataFrame, labels: NDArray[Any], known: NDArray[np.bool_]) -> Split:
        corpus, patients = index["corpus"].astype(str).to_numpy(), index["patient_id"].astype(str).to_numpy()
        train, test = (
            np.flatnonzero(known & np.isin(corpus, c or [])) for c in (self.train_corpora, self.test_corpora)
        )
        for name, rows in (("train_corpora", train), ("test_corpora", test)):
            if not len(rows):
                there = ", ".join(sorted(set(corpus)))
                problem = f"no labelled record in {getattr(self, name)}"
                raise LabelError(f"protocol.{name}", problem, f"the archive holds {there}")
        both = train[~np.isin(patients[train], patients[test])]
        if not len(both):
            problem = f"all patients of {self.train_corpora} are in {self.test_corpora} too"
            raise LabelError("protocol.train_corpora", problem, "name other corpora, or split by folds")
        part = grouped_folds(labels[both], patients[both], shares=(0.85, 0.15), seed=self.seed)
        how = {"by": "corpora", "train": self.train_corpora, "test": self.test_corpora, "seed": self.seed}
        return Split(both[part == 0], both[part == 1], test, how)

    def sizes(self, n_train: int) -> dict[str, int]:
        """Give the numbers of labels by name, those that the training set can give.

        Examples
        --------
        >>> Protocol(label_shares=[0.001, 0.012], label_sizes=[9, 900]).sizes(800)
        {'1.2%': 10, '9': 9}
        """
        return {name: n for name, n in self._wanted(n_train).items() if 2 <= n < n_train}

    def left_out(self, n_train: int) -> dict[str, str]:
        """Say which numbers of labels the training set cannot give, and why.

        Examples
        --------
        >>> Protocol(label_shares=[0.001, 0.012], label_sizes=[900]).left_out(800)
        {'0.1%': '1 of 800 training records', '900': 'no fewer than all 800 training records'}
        """
        return {
            name: f"{n} of {n_train:,} training records" if n < 2 else f"no fewer than all {n_train:,} training records"
            for name, n in self._wanted(n_train).items()
            if not 2 <= n < n_train
        }

    def _wanted(self, n_train: int) -> dict[str, int]:
        shares = {f"{100 * share:.12g}%": round(share * n_train) for share in self.label_shares}
        return shares | {str(n): n for n in self.label_sizes}


def _rotation(
    index: pd.DataFrame, labels: NDArray[Any], known: NDArray[np.bool_], folds: list[int], test: list[int]
) -> Split:
    *train, val = (fold for fold in folds if fold not in test)
    return choose_split(index, labels, known, train_folds=train, val_folds=val, test_folds=test)


def _name(split: Split, index: pd.DataFrame) -> str:
    """Name a split by folds: only PTB-XL's own are official."""
    if split.how["by"] != "folds":
        return "patients"
    published = set(index["corpus"].iloc[split.test].astype(str)) == {_PUBLISHED}
    return "official" if published and (split.how["val"], split.how["test"]) == ([9], [_OFFICIAL]) else "folds"
