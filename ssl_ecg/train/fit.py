"""Runs a method over strips with Lightning's Trainer: progress, checkpoints, exact resume, monitors."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import CheckpointError, RecipeError
from ssl_ecg.methods.base import Method
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import scale_strips
from ssl_ecg.train.adapter import MethodModule
from ssl_ecg.train.monitor import CollapseMonitor, Probe, StepLog
from ssl_ecg.train.precision import Precision, resolve_precision
from ssl_ecg.train.stream import BatchStream

STATE = "last.ckpt"
_MONITORED = 512
"""Strips that the collapse monitor embeds."""


class Interrupted(SystemExit):
    """The user stopped the run; the state is saved and the run can be resumed."""


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
    probe: Probe | None = None,
) -> None:
    """Train a method; go on from the folder's last state if it holds one.

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
    probe : callable, optional
        Encoder -> macro AUROC, logged by the collapse monitor.

    Raises
    ------
    RecipeError
        If a parameter is out of range.
    CheckpointError
        If the saved state is damaged or belongs to another method.
    """
    for name, value, least in (("steps", steps, 1), ("batch_size", batch_size, 1), ("lr", lr, 0), ("clip", clip, 0)):
        if value < least or value != value:
            raise RecipeError(f"train.{name}", f"is {value}", f"give {least} or more")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pl.seed_everything(seed, verbose=False)
    module = MethodModule(
        method, lr=lr, weight_decay=weight_decay, steps=steps, warmup_steps=round(warmup * steps), seed=seed
    )
    state = out / STATE
    start = saved_step(state) if state.is_file() else 0
    if start >= steps:
        restore(method, state)
        return
    monitor = CollapseMonitor(monitored_strips(strips, method), every=monitor_every, probe=probe)
    log = StepLog(out / "log.csv", every=log_every, batch_size=batch_size, monitor=monitor)
    callbacks: list[pl.Callback] = [monitor, log, StateSaver(state, every=checkpoint_every)]
    if progress:
        callbacks.append(TQDMProgressBar(refresh_rate=1))
    quiet_lightning()
    trainer = pl.Trainer(
        max_steps=steps,
        max_epochs=-1,
        accelerator="auto",
        devices=1,
        precision=lightning_precision(precision),  # type: ignore[arg-type]
        gradient_clip_val=clip,
        logger=tensorboard_logger(out) if tensorboard else False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        log_every_n_steps=log_every,
        default_root_dir=out,
        callbacks=callbacks,
    )
    stream = BatchStream(strips, batch_size=batch_size, seed=seed, steps=steps, start=start)
    loader = DataLoader(stream, batch_size=None, num_workers=workers, persistent_workers=False)
    try:
        trainer.fit(module, loader, ckpt_path=state if start else None, weights_only=True)
    except SystemExit as stopped:
        raise Interrupted(f"stopped at step {trainer.global_step}; run the same command again to go on") from stopped
    except RuntimeError as error:
        if "state_dict" in str(error):
            remedy = "choose another --out, or finish this run with the recipe it was started with"
            raise CheckpointError(str(state), "was saved by a run with another model", remedy) from None
        raise


class StateSaver(pl.Callback):
    """Saves the whole state of a run, in one atomic step, also when the run is interrupted."""

    def __init__(self, path: Path, *, every: int) -> None:
        self.path = path
        self.every = every
        self._saved = -1

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if it is time, and after the last step."""
        if trainer.global_step % self.every == 0 or trainer.global_step == trainer.max_steps:
            self.save(trainer)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Save what there is when the user stops the run."""
        if isinstance(exception, KeyboardInterrupt):
            self.save(trainer)

    def save(self, trainer: pl.Trainer) -> None:
        """Write beside, then rename."""
        if trainer.global_step == self._saved:
            return
        part = self.path.with_suffix(".part")
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            os.replace(part, self.path)
        self._saved = trainer.global_step


def saved_step(state: Path) -> int:
    """Read at which step a state was saved.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    return int(load_state(state)["global_step"])


def load_state(state: Path) -> dict[str, Any]:
    """Load a saved state, tensors and plain values only.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    try:
        loaded: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True)
        return loaded
    except Exception as error:
        remedy = "delete it to start this run afresh"
        raise CheckpointError(str(state), f"is damaged ({type(error).__name__})", remedy) from None


def restore(method: Method, state: Path) -> None:
    """Put the weights of a finished run back into its method.

    Raises
    ------
    CheckpointError
        If they belong to another method.
    """
    weights = {name.removeprefix("method."): value for name, value in load_state(state)["state_dict"].items()}
    try:
        method.load_state_dict(weights)  # type: ignore[attr-defined]
    except RuntimeError:
        remedy = "choose another --out, or use the recipe this run was started with"
        raise CheckpointError(str(state), "was saved by a run with another model", remedy) from None


def monitored_strips(strips: Strips, method: Method) -> Tensor:
    """Read the strips that the collapse monitor embeds: evenly spaced rows, the same in every run."""
    rows = torch.linspace(0, len(strips) - 1, min(_MONITORED, len(strips))).long().tolist()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        batch = strips.__getitems__(rows)
    preprocessing: Preprocessing = method.encoder.preprocessing  # type: ignore[assignment]
    return scale_strips(batch["signal"], preprocessing.scale)


@torch.no_grad()
def settle_norms(encoder: nn.Module, signal: Tensor, *, batch_size: int = 256) -> None:
    """Set the running statistics of batch normalisation from clean strips.

    In training they follow augmented views, which are noisier than the recordings to be embedded.

    Parameters
    ----------
    encoder : nn.Module
        Changed in place; left in evaluation mode.
    signal : Tensor (strip, lead, time)
        Scaled strips, several hundred.
    """
    norms = [m for m in encoder.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    encoder.train()
    for part in signal.split(batch_size):
        if len(part) > 1:
            encoder(part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    encoder.eval()


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
        raise RecipeError("train.tensorboard", "the package tensorboard is missing", "pip install 'ssl_ecg[log]'") from None


def quiet_lightning() -> None:
    """Silence Lightning's advice; its warnings about things that are so on purpose."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for text in (".*does not have many workers.*", ".*IterableDataset.*__len__.*", ".*Checkpoint directory.*", ".*`isinstance.*LeafSpec.*"):
        warnings.filterwarnings("ignore", message=text)
