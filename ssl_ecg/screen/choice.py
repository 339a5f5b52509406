"""What the data chose: candidates, the criterion of each, and the one taken; kept beside the detector."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json

FILE = "choice.json"
BEST = ("highest", "lowest", "knee")


@dataclass(frozen=True, slots=True)
class Choice:
    """One parameter that was chosen by the data.

    Attributes
    ----------
    parameter : str
        What was chosen, such as "k".
    criterion : str
        What was measured for every candidate, such as "silhouette".
    best : {"highest", "lowest", "knee"}
        Which value of the criterion is taken; "knee": where the curve bends.
    candidates : tuple of float
    values : tuple of float
        The criterion of each candidate; NaN where it could not be measured.
    chosen : float
    """

    parameter: str
    criterion: str
    best: str
    candidates: tuple[float, ...]
    values: tuple[float, ...]
    chosen: float

    def of(self, owner: str) -> Choice:
        """Name the parameter after the one it belongs to, as "kmeans.k"."""
        return replace(self, parameter=f"{owner}.{self.parameter}")


def best_choice(
    parameter: str, criterion: str, best: str, candidates: Sequence[float], values: Sequence[float], fallback: float
) -> Choice:
    """Take the candidate with the best criterion, the first of equals; ``fallback`` where none was measured.

    Examples
    --------
    >>> best_choice("k", "silhouette", "highest", [2, 3, 4], [0.1, 0.5, float("nan")], 1).chosen
    3.0
    """
    measured = np.asarray(values, dtype=np.float64) * (1 if best == "highest" else -1)
    chosen = candidates[int(np.nanargmax(measured))] if np.isfinite(measured).any() else fallback
    return Choice(parameter, criterion, best, tuple(map(float, candidates)), tuple(map(float, values)), float(chosen))


def save_choices(folder: str | Path, choices: Sequence[Choice]) -> None:
    """Write ``choice.json``; an old one goes where nothing was chosen.

    Raises
    ------
    ArchiveError
        If the folder cannot be written.
    """
    path = Path(folder) / FILE
    if choices:
        write_json(path, {"choices": [asdict(choice) for choice in choices]})
    else:
        path.unlink(missing_ok=True)


def load_choices(folder: str | Path) -> list[Choice]:
    """Read the ``choice.json`` of a detector's folder; nothing where there is none.

    Raises
    ------
    ArchiveError
        If it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return []
    try:
        return [_choice(entry) for entry in json.loads(path.read_text())["choices"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"cannot be read ({type(error).__name__}: {error})"
        raise ArchiveError(str(path), problem, "fit and save the detector again") from error


def _choice(entry: dict[str, object]) -> Choice:
    values = {name: _numbers(value) if isinstance(value, list) else value for name, value in entry.items()}
    choice = Choice(**values)  # type: ignore[arg-type]
    if choice.best not in BEST or len(choice.candidates) != len(choice.values):
        raise ValueError("a choice does not hold together")
    return choice


def _numbers(values: list[float | None]) -> tuple[float, ...]:
    return tuple(np.nan if value is None else float(value) for value in values)
