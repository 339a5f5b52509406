"""Lightning's Trainer, set up for one run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.strategies import DDPStrategy
from torch.utils.data import DataLoader

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import RecipeError
from ssl_ecg.methods.base import Method
from ssl_ecg.models.norm import synchronise_norms
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.adapter import MethodModule
from ssl_ecg.train.callbacks import CollapseMonitor, StateSaver, StepLog
from ssl_ecg.train.launch import Place, find_place
from ssl_ecg.train.monitor import Probe
from ssl_ecg.train.plan import Plan
from ssl_ecg.train.precision import Precision, resolve_precision
from ssl_ecg.train.settle import FixedStrips, fixed_strips
from ssl_ecg.train.stop import StopTogether
from ssl_ecg.train.stream import BatchStream

_ALONE = Place()
_TIMEOUT = 10
"""How long a process waits for the others before it fails [minutes]."""


def run(method: Method, strips: Strips, out: Path, plan: Plan, *, start: int, probe: Probe | None) -> None:
    """Train from step `start` to the end, in this process, which may be one of several.

    Raises
    ------
    KeyboardInterrupt
        If the user stops the run; its state is saved by then.
    """
    place = find_place()
    if place.world > 1:
        synchronise_norms(method)  # type: ignore[arg-type]
    module = MethodModule(
        method,
        lr=plan.lr,
        weight_decay=plan.weight_decay,
        steps=plan.steps,
        warmup_steps=plan.warmup_steps,
        seed=plan.seed,
    )
    preprocessing: Preprocessing = method.encoder.preprocessing  # type: ignore[assignment]
    fixed = FixedStrips(torch.empty(0), None)
    if place.rank == 0:
        fixed = fixed_strips(strips, preprocessing, sampling=plan.sampling, world=place.world)
    monitor = CollapseMonitor(fixed, every=plan.monitor_every, probe=probe)
    log = StepLog(out / "log.csv", every=plan.log_every, batch_size=plan.batch_size, monitor=monitor)
    saver = StateSaver(out / "last.ckpt", every=plan.checkpoint_every)
    stop = StopTogether(saver)
    trainer = make_trainer(
        out,
        [monitor, log, saver, stop],
        steps=plan.steps,
        precision=plan.precision,
        clip=plan.clip,
        progress=plan.progress,
        place=place,
        unused=getattr(method.encoder, "beyond_features", False),
        logger=tensorboard_logger(out) if plan.tensorboard else False,
        log_every_n_steps=plan.log_every,
    )
    stream = BatchStream(
        strips,
        batch_size=plan.batch_size,
        seed=plan.seed,
        steps=plan.steps,
        start=start,
        rank=place.rank,
        world=place.world,
        sampling=plan.sampling,
    )
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=plan.workers,
        # several processes have threads that talk to each other: a fork in the midst of that may hang for ever
        multiprocessing_context="spawn" if plan.workers and place.world > 1 else None,
    )
    try:
        with stop.listening(place.world > 1):
            trainer.fit(module, loader, ckpt_path=saver.path if start else None, weights_only=True)
    except SystemExit:
        raise KeyboardInterrupt from None  # what Lightning makes of Ctrl-C
    if stop.stopped:
        raise KeyboardInterrupt
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # what follows, such as settling, is for one process


def make_trainer(
    out: Path,
    callbacks: Sequence[pl.Callback],
    *,
    steps: int,
    precision: Precision,
    clip: float,
    progress: bool,
    place: Place = _ALONE,
    unused: bool = False,
    **options: Any,
) -> pl.Trainer:
    """Make a Trainer that counts in steps and leaves saving to our callbacks.

    Parameters
    ----------
    out : Path
    callbacks : sequence of Callback
    steps, precision, clip, progress
        As `fit` takes them.
    place : Place
        This process among those of the run.
    unused : bool
        Some parameters may have no gradient, though they could learn.
    **options
        Further arguments of Lightning's Trainer.
    """
    quiet_lightning()
    bar = [TQDMProgressBar(refresh_rate=1)] if progress else []
    return pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        precision=lightning_precision(precision),
        gradient_clip_val=clip,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        default_root_dir=out,
        callbacks=[*callbacks, *bar],
        **{"logger": False, **processes(place, unused=unused), **options},
    )


def processes(place: Place, *, unused: bool = False) -> dict[str, Any]:
    """Tell Lightning's Trainer of the processes of a run; Apple's GPU is not used, as it knows no float64."""
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if place.world == 1:
        return {"accelerator": accelerator, "devices": 1}
    environment = SLURMEnvironment(auto_requeue=False) if place.launcher == "slurm" else TorchElasticEnvironment()
    strategy = DDPStrategy(broadcast_buffers=False, find_unused_parameters=unused, timeout=timedelta(minutes=_TIMEOUT))
    return {
        "accelerator": accelerator,
        "devices": place.devices,
        "num_nodes": place.nodes,
        "strategy": strategy,
        "plugins": [environment],
        "use_distributed_sampler": False,
    }


def lightning_precision(precision: Precision) -> str:
    """Translate into Lightning's name."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return "bf16-mixed" if resolve_precision(precision, device) == "bfloat16" else "32-true"


def tensorboard_logger(out: Path) -> Any:
    """Make a TensorBoard logger.

    Raises
    ------
    RecipeError
        If the package is not installed.
    """
    try:
        from pytorch_lightning.loggers import TensorBoardLogger

        return TensorBoardLogger(out, name="tensorboard", version="")
    except ModuleNotFoundError:
        raise RecipeError(
            "train.tensorboard", "the package tensorboard is missing", "pip install 'ssl_ecg[log]'"
        ) from None


def quiet_lightning() -> None:
    """Silence Lightning's advice; its warnings about things that are so on purpose."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    advice = (
        "does not have many workers",
        "IterableDataset",
        "Checkpoint directory",
        "LeafSpec",
        "number of training batches",
        "isinstance",
        "persistent_workers",
        "broadcast_buffers",  # its new name is not known to older versions
        "in eval mode at the start of training",  # every step sets the mode
        "resuming from a checkpoint that ended before",  # the stream of batches can be resumed
    )
    for text in advice:
        warnings.filterwarnings("ignore", message=f".*{text}.*")
