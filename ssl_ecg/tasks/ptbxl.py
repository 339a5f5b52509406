"""The label systems of PTB-XL: 71 SCP-ECG statements and their groups.

Classes stand in the order of PTB-XL's table of statements (sub-classes by first appearance), the five
superclasses as NORM, MI, STTC, CD, HYP. Some publications drop the underscore of codes such as "STD_":
both spellings count. A statement counts whatever its likelihood, as in the benchmark.

References
----------
Wagner et al. 2020, doi 10.1038/s41597-020-0495-6; Strodthoff et al. 2021, doi 10.1109/JBHI.2020.3022989.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ssl_ecg.tasks.csv_table import read_table
from ssl_ecg.tasks.task import Task

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
REBUILT = "rebuilt from sub-classes"
"""Code beside those of a record whose statements were guessed from its sub-classes, rhythm and form.

Its superclasses, sub-classes, rhythm and form are right; single statements are not, and tasks that ask for
them (`diagnostic44`, `ptbxl71`) do not take it.
"""
_ONLY_SUPERCLASS = frozenset(SUPERCLASSES) - {"NORM"}


def superclass() -> Task:
    """Give the five diagnostic superclasses; the names of super- and sub-classes count as codes too."""
    rows = _statements("diagnostic")
    mapping: dict[str, tuple[str, ...]] = {name: (name,) for name in SUPERCLASSES}
    for row in rows:
        mapping[row["diagnostic_subclass"]] = mapping[row["code"]] = (row["diagnostic_class"],)
    return _task("superclass", SUPERCLASSES, "PTB-XL diagnostic superclasses", mapping)


def subclass() -> Task:
    """Give the 23 diagnostic sub-classes; their names count as codes, but for the ambiguous "STTC"."""
    rows = _statements("diagnostic")
    classes = tuple(dict.fromkeys(row["diagnostic_subclass"] for row in rows))
    mapping: dict[str, tuple[str, ...]] = {name: (name,) for name in classes if name not in _ONLY_SUPERCLASS}
    mapping |= {row["code"]: (row["diagnostic_subclass"],) for row in rows}
    return _task("subclass", classes, "PTB-XL diagnostic sub-classes", mapping, coarse=_ONLY_SUPERCLASS)


def diagnostic44() -> Task:
    """Give the 44 diagnostic statements."""
    return _plain("diagnostic44", "PTB-XL diagnostic statements", ("diagnostic",), coarse={*_ONLY_SUPERCLASS, REBUILT})


def form() -> Task:
    """Give the 19 statements on form."""
    return _plain("form", "PTB-XL statements on form", ("form",))


def rhythm() -> Task:
    """Give the 12 statements on rhythm."""
    return _plain("rhythm", "PTB-XL statements on rhythm", ("rhythm",))


def ptbxl71() -> Task:
    """Give all 71 statements.

    In a corpus that gives superclasses, and neither forms nor rhythms, nothing of them is known, of a record that is
    "NORM" either; in PTB-XL itself "NORM" alone says that there is no other statement.
    """
    kinds = ("diagnostic", "form", "rhythm")
    stated = {row["code"] for row in _statements("form", "rhythm") if row["diagnostic"] != "1"}
    task = _plain("ptbxl71", "all SCP-ECG statements of PTB-XL", kinds, coarse={*_ONLY_SUPERCLASS, REBUILT})
    return replace(task, stated=frozenset(stated | {code.strip("_") for code in stated}))


def _statements(*kinds: str) -> list[dict[str, str]]:
    return [row for row in read_table("scp_statements.csv") if any(row[kind] == "1" for kind in kinds)]


def _plain(name: str, description: str, kinds: tuple[str, ...], coarse: Iterable[str] = ()) -> Task:
    classes = tuple(row["code"] for row in _statements(*kinds))
    return _task(name, classes, description, {code: (code,) for code in classes}, coarse)


def _task(
    name: str,
    classes: tuple[str, ...],
    description: str,
    mapping: dict[str, tuple[str, ...]],
    coarse: Iterable[str] = (),
) -> Task:
    bare = {code.strip("_"): classes for code, classes in mapping.items()}
    return Task(name, classes, description, bare | mapping, coarse=frozenset(coarse))
