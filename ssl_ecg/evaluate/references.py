"""Published figures to stand beside, and how large the corpora are that they were measured on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.tasks import get_task

WHOLE = MappingProxyType({
    "ptbxl": 21_799,
    "mimic_iv_ecg": 800_035,
    "code15": 345_779,
    "cinc2011": 1_000,
    "cpsc2018": 6_877,
    "cinc2020": 43_101,
    "cinc2021": 88_253,
    "mitdb": 48,
})  # fmt: skip
"""Records of each corpus as it is published (PTB-XL 1.0.3; CinC 2011: set A; 2020 and 2021: the public sets)."""

METRICS = MappingProxyType({
    "auroc": "AUROC",
    "average_precision": "average precision",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall (sensitivity)",
    "specificity": "specificity",
    "specificity_at_90_sensitivity": "specificity at 90 % sensitivity",
    "accuracy": "accuracy",
    "f2": "F2 (weights of CinC 2020)",
    "g2": "G2 (weights of CinC 2020)",
    "expected_calibration_error": "expected calibration error",
    "fmax": "Fmax",
    "subset_accuracy": "subset accuracy",
    "hamming_loss": "Hamming loss",
    "challenge_score": "CinC challenge score",
    "auroc_unusual": "AUROC of unusual records",
})  # fmt: skip
"""Names of the metrics of reports and references in words."""
SMALLER_IS_BETTER = frozenset({"hamming_loss", "expected_calibration_error"})


@dataclass(frozen=True)
class Reference:
    """A published figure on a whole corpus, as its authors or an independent benchmark give it.

    Attributes
    ----------
    name, task, who, how, source : str
    corpus : str
        That it was measured on: the name of a corpus, or words.
    metric : str
        A key of `METRICS`; of classes, the mean over them.
    value : float
    """

    name: str
    task: str
    corpus: str
    who: str
    how: str
    metric: str
    value: float
    source: str


def find_references(names: Sequence[str]) -> list[Reference]:
    """Give the published figures of some names: metric by metric, the best first.

    Raises
    ------
    RecipeError
        If there is none of a name.

    Examples
    --------
    >>> find_references(["superclass-linear"])[0].who
    'ECG-JEPA'
    """
    table = _table()
    for name in names:
        if name not in {reference.name for reference in table}:
            known = ", ".join(sorted({reference.name for reference in table}))
            raise RecipeError("protocol.references", f"unknown {name!r}", f"choose from {known}")
    return sorted((found for found in table if found.name in names), key=_place)


def comparable(references: Sequence[Reference], task: str, classes: Sequence[str]) -> list[Reference]:
    """Keep the figures of a task, if it is the published one and no table of the same name.

    Examples
    --------
    >>> found = find_references(["superclass-linear"])
    >>> len(comparable(found, "superclass", ("NORM", "MI", "STTC", "CD", "HYP"))) == len(found)
    True
    >>> comparable(found, "superclass", ("mine",)), comparable(found, "own.csv", ("mine",))
    ([], [])
    """
    try:
        same = tuple(classes) == tuple(get_task(task).classes)
    except LabelError:  # somebody's own table
        same = False
    if not same:
        return []
    return [reference for reference in references if reference.task == task]


def _place(reference: Reference) -> tuple[int, float]:
    worse = 1 if reference.metric in SMALLER_IS_BETTER else -1
    return list(METRICS).index(reference.metric), worse * reference.value


@cache
def _table() -> tuple[Reference, ...]:
    text = (files("ssl_ecg.evaluate") / "tables" / "references.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(Reference(**{**row, "value": float(row["value"])}) for row in rows)  # type: ignore[arg-type]


def completeness(records: Mapping[str, int]) -> dict[str, str]:
    """Say of each corpus how much of it is there.

    Parameters
    ----------
    records : mapping of str to int
        Records there, by corpus.

    Examples
    --------
    >>> completeness({"ptbxl": 1755, "mine": 10})
    {'ptbxl': '1,755 of 21,799 records', 'mine': '10 records'}
    """
    return {
        name: f"{n:,} of {WHOLE[name]:,} records" if name in WHOLE and n < WHOLE[name] else f"{n:,} records"
        for name, n in records.items()
    }


def is_part(records: Mapping[str, int]) -> bool:
    """Tell whether any corpus is there in part only."""
    return any(n < WHOLE.get(name, 0) for name, n in records.items())
