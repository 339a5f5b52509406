"""Read the tables that are shipped with the package."""

from __future__ import annotations

import csv
from importlib.resources import files


def read_rows(name: str) -> list[list[str]]:
    """Give all rows of a shipped table, its header first.

    Examples
    --------
    >>> read_rows("scp_statements.csv")[1][:2]
    ['NDT', 'non-diagnostic T abnormalities']
    """
    text = (files("ssl_ecg.tasks") / "tables" / name).read_text(encoding="utf-8")
    return list(csv.reader(text.splitlines()))


def read_table(name: str) -> list[dict[str, str]]:
    """Give the rows of a shipped table as dictionaries.

    Examples
    --------
    >>> read_table("scp_statements.csv")[4]["diagnostic_class"]
    'NORM'
    """
    header, *rows = read_rows(name)
    return [dict(zip(header, row, strict=True)) for row in rows]
