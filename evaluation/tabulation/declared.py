"""Every table there is."""

from __future__ import annotations

from . import comparison, front_page, screening, speeds, supervised

TABLES = (*front_page.TABLES, *comparison.TABLES, *supervised.TABLES, *screening.TABLES, *speeds.TABLES)
