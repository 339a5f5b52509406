"""Expert features with classifiers of their own, at every number of labels: the baseline without a network."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg._version import __version__
from ssl_ecg.evaluate.judge import Answer, Scored, add_split
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.features.baselines import BASELINES
from ssl_ecg.files import write_whole

Rows = NDArray[np.int64]
Floats = NDArray[np.floating[Any]]
_Said = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]
"""Probabilities (record, class), thresholds (class,) and decisions (record, class)."""
_DAMAGE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


class ExpertBaselines:
    """Fits classifiers on expert features and asks them about test records.

    Parameters
    ----------
    features : array (record, feature)
        NaN where unknown.
    labels : array (record, class)
        NaN where unknown.
    classes : sequence of str
    archive : str
        Its fingerprint.
    seed : int
    out : path, optional
        Where answers are kept, so that nothing is fitted again when an evaluation that was interrupted goes on.
    """

    def __init__(
        self, features: Floats, labels: Floats, classes: Sequence[str], archive: str, seed: int, out: Path | None
    ) -> None:
        self.features, self.labels, self.classes = features, labels, tuple(classes)
        self.archive, self.seed, self.out = archive, seed, out

    def scored(
        self,
        kinds: Sequence[str],
        splits: Mapping[str, Split],
        subsets: Mapping[str, Sequence[Mapping[str, Rows]]],
        *,
        progress: bool = False,
    ) -> dict[str, Scored]:
        """Judge classifiers with all numbers of labels on all splits: "forest/100" -> scores.

        Parameters
        ----------
        kinds : sequence of {"logistic", "forest", "lightgbm", "mlp"}
        splits : mapping
        subsets : mapping
            Split -> for each draw, the training records by the name of the number of labels.
        progress : bool

        Raises
        ------
        SignalError
            If LightGBM is asked for and not installed.
        ArchiveError
            If answers cannot be written.
        """
        found: dict[str, Scored] = {}
        total = len(kinds) * sum(len(subset) for name in splits for subset in subsets[name])
        with tqdm(total=total, unit="fit", desc="expert features", disable=not progress) as bar:
            for name, split in splits.items():
                here: dict[str, list[Answer]] = {}
                for kind in kinds:
                    for draw, subset in enumerate(subsets[name]):
                        for size, rows in subset.items():
                            where = f"{kind}-{name}-{size.replace('%', '-percent')}-{draw}"
                            here.setdefault(f"{kind}/{size}", []).append(self._answer(kind, rows, split, where))
                            bar.update()
                add_split(found, here)
        return found

    def _answer(self, kind: str, rows: Rows, split: Split, where: str) -> Answer:
        """Fit one classifier and ask it, unless its answers are kept."""
        sets = (rows, split.val, split.test)
        path = None if self.out is None else self.out / f"{where}-{self._fingerprint(kind, sets)}.npz"
        kept = None if path is None else _read(path, (len(split.test), len(self.classes)))
        proba, thresholds, decisions = kept if kept is not None else self._fit(kind, sets)
        if path is not None and kept is None:
            buffer = io.BytesIO()
            np.savez(buffer, proba=proba, thresholds=thresholds, decisions=decisions)
            write_whole(path, lambda file: file.write(buffer.getbuffer()))
        named = dict(zip(self.classes, thresholds.tolist(), strict=True))
        return Answer(proba, decisions, {"thresholds": named})

    def _fit(self, kind: str, sets: Sequence[Rows]) -> _Said:
        (x, x_val, x_test), (y, y_val) = (
            (self.features[rows] for rows in sets),
            (self.labels[rows] for rows in sets[:2]),
        )
        fitted = BASELINES[kind]().set_params(seed=self.seed).fit(x, y, x_val, y_val)
        proba = fitted.predict_proba(x_test)
        # decided before rounding: a tree's answers may lie on a threshold
        return proba.astype(np.float32), fitted.thresholds_, np.asarray(proba >= fitted.thresholds_)

    def _fingerprint(self, kind: str, sets: Sequence[Rows]) -> str:
        """Tell apart whatever answers follow from, so that those of anything else are not taken for these."""
        digest = hashlib.sha256("\0".join((__version__, self.archive, kind, str(self.seed), *self.classes)).encode())
        for rows in sets:
            digest.update(np.asarray(rows, "<i8").tobytes() + b"\0")
            digest.update(np.asarray(self.labels[rows], "<f4").tobytes())
        return digest.hexdigest()[:12]


def _read(path: Path, shape: tuple[int, int]) -> _Said | None:
    """Read kept answers; None if there are none, or damaged ones."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            proba, thresholds, decisions = kept["proba"], kept["thresholds"], kept["decisions"]
    except _DAMAGE:
        return None
    fits = (proba.shape, thresholds.shape, decisions.shape) == (shape, shape[1:], shape)
    return (proba, thresholds, decisions) if fits else None
