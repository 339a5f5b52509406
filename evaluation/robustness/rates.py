"""Fine-tuned classifiers on recordings with other sampling rates, from the files on; README.md says how."""

from __future__ import annotations

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import wfdb
from scipy.signal import resample_poly

from ssl_ecg import Archive, open_corpus, predict
from ssl_ecg.data.record import Record
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference
from ssl_ecg.files import write_json
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.tasks import get_task

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, finetuned_run, rotation  # noqa: E402

CLASSES = get_task("superclass").classes
RATES = (250, 360, 500, 1000)
GAIN = 1000.0
"""Of the files [steps per mV], as in PTB-XL."""


def recorded(data: Path, wanted: set[str]) -> list[Record]:
    """Read those of some records that are there at 500 Hz."""
    corpus = open_corpus(f"ptbxl:{data / 'ptbxl'}", rate=500)
    there = (entry for entry in corpus.entries() if entry.location.startswith("records500"))
    return [corpus.read(entry) for entry in there if entry.record_id in wanted]


def write_files(records: list[Record], rate: int, folder: Path) -> Path:
    """Write recordings at another rate as a device would: WFDB, 16 bits, its own anti-aliasing filter (scipy's)."""
    folder.mkdir()
    for record in records:
        ratio = Fraction(rate, round(record.fs))
        signal = np.asarray(record.signal, float)
        if ratio != 1:
            signal = resample_poly(signal, ratio.numerator, ratio.denominator, axis=-1)
        wfdb.wrsamp(
            record.record_id, fs=rate, units=["mV"] * len(signal), sig_name=list(record.leads), write_dir=str(folder),
            d_signal=np.round(signal.T * GAIN).astype(np.int64), fmt=["16"] * len(signal),
            adc_gain=[GAIN] * len(signal), baseline=[0] * len(signal),
        )  # fmt: skip
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of ptbxl with records500")
    parser.add_argument("--work", type=Path, required=True, help="working folder of evaluation/comparison/run.py")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "rates.json")
    options = parser.parse_args()

    started, archive = time.perf_counter(), Archive(options.work / "ptbxl")
    row_of = {record_id: row for row, record_id in enumerate(archive.index["record_id"])}
    columns = [f"{kind}_{name}" for kind in ("proba", "decision") for name in CLASSES]
    found: dict[str, list[np.ndarray]] = {}
    rows, parts = [], []
    for name in ROTATIONS:
        r = rotation(archive, name)
        run = finetuned_run(options.work, f"finetuned_{options.method}", name, options.seed)
        at_both = archive.index.iloc[r.test][archive.index["source"].iloc[r.test].str.startswith("records100")]
        records = recorded(options.data, set(at_both["record_id"]))
        here = np.array([row_of[record.record_id] for record in records])
        table = predict(archive, run, progress=False)
        found.setdefault("100", []).append(table[columns].iloc[here].to_numpy(float))
        with TemporaryDirectory() as folder:
            for rate in RATES:
                files = write_files(records, rate, Path(folder) / str(rate))
                table = predict(files, run, workers=1, progress=False).set_index("record_id")
                ids = [record.record_id for record in records]
                found.setdefault(str(rate), []).append(table.loc[ids, columns].to_numpy(float))
        rows.append(here)
        parts.append(np.full(len(here), name))
        print(f"{name}: {len(here)} records, {time.perf_counter() - started:.0f} s", flush=True)

    every = np.concatenate(rows)
    truth = r.labels[every]
    how: dict[str, Any] = {"groups": r.patients[every], "parts": np.concatenate(parts), "n_resamples": 1000}
    joined = {rate: np.concatenate(tables) for rate, tables in found.items()}
    usual, n = joined["100"], len(CLASSES)
    results = {}
    for rate, table in joined.items():
        apart = np.abs(table[:, :n] - usual[:, :n])
        results[rate] = {
            "macro_auroc": bootstrap_intervals(truth, table[None, :, :n], **how)[0].to_dict(),
            "difference": paired_difference(truth, table[None, :, :n], usual[None, :, :n], **how).to_dict(),
            "median_change": float(np.median(apart)),
            "p99_change": float(np.percentile(apart, 99)),
            "largest_change": float(apart.max()),
            "decisions_changed": float((table[:, n:] != usual[:, n:]).mean()),
        }
        print(rate, results[rate], flush=True)
    write_json(
        options.out,
        {
            "protocol": "test records that are here at both rates; those at 500 Hz brought to each rate by scipy, "
            "written as WFDB files, and read by predict; mean of the three rotations, 95 % bootstrap over patients; "
            "changes of probabilities from the published recordings at 100 Hz",
            "records": len(every),
            "method": options.method,
            "seed": options.seed,
            "versions": versions(),
            "hardware": hardware(),
            "seconds": round(time.perf_counter() - started),
            "results": results,
        },
    )


if __name__ == "__main__":
    main()
