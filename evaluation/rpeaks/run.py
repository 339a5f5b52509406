"""Measures R-peak detectors on the annotated beats of the MIT-BIH Arrhythmia Database; README.md says how."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg.data.readers import read_record
from ssl_ecg.features.qrs import r_peaks
from ssl_ecg.files import write_json
from ssl_ecg.signal import resample

HERE = Path(__file__).parent
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")
TOLERANCE = 0.15
Detector = Callable[[np.ndarray, float], np.ndarray]


def neurokit(signal: np.ndarray, fs: float) -> np.ndarray:
    """Give the R peaks of one lead by the default method of neurokit2."""
    import neurokit2

    clean = neurokit2.ecg_clean(np.nan_to_num(signal[0]).astype(float), sampling_rate=round(fs))
    return np.asarray(neurokit2.ecg_peaks(clean, sampling_rate=round(fs))[1]["ECG_R_Peaks"], np.int64)


DETECTORS: dict[str, tuple[Detector, float | None]] = {
    "ours, both leads": (r_peaks, None),
    "ours, first lead": (lambda signal, fs: r_peaks(signal[:1], fs), None),
    "ours, both leads, 100 Hz": (r_peaks, 100.0),
    "ours, first lead, 100 Hz": (lambda signal, fs: r_peaks(signal[:1], fs), 100.0),
    "neurokit2, first lead": (neurokit, None),
    "neurokit2, first lead, 100 Hz": (neurokit, 100.0),
}


def offsets(true: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Pair beats with detections one to one, in time, within the tolerance [s]; give found - true [ms]."""
    pairs, k = [], 0
    for number, at in enumerate(true):
        while k < len(found) and found[k] < at - TOLERANCE:
            k += 1
        following = true[number + 1] if number + 1 < len(true) else np.inf
        best = None
        while k < len(found) and abs(found[k] - at) <= TOLERANCE:
            nearer = best is None or abs(found[k] - at) < abs(found[best] - at)
            if not nearer or abs(found[k] - following) < abs(found[k] - at):
                break
            best, k = k, k + 1
        if best is not None:
            pairs.append(1000 * (found[best] - at))
    return np.array(pairs)


def figures(offset: np.ndarray, n_true: int, n_found: int, seconds: float) -> dict[str, Any]:
    return {
        "beats": n_true,
        "missed": n_true - len(offset),
        "false": n_found - len(offset),
        "sensitivity": len(offset) / n_true,
        "ppv": len(offset) / n_found,
        "offset_median_abs_ms": float(np.median(np.abs(offset))),
        "offset_p95_abs_ms": float(np.percentile(np.abs(offset), 95)),
        "offset_median_ms": float(np.median(offset)),
        "seconds": round(seconds, 2),
    }


def measure(folder: Path, detector: Detector, rate: float | None) -> dict[str, Any]:
    """Measure one detector on every record, and over all of their beats."""
    by_record, every, n_true, n_found, spent = {}, [], 0, 0, 0.0
    for path in sorted(folder.glob("*.hea")):
        record = read_record(path, annotations="atr")
        notes = record.annotations
        true = notes.sample[np.isin(notes.symbol, list(BEATS))] / record.fs
        fs = rate or record.fs
        signal = record.signal if rate is None else resample(record.signal, record.fs, fs)
        started = time.perf_counter()
        found = detector(signal, fs) / fs
        took = time.perf_counter() - started
        offset = offsets(true, found)
        by_record[path.stem] = {"leads": record.leads, **figures(offset, len(true), len(found), took)}
        every.append(offset)
        n_true, n_found, spent = n_true + len(true), n_found + len(found), spent + took
    return {"all": figures(np.concatenate(every), n_true, n_found, spent), "records": by_record}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mitdb", type=Path, required=True, help="folder of the database")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    results = {}
    for name, (detector, rate) in DETECTORS.items():
        if detector is neurokit and find_spec("neurokit2") is None:
            print(f"{name}: left out, neurokit2 is not installed")
            continue
        results[name] = measure(options.mitdb, detector, rate)
        print(name, results[name]["all"], flush=True)
    if find_spec("neurokit2"):
        from importlib.metadata import version

        results["neurokit2"] = version("neurokit2")
    write_json(options.out, {"tolerance_s": TOLERANCE, **results})


if __name__ == "__main__":
    main()
