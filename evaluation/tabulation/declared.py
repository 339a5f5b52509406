"""Every table there is."""

from __future__ import annotations

from . import ablations, comparison, front_page, intervals, screening, speeds, supervised

TABLES = (
    *front_page.TABLES,
    *comparison.TABLES,
    *ablations.TABLES,
    *supervised.TABLES,
    *screening.TABLES,
    *speeds.TABLES,
    *intervals.TABLES,
)
