"""Stopping all processes of a run at the same step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch

from ssl_ecg.train.callbacks import StateSaver

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopTogether(pl.Callback):
    """Ends a run of several processes after the step in which one of them was asked to, with its state saved.

    Ctrl-C and the signals of torchrun, SLURM or a dying parent reach the processes at different steps or only some
    of them, and saving needs all. In a run of one process nothing changes.

    Parameters
    ----------
    saver : StateSaver

    Attributes
    ----------
    stopped : bool
        Whether the run was ended.
    """

    def __init__(self, saver: StateSaver) -> None:
        self.saver = saver
        self.stopped = False
        self._asked = False
        self._listens = False

    @contextmanager
    def listening(self, several: bool) -> Iterator[None]:
        """Take the signals for a time, if there are several processes."""
        self._listens = several and threading.current_thread() is threading.main_thread()
        before = [signal.getsignal(number) for number in _SIGNALS]
        self._listen()
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                if self._listens:
                    signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals back from Lightning, whose handler talks to the other processes in the midst of a step."""
        self._listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ask whether any process was asked to stop."""
        if trainer.world_size == 1:
            return
        asked = torch.tensor(float(self._asked), device=pl_module.device)
        if float(trainer.strategy.reduce(asked, reduce_op="sum")) and trainer.global_step < trainer.max_steps:
            self.saver.save(trainer)
            self.stopped = True
            trainer.should_stop = True

    def _listen(self) -> None:
        if self._listens:
            for number in _SIGNALS:
                signal.signal(number, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True


def leave_stopping(worker: int) -> None:
    """Leave Ctrl-C to the process that a loader process works for, which still needs batches to end its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
