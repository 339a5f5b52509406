"""Expert features in the place of embeddings, written to a folder as those are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.layout import refuse_archive
from ssl_ecg.embedding.partial import is_finished
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.features.expert import feature_names, features_card
from ssl_ecg.features.kept import kept_table


def kept_embeddings(archive: Archive, folder: str | Path, *, workers: int = 1, progress: bool = False) -> Embeddings:
    """Write the expert features of every record to a folder as `embed` writes embeddings; what is unknown is NaN.

    A call that was interrupted goes on where it was. Parameters and errors are those of `kept_table`.
    """
    folder, card = Path(folder), features_card(archive)
    refuse_archive(folder)
    shape = (len(archive), len(feature_names(archive.leads)))
    if not is_finished(folder, card, shape):
        table = kept_table(archive, np.arange(len(archive)), folder, workers=workers, progress=progress)
        Embeddings(table.columns(0, shape[1]), lambda: archive.index, card).save(folder)
        table.path.unlink()
    return load_embeddings(folder)
