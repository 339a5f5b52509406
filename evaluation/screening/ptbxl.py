"""Normal against abnormal records of PTB-XL, by every detector on every encoder; README.md says how."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg import Archive, embed, load_encoder
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.files import write_json
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.reconstruction.reconstruct import reconstruct
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.tasks import get_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, Rotation, rotation  # noqa: E402

CLASSES = get_task("superclass").classes
NORMAL = CLASSES.index("NORM")
UNTRAINED = "untrained"
SHARES = (0.0, 0.01, 0.05, 0.1)


class Division:
    """One rotation: normal records of the folds that were pretrained on, and all of the test folds."""

    def __init__(self, r: Rotation) -> None:
        self.rotation = r
        self.normal = (r.labels[:, NORMAL] == 1) & (np.nansum(r.labels, axis=1) == 1)
        known = np.concatenate([r.train, r.val])
        self.reference, self.abnormal = known[self.normal[known]], known[~self.normal[known]]
        self.test = r.test

    def without(self, k: int) -> np.ndarray:
        """Give the records of the known folds that have any superclass but this one."""
        known = np.concatenate([self.rotation.train, self.rotation.val])
        return known[self.rotation.labels[known, k] != 1]

    def contaminated(self, share: float, draw: int) -> np.ndarray:
        """Put abnormal records in the place of a share of the reference."""
        rng = np.random.default_rng(draw)
        n = round(share * len(self.reference))
        kept = rng.permutation(self.reference)[n:]
        return np.sort(np.concatenate([kept, rng.choice(self.abnormal, n, replace=False)]))


class Judge:
    """AUROC over the test records of all rotations, with intervals over patients."""

    def __init__(self, divisions: dict[str, Division], positive: Callable[[Division], np.ndarray]) -> None:
        self.keep = {name: np.isin(positive(d)[d.test], (0, 1)) for name, d in divisions.items()}
        truth = [positive(d)[d.test][self.keep[name]] for name, d in divisions.items()]
        self.truth = np.concatenate(truth)[:, None].astype(float)
        patients = [d.rotation.patients[d.test][self.keep[name]] for name, d in divisions.items()]
        parts = [np.full(len(t), name) for t, name in zip(truth, divisions, strict=True)]
        self.options: dict[str, Any] = {
            "groups": np.concatenate(patients),
            "parts": np.concatenate(parts),
            "n_resamples": 1000,
        }

    def stack(self, scores: dict[int, dict[str, np.ndarray]]) -> np.ndarray:
        """(seed, record, 1) of scores by seed and rotation."""
        rows = [np.concatenate([of[name][keep] for name, keep in self.keep.items()]) for of in scores.values()]
        return np.stack(rows)[..., None]

    def value(self, scores: dict[int, dict[str, np.ndarray]]) -> dict[str, Any]:
        """Give the mean over seeds and rotations with its interval."""
        return bootstrap_intervals(self.truth, self.stack(scores), **self.options)[0].to_dict()

    def difference(self, scores: dict[int, dict[str, np.ndarray]], other: dict[int, dict[str, np.ndarray]]) -> Any:
        """Give the paired difference with its interval."""
        return paired_difference(self.truth, self.stack(scores), self.stack(other), **self.options).to_dict()


def vectors(name: str, part: str, seed: int, archive: Archive, work: Path) -> np.ndarray:
    """Embeddings of all records by one encoder, kept in the working folder."""
    path = work / "screening" / f"{name}-{part}-{seed}.npy"
    if not path.exists():
        run = work / "runs" / f"{name if name != UNTRAINED else 'simclr'}-{part}-{seed}"
        encoder = random_encoder(run / "recipe.yaml", archive, seed=seed) if name == UNTRAINED else load_encoder(run)
        path.parent.mkdir(exist_ok=True)
        np.save(path, embed(encoder, archive, progress=False).vectors)
    return np.asarray(np.load(path))


def held_out(
    names: list[str], detector: str, divisions: dict[str, Division], embeddings: dict[Any, np.ndarray], seeds: Any
) -> dict[str, Any]:
    """AUROC of the records of each superclass by a detector fitted on all records without it."""
    table: dict[str, Any] = {}
    for k, c in enumerate(CLASSES):
        judge = Judge(divisions, lambda d, k=k: d.rotation.labels[:, k])
        for name in names:
            scores = {
                seed: {
                    part: DETECTORS[detector]()
                    .fit(embeddings[name, part, seed][d.without(k)])
                    .anomaly_score(embeddings[name, part, seed][d.test])
                    for part, d in divisions.items()
                }
                for seed in seeds[name]
            }
            table.setdefault(c, {})[name] = judge.value(scores)
    return table


def contamination(
    encoder: str, detector: str, divisions: dict[str, Division], embeddings: dict[Any, np.ndarray], seeds: list[int]
) -> dict[str, Any]:
    """AUROC with abnormal records among the reference, five draws, plain and with a trimmed fit."""
    judge = Judge(divisions, lambda d: ~d.normal)
    table: dict[str, Any] = {}
    for trim in (0.0, 0.1):
        found = {}
        for share in SHARES:
            found[share] = {
                (seed, draw): {
                    name: DETECTORS[detector]()
                    .set_params(trim=trim)
                    .fit(embeddings[encoder, name, seed][d.contaminated(share, draw)])
                    .anomaly_score(embeddings[encoder, name, seed][d.test])
                    for name, d in divisions.items()
                }
                for seed in seeds
                for draw in range(5)
            }
            table[f"{share:.0%} of the reference abnormal, trim {trim:g}"] = {
                "auroc": judge.value(found[share]),
                "change": judge.difference(found[share], found[0.0]),
            }
    return table


def draw(content: dict[str, Any], path: Path) -> None:
    """Draw AUROC with its interval for every detector and encoder, out of the JSON only."""
    import ssl_ecg.plot.style as style

    figure = style.new_figure(7.6, 4.6)
    axes = figure.add_subplot()
    encoders = list(dict.fromkeys(name.split(" ", 1)[0] for name in content["auroc"] if "reconstruction" not in name))
    for k, encoder in enumerate(encoders):
        for row, detector in enumerate(DETECTORS):
            found = content["auroc"].get(f"{encoder} {detector}")
            if found:
                y = row + 0.16 * (k - (len(encoders) - 1) / 2)
                label = encoder if row == 0 else "_"
                axes.plot([found["low"], found["high"]], [y, y], color=style.PALETTE[k], linewidth=1.4, label="_")
                axes.plot(found["value"], y, style.MARKERS[k], color=style.PALETTE[k], markersize=5, label=label)
    errors = [v["value"] for name, v in content["auroc"].items() if "reconstruction" in name]
    if errors:
        axes.axvline(max(errors), color=style.SOFT, linewidth=1, linestyle="--", label="reconstruction error")
    axes.set_yticks(range(len(DETECTORS)), list(DETECTORS))
    axes.invert_yaxis()
    style.tidy(axes, xlabel="AUROC, abnormal against normal records", grid="x")
    style.legend(axes, loc="center left", bbox_to_anchor=(1.02, 0.5))
    style.save_figure(figure, path, ("png",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="working folder of evaluation/comparison/run.py")
    parser.add_argument("--encoders", nargs="+", default=[UNTRAINED, "autoencoder", "simclr", "guided"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--out", type=Path, default=HERE / "ptbxl.json")
    options = parser.parse_args()

    started = time.perf_counter()
    archive = Archive(options.work / "ptbxl")
    divisions = {name: Division(rotation(archive, name)) for name in ROTATIONS}
    runs = options.work / "runs"
    seeds = {
        name: [
            s for s in options.seeds if name == UNTRAINED or all((runs / f"{name}-{r}-{s}").exists() for r in ROTATIONS)
        ]
        for name in options.encoders
    }
    z = {
        (name, part, seed): vectors(name, part, seed, archive, options.work)
        for name in options.encoders
        for seed in seeds[name]
        for part in ROTATIONS
    }
    scores: dict[str, dict[int, dict[str, np.ndarray]]] = {}
    for name in options.encoders:
        for detector in DETECTORS:
            scores[f"{name} {detector}"] = {
                seed: {
                    part: DETECTORS[detector]()
                    .fit(z[name, part, seed][d.reference])
                    .anomaly_score(z[name, part, seed][d.test])
                    for part, d in divisions.items()
                }
                for seed in seeds[name]
            }
            print(f"{name} {detector}: {time.perf_counter() - started:.0f} s", flush=True)
    for name in ("autoencoder", "masked"):
        if all((runs / f"{name}-{part}-0").exists() for part in ROTATIONS):
            for scale in ("mv", "relative"):
                scores[f"{name} reconstruction error, {scale}"] = {
                    0: {
                        part: reconstruct(runs / f"{name}-{part}-0", archive, d.test, scale=scale).score
                        for part, d in divisions.items()
                    }
                }
    write_json(options.out, results(divisions, z, scores, seeds, options, started))
    draw(json.loads(options.out.read_text()), options.out.with_suffix(""))


def results(
    divisions: dict[str, Division],
    z: Any,
    scores: dict[str, Any],
    seeds: dict[str, list[int]],
    options: Any,
    started: float,
) -> dict[str, Any]:
    """Judge all scores."""
    judge = Judge(divisions, lambda d: ~d.normal)
    auroc = {name: judge.value(found) for name, found in scores.items()}
    for name, value in auroc.items():
        print(f"{name}: {value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]")

    def best(kind: Callable[[str], bool]) -> str:
        return max((name for name in scores if kind(name)), key=lambda name: auroc[name]["value"])

    chosen = best(lambda name: not name.startswith(UNTRAINED) and "reconstruction" not in name)
    against = {"untrained": best(lambda name: name.startswith(UNTRAINED))}
    if any("reconstruction" in name for name in scores):
        against["reconstruction"] = best(lambda name: "reconstruction" in name)
    by_class = {}
    for k, name in enumerate(CLASSES):
        if k != NORMAL:
            of = Judge(divisions, lambda d, k=k: np.where(d.normal, 0, np.where(d.rotation.labels[:, k] == 1, 1, 2)))
            by_class[name] = {each: of.value(scores[each]) for each in (chosen, *against.values())}
    encoder, detector = chosen.split(" ", 1)
    return {
        "auroc": auroc,
        "best": chosen,
        "differences": {
            other: judge.difference(_same_seeds(scores, chosen, name), _same_seeds(scores, name, chosen)) | {"of": name}
            for other, name in against.items()
        },
        "by_class": by_class,
        "held_out": held_out([encoder, UNTRAINED], detector, divisions, z, seeds),
        "contamination": contamination(encoder, detector, divisions, z, seeds[encoder]),
        "records": {
            part: {"reference": len(d.reference), "test": len(d.test), "abnormal": int((~d.normal[d.test]).sum())}
            for part, d in divisions.items()
        },
        "seeds": seeds,
        "versions": versions(),
        "hardware": hardware(),
        "seconds": time.perf_counter() - started,
    }


def _same_seeds(scores: dict[str, Any], name: str, other: str) -> dict[int, dict[str, np.ndarray]]:
    """Give the seeds of one scoring that the other has too."""
    return {seed: found for seed, found in scores[name].items() if seed in scores[other]}


if __name__ == "__main__":
    main()
