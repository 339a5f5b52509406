"""Runs a supervised model over labelled strips with Lightning's Trainer; exact resume, best weights kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl_ecg.data.strips import Strips
from ssl_ecg.files import make_folder
from ssl_ecg.train.launch import check_devices, find_place, launch
from ssl_ecg.train.order import make_order
from ssl_ecg.train.precision import Precision
from ssl_ecg.train.state import load_state, of_another_model
from ssl_ecg.train.supervised.model import Mode, Norms, Supervised
from ssl_ecg.train.supervised.plan import Plan, Schedule

STATE = "last.ckpt"
_BLENDS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes
    ----------
    best_step : int
        The step whose weights were kept; 0: those at the start.
    start, best : float
        On validation.
    blend : float
        Share of the trained weights in those that were kept; the rest are the weights at the start.
    steps : int
        Steps done in all.
    seconds : float
        Time spent in training and validation.
    figure : str
        What was measured on validation.
    """

    best_step: int
    start: float
    best: float
    blend: float
    steps: int
    seconds: float
    figure: str = "auroc"

    def to_dict(self) -> dict[str, Any]:
        """Give plain values, the figures under their name."""
        found = {f"start_{self.figure}": self.start, f"best_{self.figure}": self.best}
        steps = {"blend": self.blend, "steps": self.steps, "seconds": self.seconds}
        return {"best_step": self.best_step, **found, **steps}


def fit_supervised(
    model: Supervised,
    strips: Strips,
    out: str | Path,
    validate: Callable[[Supervised], float],
    *,
    steps: int = 300,
    batch_size: int = 64,
    lr: float = 1e-3,
    encoder_lr: float = 1.0,
    layer_decay: float = 0.7,
    weight_decay: float = 1e-2,
    schedule: Schedule = "cosine",
    warmup: float = 0.05,
    linear_share: float = 0.1,
    clip: float = 1.0,
    mode: Mode = "full",
    norms: Norms = "batch",
    ema: float = 0.0,
    blend: bool = False,
    patience: int = 0,
    plateau_patience: int = 3,
    plateau_factor: float = 0.3,
    stages: int = 5,
    validate_every: int = 25,
    checkpoint_every: int = 100,
    precision: Precision = "auto",
    seed: int = 0,
    workers: int = 0,
    progress: bool = True,
    figure: str = "auroc",
    devices: int = 1,
) -> Outcome:
    """Train on labels, and keep the weights that were best on validation; go on from the folder's last state.

    Parameters
    ----------
    model : Supervised
        Changed in place; at the end it holds the weights to keep.
    strips : Strips
        With targets.
    out : path
        Run folder: `log.csv` and `last.ckpt` are written there.
    validate : callable
        Model -> figure on validation, larger is better.
    steps : int
        Batches in all; small sets are passed over as often as it takes.
    batch_size : int
        Over all processes; at most as many as there are strips.
    lr : float
        Peak learning rate of AdamW, for the head.
    encoder_lr : float
        That of the encoder's last layers, as a factor of `lr`.
    layer_decay : float
        Factor of the rate from each unit of the encoder to the one before it, in "layerwise" and
        "linear_then_full".
    weight_decay : float
        Of matrices; biases and norms have none.
    schedule : {"cosine", "plateau", "step"}
        Cosine to zero; or lower by `plateau_factor` whenever validation has not improved for more than
        `plateau_patience` looks; or lower by it from each of so many `stages` of the run to the next.
    warmup : float
        Share of the steps.
    linear_share : float
        Share of the steps in which "linear_then_full" trains the head alone.
    clip : float
        Largest norm of the gradient.
    mode : {"frozen", "linear_then_full", "layerwise", "full"}
        What learns: the head alone; the head first and then all; all, more slowly towards the input; all alike.
    norms : {"fixed", "batch"}
        Whether batch normalisation keeps the statistics of pretraining or takes those of the batch.
    ema : float
        Decay of the moving average of the weights, which is then validated and kept; 0: none.
    blend : bool
        At the end, move the weights back towards those at the start as far as validation says (one of four steps).
    patience : int
        Stop after so many looks at validation without improvement; 0: never.
    plateau_patience : int
    plateau_factor : float
    stages : int
    validate_every, checkpoint_every : int
        Steps between looks at validation, and between saved states.
    precision : {"auto", "float32", "bfloat16"}
        Of the encoder in training; validation is in float32.
    seed : int
        Of weights, batches, crops and augmentation.
    workers : int
        Loader processes.
    progress : bool
    figure : str
        Name of what `validate` gives, in the log.
    devices : int
        Processes to start on this host, each with an equal part of every batch; see `ssl_ecg.train.fit.fit`.

    Raises
    ------
    RecipeError
        If a parameter is out of range, or the batch cannot be shared out evenly.
    CheckpointError
        If the saved state is damaged or belongs to another model, or the folder cannot be written.
    TrainingError
        If the loss is not finite.

    References
    ----------
    Kumar et al. 2022, arXiv 2202.10054 ("linear_then_full"); Wortsman et al. 2022, arXiv 2109.01903 (`blend`);
    Polyak and Juditsky 1992, doi 10.1137/0330046 (`ema`).
    """
    world = _world(devices)
    batch_size = _batch(batch_size, len(strips), world)
    plan = Plan(
        steps=steps, batch_size=batch_size, lr=lr, encoder_lr=encoder_lr, layer_decay=layer_decay,
        weight_decay=weight_decay, schedule=schedule, warmup=warmup, linear_share=linear_share, clip=clip, mode=mode,
        norms=norms, ema=ema, patience=patience, plateau_patience=plateau_patience, plateau_factor=plateau_factor,
        stages=stages, validate_every=validate_every, checkpoint_every=checkpoint_every, precision=precision, seed=seed,
        workers=workers,
    )  # fmt: skip
    make_order(strips, "strips", batch_size=plan.batch_size, seed=seed, rank=0, world=world)  # can they be shared out?
    out = Path(out)
    make_folder(out)
    start, start_value = model.weights(), validate(model)
    state = out / STATE
    watch = _saved_watch(state) if state.is_file() else {}
    if not watch.get("finished"):
        arguments = (model, strips, state, plan, validate, bool(watch), progress, figure)
        if devices > 1 and find_place().world == 1:
            launch(_train, arguments, devices)
        else:
            _train(*arguments)
        watch = _saved_watch(state)
    try:
        kept, value, share = watch["best_weights"], float(watch["best"]), 1.0
        model.set_weights(kept)
        if blend and watch["best_step"]:
            kept, value, share = _blend(model, start, kept, value, validate)
        model.set_weights(kept)
    except RuntimeError:
        raise of_another_model(state) from None
    model.frozen = model.fixed_norms = False
    model.eval()
    steps, seconds = int(watch["step"]), float(watch["seconds"])
    return Outcome(int(watch["best_step"]), start_value, value, share, steps, seconds, figure)


def _world(devices: int) -> int:
    """Give the number of processes, those that others have started too."""
    place = find_place()
    check_devices(devices, place)
    return max(devices, place.world)


def _batch(wanted: int, there: int, world: int) -> int:
    """Give the size of a batch: where there are fewer strips, as many of them as can be shared out evenly."""
    return wanted if wanted <= there else max(there - there % world, 1)


def _train(model: Supervised, *arguments: Any) -> None:
    """Train a copy, as what is sent to another process shares its memory with the sender."""
    from ssl_ecg.train.supervised.run import run_supervised

    run_supervised(copy.deepcopy(model), *arguments)


def _saved_watch(state: Path) -> dict[str, Any]:
    """Read what the watch has saved.

    Raises
    ------
    CheckpointError
        If the state is damaged or comes from another kind of run.
    """
    loaded = load_state(state)
    try:
        return {**loaded["callbacks"]["watch"], "step": loaded["global_step"]}
    except (KeyError, TypeError):
        raise of_another_model(state) from None


def _blend(
    model: Supervised,
    start: dict[str, Tensor],
    best: dict[str, Tensor],
    best_value: float,
    validate: Callable[[Supervised], float],
) -> tuple[dict[str, Tensor], float, float]:
    """Try weights between the start and the best; give those that validation prefers, its figure, and the share."""
    kept, share = best, 1.0
    for candidate in _BLENDS:
        mixed = {
            name: torch.lerp(start[name], value, candidate) if value.is_floating_point() else value
            for name, value in best.items()
        }
        model.set_weights(mixed)
        value = validate(model)
        if value > best_value:
            kept, best_value, share = mixed, value, candidate
    return kept, best_value, share
