"""Cost of each transform and of a SimCLR chain: whole batches against record by record.

Both ways run in turn within one process, so that whatever else the machine does falls on both.
Run: python evaluation/augmentation/throughput.py --out evaluation/augmentation/results.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import ssl_ecg
from ssl_ecg.augment.functional_noise import band_noise
from ssl_ecg.augment.transforms import TRANSFORMS, build_transform, parameters_of
from ssl_ecg.augment.views import Views, build_chain
from ssl_ecg.provenance import processor

CHAIN: list[str | dict[str, Any]] = [
    "gain",
    {"name": "dipole_rotation", "degrees": 30.0},
    {"name": "baseline_wander", "p": 0.5},
    {"name": "emg", "p": 0.5},
    {"name": "time_mask", "p": 0.5},
    {"name": "lead_mask", "p": 0.5},
]


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Give the wall and the processor time of one run [s]."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(runs: dict[str, tuple[Callable[[], object], int]], repeats: int) -> dict[str, float]:
    """Run all in turn and give the medians per strip [us]."""
    for run, _ in runs.values():
        run()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for repeat in range(repeats):
        names = list(runs) if repeat % 2 == 0 else list(runs)[::-1]
        for name in names:
            times[name].append(timed(runs[name][0]))
    result = {}
    for name, (_, strips) in runs.items():
        for kind, column in (("wall", 0), ("cpu", 1)):
            seconds = statistics.median(pair[column] for pair in times[name])
            result[f"{name}_{kind}_us"] = round(seconds / strips * 1e6, 2)
    return result


def one_by_one(change: Callable[[torch.Tensor], object], x: torch.Tensor) -> Callable[[], None]:
    """Give a loop that treats each record as a batch of one."""

    def run() -> None:
        for strip in x.split(1):
            change(strip)

    return run


def make(name: str, fs: float, view: int) -> torch.nn.Module:
    options: dict[str, Any] = {"fs": fs} if "fs" in parameters_of(name) else {}
    if name == "powerline":
        options["fs"] = max(fs, 250.0)  # 100 Hz cannot hold the mains; the work is the same
    if name == "real_noise":
        options["noise"] = torch.stack([band_noise(60_000, fs, 0.1, 0.4 * fs) for _ in range(2)])
    if name in ("crop", "resized_crop"):
        options["length"] = view
    return build_transform(name, **options)


def measure(args: argparse.Namespace, view: int) -> dict[str, Any]:
    """Measure all transforms and the chain for one length of view."""
    fs, few = args.fs, min(args.records, args.batch)
    x = torch.randn(args.batch, 12, 2 * view) * 0.2
    whole = x[..., :view].contiguous()
    table = {}
    for name in TRANSFORMS:
        transform = make(name, fs, view)
        source = x if "crop" in name else whole
        runs: dict[str, tuple[Callable[[], object], int]] = {
            "batched": (lambda t=transform, s=source: t(s), args.batch),
            "single": (one_by_one(transform, source[:few]), few),
        }
        table[name] = compare(runs, args.repeats)
    views = Views(build_chain(CHAIN, fs=fs).transforms, n_views=2, crop=view)
    chain = compare(
        {"batched": (lambda: views(x), args.batch), "single": (one_by_one(views, x[:few]), few)}, args.repeats
    )
    chain.update(step_of_encoder(args, views, x))
    for row in (*table.values(), chain):
        row["faster_wall"] = round(row["single_wall_us"] / row["batched_wall_us"], 1)
        row["faster_cpu"] = round(row["single_cpu_us"] / row["batched_cpu_us"], 1)
    return {"view_samples": view, "transforms": table, "two_views": chain}


def step_of_encoder(args: argparse.Namespace, views: Views, x: torch.Tensor) -> dict[str, float]:
    """Set two views beside forward and backward of the default encoder on them."""
    from ssl_ecg.models.registry import build_encoder

    encoder = build_encoder("conv1d")
    pair = torch.cat(views(x))

    def step() -> None:
        encoder.zero_grad()
        encoder(pair).square().mean().backward()

    result = compare({"encoder": (step, len(x)), "views": (lambda: views(x), len(x))}, max(args.repeats // 4, 3))
    share = result["views_cpu_us"] / result["encoder_cpu_us"]
    parameters = sum(parameter.numel() for parameter in encoder.parameters())
    return {
        "encoder_parameters": parameters,
        "encoder_step_wall_us": result["encoder_wall_us"],
        "encoder_step_cpu_us": result["encoder_cpu_us"],
        "share_of_encoder_step_cpu": round(share, 4),
        "share_of_encoder_step_wall": round(result["views_wall_us"] / result["encoder_wall_us"], 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128, help="strips in a batch")
    parser.add_argument("--records", type=int, default=32, help="strips of each loop record by record")
    parser.add_argument("--views", type=int, nargs="+", default=[500, 1000], help="lengths of a view [samples]")
    parser.add_argument("--fs", type=float, default=100.0, help="rate [Hz]")
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    report = {
        "what": "cost per strip [us], medians of interleaved runs; two_views is both views of a strip",
        "chain": ["crop", *CHAIN],
        "settings": {key: value for key, value in vars(args).items() if key != "out"},
        "hardware": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "load_average_before": list(os.getloadavg()),
        },
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "ssl_ecg": ssl_ecg.__version__,
        },
        "results": [measure(args, view) for view in args.views],
    }
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
