"""Judging what fine-tuned runs have said of their test records: single runs, ensembles of them, and rotations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import ArchiveError, CheckpointError
from ssl_ecg.evaluate.judge import Judge, Scored, add_split
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.references import comparable, completeness, find_references, is_part
from ssl_ecg.evaluate.seen import Past, refuse_learnt
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.evaluation.told import ID, Told, as_in, names_of, read_told
from ssl_ecg.prediction.members import columns_of

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
_MAIN, _OTHER = "run", "baseline"


def judge_predictions(
    protocol: Protocol, runs: Any, archive: Archive | None, baseline: Any, n_resamples: int
) -> dict[str, Any]:
    """Judge stored predictions; the content of a report.

    Parameters
    ----------
    protocol : Protocol
    runs : path or sequence of paths
        Run folders of `finetune` or `finetune_seeds`. Runs with the same test records answer together; runs with
        others are further splits, over which figures are averaged.
    archive : Archive, optional
        That they were fine-tuned on.
    baseline : path or sequence of paths, optional
        Runs with the same test records.
    n_resamples : int

    Raises
    ------
    RecipeError, CheckpointError, LabelError, ArchiveError
        If these are no run folders, hold no predictions of test records, or do not fit together or to the archive.
    """
    told = {_MAIN: read_told(runs)}
    if baseline is not None:
        told[_OTHER] = as_in(told[_MAIN], read_told(baseline))
    main, classes = told[_MAIN], told[_MAIN][0].classes
    index, splits, labels = _splits(main, archive)
    judge = Judge(splits, labels, index["patient_id"].to_numpy(), classes, n_resamples=n_resamples)
    pasts = {name: [[_past(run) for run in one.runs] for one in group] for name, group in told.items()}
    seen = {name: _seen(past, index, splits) for name, past in pasts.items()}
    if not protocol.seen_labels:
        clean = [name for name in splits if not any(one[name]["labels"] for one in seen.values())]
        for name, group in told.items():
            learnt = {split: (one["labels"], len(splits[split].test)) for split, one in seen[name].items()}
            tasks = [task for past in pasts[name] for each in past for task in each.tasks()]
            refuse_learnt(str(group[0].runs[0]), learnt, list(dict.fromkeys(tasks)), clean)
    scored = {name: _scored(group) for name, group in told.items()}
    task = str(main[0].facts[0]["task"])
    about = {name: _about(group) for name, group in told.items()}
    return {
        "task": task,
        "classes": list(classes),
        "archive": _about_archive(main, index, archive),
        "checkpoint": ", ".join(str(run) for one in main for run in one.runs),
        "encoder": about[_MAIN],
        "models": about,
        "splits": {
            name: {
                "how": split.how,
                "records": _counts(one, len(split.test)),
                "without_fold": 0,
                "positives": dict(zip(classes, np.nansum(labels[split.test], axis=0).astype(int), strict=True)),
                "seen_in_pretraining": seen[_MAIN][name]["signals"],
                "seen": {model: found[name] for model, found in seen.items()},
            }
            for (name, split), one in zip(splits.items(), main, strict=True)
        },
        "left_out": {},
        "results": {
            model: {key: judge.judged(key, found) for key, found in kinds.items()} for model, kinds in scored.items()
        },
        "differences": _differences(judge, scored),
        "robustness": {},
        "screening": {},
        "references": [vars(one) for one in comparable(find_references(protocol.references), task, classes)],
    }


def _scored(told: Sequence[Told]) -> dict[str, Scored]:
    found: dict[str, Scored] = {}
    for one in told:
        add_split(found, one.answers())
    return found


def _differences(judge: Judge, scored: Mapping[str, Mapping[str, Scored]]) -> dict[str, Any]:
    """Compare each way of the runs with the same way of the baseline, or with the best that it has."""
    if _OTHER not in scored:
        return {}
    theirs = scored[_OTHER]
    best = next(iter(theirs.values()))
    found = {key: judge.differences(key, own, theirs.get(key, best)) for key, own in scored[_MAIN].items()}
    return {f"{_MAIN} - {_OTHER}": found}


def _splits(told: Sequence[Told], archive: Archive | None) -> tuple[pd.DataFrame, dict[str, Split], FloatArray]:
    """Give all test records, one group after the other, with the rows of each split, and their labels."""
    import pandas as pd

    if archive is not None:
        for one in told:
            for run, facts in zip(one.runs, one.facts, strict=True):
                if facts.get("archive") != archive.fingerprint:
                    problem = f"is not the archive that {run} was fine-tuned on"
                    raise ArchiveError(str(archive.path), problem, "give that one, or none")
    tables = [_with_patients(one.tables[0], archive, one.runs[0]) for one in told]
    splits: dict[str, Split] = {}
    start, none = 0, np.zeros(0, np.int64)
    for one, table in zip(told, tables, strict=True):
        name = _split_name(table, one.facts[0].get("division"))
        name = name if name not in splits else f"{name} of {one.runs[0].name}"
        folds = sorted({int(fold) for fold in table["fold"].dropna()}) if "fold" in table else []
        how = {"by": "run", "test": folds, "runs": [str(run) for run in one.runs]}
        splits[name] = Split(none, none, np.arange(start, start + len(table)), how)
        start += len(table)
    labels = np.concatenate([columns_of(table, told[0].classes)[0] for table in tables])
    index = pd.concat([table[[*ID, "patient_id", "fold"]] for table in tables], ignore_index=True)
    return index, splits, labels


def _with_patients(table: pd.DataFrame, archive: Archive | None, run: Path) -> pd.DataFrame:
    """Name the patients of the test records, from the archive where the predictions do not."""
    table = table if "fold" in table else table.assign(fold=np.nan)
    if "patient_id" in table and table["patient_id"].notna().all():
        return table.assign(patient_id=table["patient_id"].astype(str))
    if archive is None:
        problem = "does not say whose its test records are"
        raise CheckpointError(str(run), problem, "give the archive that it was fine-tuned on (--data)")
    index = archive.index
    whose = dict(zip(names_of(index), index["patient_id"].astype(str), strict=True))
    if unknown := [name for name in names_of(table) if name not in whose]:
        raise ArchiveError(str(archive.path), f"has no record {unknown[0]}", f"give the archive of {run}")
    return table.assign(patient_id=[whose[name] for name in names_of(table)])


def _split_name(table: pd.DataFrame, division: Mapping[str, int] | None) -> str:
    """Name a split by the folds of its test records, or its number in a division; official is PTB-XL's tenth only."""
    if division is not None:
        return f"fold-{division['fold']}"
    folds = sorted({int(fold) for fold in table["fold"].dropna()})
    if not folds or table["fold"].isna().any():
        return "test"
    if folds == [10]:
        return "official" if set(table["corpus"]) == {"ptbxl"} else "folds"
    return f"{folds[0]}-{folds[-1]}"


def _counts(one: Told, n_test: int) -> dict[str, int]:
    kept = one.facts[0].get("records", {})
    return {**{name: int(kept[name]) for name in ("train", "val") if name in kept}, "test": n_test}


def _past(run: Path) -> Past:
    from ssl_ecg.train.checkpoint import read_card

    return Past.of(read_card(run), run).before_finetuning()


def _seen(
    pasts: Sequence[Sequence[Past]], index: pd.DataFrame, splits: Mapping[str, Split]
) -> dict[str, dict[str, Any]]:
    """Say for each split what the encoders had seen of its test records before they were fine-tuned."""
    found = {}
    for past, (name, split) in zip(pasts, splits.items(), strict=True):
        test = index.iloc[split.test]
        signals = np.any([one.signals(test) for one in past], axis=0)
        labels = np.any([one.labels(index, split) for one in past], axis=0)
        corpora = sorted(set(test["corpus"][signals].astype(str)))
        found[name] = {"signals": corpora, "labels": int(labels.sum())}
    return found


def _about(told: Sequence[Told]) -> dict[str, Any]:
    """Name runs by the fingerprints of their weights and of what they said."""
    from ssl_ecg.embedding.identity import weights_fingerprint
    from ssl_ecg.train.checkpoint import load_encoder

    runs = [run for one in told for run in one.runs]
    return {
        "runs": [
            {
                "run": str(run),
                "weights": weights_fingerprint(load_encoder(run)),
                "predictions": hashlib.sha256((run / "predictions.parquet").read_bytes()).hexdigest(),
            }
            for run in runs
        ]
    }


def _about_archive(told: Sequence[Told], index: pd.DataFrame, archive: Archive | None) -> dict[str, Any]:
    """Say how much of each corpus there was; without the archive that is not known."""
    if archive is not None:
        records = {str(name): int(n) for name, n in archive.index["corpus"].value_counts().items()}
        about = {"fs": archive.fs, "leads": list(archive.leads), "corpora": completeness(records)}
        return {"fingerprint": archive.fingerprint, **about, "part": is_part(records)}
    records = {str(name): int(n) for name, n in index["corpus"].value_counts().items()}
    corpora = {name: f"{n:,} test records" for name, n in records.items()}
    return {"fingerprint": told[0].facts[0].get("archive"), "corpora": corpora, "part": None}
