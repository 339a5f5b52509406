"""Marked regions of a document: `<!-- table: NAME -->`, the table, `<!-- end -->`."""

from __future__ import annotations

import re
from collections.abc import Mapping

BEGIN = re.compile(r"^<!-- table: (.+?) -->$")
END = "<!-- end -->"


def replace_regions(text: str, tables: Mapping[str, str]) -> str:
    r"""Put each table between its markers; all else stays as it is.

    Raises
    ------
    ValueError
        If a marker is unknown, not closed or there twice, or a table has no marker.

    Examples
    --------
    >>> print(replace_regions("<!-- table: a -->\nold\n<!-- end -->\n", {"a": "new\n"}), end="")
    <!-- table: a -->
    new
    <!-- end -->
    """
    out: list[str] = []
    inside: str | None = None
    left = dict(tables)
    for line in text.splitlines(keepends=True):
        found = BEGIN.match(line.rstrip("\n"))
        if found and inside is not None:
            raise ValueError(f"table {inside!r} is not closed: put {END!r} after it")
        if found:
            inside = found[1]
            if inside not in left:
                known = ", ".join(tables) or "none"
                raise ValueError(
                    f"table {inside!r} is there twice or not declared for this document (declared: {known})"
                )
            out += [line, left.pop(inside)]
        elif line.rstrip("\n") == END:
            inside = None
            out.append(line)
        elif inside is None:
            out.append(line)
    if inside is not None:
        raise ValueError(f"table {inside!r} is not closed: put {END!r} after it")
    if left:
        raise ValueError(f"no marker for {', '.join(map(repr, left))}: put '<!-- table: NAME -->' and {END!r} there")
    return "".join(out)
