"""Where the folds of an archive come from."""

from __future__ import annotations

import json

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.layout import ORDER


def drawn_folds(archive: Archive) -> dict[str, int]:
    """Give the corpora for which `prepare` was asked to draw folds, and how many.

    Where the archive does not tell, none is given.

    Parameters
    ----------
    archive : Archive
    """
    try:
        sources = json.loads((archive.path / ORDER).read_text(encoding="utf-8"))["sources"]
        return {str(source["name"]): int(source["folds"]) for source in sources if source.get("folds")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
