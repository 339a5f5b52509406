"""Every table there is."""

from __future__ import annotations

from . import ablations, comparison, front_page, intervals, screening, seeds, speeds, supervised

TABLES = (
    *front_page.TABLES,
    *comparison.TABLES,
    *ablations.TABLES,
    *seeds.TABLES,
    *supervised.TABLES,
    *screening.TABLES,
    *speeds.TABLES,
    *intervals.TABLES,
)
