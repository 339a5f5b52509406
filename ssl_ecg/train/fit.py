"""Runs a method over strips with Lightning's Trainer: progress, checkpoints, exact resume, monitors."""

from __future__ import annotations

import copy
import math
from pathlib import Path

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import RecipeError
from ssl_ecg.files import make_folder
from ssl_ecg.methods.base import Method
from ssl_ecg.train.launch import check_devices, find_place, launch
from ssl_ecg.train.monitor import Probe
from ssl_ecg.train.order import Sampling, make_order
from ssl_ecg.train.plan import Plan
from ssl_ecg.train.precision import Precision
from ssl_ecg.train.state import of_another_model, restore, saved_step

STATE = "last.ckpt"

_LEAST = {
    "steps": 1, "batch_size": 1, "lr": 0, "weight_decay": 0, "warmup": 0, "clip": 0, "seed": 0, "workers": 0,
    "log_every": 1, "monitor_every": 1, "checkpoint_every": 1,
}  # fmt: skip


def fit(
    method: Method,
    strips: Strips,
    out: str | Path,
    *,
    steps: int = 1000,
    batch_size: int = 256,
    lr: float = 2e-3,
    weight_decay: float = 1e-3,
    warmup: float = 0.05,
    clip: float = 3.0,
    precision: Precision = "auto",
    seed: int = 0,
    workers: int = 0,
    log_every: int = 10,
    monitor_every: int = 50,
    checkpoint_every: int = 100,
    tensorboard: bool = False,
    progress: bool = True,
    sampling: Sampling = "strips",
    probe: Probe | None = None,
    devices: int = 1,
) -> None:
    """Train a method; go on from the folder's last state if it holds one.

    With several processes, each has an equal part of every batch. Given the same views, the losses are those of one
    process; but each draws crops and views of its own, so that a run follows from the seed and the number of processes.
    They are started here, on one host, or have been started by torchrun or srun, on any number.

    Parameters
    ----------
    method : Method
        Changed in place.
    strips : Strips
    out : path
        Run folder: `log.csv` and `last.ckpt` are written there.
    steps : int
        Batches in all.
    batch_size : int
        Over all processes.
    lr, weight_decay : float
        Of AdamW; the learning rate is the peak of a cosine after a linear warm-up.
    warmup : float
        Share of the steps.
    clip : float
        Largest norm of the gradient.
    precision : {"auto", "float32", "bfloat16"}
        "auto": bfloat16 where the processor computes in it.
    seed : int
        Of batches, crops and augmentation; the weights were drawn before.
    workers : int
        Loader processes; 0 reads in the training process, which is quickest for small models on few cores.
    log_every, monitor_every, checkpoint_every : int
        Steps between log rows, looks at the embedding, and saved states.
    tensorboard : bool
        Also log for TensorBoard (package `tensorboard`).
    progress : bool
        Show a progress bar.
    sampling : {"strips", "shards"}
        "strips": batches are drawn from the whole archive. "shards": each process draws from its own shards alone,
        partners of the same patient too, some at a time, for archives larger than the memory and runs on many hosts;
        see `ShardOrder`.
    probe : callable, optional
        Encoder -> macro AUROC, logged by the collapse monitor.
    devices : int
        Processes to start on this host, each with a GPU of its own if there are GPUs. A script that asks for more
        than one must guard what it does with ``if __name__ == "__main__":``. Leave it at 1 under torchrun or srun.

    Raises
    ------
    RecipeError
        If a parameter is out of range, or does not fit the number of processes.
    ArchiveError
        If there are fewer strips than one batch holds.
    CheckpointError
        If the saved state is damaged or belongs to another method, or the folder cannot be written.
    TrainingError
        If the loss is no longer finite, or one of several processes has been killed.
    KeyboardInterrupt
        If the run is stopped, by Ctrl-C or SIGTERM; it ends after the step, and its state is saved by then.
    """
    check_settings(
        strips, steps=steps, batch_size=batch_size, lr=lr, weight_decay=weight_decay, warmup=warmup, clip=clip,
        seed=seed, workers=workers, log_every=log_every, monitor_every=monitor_every,
        checkpoint_every=checkpoint_every, devices=devices, sampling=sampling,
    )  # fmt: skip
    out = Path(out)
    make_folder(out)
    state = out / STATE
    start = saved_step(state) if state.is_file() else 0
    if start >= steps:
        restore(method, state)
        return

    plan = Plan(
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        weight_decay=weight_decay,
        warmup_steps=round(warmup * steps),
        clip=clip,
        precision=precision,
        seed=seed,
        workers=workers,
        log_every=log_every,
        monitor_every=monitor_every,
        checkpoint_every=checkpoint_every,
        tensorboard=tensorboard,
        progress=progress,
        sampling=sampling,
    )
    try:
        if devices > 1 and find_place().world == 1:
            launch(_train_copy, (method, strips, out, plan, start, probe), devices)
            restore(method, state)
        else:
            _train(method, strips, out, plan, start, probe)
    except RuntimeError as error:
        if "state_dict" in str(error):
            raise of_another_model(state) from None
        raise


def _train(method: Method, strips: Strips, out: Path, plan: Plan, start: int, probe: Probe | None) -> None:
    from ssl_ecg.train.trainer import run

    run(method, strips, out, plan, start=start, probe=probe)


def _train_copy(method: Method, strips: Strips, out: Path, plan: Plan, start: int, probe: Probe | None) -> None:
    """Train a copy: what is sent to another process shares its memory with the sender."""
    _train(copy.deepcopy(method), strips, out, plan, start, probe)


def check_settings(strips: Strips, *, devices: int = 1, sampling: Sampling = "strips", **settings: float) -> None:
    """Make sure that a run can start, before anything is written.

    Parameters
    ----------
    strips : Strips
    devices, sampling
        As `fit` takes them.
    **settings
        Numbers among the arguments of `fit`; others are passed over.

    Raises
    ------
    RecipeError
        If one is out of range, or does not fit the number of processes.
    ArchiveError
        If there are fewer strips than one batch holds.
    """
    for name, least in _LEAST.items():
        value = settings.get(name, least)
        if not (math.isfinite(value) and value >= least):
            raise RecipeError(f"train.{name}", f"is {value}", f"give {least} or more")
    if settings.get("warmup", 0) > 1:
        raise RecipeError("train.warmup", f"is {settings['warmup']}", "give a share of the steps, 0 to 1")
    place = find_place()
    check_devices(devices, place)
    world = max(devices, place.world)
    batch_size = int(settings.get("batch_size", world))
    for rank in range(world if sampling == "shards" else 1):
        make_order(strips, sampling, batch_size=batch_size, seed=0, rank=rank, world=world)
