"""The probe that watches a run: how well the classes of a task can be read from the encoder so far."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Strips
from ssl_ecg.embedding.run import embed_signal
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, macro_auroc
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.targets import find_targets
from ssl_ecg.train.monitor import Probe

_PROBED = 2000
"""Labelled records that it looks at, at most."""


def online_probe(archive: Archive, strips: Strips, task: str) -> Probe:
    """Make the function that the monitor calls: encoder -> macro AUROC of a probe on the training records.

    Records are split by patient: three in four train the probe, one in four measures it. The task is one that
    `find_targets` takes.

    Raises
    ------
    LabelError
        If the task is unknown, is a matter of numbers, or fits too few of the records.
    """
    targets = find_targets(task, archive.index)
    if targets.kind != "classes":
        raise LabelError(targets.name, "is a matter of numbers", "choose a task of classes to watch a run by, or none")
    labels = targets.values[strips.record_rows]
    known = targets.known[strips.record_rows] & np.isfinite(labels).all(axis=1)
    chosen = np.flatnonzero(known)[:: max(1, int(known.sum()) // _PROBED)]
    patients = archive.index["patient_id"].to_numpy()[strips.record_rows][chosen]
    order = np.unique(patients, return_inverse=True)[1]
    held_out = order % 4 == 0
    if held_out.all() or not held_out.any():
        problem = f"{len(chosen)} records of {len(set(patients))} patients have a code of this task"
        raise LabelError(task, problem, "choose a task that fits the codes of the corpus, or none")
    return _OnlineProbe(strips, chosen, labels[chosen], held_out)


class _OnlineProbe:
    """The probe of a run; it can be sent to another process, and reads its records there when it is first asked."""

    def __init__(self, strips: Strips, chosen: NDArray[np.intp], y: NDArray[Any], held_out: NDArray[np.bool_]) -> None:
        self.strips, self.chosen, self.y, self.held_out = strips, chosen, y, held_out
        self._signal: NDArray[np.float32] | None = None

    def __call__(self, encoder: nn.Module) -> float:
        if self._signal is None:
            self._signal = _signals(self.strips, self.chosen)
        parts = np.array_split(self._signal, -(-len(self._signal) // 256))
        z = np.concatenate([embed_signal(encoder, part) for part in parts])
        y, held_out = self.y, self.held_out
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedClassWarning)  # a rare class says nothing here
            fitted = LinearProbe(strengths=(0.01,)).fit(z[~held_out], y[~held_out])
            return float(macro_auroc(y[held_out], fitted.predict_proba(z[held_out])))


def _signals(strips: Strips, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        signal: NDArray[np.float32] = strips.__getitems__(chosen.tolist())["signal"].numpy()
    return signal
