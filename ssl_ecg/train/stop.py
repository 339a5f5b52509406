"""Stopping a run between two steps, all its processes at the same one."""

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
    """Ends a run after the step in which it was asked to, with its state saved; asked again, at once.

    A state from the midst of a step would not go on exactly, as running statistics and teachers may have moved
    already. Of several processes, Ctrl-C and the signals of torchrun, SLURM or a dying parent reach some only, or
    at different steps, and saving needs all: so they tell each other. Before the first step there is nothing to save,
    and a process that waits for others, which Python cannot interrupt, is ended by the system.

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
        self._several = False

    @contextmanager
    def listening(self, several: bool) -> Iterator[None]:
        """Take the signals for a time, of a run of one or several processes."""
        self._several = several
        self._listens = threading.current_thread() is threading.main_thread()
        before = [signal.getsignal(number) for number in _SIGNALS]
        if self._listens and several:
            _take(signal.SIG_DFL)
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                if self._listens:
                    signal.signal(number, handler)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals from Lightning, whose handler talks to the other processes in the midst of a step."""
        self._asked = self._asked or trainer.received_sigterm
        if self._listens:
            _take(self._ask)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop if any process was asked to."""
        asked = float(self._asked)
        if trainer.world_size > 1:
            asked = float(trainer.strategy.reduce(torch.tensor(asked, device=pl_module.device), reduce_op="sum"))
        if asked and trainer.global_step < trainer.max_steps:
            self.saver.save(trainer)
            self.stopped = True
            trainer.should_stop = True

    def _ask(self, number: int, frame: Any) -> None:
        if self._asked and not self._several:
            raise KeyboardInterrupt
        self._asked = True


def _take(handler: Any) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)
