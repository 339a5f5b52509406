"""`prepare` on two processes against wfdb and SciPy record by record; README.md says how."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import median

LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")


_tables: dict[int, list] = {}


def plain(job: dict) -> int:
    """Read, resample, filter and order the leads with wfdb and SciPy; nothing is kept."""
    import numpy as np
    import wfdb
    from scipy.signal import butter, resample_poly, sosfiltfilt

    sos = butter(4, [0.5, 40], "bandpass", fs=100, output="sos")
    for _ in range(job["repeats"]):
        for path in job["paths"]:
            record = wfdb.rdrecord(path)
            signal = record.p_signal.T
            if record.fs != 100:
                signal = resample_poly(signal, 100, int(record.fs), axis=1)
            names = [name.upper() for name in record.sig_name]
            sosfiltfilt(sos, signal[[names.index(lead) for lead in LEADS]], axis=1).astype(np.float32)
    return len(job["paths"]) * job["repeats"]


def library(job: dict) -> int:
    """Prepare the same records, as often, into an archive on disk."""
    from ssl_ecg.data.prepare import prepare

    sources = [corpus for k in range(job["repeats"]) for corpus in _corpora(job, k)]
    archive = prepare(sources, job["out"], workers=job["workers"], progress=False)
    return len(archive)


def _corpora(job: dict, k: int) -> Iterator[object]:
    """Open the corpora under another name for each repeat, so that no record occurs twice."""
    from ssl_ecg.data.corpora.cinc2011 import CinC2011
    from ssl_ecg.data.corpora.ptbxl import PTBXL

    class OneRate(PTBXL):
        """The records of PTB-XL that are there at one rate.

        The table is read once, not once for each repeat: of its 1,755 records 445 are there at 500 Hz, so that
        with four repeats one row is read for each record, as with the whole of PTB-XL.
        """

        def entries(self):  # type: ignore[no-untyped-def]
            if self.rate == 100 or self.rate not in _tables:
                folder = f"records{self.rate}/"
                _tables[self.rate] = [one for one in super().entries() if one.location.startswith(folder)]
            return iter(_tables[self.rate])

    found = [OneRate(f"{job['data']}/ptbxl", rate=job["rate"])]
    if job["rate"] == 500:
        found.append(CinC2011(f"{job['data']}/cinc2011"))
    for corpus in found:
        corpus.name = corpus.namespace = f"{corpus.name}-{k}"
        yield corpus


def child(job: dict) -> None:
    """Run one way, in a process of its own, and say how long the work took after the start."""
    begun = time.perf_counter()
    records = {"plain": plain, "library": library}[job["way"]](job)
    print(json.dumps({"records": records, "seconds": time.perf_counter() - begun}))


def measure(job: dict) -> dict:
    """Start a process for one way and take the time from before its start to after its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPYCACHEPREFIX": job["compiled"]}
    wait_for_quiet(job["patience"])
    with tempfile.TemporaryDirectory(dir=job["scratch"]) as folder:
        command = [sys.executable, __file__, "--child", json.dumps({**job, "out": f"{folder}/archive"})]
        busy, own, begun = busy_seconds(), own_seconds(), time.perf_counter()
        run = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        whole, own = time.perf_counter() - begun, own_seconds() - own
        others = max(0.0, busy_seconds() - busy - own) / whole
    return {**json.loads(run.stdout), "whole": whole, "processor_seconds": own, "others": round(others, 3)}


def own_seconds() -> float:
    """Give the processor time of the processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def busy_seconds() -> float:
    """Give the processor time that all programs of the machine together have taken; 0 where it is not told."""
    account = Path("/proc/stat")
    if not account.exists():
        return 0.0
    user, nice, system, _idle, _waiting, *rest = map(int, account.read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(patience: float) -> None:
    """Wait, but no longer than `patience` seconds, until nothing else has been running for two seconds."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        before = busy_seconds()
        time.sleep(2)
        if busy_seconds() - before < 0.2:
            return


def compare(data: str, rate: int, args: argparse.Namespace) -> dict:
    """Take both ways in turns and compare them round by round."""
    pattern = {500: ["ptbxl/records500/*/*.hea", "cinc2011/*.hea"], 100: ["ptbxl/records100/*/*.hea"]}[rate]
    paths = [str(path.with_suffix("")) for part in pattern for path in sorted(Path(data).glob(part))]
    job = {"data": data, "rate": rate, "workers": 2, "scratch": args.scratch, "repeats": args.repeats}
    rounds = []
    with tempfile.TemporaryDirectory(dir=args.scratch) as compiled:
        job |= {"compiled": compiled, "patience": args.patience, "paths": paths}
        for way in ("plain", "library"):  # byte code and the files' pages are there before anything counts
            measure({**job, "way": way, "repeats": 1, "patience": 0})
        for number in range(args.rounds):
            order = ("plain", "library") if number % 2 == 0 else ("library", "plain")
            runs = {way: measure({**job, "way": way}) for way in order}
            if runs["plain"]["records"] != runs["library"]["records"]:
                raise SystemExit(f"{runs['library']['records']} records, not {runs['plain']['records']}")
            ratio = runs["plain"]["whole"] / runs["library"]["whole"]
            quiet = max(one["others"] for one in runs.values()) < 0.1
            rounds.append({"ratio": ratio, "quiet": quiet, **runs})
            print(rate, json.dumps(rounds[-1]), flush=True)
    return {"distinct_records": len(paths), **summary([one for one in rounds if one["quiet"]]), "rounds": rounds}


def summary(rounds: list[dict]) -> dict:
    """Sum up the rounds during which nothing else was running."""
    if not rounds:
        return {"quiet_rounds": 0}
    records = rounds[0]["plain"]["records"]
    ways = ("plain", "library")
    return {
        "records": records,
        "quiet_rounds": len(rounds),
        "median_ratio": median(one["ratio"] for one in rounds),
        "ratios": sorted(one["ratio"] for one in rounds),
        "records_per_second": {way: records / median(one[way]["whole"] for one in rounds) for way in ways},
        "processor_ms_per_record": {
            way: 1000 * median(one[way]["processor_seconds"] for one in rounds) / records for way in ways
        },
    }


def machine() -> dict:
    """Describe hardware and versions."""
    from ssl_ecg.provenance import processor  # not above: a child's start is measured

    packages = ("numpy", "scipy", "wfdb", "pandas", "pyarrow")
    return {
        "processor": processor(),
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="folder that holds ptbxl and cinc2011")
    parser.add_argument("--repeats", type=int, default=4, help="how often every record is taken")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rates", type=int, nargs="+", default=[500, 100], choices=[500, 100])
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait for other programs")
    parser.add_argument("--scratch", help="folder for the archives, removed afterwards")
    parser.add_argument("--out", default=str(Path(__file__).with_name("throughput.json")))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(json.loads(args.child))
        return
    results = {f"{rate} Hz": compare(args.data, rate, args) for rate in args.rates}
    content = {"seed": None, "workers": 2, "repeats": args.repeats, "machine": machine(), "results": results}
    Path(args.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
