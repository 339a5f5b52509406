"""Fine-tuning once for each fold of a cross-validation: what is said of records that were not trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError, LabelError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.finetuning.seeds import SHARED, finetune_seeds, spread
from ssl_ecg.prediction.members import columns_of, find_members, kind_of, predictions_name
from ssl_ecg.provenance import versions
from ssl_ecg.readings.base import Reading
from ssl_ecg.readings.classes import ClassReading
from ssl_ecg.readings.values import ValueReading

if TYPE_CHECKING:
    import pandas as pd

_FEWEST = 3


def finetune_folds(
    recipe: str | Path | Mapping[str, Any],
    archive: Archive | str | Path,
    out: str | Path,
    folds: int,
    *,
    fold_seed: int = 0,
    seeds: Sequence[int] | None = None,
    **options: Any,
) -> Path:
    """Fine-tune once for each fold, and measure all records by the run that tested on them.

    A call that was interrupted goes on where it stopped: every run does by itself.

    Parameters
    ----------
    recipe, archive, **options
        As `finetune` takes them.
    out : path
        Folder of the runs, `fold-1` and so on.
    folds : int
        Three or more; see `finetune`.
    fold_seed : int
        Of the division of the patients.
    seeds : sequence of int, optional
        With each fold, fine-tune once for each of these, as `finetune_seeds` does; their ensemble is measured.

    Returns
    -------
    Path
        The folder, with `predictions.parquet` (of every labelled record by the run that had it in its test set, whose
        number is `test_fold`) and `metrics.json`: of the test sets the mean and spread of the figures over the folds,
        and the figures of all these predictions together, "pooled", with the thresholds of each fold. As folds differ
        a little in what their probabilities mean, the pooled AUROC can be below the mean of the folds.

    Raises
    ------
    LabelError
        If there are fewer than three folds, or fewer patients than folds.
    SSLECGError
        As `finetune`.
    """
    from ssl_ecg.train.launch import find_place

    if folds < _FEWEST:
        raise LabelError("folds", f"are {folds}", f"give {_FEWEST} or more: one tests, one validates, the rest trains")
    archive, out = archive if isinstance(archive, Archive) else Archive(archive), Path(out)
    if any((out / name).exists() for name in ("encoder", "last.ckpt")) or any(out.glob("seed-*")):
        raise CheckpointError(str(out), "holds another kind of run", "choose another --out")
    runs = []
    for fold in range(1, folds + 1):
        given: dict[str, Any] = {**options, "folds": folds, "fold": fold, "fold_seed": fold_seed}
        place = (recipe, archive, out / f"fold-{fold}")
        runs.append(finetune(*place, **given) if seeds is None else finetune_seeds(*place, seeds, **given))
    if find_place().rank:
        return out
    write_json(out / "metrics.json", _summarise(out, runs, {"folds": folds, "seed": fold_seed}))
    return out


def _summarise(out: Path, runs: Sequence[Path], division: dict[str, int]) -> dict[str, Any]:
    """Put the figures of all folds together; write what was said of every record."""
    found = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    content = {name: found[0][name] for name in SHARED if name in found[0]}
    if content["checkpoint"] is None:
        content.pop("encoder", None)  # drawn anew for each seed
    seeds = {"seeds": found[0]["seeds"]} if "seeds" in found[0] else {}
    content |= {"division": division, **seeds, "runs": [run.name for run in runs], **_of_leads(out, runs, found, ())}
    content["reduced_leads"] = {
        leads: _of_leads(out, runs, [one["reduced_leads"][leads] for one in found], tuple(leads.split(",")))
        for leads in found[0]["reduced_leads"]
    }
    return {**content, "versions": versions()}


def _of_leads(
    out: Path, runs: Sequence[Path], found: Sequence[Mapping[str, Any]], leads: tuple[str, ...]
) -> dict[str, Any]:
    import pandas as pd

    tables = [_tested(run, k, leads) for k, run in enumerate(runs, start=1)]
    table = pd.concat(tables, ignore_index=True)
    write_whole(out / predictions_name(leads), lambda file: table.to_parquet(file, index=False))
    reading = _pooled(kind_of(find_members(runs[0]))[0], found, [len(one) for one in tables])
    truth, answers = columns_of(table, reading.classes, reading.prefix)
    each = [one["test"].get("ensemble", one["test"])["macro"] for one in found]
    return {"test": {**spread(each), "per_fold": each, "pooled": reading.figures(truth, answers)}}


def _tested(run: Path, fold: int, leads: tuple[str, ...]) -> pd.DataFrame:
    """Read what a run said of its test records."""
    import pandas as pd

    table = pd.read_parquet(run / predictions_name(leads))
    return table[table["set"] == "test"].assign(test_fold=fold)


def _pooled(reading: Reading, found: Sequence[Mapping[str, Any]], records: Sequence[int]) -> Reading:
    """Give a reading that has the thresholds, or the intervals, of each record's own fold."""

    def of_records(values: Sequence[Mapping[str, float | None]]) -> NDArray[np.float64]:
        none = [[np.inf if one[c] is None else one[c] for c in reading.classes] for one in values]
        return np.repeat(np.asarray(none, np.float64), records, axis=0)

    if isinstance(reading, ValueReading):
        return replace(reading, half_width=of_records([one["interval"]["half_width"] for one in found]))
    if isinstance(reading, ClassReading):
        return replace(reading, thresholds=of_records([one["thresholds"] for one in found]))
    return reading
