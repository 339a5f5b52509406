"""Tables of QRS duration and QT."""

from __future__ import annotations

from typing import Any

from .formats import score, share
from .layout import Cell, Column, Results, Row, Table, value

SOURCE = "evaluation/rpeaks/intervals.json"
DOCUMENT = "evaluation/rpeaks/README.md"
MEASURED = {"qrs_width": "QRS", "qt": "QT"}


def _rows(part: str) -> Any:
    """Make one row for each way of measuring, or pair of them, the pairs with their difference in both words."""

    def rows(results: Results) -> list[Row]:
        keys = results.find(SOURCE, "results", "qt", part) or ()
        return [Row(key, key.replace(" less ", " and ")) for key in keys]

    return rows


def _cell(form: Any, measure: str, *path: str) -> Cell:
    return value(form, SOURCE, "results", measure, *path)


def _spread(entry: dict[str, Any]) -> str:
    low, high = entry["p5_p95_ms"]
    return f"{entry['median_ms']:.0f} ms ({low:.0f}-{high:.0f})"


def _agreement(entry: dict[str, Any]) -> str:
    return f"{entry['median_absolute_difference_ms']:.0f} ms ({score(entry['spearman'], 2)})"


TABLES = (
    Table(
        "intervals",
        DOCUMENT,
        "way",
        _rows("ways"),
        tuple(
            column
            for measure, name in MEASURED.items()
            for column in (
                Column(f"{name}: median (5th-95th percentile)", _cell(_spread, measure, "ways", "{}")),
                Column("not found", _cell(lambda part: share(part, 1), measure, "ways", "{}", "not_found")),
            )
        ),
    ),
    Table(
        "intervals compared",
        DOCUMENT,
        "median of the absolute difference (Spearman)",
        _rows("pairs"),
        tuple(Column(name, _cell(_agreement, measure, "pairs", "{}")) for measure, name in MEASURED.items()),
    ),
)
