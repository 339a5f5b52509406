"""Fine-tuning with several seeds: how much chance is in the figures, and what the runs say together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError, RecipeError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.prediction.members import average_predictions, columns_of, decided, kind_of, predictions_name
from ssl_ecg.provenance import versions
from ssl_ecg.recipes import load_recipe

SHARED = ("archive", "task", "classes", "kind", "unit", "labels", "draw", "checkpoint", "encoder", "pretrained_on")
"""What metrics.json of several runs says as that of one does."""
_SETS = {"validation": "val", "test": "test"}


def finetune_seeds(
    recipe: str | Path | Mapping[str, Any],
    archive: Archive | str | Path,
    out: str | Path,
    seeds: Sequence[int],
    *,
    overrides: Sequence[str] = (),
    **options: Any,
) -> Path:
    """Fine-tune once with each of several seeds, and measure the runs and their ensemble.

    A call that was interrupted goes on where it stopped: every run does by itself.

    Parameters
    ----------
    recipe, archive, overrides, **options
        As `finetune` takes them.
    out : path
        Folder of the runs, `seed-0` and so on.
    seeds : sequence of int
        Of weights, batches and augmentation (`train.seed`), and of the forest where there is one (`forest.seed`,
        unless an override gives it); the records are the same.

    Returns
    -------
    Path
        The folder, with `metrics.json` (for each set the figures' mean and spread, the standard deviation over the
        seeds, and those of the ensemble) and `predictions.parquet` of the ensemble.

    Raises
    ------
    RecipeError
        If no seed is given, or one twice or negative.
    SSLECGError
        As `finetune`.

    Notes
    -----
    The folder is a classifier like that of one run: ``predict("recordings", "out", "said.csv")`` averages what the runs
    say, with thresholds chosen for that mean on the validation records. `ssl-ecg finetune --seeds 0 1 2 --out out` and
    `ssl-ecg predict recordings --checkpoint out --out said.csv` do the same.
    """
    if not seeds or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise RecipeError("seeds", f"are {list(seeds)}", "give whole numbers from 0 on, each once")
    from ssl_ecg.train.launch import find_place

    archive, out = archive if isinstance(archive, Archive) else Archive(archive), Path(out)
    if (out / "encoder").exists() or (out / "last.ckpt").exists():
        raise CheckpointError(str(out), "holds a run of one seed", "choose another --out")
    if any(out.glob("fold-*")):
        raise CheckpointError(str(out), "holds runs of several folds", "choose another --out")
    drawn, given = ["train.seed"], {each.partition("=")[0].strip() for each in overrides}
    if load_recipe(recipe, overrides).get("forest") and "forest.seed" not in given:
        drawn.append("forest.seed")
    runs = []
    for seed in seeds:
        own = [*overrides, *(f"{name}={seed}" for name in drawn)]
        runs.append(finetune(recipe, archive, out / f"seed-{seed}", overrides=own, **options))
    if find_place().rank:
        return out
    write_json(out / "metrics.json", _summarise(out, runs, seeds))
    return out


def _summarise(out: Path, runs: Sequence[Path], seeds: Sequence[int]) -> dict[str, Any]:
    """Put the figures of all runs together; write what their ensemble said."""
    found = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    shared = (*SHARED, "rows", "division")
    content = {name: found[0][name] for name in shared if name in found[0]}
    if content["checkpoint"] is None:
        del content["encoder"]  # drawn anew for each seed
    content |= {"seeds": list(seeds), "runs": [run.name for run in runs], **_of_leads(out, runs, found, ())}
    content["reduced_leads"] = {
        leads: _of_leads(out, runs, [one["reduced_leads"][leads] for one in found], tuple(leads.split(",")))
        for leads in found[0]["reduced_leads"]
    }
    return {**content, "versions": versions()}


def _of_leads(
    out: Path, runs: Sequence[Path], found: Sequence[Mapping[str, Any]], leads: tuple[str, ...]
) -> dict[str, Any]:
    reading, _ = kind_of(runs)
    table = average_predictions(runs, leads)
    if table is None:
        raise CheckpointError(str(out), "its runs were not judged on the same records", "choose another --out")
    keys = {name: key for name, key in _SETS.items() if name in found[0]}
    parts = {
        name: columns_of(table[table["set"] == key], reading.classes, reading.prefix) for name, key in keys.items()
    }
    pooled = reading.of_ensemble([], parts["validation"])
    table = table.assign(**decided(pooled, columns_of(table, reading.classes, reading.prefix)[1]))
    write_whole(out / predictions_name(leads), lambda file: table.to_parquet(file, index=False))
    content = {name: value for name, value in pooled.about().items() if name != "calibration"}
    for name, (truth, answers) in parts.items():
        macro = [one[name]["macro"] for one in found]
        content[name] = {**spread(macro), "per_seed": macro, "ensemble": pooled.figures(truth, answers)}
    return content


def spread(figures: Sequence[Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Give mean and standard deviation over the seeds of every figure; the latter is NaN for one seed."""
    values = {name: np.array([one[name] for one in figures], dtype=np.float64) for name in figures[0]}
    spread = {name: float(v.std(ddof=1)) if len(v) > 1 else float("nan") for name, v in values.items()}
    return {"mean": {name: float(v.mean()) for name, v in values.items()}, "spread": spread}
