"""Writes the tables of README.md and evaluation/*/README.md from the JSON beside them.

python evaluation/tables.py                # rewrites what stands between the markers
python evaluation/tables.py --check        # writes nothing; prints what is out of date and exits with 1
python evaluation/tables.py --figures      # draws evaluation/comparison/label_efficiency.png as well
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from tabulation.declared import TABLES
from tabulation.layout import Results, render
from tabulation.marks import replace_regions

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a table is out of date")
    parser.add_argument("--figures", action="store_true", help="draw the figures too")
    parser.add_argument("--root", type=Path, default=ROOT, help="folder of the project")
    options = parser.parse_args()
    results = Results(options.root)
    stale = 0
    for document in sorted({table.document for table in TABLES}):
        path = options.root / document
        before = path.read_text(encoding="utf-8")
        try:
            after = written(document, before, results)
        except ValueError as error:
            print(f"{document}: {error}", file=sys.stderr)
            return 2
        if after == before:
            continue
        stale += 1
        if options.check:
            print("".join(difference(document, before, after)), end="")
        else:
            path.write_text(after, encoding="utf-8")
            print(f"{document}: written")
    if options.figures and not options.check:
        from tabulation.curves import draw_label_efficiency

        draw_label_efficiency(results, options.root / "evaluation/comparison/label_efficiency.png")
    if options.check and stale:
        print(f"{stale} documents are out of date: run python evaluation/tables.py", file=sys.stderr)
    return int(options.check and stale > 0)


def written(document: str, text: str, results: Results) -> str:
    """Put the tables of a document into its text."""
    tables = {table.name: render(table, results) for table in TABLES if table.document == document}
    return replace_regions(text, tables)


def difference(document: str, before: str, after: str) -> list[str]:
    """Say line by line what is out of date."""
    return list(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), document, f"{document} (from JSON)", n=0
        )
    )


if __name__ == "__main__":
    sys.exit(main())
