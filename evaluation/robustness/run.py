"""Frozen encoders and a linear probe on changed test records, over the three rotations; README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ssl_ecg import Archive, LinearProbe, load_encoder
from ssl_ecg.augment.noise_parts import Part
from ssl_ecg.embedding.run import embed_signal
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.evaluate.perturbations import (
    Gain,
    Inverted,
    LostLeads,
    LostSamples,
    Noise,
    Perturbation,
    Swapped,
)
from ssl_ecg.evaluate.perturbed_archive import perturbed
from ssl_ecg.files import write_json
from ssl_ecg.leads import CHEST_LEADS
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.provenance import hardware, versions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, Rotation, rotation  # noqa: E402

LEVELS = (24, 18, 12, 6, 0)


def changes(nstdb: Path, part: Part) -> list[Perturbation]:
    """Give what is done to the test records; noise is of a part of each recording."""
    noise = [Noise(str(nstdb / name), snr, part=part) for name in ("bw", "em", "ma") for snr in LEVELS]
    unfiltered = [Noise(str(nstdb / name), 6, in_band=False, part=part) for name in ("bw", "em", "ma")]
    leads = [LostLeads(n=1), LostLeads(n=3), LostLeads(n=6), LostLeads(CHEST_LEADS)]
    wrong = [Inverted(), Inverted(("II",)), Inverted(("V2",)), Swapped("LA/RA"), Swapped("LA/LL")]
    gains = [Gain(0.5), Gain(2.0)]
    return [*noise, *unfiltered, *leads, *wrong, *gains, LostSamples(0.1), LostSamples(0.3, gaps=3)]


def read_all(archive: Archive) -> np.ndarray:
    """Read records of one length; (record, lead, time) [mV]."""
    return np.stack([archive.read(i) for i in range(len(archive))])


def vectors(encoder: nn.Module, signal: np.ndarray) -> np.ndarray:
    return np.concatenate([embed_signal(encoder, signal[k : k + 256]) for k in range(0, len(signal), 256)])


def encoders(runs: Path, name: str, archive: Archive, seed: int) -> dict[str, dict[str, nn.Module]]:
    """Give the pretrained and the untrained encoder of each rotation."""
    found: dict[str, dict[str, nn.Module]] = {name: {}, "untrained": {}}
    for part in ROTATIONS:
        run = runs / f"{name}-{part}-{seed}"
        found[name][part] = load_encoder(run).eval()
        found["untrained"][part] = random_encoder(run / "recipe.yaml", archive, seed=seed).eval()
    return found


class Judge:
    """Macro AUROC over the test records of all rotations, with intervals over patients."""

    def __init__(self, cuts: dict[str, Rotation]) -> None:
        self.truth = np.concatenate([r.labels[r.test] for r in cuts.values()])
        self.options: dict[str, Any] = {
            "groups": np.concatenate([r.patients[r.test] for r in cuts.values()]),
            "parts": np.concatenate([np.full(len(r.test), name) for name, r in cuts.items()]),
            "n_resamples": 1000,
        }

    def value(self, score: np.ndarray) -> dict[str, Any]:
        """Give the value with its interval."""
        return bootstrap_intervals(self.truth, score[None], **self.options)[0].to_dict()

    def change(self, score: np.ndarray, clean: np.ndarray) -> dict[str, Any]:
        """Give the paired difference from the clean records with its interval."""
        return paired_difference(self.truth, score[None], clean[None], **self.options).to_dict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="PTB-XL as evaluation/comparison prepares it")
    parser.add_argument("--runs", type=Path, required=True, help="run folders METHOD-ROTATION-SEED")
    parser.add_argument("--nstdb", type=Path, required=True)
    parser.add_argument(
        "--part", choices=("all", "first", "second"), default="all",
        help="half of the noise; second for encoders pretrained with the first",
    )  # fmt: skip
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()

    started = time.perf_counter()
    archive = Archive(options.archive)
    cuts = {name: rotation(archive, name) for name in ROTATIONS}
    judge, clean = Judge(cuts), read_all(archive)
    models = encoders(options.runs, options.method, archive, options.seed)
    probes, base = {}, {}
    for name, by_rotation in models.items():
        scores = []
        for part, encoder in by_rotation.items():
            r, z = cuts[part], vectors(encoder, clean)
            probe = LinearProbe().fit(z[r.train], r.labels[r.train], z[r.val], r.labels[r.val])
            probes[name, part] = probe
            scores.append(probe.predict_proba(z[r.test]))
        base[name] = np.concatenate(scores)
    table: dict[str, Any] = {name: {"clean": {"macro_auroc": judge.value(score)}} for name, score in base.items()}
    for change in changes(options.nstdb, options.part):
        signal = read_all(perturbed(archive, change, seed=options.seed))
        for name, by_rotation in models.items():
            scores = [
                probes[name, part].predict_proba(vectors(encoder, signal[cuts[part].test]))
                for part, encoder in by_rotation.items()
            ]
            score = np.concatenate(scores)
            table[name][change.label] = {
                "macro_auroc": judge.value(score),
                "difference": judge.change(score, base[name]),
            }
            row = table[name][change.label]
            print(name, change.label, row["macro_auroc"]["value"], row["difference"]["value"], flush=True)
    write_json(
        options.out,
        {
            "protocol": "superclass, linear probe on all clean training records, mean of the three rotations, "
            "95 % bootstrap over patients",
            "archive": archive.fingerprint,
            "method": options.method,
            "noise_part": options.part,
            "seed": options.seed,
            "seconds": round(time.perf_counter() - started),
            "versions": versions(),
            "hardware": hardware(),
            "results": table,
        },
    )


if __name__ == "__main__":
    main()
