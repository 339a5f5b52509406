"""Expert features with four classifiers on the three rotations; README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg import Archive
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals
from ssl_ecg.evaluate.metrics import macro_auroc
from ssl_ecg.features.baselines import BASELINES
from ssl_ecg.features.expert import expert_embeddings
from ssl_ecg.files import write_json
from ssl_ecg.provenance import hardware, versions

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, Rotation, rotation  # noqa: E402


def subsets(r: Rotation, size: str, draws: int) -> list[np.ndarray]:
    """Give the training rows of each draw."""
    return [r.train] if size == "all" else [r.subsets(draw)[size] for draw in range(draws)]


def measure(x: np.ndarray, cuts: dict[str, Rotation], kind: str, size: str, draws: int) -> dict[str, Any]:
    """Fit on each rotation and draw; macro AUROC over the rotations with its interval over patients."""
    started, scores, by_rotation = time.perf_counter(), [], {}
    for name, r in cuts.items():
        found = []
        for draw, rows in enumerate(subsets(r, size, draws)):
            fitted = BASELINES[kind](seed=draw).fit(x[rows], r.labels[rows], x[r.val], r.labels[r.val])
            found.append(fitted.predict_proba(x[r.test]))
        by_rotation[name] = [macro_auroc(r.labels[r.test], score) for score in found]
        scores.append(np.stack(found))
    interval = bootstrap_intervals(
        np.concatenate([r.labels[r.test] for r in cuts.values()]),
        np.concatenate(scores, axis=1),
        groups=np.concatenate([r.patients[r.test] for r in cuts.values()]),
        parts=np.concatenate([np.full(len(r.test), name) for name, r in cuts.items()]),
        n_resamples=1000,
    )[0]
    seconds = round(time.perf_counter() - started, 1)
    return {"macro_auroc": interval.to_dict(), "by_rotation": by_rotation, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="PTB-XL as evaluation/comparison prepares it")
    parser.add_argument("--sizes", nargs="+", default=["all", "100"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()

    archive = Archive(options.archive)
    started = time.perf_counter()
    embeddings = expert_embeddings(archive, impute=False, workers=options.workers, progress=True)
    took = time.perf_counter() - started
    cuts = {name: rotation(archive, name) for name in ROTATIONS}
    table: dict[str, Any] = {}
    for kind in BASELINES:
        for size in options.sizes:
            table[f"{kind}/{size}"] = measure(embeddings.vectors, cuts, kind, size, options.draws)
            print(kind, size, table[f"{kind}/{size}"], flush=True)
    write_json(
        options.out,
        {
            "protocol": "superclass, mean of the three rotations, 95 % bootstrap over patients; draws averaged",
            "archive": archive.fingerprint,
            "features": embeddings.dim,
            "seconds_of_features": round(took, 1),
            "draws": options.draws,
            "versions": versions(),
            "hardware": hardware(),
            "results": table,
        },
    )


if __name__ == "__main__":
    main()
