"""QRS duration and QT of real recordings, beside those of neurokit2's delineators; README.md says how."""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.record import Record
from ssl_ecg.features.beats import INTERVALS, beat_features
from ssl_ecg.features.qrs import r_peaks
from ssl_ecg.files import write_json
from ssl_ecg.signal import resample_band

HERE = Path(__file__).parent
BAND = (0.5, 40.0)
COMPARED = ("qrs_width", "qt")
BLOCKS = {"CLBBB", "CRBBB"}
LIMITS = {"qrs_width": (0.04, 0.25), "qt": (0.2, 0.7)}
"""What lies beyond is no such interval and counts as not found [s]."""


def ours(record: Record, fs: float) -> dict[str, float]:
    """Measure the averaged beat of all leads, at a rate [Hz]."""
    signal = resample_band(record.signal, record.fs, fs, BAND)
    intervals, _ = beat_features(signal, r_peaks(signal, fs), fs)
    return {name: float(intervals[INTERVALS.index(name)]) for name in COMPARED}


def neurokit(record: Record, method: str) -> dict[str, float]:
    """Give the medians over the beats of lead II."""
    import neurokit2

    fs = round(record.fs)
    lead = np.asarray(record.signal[record.leads.index("II")], float)
    try:
        clean = neurokit2.ecg_clean(lead, sampling_rate=fs)
        peaks = neurokit2.ecg_peaks(clean, sampling_rate=fs)[1]["ECG_R_Peaks"]
        waves = neurokit2.ecg_delineate(clean, peaks, sampling_rate=fs, method=method)[1]
        onset, offset, t_end = (np.array(waves[f"ECG_{n}"], float) for n in ("R_Onsets", "R_Offsets", "T_Offsets"))
        return {"qrs_width": _middle(onset, offset) / fs, "qt": _middle(onset, t_end) / fs}
    except Exception as error:  # whatever a third party raises is a failure of it and ends nothing
        print(f"{record.record_id}: {method}: {type(error).__name__} {error}")
        return dict.fromkeys(COMPARED, np.nan)


def _middle(starts: np.ndarray, ends: np.ndarray) -> float:
    """Give the median time from a start to the end that follows before the next start [samples]."""
    starts, ends = np.sort(starts[np.isfinite(starts)]), np.sort(ends[np.isfinite(ends)])
    if not len(starts):
        return np.nan
    following = np.searchsorted(ends, starts, side="right")
    bounds = np.append(starts[1:], np.inf)
    spans = [
        ends[k] - start
        for start, k, bound in zip(starts, following, bounds, strict=True)
        if k < len(ends) and ends[k] < bound
    ]
    return float(np.median(spans)) if len(spans) >= 3 else np.nan


def compared(a: np.ndarray, b: np.ndarray) -> dict[str, Any]:
    """Compare two measurements [s] of the same recordings; in milliseconds."""
    from scipy.stats import spearmanr

    both = np.isfinite(a) & np.isfinite(b)
    if both.sum() < 3:
        return {"records": int(both.sum())}
    apart = 1000 * (a[both] - b[both])
    return {
        "records": int(both.sum()),
        "median_difference_ms": float(np.median(apart)),
        "median_absolute_difference_ms": float(np.median(np.abs(apart))),
        "p90_absolute_difference_ms": float(np.percentile(np.abs(apart), 90)),
        "spearman": float(spearmanr(a[both], b[both]).statistic),
    }


def told(values: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Say how well durations tell recordings with a complete bundle branch block from normal ones."""
    from ssl_ecg.evaluate.metrics import auroc

    known = np.isfinite(values) & np.isfinite(truth)
    return {
        "blocks": int(truth[known].sum()),
        "normal": int((truth[known] == 0).sum()),
        "auroc_of_blocks": float(auroc(truth[known, None], values[known, None])[0]),
        "median_of_blocks_ms": float(1000 * np.median(values[known & (truth == 1)])) if truth[known].any() else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ptbxl", type=Path, required=True, help="folder of the corpus with records500")
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--out", type=Path, default=HERE / "intervals.json")
    options = parser.parse_args()

    from importlib.metadata import version

    warnings.simplefilter("ignore")
    corpus = open_corpus(f"ptbxl:{options.ptbxl}", rate=500)
    entries = [entry for entry in corpus.entries() if entry.location.startswith("records500")]
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(options.records, len(entries))).round().astype(int))
    ways = {
        "ours, 500 Hz": lambda record: ours(record, 500.0),
        "ours, 100 Hz": lambda record: ours(record, 100.0),
        "neurokit2 dwt, lead II": lambda record: neurokit(record, "dwt"),
        "neurokit2 cwt, lead II": lambda record: neurokit(record, "cwt"),
    }
    found = {way: {name: np.full(len(chosen), np.nan) for name in COMPARED} for way in ways}
    seconds, wide = dict.fromkeys(ways, 0.0), np.full(len(chosen), np.nan)
    for row, k in enumerate(chosen):
        record = corpus.read(entries[k])
        if "NORM" in entries[k].codes or not BLOCKS.isdisjoint(entries[k].codes):
            wide[row] = not BLOCKS.isdisjoint(entries[k].codes)
        for way, measure in ways.items():
            started = time.perf_counter()
            for name, value in measure(record).items():
                low, high = LIMITS[name]
                found[way][name][row] = value if low <= value <= high else np.nan
            seconds[way] += time.perf_counter() - started
        if row % 20 == 0:
            print(f"{row} of {len(chosen)}", flush=True)
    results: dict[str, Any] = {}
    for name in COMPARED:
        each = {
            way: {
                "not_found": float(np.mean(~np.isfinite(values[name]))),
                "median_ms": float(1000 * np.nanmedian(values[name])),
                "p5_p95_ms": (1000 * np.nanpercentile(values[name], [5, 95])).tolist(),
            }
            for way, values in found.items()
        }
        first, *others = found
        pairs = {f"{first} less {other}": compared(found[first][name], found[other][name]) for other in others}
        last, before = others[-1], others[-2]
        pairs[f"{before} less {last}"] = compared(found[before][name], found[last][name])
        if name == "qrs_width":
            for way, values in found.items():
                each[way] |= told(values[name], wide)
        results[name] = {"ways": each, "pairs": pairs}
        print(name, results[name], flush=True)
    write_json(
        options.out,
        {
            "records": len(chosen),
            "limits_s": LIMITS,
            "seconds": {way: round(value, 1) for way, value in seconds.items()},
            "neurokit2": version("neurokit2"),
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
