"""Published figures to stand beside, and how large the corpora are that they were measured on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from ssl_ecg.errors import RecipeError

WHOLE = MappingProxyType({"ptbxl": 21_799, "cpsc2018": 6_877, "cinc2011": 1_000, "cinc2021": 88_253})
"""Records of each corpus as it is published (PTB-XL 1.0.3; CinC 2021: the public training sets)."""


@dataclass(frozen=True)
class Reference:
    """A published macro AUROC on the whole corpus, as its authors or an independent benchmark give it.

    Attributes
    ----------
    name, task, who, how, source : str
    macro_auroc : float
    """

    name: str
    task: str
    who: str
    how: str
    macro_auroc: float
    source: str


def find_references(names: Sequence[str]) -> list[Reference]:
    """Give the published figures of some names, the best first.

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
    return sorted((found for found in table if found.name in names), key=lambda found: -found.macro_auroc)


@cache
def _table() -> tuple[Reference, ...]:
    text = (files("ssl_ecg.evaluate") / "tables" / "references.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple(Reference(**{**row, "macro_auroc": float(row["macro_auroc"])}) for row in rows)  # type: ignore[arg-type]


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
