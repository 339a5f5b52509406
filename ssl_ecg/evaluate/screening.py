"""How well detectors that saw usual records only tell unusual ones, on embeddings of several encoders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.screen.detectors import DETECTORS

Labels = NDArray[np.floating[Any]]


def check_detectors(names: Sequence[str]) -> None:
    """Make sure that all detectors are known.

    Raises
    ------
    RecipeError
        If one is not.
    """
    for name in names:
        if name not in DETECTORS:
            raise RecipeError("protocol.detectors", f"unknown {name!r}", f"choose from {', '.join(DETECTORS)}")


def screening(
    detectors: Sequence[str],
    usual: str,
    vectors: Mapping[str, NDArray[np.float32]],
    splits: Mapping[str, Split],
    labels: Labels,
    classes: Sequence[str],
    patients: NDArray[Any],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Fit detectors on usual training and validation records, and judge them on all test records.

    Usual is a record that has the class `usual` and no other. No other label is used; a test record of which `usual` is
    unknown is left out.

    Parameters
    ----------
    detectors : sequence of str
        Names of `ssl_ecg.screen.detectors.DETECTORS`, with their default settings.
    usual : str
        One of the classes.
    vectors : mapping
        Name of an encoder -> embeddings of the archive (record, dim).
    splits : mapping
    labels : array (record, class)
        NaN where unknown.
    classes : sequence of str
    patients : array of str (record,)
    n_resamples, seed : int

    Returns
    -------
    dict
        ``records`` (of each split), and detector -> encoder -> ``auroc`` of unusual against usual records with its
        interval, ``by_class`` (each other class against usual), and ``difference`` of the first encoder to this one.

    Raises
    ------
    LabelError
        If there is no such class, or a split has no usual or no unusual test record.
    """
    if usual not in classes:
        raise LabelError("protocol.usual", f"{usual!r} is no class of the task", f"choose from {', '.join(classes)}")
    label = labels[:, list(classes).index(usual)]
    is_usual = (label == 1) & (np.nansum(labels, axis=1) == 1)
    known = {name: np.concatenate([split.train, split.val]) for name, split in splits.items()}
    references = {name: np.sort(rows[is_usual[rows]]) for name, rows in known.items()}
    tests = {name: split.test[~np.isnan(label[split.test])] for name, split in splits.items()}
    for name, rows in tests.items():
        if not 0 < is_usual[rows].sum() < len(rows):
            problem = f"split {name} has {int(is_usual[rows].sum())} usual of {len(rows)} test records"
            raise LabelError("protocol.usual", problem, "choose another class or split")
    counts = {
        name: {"reference": len(references[name]), "usual": int(is_usual[of].sum()), "test": len(of)}
        for name, of in tests.items()
    }
    found: dict[str, Any] = {"usual": usual, "records": counts, "detectors": {}}
    unusual = np.where(is_usual, 0.0, 1.0)[:, None]
    of_class = {c: is_usual | (labels[:, k] == 1) for k, c in enumerate(classes) if c != usual}

    def judge(keep: NDArray[np.bool_]) -> Judge:
        only = {name: replace(splits[name], test=of[keep[of]]) for name, of in tests.items()}
        return Judge(only, unusual, patients, ["unusual"], n_resamples=n_resamples)

    everything = np.ones(len(labels), bool)
    whole, by_class = judge(everything), {c: judge(keep) for c, keep in of_class.items()}
    for detector in detectors:
        scores = {
            name: [_scores(detector, z, references[part], of, seed) for part, of in tests.items()]
            for name, z in vectors.items()
        }
        first = next(iter(scores.values()))
        found["detectors"][detector] = {
            name: {
                "auroc": _auroc(whole, score, tests, everything),
                "by_class": {c: _auroc(of, score, tests, of_class[c]) for c, of in by_class.items()},
                **({} if score is first else {"difference": whole.difference(_scored(first), _scored(score))}),
            }
            for name, score in scores.items()
        }
    return found


def _scores(
    detector: str, z: NDArray[np.float32], reference: NDArray[np.int64], test: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    fitted = DETECTORS[detector]()
    fitted.set_params(seed=seed)
    return fitted.fit(z[reference]).anomaly_score(z[test])


def _scored(scores: Sequence[NDArray[np.float64]]) -> Scored:
    return Scored([score[None, :, None] for score in scores], [])


def _auroc(
    judge: Judge, scores: Sequence[NDArray[np.float64]], tests: Mapping[str, NDArray[np.int64]], keep: NDArray[np.bool_]
) -> dict[str, Any]:
    kept = [score[keep[of]] for score, of in zip(scores, tests.values(), strict=True)]
    found: dict[str, Any] = judge.table(_scored(kept), whole=False)["macro"]["auroc"]
    return found
