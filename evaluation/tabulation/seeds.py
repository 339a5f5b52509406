"""Table of how much the seeds of one cell differ."""

from __future__ import annotations

from statistics import fmean, stdev

from .comparison import DOCUMENT, FEW, SOURCE
from .formats import number_word, score
from .layout import Cell, Column, Results, Row, Table, value

MORE_THAN_ONE = {
    "simclr": ("linear", "`simclr`, linear"),
    "guided": ("linear", "`guided`, linear"),
    "clocs": ("linear", "`clocs`, linear"),
    "polywindow": ("linear", "`polywindow`, linear"),
    "untrained": ("linear", "untrained, linear"),
    "finetuned_simclr": ("finetuned", "`simclr`, fine-tuned"),
    "finetuned_guided": ("finetuned", "`guided`, fine-tuned"),
    "scratch": ("finetuned", "from scratch"),
}
"""Cell -> how it is judged, and what it is called."""


def seed_rows(results: Results) -> list[Row]:
    """Make one row for each of the cells with several seeds."""
    return [
        Row(cell, label)
        for cell, (_, label) in MORE_THAN_ONE.items()
        if len(results.find(SOURCE, "cells", cell, "seeds") or ()) > 1
    ]


def _spread(size: str) -> Cell:
    """Make cells with the standard deviation, over the seeds, of the mean of the rotations."""

    def text(results: Results, row: str) -> str:
        found = results.find(SOURCE, "cells", row, "by_rotation", f"{MORE_THAN_ONE[row][0]}/{size}")
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
