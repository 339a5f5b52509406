"""Memory and time of reading, pretraining and embedding with a thousand to a million strips; README.md says how."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "preparing"))

from memory import peak
from throughput import machine

SEED = 0
SHARD = 1000
STEPS_TRAINED = 40
BATCH = 256
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [16, 32, 64]},
    "method": {"name": "simclr", "hidden_dim": 64, "out_dim": 32},
    "views": {"crop": 80, "transforms": [{"name": "gain"}]},
    "data": {"seconds": 1},
    "train": {
        "steps": STEPS_TRAINED, "batch_size": BATCH, "precision": "float32", "seed": SEED, "monitor_every": 20,
        "log_every": 10, "checkpoint_every": 20,
    },
}  # fmt: skip


def _fill(n: int, folder: Path) -> None:
    """Write an archive of `n` strips of one second: one prepared shard over and over, under other names.

    Preparing a million records takes minutes and is measured elsewhere; what is measured here begins with an archive.
    """
    import numpy as np

    from ssl_ecg.data.canonical import Form
    from ssl_ecg.data.claim import claimed, order_of
    from ssl_ecg.data.making import Making
    from ssl_ecg.data.memory import Records
    from ssl_ecg.data.pieces import Item, Piece, Room, prepare_piece
    from ssl_ecg.data.record import Record
    from ssl_ecg.data.shards import ShardWriter
    from ssl_ecg.leads import STANDARD_LEADS

    noise = np.random.default_rng(SEED).normal(size=(12, 100 + SHARD)).astype(np.float32)
    records = (Record(noise[:, k : k + 100].copy(), 100.0, STANDARD_LEADS, f"record-{k:07d}") for k in range(SHARD))
    corpus, form, room = Records(records, name="filled"), Form(100.0, STANDARD_LEADS, None), Room()
    first = prepare_piece([Item(0, entry, record) for entry, record in corpus.pairs()], [corpus], form, room)
    with claimed(folder, order_of(form, [corpus], SHARD), resume=True):
        making = Making(folder, form, [corpus], SHARD)
        for number in range(n // SHARD):
            writer = ShardWriter(folder, number, 12)
            writer.add(Piece(list(_renamed(first.rows, number * SHARD)), first.lengths, first.samples))
            making._take(writer.finish())
        making.complete()


def _renamed(rows: list[str], start: int) -> Iterator[str]:
    for k, row in enumerate(rows):
        yield row.replace(f"record-{k:07d}", f"record-{start + k:07d}")


def _read(n: int, folder: Path) -> None:
    """Read every strip once, in random order, in batches."""
    import numpy as np

    from ssl_ecg.data.archive import Archive
    from ssl_ecg.data.strips import Strips

    strips = Strips(Archive(folder), 1.0)
    order = np.random.default_rng(SEED).permutation(n)
    for start in range(0, n, BATCH):
        strips.__getitems__(order[start : start + BATCH].tolist())


def _pretrain(n: int, folder: Path) -> None:
    from ssl_ecg.pretraining import pretrain

    pretrain(RECIPE, folder, folder.with_name("run"), progress=False)


def _embed(n: int, folder: Path) -> None:
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.embedding.run import embed
    from ssl_ecg.pretraining import random_encoder

    archive = Archive(folder)
    embed(random_encoder(RECIPE, archive, seed=SEED), archive, out=folder.with_name("embeddings"), batch_size=BATCH)


STEPS = {"fill": _fill, "read": _read, "pretrain": _pretrain, "embed": _embed}


def child(step: str, n: int, folder: Path) -> None:
    """Do one step in this process; print its time and the peak of its memory, imports included."""
    begun = time.perf_counter()
    STEPS[step](n, folder)
    print(json.dumps({"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time(), "peak_mib": peak()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strips", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6], help="multiples of 1000")
    parser.add_argument("--scratch", help="folder for the archives (2.5 GB), removed afterwards")
    parser.add_argument("--out", default=str(Path(__file__).with_name("scale.json")))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child[0], int(args.child[1]), Path(args.child[2]))
        return
    results: dict[str, dict[str, object]] = {step: {} for step in STEPS}
    for n in args.strips:
        with tempfile.TemporaryDirectory(dir=args.scratch) as folder:
            for step in STEPS:
                command = [sys.executable, __file__, "--child", step, str(n), f"{folder}/archive"]
                environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
                results[step][str(n)] = json.loads(run.stdout.splitlines()[-1])
                print(n, step, results[step][str(n)], flush=True)
    content = {"seed": SEED, "steps": STEPS_TRAINED, "batch": BATCH, "machine": machine(), "results": results}
    Path(args.out).write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
