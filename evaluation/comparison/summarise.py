"""Makes results.json and table.md out of the scores of the cells."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from join import joined_differences, joined_entry
from protocol import INNER, ROTATIONS, archives, rotation

from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.metrics import macro_auroc
from ssl_ecg.files import write_json
from ssl_ecg.provenance import hardware, versions

HERE = Path(__file__).parent
COLLAPSED = 0.6
"""Macro AUROC below which a probe or fine-tuning counts as collapsed."""


def load(work: Path) -> dict[str, dict[tuple[str, int], tuple[dict[str, np.ndarray], dict[str, Any]]]]:
    """Cell -> (rotation, seed) -> scores and facts."""
    found: dict[str, Any] = {}
    for path in sorted((work / "scores").glob("*.npz")):
        if path.name.endswith(".part.npz"):
            continue
        facts = json.loads(path.with_suffix(".json").read_text())
        cell, _, rest = path.stem.partition("-" + next(n for n in (*ROTATIONS, *INNER) if f"-{n}-" in path.stem) + "-")
        name = path.stem[len(cell) + 1 : -len(rest) - 1]
        with np.load(path) as scores:
            found.setdefault(cell, {})[name, int(rest)] = ({k: scores[k] for k in scores.files}, facts)
    return found


class Judge:
    """Macro AUROC, mean of the rotations, with intervals over patients within each."""

    def __init__(self, cuts: dict[str, Any], n_resamples: int) -> None:
        self.cuts = cuts
        self.truth = np.concatenate([r.labels[r.test] for r in cuts.values()])
        self.options = {
            "groups": np.concatenate([r.patients[r.test] for r in cuts.values()]),
            "parts": np.concatenate([np.full(len(r.test), name) for name, r in cuts.items()]),
            "n_resamples": n_resamples,
        }

    def joined(self, runs: dict[Any, Any], key: str, seeds: list[int]) -> np.ndarray:
        """Scores (seed and draw, record, class) with the test records of all rotations one after the other."""
        return np.concatenate(
            [np.concatenate([runs[name, seed][0][key] for name in self.cuts], axis=1) for seed in seeds]
        )

    def interval(self, scores: np.ndarray) -> dict[str, Any]:
        """Value and 95 % interval."""
        return bootstrap_intervals(self.truth, scores, **self.options)[0].to_dict()

    def difference(self, a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
        """Paired difference and 95 % interval."""
        return paired_difference(self.truth, a, b, **self.options).to_dict()


def divisions_of(runs: dict[Any, Any]) -> list[str]:
    """Divisions of the records that a cell has been through; all three rotations, or those that there are."""
    return [name for name in (*ROTATIONS, *INNER) if any(division == name for division, _ in runs)]


def seeds_of(runs: dict[Any, Any], divisions: list[str]) -> list[int]:
    """Seeds for which every division is there."""
    return sorted({s for _, s in runs if all((name, s) in runs for name in divisions)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--only", nargs="+", help="cells; what the results say of others stays")
    parser.add_argument("--add", action="store_true", help="join seeds that the results lack to those that they have")
    options = parser.parse_args()
    if options.add and not options.only:
        parser.error("--add needs --only: the cells that have gone on elsewhere")
    labelled, everything = archives(options.data, options.work)
    cuts = {name: rotation(labelled, name) for name in (*ROTATIONS, *INNER)}
    found = load(options.work)
    before = json.loads(options.out.read_text()) if options.only else {"cells": {}, "differences": {}}
    chosen = {cell: runs for cell, runs in found.items() if not options.only or cell in options.only}
    if options.add:
        chosen = {cell: without(runs, before["cells"].get(cell, {}).get("seeds", ())) for cell, runs in chosen.items()}
    table = {cell: summary(runs, cuts, options.resamples) for cell, runs in chosen.items() if runs}
    for cell, entry in table.items():
        print(cell, entry["divisions"], {key: round(v["value"], 4) for key, v in entry["auroc"].items()}, flush=True)
    for entry in table.values():
        entry["cell"] = json.loads(json.dumps(entry["cell"]).replace(str(options.data), "{data}"))
    new = differences(found, table, {**before["cells"], **table}, cuts, options.resamples)
    if options.add:
        new = {cell: joined_differences(before["differences"].get(cell, {}), value) for cell, value in new.items()}
        old = {cell: before["cells"][cell] for cell in table if cell in before["cells"]}
        table |= {cell: joined_entry(entry, table[cell]) for cell, entry in old.items()}
    made_with = {
        "archives": {"labelled": labelled.fingerprint, "pretraining": everything.fingerprint},
        "versions": versions(),
        "hardware": machine(),
    }
    write_json(
        options.out,
        {
            "protocol": "macro AUROC of five superclasses, mean of the divisions, 95 % bootstrap over patients",
            "cells": {**before["cells"], **table},
            "differences": {**before["differences"], **new},
            "collapse_is_below": COLLAPSED,
            **{name: before.get(name, value) for name, value in made_with.items()},
        },
    )


def without(runs: dict[tuple[str, int], Any], seeds: Iterable[int]) -> dict[tuple[str, int], Any]:
    """Leave out the runs of some seeds."""
    return {(name, seed): run for (name, seed), run in runs.items() if seed not in seeds}


def summary(runs: dict[Any, Any], cuts: dict[str, Any], n_resamples: int) -> dict[str, Any]:
    """Figures of a cell over the divisions and seeds that it has."""
    divisions = divisions_of(runs)
    seeds = seeds_of(runs, divisions)
    if not seeds:  # a seed has been through some of the divisions only: take the first alone
        divisions = divisions[:1]
        seeds = seeds_of(runs, divisions)
    own = {name: cuts[name] for name in divisions}
    judge = Judge(own, n_resamples)
    keys = list(runs[divisions[0], seeds[0]][0])
    facts = [runs[name, seed][1] for name in divisions for seed in seeds]
    return {
        "cell": facts[0]["cell"],
        "divisions": divisions,
        "seeds": seeds,
        "machines": [{"seeds": seeds, "hardware": machine()}],
        **{k: float(np.median(values)) for k, values in figures(facts).items()},
        **{k: facts[0][k] for k in ("parameters", "dim") if k in facts[0]},
        "auroc": {key: judge.interval(judge.joined(runs, key, seeds)) for key in keys},
        "by_rotation": {
            key: {
                name: [
                    float(np.mean([macro_auroc(r.labels[r.test], s) for s in runs[name, seed][0][key]]))
                    for seed in seeds
                ]
                for name, r in own.items()
            }
            for key in keys
        },
        "collapsed": {key: collapsed(runs, own, seeds, key) for key in keys},
    }


def figures(facts: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Collect what was noted beside the scores; a run that was held up has no time."""
    names = ("seconds", "effective_rank", "std")
    return {name: found for name in names if (found := [f[name] for f in facts if name in f])}


def collapsed(runs: dict[Any, Any], cuts: dict[str, Any], seeds: list[int], key: str) -> str:
    """Count the runs below COLLAPSED."""
    values = [
        macro_auroc(r.labels[r.test], s) for name, r in cuts.items() for seed in seeds for s in runs[name, seed][0][key]
    ]
    return f"{sum(v < COLLAPSED for v in values)} of {len(values)}"


def differences(
    found: dict[str, Any], table: dict[str, Any], whole: dict[str, Any], cuts: dict[str, Any], n_resamples: int
) -> dict[str, Any]:
    """Each cell against its references, over the divisions and seeds that both have."""
    out: dict[str, Any] = {}
    for cell, entry in table.items():
        for other in entry["cell"].get("against", ()):
            other_cell, _, kind = other.partition("/")
            if other_cell not in whole:
                continue
            runs = found.get(other_cell, {})  # none if it has been run elsewhere only
            divisions = [name for name in entry["divisions"] if name in divisions_of(runs)]
            seeds = sorted({*entry["seeds"]} & {*seeds_of(runs, divisions)})
            if not divisions or not seeds:
                continue
            judge = Judge({name: cuts[name] for name in divisions}, n_resamples)
            for key in entry["auroc"]:
                theirs = f"{kind or key.split('/')[0]}/{key.split('/')[1]}"
                if theirs not in whole[other_cell]["auroc"]:
                    continue
                a, b = judge.joined(found[cell], key, seeds), judge.joined(found[other_cell], theirs, seeds)
                value = {**judge.difference(a, b), "seeds": seeds, "divisions": divisions}
                out.setdefault(cell, {})[f"{key} - {other_cell} {theirs}"] = value
    return out


def machine() -> str:
    """Say what this runs on."""
    return f"{hardware()}, one thread a run"


if __name__ == "__main__":
    main()
