"""A fine-tuning run with Lightning's Trainer, in one process or in one of several."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch.distributed
from torch.utils.data import DataLoader

from ssl_ecg.data.strips import Strips
from ssl_ecg.models.norm import synchronise_norms
from ssl_ecg.train.callbacks import StateSaver
from ssl_ecg.train.launch import find_place
from ssl_ecg.train.state import load_state, of_another_model
from ssl_ecg.train.stop import StopTogether
from ssl_ecg.train.stream import BatchStream, leave_stopping
from ssl_ecg.train.supervised.model import Supervised
from ssl_ecg.train.supervised.module import SupervisedModule, Watch
from ssl_ecg.train.supervised.plan import Plan
from ssl_ecg.train.trainer import make_trainer


def run_supervised(
    model: Supervised,
    strips: Strips,
    state: Path,
    plan: Plan,
    validate: Callable[[Supervised], float],
    resume: bool,
    progress: bool,
    figure: str,
) -> None:
    """Train to the end of the run; parameters are those of `fit_supervised`.

    Parameters
    ----------
    state : Path
        Where the state is saved; `log.csv` stands beside it.
    resume : bool
        Go on from that state.

    Raises
    ------
    KeyboardInterrupt
        If the user stops the run; its state is saved by then.
    CheckpointError
        If the state belongs to another model.
    """
    place = find_place()
    several = place.world > 1
    if several:
        synchronise_norms(model)
    begin = int(load_state(state)["global_step"]) if resume else 0
    saver = StateSaver(state, every=plan.checkpoint_every)
    stop = StopTogether(saver)
    watch = Watch(state.with_name("log.csv"), validate, plan, saver, figure=figure)
    trainer = make_trainer(
        state.parent, [watch, saver, stop], steps=plan.steps, precision=plan.precision, clip=plan.clip,
        progress=progress, place=place, unused=True,  # what is frozen has no gradient
    )  # fmt: skip
    stream = BatchStream(
        strips, batch_size=plan.batch_size, seed=plan.seed, steps=plan.steps, start=begin, rank=place.rank,
        world=place.world,
    )  # fmt: skip
    loader = DataLoader(
        stream, batch_size=None, num_workers=plan.workers, worker_init_fn=leave_stopping if several else None,
        multiprocessing_context="spawn" if plan.workers and several else None,
    )  # fmt: skip
    module = SupervisedModule(model, plan)
    try:
        with stop.listening(several):
            trainer.fit(module, loader, ckpt_path=state if resume else None, weights_only=True)
    except SystemExit:
        raise KeyboardInterrupt from None  # what Lightning makes of Ctrl-C
    except RuntimeError as error:
        if "state_dict" in str(error):
            raise of_another_model(state) from None
        raise
    if stop.stopped:
        raise KeyboardInterrupt
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()  # the first process has put the last state in its place
        torch.distributed.destroy_process_group()
