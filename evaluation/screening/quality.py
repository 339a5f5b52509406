"""Unacceptable against acceptable recordings of CinC 2011, by quality flags and embeddings; README.md says how."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg import Archive, embed, load_encoder
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals
from ssl_ecg.evaluate.sampling import grouped_folds
from ssl_ecg.features.baselines import ForestBaseline
from ssl_ecg.features.expert import expert_embeddings
from ssl_ecg.files import write_json
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.screen.mahalanobis import MahalanobisScreen

HERE = Path(__file__).parent
FOLDS = 5


def flag_columns(archive: Archive, rows: np.ndarray) -> np.ndarray:
    """Turn quality flags such as "flat:V1" into columns, and how many of each kind (record, column)."""
    flags = [set(archive.index["quality"].iloc[row]) for row in rows]
    names = sorted(set().union(*flags))
    kinds = sorted({name.split(":")[0] for name in names})
    each = [[name in found for name in names] for found in flags]
    counts = [[sum(name.split(":")[0] == kind for name in found) for kind in kinds] for found in flags]
    return np.hstack([np.array(each, float), np.array(counts, float)])


def ranks(values: np.ndarray, standard: np.ndarray) -> np.ndarray:
    """Give the share of the standard that is lower."""
    return np.searchsorted(np.sort(standard), values) / len(standard)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="archive with the records of CinC 2011")
    parser.add_argument("--checkpoint", required=True, help="run folder, checkpoint folder or released name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the division into folds")
    parser.add_argument("--out", type=Path, default=HERE / "quality.json")
    options = parser.parse_args()

    started = time.perf_counter()
    archive = Archive(options.archive)
    codes = archive.index["codes"].map(lambda found: found[0] if len(found) else "")
    rows = np.flatnonzero((archive.index["corpus"] == "cinc2011") & codes.isin(["acceptable", "unacceptable"]))
    bad = (codes.iloc[rows] == "unacceptable").to_numpy()
    flags = flag_columns(archive, rows)
    z = embed(load_encoder(options.checkpoint), archive).vectors[rows]
    expert = expert_embeddings(archive, impute=False).vectors[rows]
    count = flags.sum(axis=1)
    inputs = {"flags": flags, "embedding": z, "embedding and flags": np.hstack([z, flags])}
    inputs["expert features and flags"] = np.hstack([expert, flags])
    inputs["embedding, expert features and flags"] = np.hstack([z, expert, flags])
    scores: dict[str, list[np.ndarray]] = {}
    for seed in options.seeds:
        fold = grouped_folds(bad[:, None].astype(float), np.arange(len(bad)), n_folds=FOLDS, seed=seed)
        found = {name: np.zeros(len(bad)) for name in ("distance", "distance and flags", *inputs)}
        for k in range(FOLDS):
            train, test = fold != k, fold == k
            usual = train & ~bad
            screen = MahalanobisScreen().fit(z[usual])
            found["distance"][test] = screen.anomaly_score(z[test])
            found["distance and flags"][test] = np.maximum(
                ranks(found["distance"][test], screen.reference_scores_), ranks(count[test], count[usual])
            )
            for name, x in inputs.items():
                forest = ForestBaseline(seed=seed).fit(x[train], bad[train, None].astype(float))
                found[name][test] = forest.predict_proba(x[test])[:, 0]
        for name, values in found.items():
            scores.setdefault(name, []).append(values)
    table: dict[str, Any] = {}
    for name, values in scores.items():
        truth = bad[:, None].astype(float)
        table[name] = bootstrap_intervals(truth, np.stack(values)[..., None])[0].to_dict()
        print(f"{name}: {table[name]['value']:.3f} [{table[name]['low']:.3f}, {table[name]['high']:.3f}]")
    content = {
        "auroc": table,
        "records": {"unacceptable": int(bad.sum()), "acceptable": int((~bad).sum())},
        "flagged": {"unacceptable": int((count[bad] > 0).sum()), "acceptable": int((count[~bad] > 0).sum())},
        "seeds": options.seeds,
        "folds": FOLDS,
        "checkpoint": load_encoder(options.checkpoint).card.get("name", str(Path(options.checkpoint).name)),
        "versions": versions(),
        "hardware": hardware(),
        "seconds": time.perf_counter() - started,
    }
    write_json(options.out, content)


if __name__ == "__main__":
    main()
