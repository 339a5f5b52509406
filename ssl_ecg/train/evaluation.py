"""What a classifier says of records, and how well: averaged windows, thresholds, metrics."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, auroc, average_precision, f1, macro, precision, recall
from ssl_ecg.evaluate.regression import r2
from ssl_ecg.methods.base import Batch
from ssl_ecg.probing.linear import LinearProbe
from ssl_ecg.probing.ridge import RidgeProbe
from ssl_ecg.train.reduced_leads import with_leads
from ssl_ecg.train.supervised.data import LabelledData
from ssl_ecg.train.supervised.model import Supervised

FloatArray = NDArray[np.float64]
_BATCH = 128
"""Windows at a time."""


def predict_proba(model: Supervised, windows: Strips) -> FloatArray:
    """Give probabilities, or numbers, of records (record, class), averaged over each record's windows.

    Parameters
    ----------
    model : Supervised
        Left in the mode, training or evaluation, in which it was.
    windows : Strips
        With the crop "grid"; records come out in the order in which they stand there.
    """
    return _averaged(model, windows, lambda batch: model.criterion.answers(model.embed(batch)[1]))


def predict_with_embeddings(model: Supervised, windows: Strips) -> tuple[FloatArray, FloatArray]:
    """Give probabilities (record, class) as `predict_proba` does, and embeddings (record, dim), averaged alike."""

    def both(batch: Batch) -> Tensor:
        z, logits = model.embed(batch)
        return torch.cat([model.criterion.answers(logits), z.double()], dim=1)

    values, n_classes = _averaged(model, windows, both), model.head.last.out_features
    return values[:, :n_classes], values[:, n_classes:]


def embed_windows(model: Supervised, windows: Strips) -> FloatArray:
    """Give what the head standardises (record, feature), averaged over each record's windows."""
    return _averaged(model, windows, model.features)


def _averaged(model: Supervised, windows: Strips, measure: Callable[[Batch], Tensor]) -> FloatArray:
    """Run all windows in full precision, so that figures are the same on every processor."""
    device = next(model.head.parameters()).device
    was_training = model.training
    model.eval()
    parts = []
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        for items in np.array_split(np.arange(len(windows)), -(-len(windows) // _BATCH)):
            batch = {name: value.to(device) for name, value in windows.__getitems__(items.tolist()).items()}
            parts.append(measure(batch).double().cpu().numpy())
    model.train(was_training)
    values_of = np.concatenate(parts)
    first = np.flatnonzero(np.append(True, windows.record_rows[1:] != windows.record_rows[:-1]))
    total: FloatArray = np.add.reduceat(values_of, first, axis=0)
    return total / np.diff(np.append(first, len(values_of)))[:, None]


def validation_auroc(model: Supervised, windows: Strips, truth: NDArray[np.floating]) -> float:
    """Give the macro AUROC over the classes that can be judged; NaN where the model gives no numbers."""
    proba = predict_proba(model, windows)
    return macro(auroc(truth, proba)).value if np.isfinite(proba).all() else float("nan")


@dataclass
class Validation:
    """What is asked of a model now and then: how good it is on validation records; it can go to other processes.

    Parameters
    ----------
    sets : sequence of (windows, truth)
        Records and their labels (record, target), once or with several sets of leads; the mean over them counts.
    figure : {"auroc", "r2"}
        Macro AUROC of classes, or mean R2 of numbers.
    """

    sets: Sequence[tuple[Strips, NDArray[np.floating]]]
    figure: str = "auroc"

    @classmethod
    def of(cls, data: LabelledData, rows: NDArray[np.int64], figure: str = "auroc") -> Validation:
        """Validate on some records, with the lead sets that the data name for it.

        Raises
        ------
        LabelError
            If no record has any of the leads of a set.
        """
        sets = []
        for leads in data.val_leads or (None,):
            there = rows[with_leads(data.archive, leads)[rows]]
            if not len(there):
                problem = f"no validation record has any of the leads {','.join(leads or ())}"
                raise LabelError("data.val_leads", problem, "name others")
            sets.append((data.windows(there, leads), data.targets[there]))
        return cls(sets, figure)

    def __call__(self, model: Supervised) -> float:
        """Give the figure; NaN where the model gives no numbers."""
        return float(np.mean([self._figure(model, *one) for one in self.sets]))

    def _figure(self, model: Supervised, windows: Strips, truth: NDArray[np.floating]) -> float:
        if self.figure == "auroc":
            return validation_auroc(model, windows, truth)
        values = predict_proba(model, windows)
        found = r2(truth, values) if np.isfinite(values).all() else np.full(1, np.nan)
        return float(found[np.isfinite(found)].mean()) if np.isfinite(found).any() else float("nan")


def fit_probe(model: Supervised, data: LabelledData, val: NDArray[np.int64]) -> LinearProbe | RidgeProbe:
    """Fit a linear probe on the encoder as it is, of classes or of numbers; its strength is the best on validation."""
    train = np.unique(data.train.record_rows)
    z, z_val = (embed_windows(model, data.windows(rows)) for rows in (train, val))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedClassWarning)  # a rare class says nothing here
        probe = RidgeProbe() if model.criterion.continuous else LinearProbe()
        return probe.fit(z, data.targets[train], z_val, data.targets[val])


def judge(
    truth: NDArray[np.floating], proba: FloatArray, decision: NDArray[np.bool_], classes: tuple[str, ...]
) -> dict[str, Any]:
    """Give the metrics of a set of records, macro and per class; NaN where a class cannot be judged."""
    found = {
        "auroc": auroc(truth, proba),
        "average_precision": average_precision(truth, proba),
        "f1": f1(truth, decision),
        "precision": precision(truth, decision),
        "recall": recall(truth, decision),
    }
    positives = np.nansum(truth, axis=0)
    return {
        "records": len(truth),
        "macro": {name: macro(values).value for name, values in found.items()},
        "n_classes_judged": macro(found["auroc"]).defined,
        "per_class": {
            name: {"positives": int(positives[k]), **{metric: float(values[k]) for metric, values in found.items()}}
            for k, name in enumerate(classes)
        },
    }
