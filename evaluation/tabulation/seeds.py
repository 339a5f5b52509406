"""Table of how much the seeds of one cell differ."""

from __future__ import annotations

from statistics import fmean, stdev
from typing import Any

from .comparison import DOCUMENT, FEW, SOURCE
from .formats import number_word, score
from .layout import Cell, Column, Results, Row, Table, value

JUDGED_BY = {"pretrained": "linear", "untrained": "linear", "finetuned": "finetuned"}
"""Kind of cell -> how it is judged; the table has the cells of these kinds, in this order."""
ALL_ROTATIONS = 3


def seed_rows(results: Results) -> list[Row]:
    """Make one row for each cell with several seeds on all rotations."""
    cells = results.find(SOURCE, "cells") or {}
    return [
        Row(name, cell_name(facts["cell"]))
        for kind in JUDGED_BY
        for name, facts in sorted(cells.items())
        if facts["cell"]["kind"] == kind and len(facts["seeds"]) > 1 and len(facts["divisions"]) == ALL_ROTATIONS
    ]


def cell_name(cell: dict[str, Any]) -> str:
    """Say what a cell is and how it is judged.

    >>> cell_name({"kind": "pretrained", "name": "clocs"}), cell_name({"kind": "finetuned", "name": "scratch"})
    ('`clocs`, linear', 'from scratch')
    >>> cell_name({"kind": "finetuned", "name": "scratch_gamma_0", "set": ["encoder.last_gamma=0"]})
    'from scratch, `encoder.last_gamma=0`'
    """
    if cell["kind"] == "finetuned" and "pretrained" not in cell:
        return ", ".join(["from scratch", *(f"`{change}`" for change in cell.get("set", ()))])
    if cell["kind"] == "finetuned":
        return f"`{cell['pretrained']}`, fine-tuned"
    return "untrained, linear" if cell["kind"] == "untrained" else f"`{cell['name']}`, linear"


def _spread(size: str) -> Cell:
    """Make cells with the standard deviation, over the seeds, of the mean of the rotations."""

    def text(results: Results, row: str) -> str:
        facts = results.find(SOURCE, "cells", row)
        found = facts["by_rotation"].get(f"{JUDGED_BY[facts['cell']['kind']]}/{size}")
        if not found:
            return ""
        return score(stdev(fmean(values) for values in zip(*found.values(), strict=True)), 4)

    return text


TABLES = (
    Table(
        "seeds",
        DOCUMENT,
        "standard deviation over seeds",
        seed_rows,
        (
            Column("seeds", value(lambda seeds: number_word(len(seeds)), SOURCE, "cells", "{}", "seeds")),
            *(Column(size, _spread(size)) for size in FEW),
        ),
    ),
)
