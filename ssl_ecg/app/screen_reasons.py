"""Why records are strange, for the table and the report of a screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg.app.screen_parts import strangest
from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import SignalError
from ssl_ecg.explain.reasons import Reasons

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from ssl_ecg.reconstruction.reconstruct import Reconstructor
    from ssl_ecg.screen.base import Detector

MOST_REASONS = 200
"""Reasons are sought for so many of the strangest recordings at most."""
Judge = Callable[[Archive, int], Reasons]
"""Gives the reasons of a row of an archive."""


def explain(
    table: pd.DataFrame,
    archive: Archive | None,
    where: NDArray[np.int64],
    judge_row: Judge | None,
    top: int,
    progress: bool,
) -> dict[int, Reasons]:
    """Say why the flagged and the drawn records are strange; a record that cannot be judged has no reasons."""
    if judge_row is None or archive is None:
        return {}
    wanted = max(top, int(table["flagged"].sum()))
    rows = strangest(table, min(wanted, MOST_REASONS)).tolist()
    why = {}
    for row in tqdm(rows, desc="reasons", unit="record", disable=not progress):
        try:
            why[row] = judge_row(archive, int(where[row]))
        except SignalError:  # such as no lead at all: the report then has none for it
            continue
    return why


def autoencoder(run: str | Path | None, archive: Archive | None) -> Reconstructor | None:
    """Load the autoencoder whose errors are asked for, if there is something for it to reconstruct."""
    if run is None or archive is None:
        return None
    from ssl_ecg.reconstruction.reconstruct import load_reconstructor

    return load_reconstructor(run, archive)


def find_judge(encoder: nn.Module | None, fitted: Detector, model: Reconstructor | None) -> Judge | None:
    """Give what finds the reasons of a record: an autoencoder if one is named, else the encoder, if it is known."""
    if model is not None:
        from ssl_ecg.explain.by_reconstruction import reconstruction_reasons

        return partial(reconstruction_reasons, model)
    if encoder is None:
        return None
    from ssl_ecg.explain.occlusion import occlude

    return partial(occlude, encoder, fitted)


def with_reasons(table: pd.DataFrame, why: Mapping[int, Reasons]) -> pd.DataFrame:
    """Add `leads` and `seconds`, the reasons in words."""
    leads, seconds = [""] * len(table), [""] * len(table)
    for row, item in why.items():
        spans = item.top_spans()
        if spans:
            even = 1 / len(item.leads)
            leads[row] = ", ".join(lead for lead, share in item.top_leads() if share > even * (1 + 1e-6)) or "all leads"
            seconds[row] = ", ".join(f"{start:.1f}-{end:.1f}" for start, end, _ in spans)
    return table.assign(leads=leads, seconds=seconds)
