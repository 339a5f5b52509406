"""What changes of the recordings cost a probe that was trained on clean ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.perturbations import Perturbation
from ssl_ecg.evaluate.perturbed_archive import perturbed
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluate.vectors import vectors_of
from ssl_ecg.probing.linear import LinearProbe

Vectors = NDArray[np.float32]


def robustness(
    changes: Sequence[Perturbation],
    models: Mapping[str, Any],
    vectors: Mapping[str, Vectors],
    archive: Archive,
    splits: Mapping[str, Split],
    labels: NDArray[np.floating[Any]],
    judge: Judge,
    *,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Judge the linear probes of clean records on changed ones.

    Parameters
    ----------
    changes : sequence of Perturbation
    models : mapping
        Name -> encoder or function.
    vectors : mapping
        Name -> embeddings of the clean archive.
    archive, splits, labels, judge
        As in an evaluation.
    seed : int
        Of the changes and probes.
    progress : bool

    Returns
    -------
    dict
        Change -> model -> ``auroc`` and ``difference`` to the clean records, with intervals.
    """
    if not changes:
        return {}
    fitted = {name: _fit(z, splits, labels, seed) for name, z in vectors.items()}
    clean = {name: _answer(fitted[name], z, splits) for name, z in vectors.items()}
    found: dict[str, Any] = {}
    for change in tqdm(changes, desc="changes", disable=not progress):
        view = perturbed(archive, change, seed=seed)
        for name, model in models.items():
            scored = _answer(fitted[name], vectors_of(model, view), splits)
            loss = judge.difference(scored, clean[name])
            entry = {**judge.table(scored, whole=False)["macro"], "difference": loss}
            found.setdefault(change.label, {})[name] = entry
    return found


def _fit(z: Vectors, splits: Mapping[str, Split], labels: NDArray[np.floating[Any]], seed: int) -> list[LinearProbe]:
    """Fit a probe on all training records of each split."""
    return [LinearProbe(seed=seed).fit(z[s.train], labels[s.train], z[s.val], labels[s.val]) for s in splits.values()]


def _answer(probes: Sequence[LinearProbe], z: Vectors, splits: Mapping[str, Split]) -> Scored:
    """Let the probe of each split answer for its test records."""
    answers = [probe.predict_proba(z[s.test]) for probe, s in zip(probes, splits.values(), strict=True)]
    return Scored([np.asarray(proba, np.float32)[None] for proba in answers], [])
