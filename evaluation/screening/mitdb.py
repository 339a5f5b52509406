"""Measures the monitor on the MIT-BIH Arrhythmia Database, clean and with noise of its Noise Stress Test Database.

Positive is what is annotated V or E; F, Q, /, f and ? are left out; all other beats, and detections where there is
no beat, are negative. A ventricular beat that was not detected counts as missed at every threshold. The constants
(share of the noise, weight of prematurity, tolerance of drift, faint complexes, thresholds) were settled by 105, 108,
114 and 118, which are reported apart from 106, 109, 116 and 119. The form of the score was chosen on all eight, and
their figures were seen on the way: the other four are no untouched test set.

    python evaluation/screening/mitdb.py --mitdb DATA/mitdb --nstdb DATA/nstdb
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.evaluate.metrics import auroc
from ssl_ecg.files import write_json
from ssl_ecg.monitor.baseline import EARLY, BeatBaseline
from ssl_ecg.monitor.events import Beat, Episode, Event, Window
from ssl_ecg.monitor.intervals import Intervals
from ssl_ecg.monitor.measure import MeasuredBeats
from ssl_ecg.monitor.recording import BLOCK
from ssl_ecg.monitor.settings import MonitorSettings
from ssl_ecg.monitor.stream import Monitor
from ssl_ecg.train.checkpoint import load_encoder

HERE = Path(__file__).parent
BEATS, POSITIVE, LEFT_OUT = "NLRBAaJSVrFejnE/fQ?", "VE", "FQ/f?"
TUNED_ON = ("105", "108", "114", "118")
FEWEST = 10
TOLERANCE = 0.15
QUIET, ON = 300.0, 120.0  # noise is added from here on, for two minutes of every four, as in the NSTDB [s]
NOISES = [("em", 12.0), ("em", 6.0), ("ma", 12.0), ("ma", 6.0), ("bw", 6.0)]
Score = Callable[[BeatBaseline, MeasuredBeats, np.ndarray], np.ndarray]


def with_noise(record: Record, noise: np.ndarray, snr: float) -> Record:
    """Add noise; the power of the signal is an eighth of the squared range of its QRS complexes, as in the NSTDB."""
    x, fs = record.signal, record.fs
    notes = record.annotations
    beats = notes.sample[np.isin(notes.symbol, list(BEATS))]
    beats = beats[(beats > fs / 10) & (beats < x.shape[1] - fs / 10)][:300]
    around = x[:, beats[:, None] + np.arange(-round(fs / 20), round(fs / 20) + 1)]
    power = np.square(np.median(np.ptp(around, axis=-1), axis=-1)) / 8
    noise = noise[: len(x), : x.shape[1]] - noise[: len(x), : x.shape[1]].mean(axis=-1, keepdims=True)
    gain = np.sqrt(power / np.mean(np.square(noise), axis=-1) / 10 ** (snr / 10))
    at = np.arange(x.shape[1]) / fs
    on = (at >= QUIET) & ((at - QUIET) // ON % 2 == 0)
    return record.replace(signal=(x + gain[:, None] * noise * on).astype(np.float32))


def labels(record: Record, found: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Give the symbol of each detection, "x" where there is no beat, and the symbols of beats that were missed."""
    notes = record.annotations
    kept = np.isin(notes.symbol, list(BEATS))
    true, symbols = notes.sample[kept] / record.fs, np.array(notes.symbol)[kept]
    out, missed = np.full(len(found), "x"), []
    for at, symbol in zip(true, symbols, strict=True):
        free = [k for k in np.flatnonzero(np.abs(found - at) <= TOLERANCE) if out[k] == "x"]
        if free:
            out[min(free, key=lambda k: abs(found[k] - at))] = symbol
        else:
            missed.append(symbol)
    return out, missed


def area(true: np.ndarray, score: np.ndarray) -> float:
    return float(auroc(true.astype(float), score)[0])


def figures(label: np.ndarray, missed: list[str], score: np.ndarray, hours: float, thresholds: dict[str, float]) -> Any:
    """Give AUROC, false alarms per hour at 90 % sensitivity, and both at given thresholds."""
    kept = ~np.isin(label, list(LEFT_OUT))
    lost = sum(symbol in POSITIVE for symbol in missed)
    true = np.r_[np.isin(label[kept], list(POSITIVE)), np.ones(lost, bool)]
    values = np.r_[np.nan_to_num(score[kept], nan=-50.0), np.full(lost, -100.0)]
    out: dict[str, Any] = {"ventricular": int(true.sum()), "not_detected": lost}
    if true.sum() >= FEWEST:
        level = np.sort(values[true])[::-1][int(np.ceil(0.9 * true.sum())) - 1]
        reached = level > -50
        out["auroc"] = area(true, values)
        out["threshold_at_90"] = float(level) if reached else None
        out["false_per_hour_at_90"] = float((values[~true] >= level).sum() / hours) if reached else None
    for name, threshold in thresholds.items():
        out[f"false_per_hour_{name}"] = float((values[~true] >= threshold).sum() / hours)
        out[f"sensitivity_{name}"] = float((values[true] >= threshold).mean()) if true.any() else None
    return out


def embedding_only(baseline: BeatBaseline, beats: MeasuredBeats, interval: np.ndarray) -> np.ndarray:
    early = np.nan_to_num(np.clip(1 - interval, 0, 0.5))
    return baseline.vector.score(beats.vector, beats.vector_noise) + EARLY * early


def morphology_only(baseline: BeatBaseline, beats: MeasuredBeats, interval: np.ndarray) -> np.ndarray:
    return BeatBaseline(baseline.rows, baseline.sizes, None, baseline.mask).score(beats, interval)


VARIANTS: dict[str, Score] = {"embedding": embedding_only, "morphology": morphology_only}


def watch(encoder: Any, record: Record, settings: MonitorSettings) -> tuple[Monitor, list[Event], MeasuredBeats, float]:
    """Run the monitor, and keep what it measured."""
    monitor, measured = Monitor(encoder, record.fs, record.leads, settings=settings), []
    measure = monitor.parts.measurer.measure

    def kept(block: Any) -> Any:
        measured.append(measure(block))
        return measured[-1]

    monitor.parts.measurer.measure = kept  # type: ignore[method-assign]
    started = time.perf_counter()
    events = monitor.feed(record.signal) + monitor.finish()
    took = time.perf_counter() - started
    return monitor, events, MeasuredBeats.joined([beats for _, beats in measured]), took


def one(encoder: Any, record: Record, settings: MonitorSettings, thresholds: dict[str, float]) -> dict[str, Any]:
    """Give the figures of one recording."""
    monitor, events, measured, took = watch(encoder, record, settings)
    beats = [event for event in events if isinstance(event, Beat)]
    windows = [event for event in events if isinstance(event, Window)]
    label, missed = labels(record, np.array([beat.time for beat in beats]))
    score = np.array([beat.score for beat in beats])
    out = figures(label, missed, score, record.seconds / 3600, {"default": settings.beat_threshold, **thresholds})
    share = Intervals().add(measured.time)[1]
    for name, variant in VARIANTS.items():
        if monitor.beats is not None and monitor.beats.vector is not None:
            values = variant(monitor.beats, measured, share)
            out[name] = figures(label, missed, values, record.seconds / 3600, {})
    notes = record.annotations
    at = notes.sample[np.isin(notes.symbol, list(POSITIVE))] / record.fs
    holds = np.array([((at >= w.start) & (at < w.end)).any() for w in windows])
    known = np.array([w.score == w.score and w.beat_score == w.beat_score for w in windows])
    if FEWEST <= holds[known].sum() < known.sum():
        beat_score, score = (np.array([getattr(w, name) for w in windows])[known] for name in ("beat_score", "score"))
        out["windows_auroc_by_strangest_beat"] = area(holds[known], beat_score)
        out["windows_auroc_by_embedding"] = area(holds[known], score)
    out["unusual_windows_per_hour"] = sum(w.score > w.threshold for w in windows) / (record.seconds / 3600)
    out["episodes"] = sum(isinstance(e, Episode) and e.ended for e in events)
    out["states"] = {state: sum(w.state == state for w in windows) for state in sorted({w.state for w in windows})}
    out["seconds_of_work"] = round(took, 2)
    return out


def summary(records: dict[str, Any]) -> dict[str, Any]:
    """Give medians and sums over the records with enough ventricular beats."""
    groups = {"all": list(records), "tuned_on": list(TUNED_ON)}
    groups["others"] = [name for name in records if name not in TUNED_ON]
    out = {}
    for group, names in groups.items():
        members = [records[name] for name in names if name in records and "auroc" in records[name]]
        reached = [m["false_per_hour_at_90"] for m in members if m["false_per_hour_at_90"] is not None]
        if members:
            out[group] = {
                "records": len(members),
                "auroc_median": float(np.median([m["auroc"] for m in members])),
                "auroc_lowest": min(m["auroc"] for m in members),
                "false_per_hour_at_90_median": float(np.median(reached)),
                "false_per_hour_at_90_mean": float(np.mean(reached)),
                "not_reached_90": len(members) - len(reached),
                **{
                    key: float(np.mean([m[key] for m in members]))
                    for key in members[0]
                    if key.startswith(("false_per_hour_", "sensitivity_")) and key != "false_per_hour_at_90"
                },
                **{f"auroc_median_{name}": float(np.median([m[name]["auroc"] for m in members])) for name in VARIANTS},
            }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mitdb", type=Path, required=True)
    parser.add_argument("--nstdb", type=Path, required=True)
    parser.add_argument("--checkpoint", default="conv1d-small")
    parser.add_argument("--out", type=Path, default=HERE / "mitdb.json")
    options = parser.parse_args()
    encoder, settings = load_encoder(options.checkpoint), MonitorSettings(block=BLOCK)
    read = [read_record(path, annotations="atr") for path in sorted(options.mitdb.glob("*.hea"))]
    noise = {kind: read_record(options.nstdb / kind).signal for kind, _ in NOISES}
    clean = {record.record_id: one(encoder, record, settings, {}) for record in read}
    for name, found in clean.items():
        at_90 = found.get("auroc"), found.get("false_per_hour_at_90"), found["not_detected"]
        print(name, *at_90, found["false_per_hour_default"], found["sensitivity_default"], found["states"], flush=True)
    results: dict[str, Any] = {"clean": {"summary": summary(clean), "records": clean}}
    for kind, snr in NOISES:
        noisy = {}
        for record in read:
            before = clean[record.record_id]
            if "auroc" in before:
                fixed = {"at_clean_threshold": before["threshold_at_90"]}
                noisy[record.record_id] = one(encoder, with_noise(record, noise[kind], snr), settings, fixed)
        results[f"{kind} {snr:g} dB"] = {"summary": summary(noisy), "records": noisy}
    for name, result in results.items():
        print(name, result["summary"]["all"], flush=True)
    about = {"settings": settings.to_dict(), "checkpoint": Path(options.checkpoint).name, "tuned_on": TUNED_ON}
    write_json(options.out, {**about, **results})


if __name__ == "__main__":
    main()
