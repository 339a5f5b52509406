"""Halves of noise recordings, so that what is trained with and what is tested with never overlap."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import RecipeError

Part = Literal["all", "first", "second"]
NSTDB = ("bw", "em", "ma")
"""Records of noise in the MIT-BIH Noise Stress Test Database; its others are ECGs."""


def part_of(signal: NDArray[np.floating], part: str) -> NDArray[np.floating]:
    """Give a half of a recording (lead, time), or all of it.

    Raises
    ------
    RecipeError
        If there is no such part.

    Examples
    --------
    >>> part_of(np.arange(5.0)[None], "first").tolist(), part_of(np.arange(5.0)[None], "second").tolist()
    ([[0.0, 1.0]], [[2.0, 3.0, 4.0]])
    """
    if part not in get_args(Part):
        raise RecipeError("part", f"is {part!r}", f"choose from {', '.join(get_args(Part))}")
    half = signal.shape[-1] // 2
    return signal if part == "all" else signal[..., :half] if part == "first" else signal[..., half:]


def records_in(path: Path) -> list[Path]:
    """Give the records of noise that a path stands for: itself, or those of a folder.

    Of the Noise Stress Test Database these are its three records of noise, of other folders all WFDB records.
    """
    if not path.is_dir():
        return [path]
    there = sorted(file.with_suffix("") for file in path.glob("*.hea"))
    return [record for record in there if record.name in NSTDB] or there
