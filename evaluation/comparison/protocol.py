"""The yardstick: three rotations over PTB-XL folds 1-9, their records, label subsets and scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_ecg import Archive, KNNProbe, LinearProbe, open_corpus, prepare
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.tasks import get_task

ROTATIONS = {"1-3": ((1, 2, 3), 9), "4-6": ((4, 5, 6), 9), "7-9": ((7, 8, 9), 6)}
"""Name -> test folds and validation fold; the other five train."""
INNER = {"inner": ((8, 9), 7)}
"""For choosing settings: inside the training folds of the first rotation, whose test folds it never touches."""
OUTSIDE = (1, 2, 3)
"""Folds that the inner division leaves alone."""
SIZES = (50, 70, 100, 200, 500)
SHARES = (0.01, 0.1)


def archives(data: Path, work: Path) -> tuple[Archive, Archive]:
    """Prepare the labelled records (PTB-XL) and all records for pretraining."""
    labelled = prepare([open_corpus(f"ptbxl:{data / 'ptbxl'}")], work / "ptbxl")
    everything = prepare(
        [
            open_corpus(f"ptbxl:{data / 'ptbxl'}"),
            # z-scored leads have standard deviation 1; a fifth of it is about that of leads in mV
            open_corpus(f"arrays:{data / 'ptbxl_zscored'}", fs=100, scale=2e-4, namespace="ptbxl"),
            open_corpus(f"cinc2011:{data / 'cinc2011'}"),
            open_corpus(f"cinc2021:{data / 'cinc2021'}"),
        ],
        work / "everything",
    )
    return labelled, everything


@dataclass(frozen=True)
class Rotation:
    """One division of the labelled records: rows of the archive, and the folds they come from."""

    name: str
    train_folds: tuple[int, ...]
    val_fold: int
    test_folds: tuple[int, ...]
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    labels: np.ndarray
    patients: np.ndarray

    @property
    def seen_folds(self) -> list[int]:
        """Folds that pretraining may see."""
        return sorted([*self.train_folds, self.val_fold])

    def subsets(self, draw: int) -> dict[str, np.ndarray]:
        """Label size -> rows of the training records; draw 0 has all labels too."""
        names = {f"{share:.0%}": round(share * len(self.train)) for share in SHARES} | {str(n): n for n in SIZES}
        chosen = nested_subsets(self.labels[self.train], sorted(set(names.values())), seed=draw_seed(0, draw))
        few = {name: self.train[chosen[n]] for name, n in names.items()}
        return {"all": self.train, **few} if draw == 0 else few


def rotation(labelled: Archive, name: str) -> Rotation:
    """Cut the labelled records for one rotation."""
    labels, known = get_task("superclass").labels(list(labelled.index["codes"]))
    fold = labelled.index["fold"].to_numpy(int)
    test_folds, val_fold = {**ROTATIONS, **INNER}[name]
    left_out = (*test_folds, val_fold, *(OUTSIDE if name in INNER else ()))
    train_folds = tuple(f for f in range(1, 10) if f not in left_out)
    train, val, test = (np.flatnonzero(known & np.isin(fold, f)) for f in (train_folds, [val_fold], test_folds))
    patients = labelled.index["patient_id"].to_numpy().astype(str)
    return Rotation(name, train_folds, val_fold, test_folds, train, val, test, labels, patients)


def finetuned_run(work: Path, cell: str, rotation: str, seed: int, size: str = "all", draw: int = 0) -> Path:
    """Give the folder of a run of a cell that is fine-tuned."""
    return work / "finetuned" / f"{cell}-{rotation}-{seed}-{size}-{draw}"


def probe_scores(z: np.ndarray, r: Rotation, draws: int, only: str | None = None) -> dict[str, np.ndarray]:
    """Probabilities of the test records by probe and label size, or one: "linear/100" -> (draw, record, class)."""
    scores: dict[str, list[np.ndarray]] = {}
    for draw in range(draws):
        for size, rows in r.subsets(draw).items():
            if only not in (None, size):
                continue
            for kind, probe in (("linear", LinearProbe()), ("knn", KNNProbe())):
                fitted = probe.fit(z[rows], r.labels[rows], z[r.val], r.labels[r.val])
                scores.setdefault(f"{kind}/{size}", []).append(fitted.predict_proba(z[r.test]).astype(np.float32))
    return {name: np.stack(values) for name, values in scores.items()}
