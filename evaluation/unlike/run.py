"""Recordings that are no ordinary ECG, shown to fine-tuned classifiers: which are flagged; README.md says how."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ssl_ecg import Archive, open_corpus, predict, prepare
from ssl_ecg.data.record import Record
from ssl_ecg.evaluate.metrics import auroc
from ssl_ecg.evaluate.perturb import swap_electrodes
from ssl_ecg.files import write_json
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.prediction.members import load_members
from ssl_ecg.provenance import hardware, versions
from ssl_ecg.signal import resample
from ssl_ecg.train.reference import renew_reference

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "comparison"))
from protocol import ROTATIONS, Rotation, finetuned_run, rotation  # noqa: E402

RAW = 500.0
Change = Callable[[np.ndarray, np.random.Generator], tuple[np.ndarray, float]]
ORDINARY = "ordinary"


def kept(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """Let a change of a recording at 100 Hz leave the rate as it is."""
    return lambda x, rng: (change(x, rng), 100.0)


def drawn(make: Callable[[np.ndarray, np.random.Generator], np.ndarray], of_ecg: bool = False) -> Change:
    """Make a recording at 500 Hz from its times [s], in place of an ECG or on top of it."""

    def change(x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
        below = resample(x, 100, RAW)
        made = make(np.arange(below.shape[1]) / RAW, rng)
        return (below + made if of_ecg else made), RAW

    return change


def hum(size: float) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    return lambda t, rng: size * np.sin(2 * np.pi * 50 * t + rng.uniform(0, 6.28, (12, 1)))


def spikes(t: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give spikes of 2 ms, 40 to 150 a minute, of some millivolts in each lead."""
    out, every = np.zeros((12, len(t))), round(RAW * rng.uniform(0.4, 1.5))
    out[:, rng.integers(every) :: every] = 4 * rng.normal(size=(12, 1))
    return out


def only(lead: str) -> Change:
    """Leave one lead; the others are zero, as devices write them."""
    return kept(lambda x, rng: x * (np.array(STANDARD_LEADS) == lead)[:, None])


CHANGES: dict[str, Change] = {
    ORDINARY: kept(lambda x, rng: x),
    "flat": kept(lambda x, rng: 0 * x),
    "white noise, 1 mV": drawn(lambda t, rng: rng.normal(size=(12, len(t)))),
    "white noise, 0.1 mV": drawn(lambda t, rng: 0.1 * rng.normal(size=(12, len(t)))),
    "one sine in all leads": drawn(lambda t, rng: np.tile(np.sin(2 * np.pi * rng.uniform(1, 10) * t), (12, 1))),
    "50 Hz hum alone, 1 mV": drawn(hum(1.0)),
    "50 Hz hum on an ECG, 0.2 mV": drawn(hum(0.2), of_ecg=True),
    "spikes alone": drawn(spikes),
    "spikes on an ECG": drawn(spikes, of_ecg=True),
    "times 10": kept(lambda x, rng: 10 * x),
    "times 2": kept(lambda x, rng: 2 * x),
    "divided by 2": kept(lambda x, rng: x / 2),
    "divided by 10": kept(lambda x, rng: x / 10),
    "half the sampling rate stated": lambda x, rng: (x, 50.0),
    "twice the sampling rate stated": lambda x, rng: (np.tile(x, 2), 200.0),
    "leads shuffled": kept(lambda x, rng: x[rng.permutation(12)]),
    "LA/RA swapped": kept(lambda x, rng: swap_electrodes(x, STANDARD_LEADS, "LA/RA")),
    "RA/LL swapped": kept(lambda x, rng: swap_electrodes(x, STANDARD_LEADS, "RA/LL")),
    "LA/LL swapped": kept(lambda x, rng: swap_electrodes(x, STANDARD_LEADS, "LA/LL")),
    "V1 and V6 exchanged": kept(lambda x, rng: x[[0, 1, 2, 3, 4, 5, 11, 7, 8, 9, 10, 6]]),
    "V3 flat": kept(lambda x, rng: x * (np.arange(12) != 8)[:, None]),
    "lead I alone": only("I"),
    "lead II alone": only("II"),
    "inverted": kept(lambda x, rng: -x),
    "reversed in time": kept(lambda x, rng: x[:, ::-1].copy()),
}


def changed(records: list[Record], change: Change) -> Iterator[Record]:
    """Change recordings, each with a generator of its own."""
    for number, record in enumerate(records):
        at_100 = resample(np.nan_to_num(record.signal), record.fs, 100)  # a few are there at 500 Hz only
        signal, fs = change(at_100, np.random.default_rng(number))
        yield dataclasses.replace(record, signal=signal.astype(np.float32), fs=fs, codes=())


def thinned(records: list[Record], most: int) -> list[Record]:
    """Keep so many recordings, evenly spread."""
    return [
        records[k] for k in np.unique(np.linspace(0, len(records) - 1, min(most, len(records))).round().astype(int))
    ]


def others(data: Path) -> dict[str, list[Record]]:
    """Give recordings of other devices: of phones, judged by people, and of other hospitals."""
    phones = open_corpus(f"cinc2011:{data / 'cinc2011'}")
    found: dict[str, list[Record]] = {}
    for entry in phones.entries():
        found.setdefault(f"CinC 2011, {entry.codes[0]}", []).append(phones.read(entry))
    hospitals = open_corpus(f"cinc2021:{data / 'cinc2021'}")
    found["CinC 2021, other hospitals"] = [hospitals.read(entry) for entry in hospitals.entries()]
    return found


def judged(records: list[Record], run: Path, folder: Path) -> pd.DataFrame:
    """Prepare recordings as a user would and let a classifier judge them; "before" is its embedding's distance."""
    archive = prepare(records, folder, workers=1, progress=False)
    table = predict(archive, run, progress=False).head(len(archive))  # those that cannot be read are last
    table["before"] = table["distance"]
    silent = np.flatnonzero(table["distance"].isna())
    if len(silent):
        member = load_members([run], archive).each[0]
        table.iloc[silent, table.columns.get_loc("before")] = member.answer(archive, silent, None, 0.99)[1]
    told = np.fmax(table["distance"], table["signal_distance"])
    surely = table["reason"].notna() | table["why"].fillna("").str.startswith("without")
    table["after"] = told.where(~surely, np.inf)
    return table


def of_rotation(
    r: Rotation, archive: Archive, run: Path, data: Path, extra: dict[str, list[Record]], most: int
) -> dict[str, Any]:
    """Judge every kind of recording by the classifier of one rotation; of ordinary ones, all."""
    corpus = open_corpus(f"ptbxl:{data / 'ptbxl'}")
    wanted = set(archive.index["record_id"].iloc[r.test])
    plain = [corpus.read(entry) for entry in corpus.entries() if entry.record_id in wanted]
    tables = {}
    with TemporaryDirectory() as folder:
        for number, (name, change) in enumerate(CHANGES.items()):
            some = plain if name == ORDINARY else thinned(plain, most)
            tables[name] = judged(list(changed(some, change)), run, Path(folder) / str(number))
            print(".", end="", flush=True)
        for number, (name, records) in enumerate(extra.items()):
            tables[name] = judged(thinned(records, most), run, Path(folder) / f"more-{number}")
    return tables


def figures(tables: list[pd.DataFrame], ordinary: list[pd.DataFrame]) -> dict[str, Any]:
    """Give the share that is flagged, and how well the distance tells them from ordinary records, over rotations."""
    out: dict[str, Any] = {"records": sum(map(len, tables))}
    out["no_answer"] = float(np.mean([table["reason"].notna().mean() for table in tables]))
    for when in ("before", "after"):
        flagged = [table["unlike_training"].fillna(False) if when == "after" else table[when] > 1 for table in tables]
        found = []
        for table, usual in zip(tables, ordinary, strict=True):
            score = np.concatenate([usual[when], table[when]])
            truth = np.repeat([0.0, 1.0], [len(usual), len(table)])
            found.append(float(auroc(truth[:, None], np.nan_to_num(score, posinf=1e9)[:, None])[0]))
        out[when] = {
            "auroc": float(np.mean(found)),
            "flagged": float(np.mean([one.mean() for one in flagged])),
            "flagged_by_rotation": [float(one.mean()) for one in flagged],
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of ptbxl, cinc2011 and cinc2021")
    parser.add_argument("--work", type=Path, required=True, help="working folder of evaluation/comparison/run.py")
    parser.add_argument("--method", default="simclr")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sizes", nargs="+", default=["all", "100"], help="numbers of labels")
    parser.add_argument("--most", type=int, default=150, help="records of each kind and rotation; ordinary ones: all")
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()

    started, results = time.perf_counter(), {}
    archive, extra = Archive(options.work / "ptbxl"), others(options.data)
    for size in options.sizes:
        found = []
        for name in ROTATIONS:
            r = rotation(archive, name)
            source = finetuned_run(options.work, f"finetuned_{options.method}", name, options.seed, size)
            with TemporaryDirectory() as folder:
                run = Path(folder) / "run"
                for part in ("encoder", "head"):
                    shutil.copytree(source / part, run / part)
                renew_reference(run, archive, r.subsets(0)[size], r.val)
                found.append(of_rotation(r, archive, run, options.data, extra, options.most))
            print(f"{size} labels, {name}: {time.perf_counter() - started:.0f} s", flush=True)
        usual = [tables[ORDINARY] for tables in found]
        results[size] = {kind: figures([tables[kind] for tables in found], usual) for kind in found[0]}
        for kind, row in results[size].items():
            shares = [f"{row[when]['auroc']:.3f} {row[when]['flagged']:.3f}" for when in ("before", "after")]
            print(f"{kind:32} {shares[0]} -> {shares[1]}, no answer {row['no_answer']:.2f}", flush=True)
        reasons = found[0][ORDINARY]["why"].dropna().tolist()
        results[size][ORDINARY]["reasons_of_first_rotation"] = reasons
        write_json(
            options.out,
            {
                "protocol": "test records of each rotation, changed and prepared; mean of the three rotations",
                "results": results,
                "method": options.method,
                "seed": options.seed,
                "most": options.most,
                "versions": versions(),
                "hardware": hardware(),
                "seconds": round(time.perf_counter() - started),
            },
        )


if __name__ == "__main__":
    main()
