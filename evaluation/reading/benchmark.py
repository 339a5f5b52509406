"""Time ``read_record`` against ``wfdb.rdrecord`` on the same real records, side by side in one run.

    python evaluation/reading/benchmark.py --data FOLDER [--out evaluation/reading/results.json]

FOLDER holds ptbxl, cinc2011, cinc2021, mitdb and nstdb (what is absent is left out). README.md says what is measured.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import platform
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import wfdb

from ssl_ecg import __version__
from ssl_ecg.data.readers import read_record
from ssl_ecg.provenance import processor

SETS = {
    "ptbxl/records100": "PTB-XL at 100 Hz: 12 leads, 10 s, format 16",
    "ptbxl/records500": "PTB-XL at 500 Hz: 12 leads, 10 s, format 16",
    "cinc2011": "CinC 2011: 12 leads, 10 s at 500 Hz, format 16",
    "cinc2021": "CinC 2021: 12 leads, 6 to 60 s at 500 Hz, format 16+24 in .mat",
    "mitdb": "MIT-BIH Arrhythmia: 2 leads, 30 min at 360 Hz, format 212",
    "nstdb": "MIT-BIH Noise Stress Test: 2 leads, 30 min at 360 Hz, format 16",
}


def seconds(read: Callable[[], object], repeats: int) -> float:
    """Processor time of one call: the fastest of five groups of repeats."""
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        for _ in range(repeats):
            read()
        best = min(best, (time.process_time() - start) / repeats)
    return best


def compare(path: str, fast_first: bool) -> tuple[float, float, bool]:
    """Time both readers on one record, one right after the other; also whether they agree bit for bit."""
    signal, reference = read_record(path).signal, wfdb.rdrecord(path).p_signal
    same = signal.tobytes() == reference.T.astype(np.float32).tobytes()
    repeats = 5 if signal.size < 10**6 else 1
    readers = [lambda: read_record(path), lambda: wfdb.rdrecord(path)]
    times = [0.0, 0.0]
    for k in (0, 1) if fast_first else (1, 0):
        times[k] = seconds(readers[k], repeats)
    return times[0], times[1], same


def measure(folder: Path, description: str, most: int, rng: random.Random) -> dict[str, object]:
    """Compare the readers on a random choice of the records of a folder."""
    paths = sorted(str(path.with_suffix("")) for path in folder.rglob("*.hea"))
    chosen = rng.sample(paths, min(most, len(paths)))
    rows = [compare(path, fast_first=k % 2 == 0) for k, path in enumerate(chosen)]
    ratios = [slow / fast for fast, slow, _ in rows]
    low, _, high = quantiles(ratios, n=4) if len(ratios) > 1 else (ratios[0],) * 3
    return {
        "description": description,
        "records": len(rows),
        "identical": sum(same for *_, same in rows),
        "fast_ms": round(1e3 * median(fast for fast, *_ in rows), 4),
        "wfdb_ms": round(1e3 * median(slow for _, slow, _ in rows), 3),
        "ratio": round(median(ratios), 1),
        "ratio_quartiles": [round(low, 1), round(high, 1)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--records", type=int, default=100, help="at most, of each set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    gc.disable()
    sets = {}
    for name, description in SETS.items():
        if (options.data / name).is_dir():
            sets[name] = measure(options.data / name, description, options.records, rng)
            print(name, json.dumps(sets[name]))
    result = {
        "script": "evaluation/reading/benchmark.py",
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "seed": options.seed,
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads_used": 1},
        "versions": {
            "ssl_ecg": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "wfdb": wfdb.__version__,
        },
        "sets": sets,
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
