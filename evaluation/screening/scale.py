"""Time and memory of detectors with a thousand to a million embeddings of 256 dimensions; README.md says how."""

# ruff: noqa: N806 - matrices are upper case, as in the equations

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "preparing"))

from memory import peak
from throughput import machine

SEED = 0
DIM = 256
INNER = 48  # dimensions in which records really differ
NEW = 10_000
NEIGHBOURS = 10
BLOCK = 10_000
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "kmeans": ("kmeans", {}),
    "kmeans 8": ("kmeans", {"k": 8}),
    "knn exact": ("knn", {"search": "exact", "max_fit": 10**9}),
    "knn ivf": ("knn", {"search": "ivf"}),
    "knn hnsw": ("knn", {"search": "hnsw"}),
    "mahalanobis": ("mahalanobis", {}),
    "gmm": ("gmm", {}),
    "gmm 4": ("gmm", {"k": 4}),
    "isolation": ("isolation", {}),
}


def fill(n: int, path: Path) -> None:
    """Write embeddings (n, 256) float32: twelve kinds of unequal frequency in 48 dimensions, turned, with noise."""
    import numpy as np

    world = np.random.default_rng(SEED)
    centres, spread = 1.5 * world.normal(size=(12, INNER)), np.geomspace(3, 0.5, INNER)
    turn = np.linalg.qr(world.normal(size=(DIM, INNER)))[0].T.astype(np.float32)
    share = world.dirichlet(np.full(12, 2.0))
    vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(n, DIM))
    for start in range(0, n, BLOCK):
        rng = np.random.default_rng([SEED, start])
        size = min(BLOCK, n - start)
        inner = (centres[rng.choice(12, size, p=share)] + rng.normal(size=(size, INNER))) * spread
        noise = 0.05 * rng.normal(size=(size, DIM)).astype(np.float32)
        vectors[start : start + size] = inner.astype(np.float32) @ turn + noise
    vectors.flush()


def _timed(steps: dict[str, Callable[[], Any]]) -> dict[str, float]:
    seconds = {}
    for name, step in steps.items():
        begun = time.perf_counter()
        step()
        seconds[name] = round(time.perf_counter() - begun, 3)
    return seconds


def _own(name: str, path: Path) -> dict[str, Any]:
    """Fit (which scores the reference too), score new records, save and load, name the neighbours of all."""
    import faiss  # noqa: F401 - loaded before the clock starts
    import numpy as np
    import sklearn.ensemble
    import sklearn.metrics
    import sklearn.mixture  # noqa: F401

    from ssl_ecg.screen.detectors import DETECTORS, load_detector
    from ssl_ecg.screen.neighbours import build_index, search_index

    Z, new = np.load(path), np.load(path.with_name("new.npy"))
    kind, options = OWN[name]
    detector = DETECTORS[kind]().set_params(seed=SEED, **options)
    steps: dict[str, Callable[[], Any]] = {
        "fit": lambda: detector.fit(Z),
        "score": lambda: detector.anomaly_score(new),
        "save": lambda: detector.save(path.with_name("detector")),
        "load": lambda: load_detector(path.with_name("detector")),
    }
    if name == "kmeans":
        steps["neighbours"] = lambda: search_index(build_index(X := detector.transform(Z)), X, 3, own=True)
    values: dict[str, Any] = _timed(steps)
    if kind == "knn":
        values["agreement"] = _agreement(detector, new)
    return values


def _agreement(detector: Any, new: Any) -> dict[str, float]:
    """Compare the neighbours and scores of 500 new records with exact ones among the same reference."""
    import faiss
    import numpy as np
    from scipy.stats import spearmanr

    from ssl_ecg.screen.neighbours import nearest, search_index

    index, X = detector._index, detector.transform(new[:500])
    base = index if hasattr(index, "reconstruct_n") else index.storage
    if hasattr(base, "make_direct_map"):
        base.make_direct_map()
    exact, rows = nearest(X, base.reconstruct_n(0, base.ntotal), NEIGHBOURS)
    found, got = search_index(faiss.downcast_index(index), X, NEIGHBOURS)
    recall = np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(rows, got, strict=True)])
    rank = spearmanr(exact.mean(axis=1), found.mean(axis=1)).statistic
    excess = found.mean() / exact.mean() - 1
    return {
        "recall": round(float(recall), 4),
        "rank_correlation": round(float(rank), 5),
        "excess": round(float(excess), 5),
    }


def _counterpart(name: str, path: Path) -> dict[str, Any]:
    """Do the same with scikit-learn on the same projected embeddings; fitted records are scored as well."""
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.covariance import LedoitWolf
    from sklearn.decomposition import PCA
    from sklearn.ensemble import IsolationForest
    from sklearn.mixture import GaussianMixture
    from sklearn.neighbors import NearestNeighbors
    from sklearn.pipeline import make_pipeline

    Z, new = np.load(path), np.load(path.with_name("new.npy"))
    models: dict[str, tuple[Any, str]] = {
        "sklearn KMeans": (KMeans(8, n_init=3, random_state=SEED), "transform"),
        "sklearn NearestNeighbors": (NearestNeighbors(n_neighbors=NEIGHBOURS), "kneighbors"),
        "sklearn LedoitWolf": (LedoitWolf(), "mahalanobis"),
        "sklearn GaussianMixture": (GaussianMixture(4, random_state=SEED), "score_samples"),
        "sklearn IsolationForest": (IsolationForest(random_state=SEED), "score_samples"),
    }
    model, call = models[name]
    project = PCA(DIM if "Wolf" in name else 64, whiten=name.endswith(("Neighbors", "Forest")), random_state=SEED)
    score = getattr(model, call)

    def fit() -> None:
        X = make_pipeline(project).fit_transform(Z)
        model.fit(X)
        score() if call == "kneighbors" else score(X)

    return _timed({"fit": fit, "score": lambda: score(project.transform(new))})


COUNTERPARTS = {
    "kmeans 8": "sklearn KMeans", "knn exact": "sklearn NearestNeighbors", "mahalanobis": "sklearn LedoitWolf",
    "gmm 4": "sklearn GaussianMixture", "isolation": "sklearn IsolationForest",
}  # fmt: skip
NAMES = (*OWN, *COUNTERPARTS.values())


def child(name: str, path: Path) -> None:
    """Do one job in this process; print seconds and the peak of its memory, imports and embeddings included."""
    values = _own(name, path) if name in OWN else _counterpart(name, path)
    print(json.dumps({**values, "cpu_seconds": round(time.process_time(), 2), "peak_mib": round(peak())}))


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw time of fitting and peak memory against the number of records."""
    import ssl_ecg.plot.style as style

    figure = style.new_figure(10.8, 4.2)
    for k, (key, label) in enumerate([("fit", "fit and score the reference [s]"), ("peak_mib", "peak memory [MiB]")]):
        axes = figure.add_subplot(1, 2, k + 1)
        for number, name in enumerate(OWN):
            color, marker = (*style.PALETTE, style.INK)[number], (*style.MARKERS, "<")[number]
            for which, line in ((name, "-"), (COUNTERPARTS.get(name, ""), ":")):
                points = {int(n): v[key] for n, v in results.get(which, {}).items() if key in v}
                face = color if line == "-" else "white"
                shown = {"color": color, "marker": marker, "markersize": 5, "markerfacecolor": face, "linewidth": 1.3}
                axes.plot(list(points), list(points.values()), line, label=which if line == "-" else "_", **shown)
        axes.set_xscale("log")
        axes.set_yscale("log")
        style.tidy(axes, xlabel="records", ylabel=label, grid="both")
    style.legend(figure.axes[1], loc="center left", bbox_to_anchor=(1.02, 0.5))
    how = "hollow, dotted: scikit-learn's counterpart"
    figure.axes[1].set_title(how, loc="right", fontsize=9, color=style.SOFT)
    style.save_figure(figure, path, ("png",))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--names", nargs="+", default=list(NAMES), choices=NAMES, metavar="NAME")
    parser.add_argument("--limit", type=float, default=900, help="seconds after which a job is given up")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--scratch", help="folder for the embeddings (1 GB for a million), removed afterwards")
    parser.add_argument("--out", default=str(Path(__file__).with_name("scale.json")))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], Path(args.child[1]))
        return
    out = Path(args.out)
    results: dict[str, dict[str, Any]] = json.loads(out.read_text())["results"] if out.exists() else {}
    for n in args.records:
        with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
            path = Path(folder) / "embeddings.npy"
            fill(n, path)
            fill(NEW, path.with_name("new.npy"))
            for name in args.names:
                results.setdefault(name, {})[str(n)] = value = _run(name, path, args.threads, args.limit)
                print(n, name, value, flush=True)
                about = {"seed": SEED, "dim": DIM, "new": NEW, "threads": args.threads, "limit_s": args.limit}
                out.write_text(json.dumps({**about, "machine": machine(), "results": results}, indent=2) + "\n")
    draw(results, out.with_suffix(".png"))


def _run(name: str, path: Path, threads: int, limit: float) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", name, str(path)]
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))}
    try:
        run = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:g} s"}
    if run.returncode:
        return {"failed": f"exit status {run.returncode}"}
    return dict(json.loads(run.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
