"""What a run is watched by: measures of collapse, and the log as CSV."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from ssl_ecg.errors import TrainingError
from ssl_ecg.train.state import writing

COLUMNS = ("step", "loss", "lr", "strips_per_s", "rank", "std", "probe_auroc")
Probe = Callable[[torch.nn.Module], float]


def effective_rank(z: Float[Tensor, "record dim"]) -> float:
    """Give the effective rank of embeddings: exp of the entropy of the normalised singular values.

    References
    ----------
    Garrido et al. 2023, RankMe, arXiv 2210.02885, eq. 1; here of the centred embeddings.

    Examples
    --------
    >>> round(effective_rank(torch.cat([torch.eye(4), -torch.eye(4)])), 3)
    4.0
    """
    singular = torch.linalg.svdvals(z.double() - z.double().mean(dim=0))
    share = singular / singular.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * torch.log(share.clamp(min=1e-12))).sum()))


def normalised_std(z: Float[Tensor, "record dim"]) -> float:
    """Give the mean standard deviation of the unit-length embeddings' coordinates, times sqrt(dim).

    About 1 for embeddings spread over the sphere, 0 when all are alike.

    References
    ----------
    Chen & He 2021, SimSiam, arXiv 2011.10566, section 4.1.
    """
    unit = torch.nn.functional.normalize(z.double(), dim=1)
    return float(unit.std(dim=0).mean() * z.shape[1] ** 0.5)


def read_log(path: Path) -> list[dict[str, str]]:
    """Read the rows of `log.csv`; a last line cut short by a crash is left out."""
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if (row.get("step") or "").isdigit() and None not in row.values()]


def reopen_log(path: Path, columns: Sequence[str], step: int) -> None:
    """Open a log at the step at which a run goes on: rows past it are dropped, as they will be written again.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    kept = [row for row in read_log(path) if int(row["step"]) <= step] if step else []
    part = path.with_suffix(".part")
    with writing(part):
        with open(part, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(kept)
        os.replace(part, path)


def add_row(path: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Add a row to a log.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    with writing(), open(path, "a", newline="", encoding="utf-8") as file:
        csv.DictWriter(file, columns).writerow(row)


def check_loss(loss: Float[Tensor, ""], step: int) -> None:
    """Stop a run whose loss is no longer a number.

    Raises
    ------
    TrainingError
    """
    if not bool(torch.isfinite(loss)):
        remedy = "lower train.lr, or clip harder with train.clip; the last checkpoint is from before"
        raise TrainingError(f"step {step}", f"the loss is {float(loss.detach())}", remedy)


def log_curves(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read `log.csv` as arrays by column; NaN where a row has no value."""
    rows = read_log(path)
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in COLUMNS}
