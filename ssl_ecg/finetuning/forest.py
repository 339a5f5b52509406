"""The forest of a fine-tuning run: expert features of its records, kept in its folder, and the fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.features.kept import kept_vectors
from ssl_ecg.finetuning.results import Trained

if TYPE_CHECKING:
    from ssl_ecg.train.supervised.model import Supervised


def add_forest(
    trained: Trained, start: Supervised, plan: Mapping[str, Any], out: Path, *, progress: bool = False
) -> Trained:
    """Fit a forest on the training records, to answer beside the network.

    Parameters
    ----------
    trained : Trained
    start : Supervised
        The network before fine-tuning.
    plan : mapping
        Arguments of `ForestPlan`.
    out : Path
        Run folder, where features are kept.
    progress : bool

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    """
    from ssl_ecg.train.forest import ForestPlan, fit_forest

    settings, archive = ForestPlan(**plan), trained.data.archive
    rows = np.unique(np.concatenate(list(trained.rows.values())))

    def features(wanted: NDArray[np.int64], leads: Sequence[str] | None) -> NDArray[np.float32]:
        known = kept_vectors(archive, rows, out, leads=leads, workers=settings.workers, progress=progress)
        return known[np.searchsorted(rows, wanted)]

    train = np.unique(trained.data.train.record_rows)
    windows = {"seconds": trained.data.test_seconds, "stride": trained.data.test_stride}
    encoders = {"start": start, "end": trained.model}
    leads = trained.data.leads
    known, truth = features(train, leads), trained.truth[train]
    forest = fit_forest(settings, known, truth, archive, train, windows, encoders, leads)
    return replace(trained, forest=forest, features=features)
