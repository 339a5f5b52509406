"""Peak memory of `prepare` and `embed` with 2,000, 20,000 and 200,000 records; README.md says how."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SEED = 0


def _prepare(n: int, folder: str) -> None:
    import numpy as np

    from ssl_ecg.data.corpora.base import Corpus, Entry
    from ssl_ecg.data.prepare import prepare
    from ssl_ecg.data.record import Record
    from ssl_ecg.leads import STANDARD_LEADS

    class Short(Corpus):
        """As many recordings of one second at 250 Hz as are asked for, all cut from one piece of noise."""

        name = "short"

        def __init__(self, n: int) -> None:
            super().__init__(Path(__file__).parent)
            self.n = n
            self._noise = np.random.default_rng(SEED).normal(size=(12, 2000)).astype(np.float32)

        def entries(self) -> Iterator[Entry]:
            for k in range(self.n):
                yield Entry(f"record-{k:07d}", f"{k}", f"patient-{k // 3}", k % 10 + 1, 50.0, "male", ("NORM", "SR"))

        def read(self, entry: Entry) -> Record:
            start = int(entry.location) % 1750
            return Record(self._noise[:, start : start + 250].copy(), 250.0, STANDARD_LEADS, entry.record_id)

    prepare(Short(n), f"{folder}/archive", workers=2, progress=False)


def _read(n: int, folder: str) -> None:
    import numpy as np

    from ssl_ecg.data.archive import Archive

    archive = Archive(f"{folder}/archive")
    for i in np.random.default_rng(SEED).permutation(n):
        archive.read(int(i))


def _embed(n: int, folder: str) -> None:
    import torch

    from ssl_ecg.data.archive import Archive
    from ssl_ecg.embedding.run import embed
    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.preprocessing import Preprocessing

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    encoder = build_encoder("conv1d")
    encoder.preprocessing = Preprocessing()
    embed(encoder, Archive(f"{folder}/archive"), out=f"{folder}/embeddings", batch_size=256)


STEPS = {"prepare": _prepare, "read": _read, "embed": _embed}


def child(step: str, n: int, folder: str) -> None:
    """Do one step in a process of its own; print the peaks of it and of its largest worker [MiB]."""
    begun = time.perf_counter()
    STEPS[step](n, folder)
    result = {"seconds": time.perf_counter() - begun, "cpu_seconds": processor_time(), "peak": peak()}
    if step == "prepare":  # torch starts processes of its own, which are no workers
        result["largest_worker"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps(result))


def processor_time() -> float:
    """Processor time of this process and its workers, imports included; other programs change it less [s]."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def peak() -> float:
    """Peak resident memory; from the kernel's account of this program, not of what it was started from."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[2_000, 20_000, 200_000])
    parser.add_argument("--steps", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--scratch", help="folder for the archives, removed afterwards")
    parser.add_argument("--out", default=str(Path(__file__).with_name("memory.json")))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], int(args.child[1]), args.child[2])
        return
    results: dict[str, dict[str, object]] = {step: {} for step in args.steps}
    for n in args.records:
        with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
            for step in args.steps:
                command = [sys.executable, __file__, "--child", step, str(n), folder]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                results[step][str(n)] = json.loads(run.stdout)
                print(n, step, run.stdout.strip(), flush=True)
    from throughput import machine

    content = {"seed": SEED, "unit": "MiB", "machine": machine(), "results": results}
    Path(args.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
