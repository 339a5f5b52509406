"""What a model was fine-tuned on, as its card says it, so that nobody takes these records for new ones later."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.evaluate.folds import drawn_folds
from ssl_ecg.pretraining import records_by_corpus
from ssl_ecg.train.supervised.rows import Rows

_USED = ("train", "val")


def data_used(archive: Archive, rows: Rows, n_labelled: int, targets: str) -> dict[str, Any]:
    """Say which records training and validation have used.

    Parameters
    ----------
    archive : Archive
    rows : dict
        Set -> rows of the archive.
    n_labelled : int
        Labelled training records that there were; those of "train" were chosen from them.
    targets : str
        Fingerprint of the labels.

    Returns
    -------
    dict
        ``records``: set -> number; ``chosen_from``; ``targets``; ``corpora``: corpus -> ``records`` and ``folds`` of
        both sets together, as in the card of pretraining, those of ``train`` and ``val``, and ``drawn_folds`` where no
        folds are published and so many were drawn when the archive was made.
    """
    used = {name: records_by_corpus(archive, rows[name]) for name in _USED}
    drawn = drawn_folds(archive)
    corpora = {
        corpus: {
            **about,
            **{name: used[name][corpus] for name in _USED if corpus in used[name]},
            **({"drawn_folds": drawn[corpus]} if corpus in drawn else {}),
        }
        for corpus, about in records_by_corpus(archive, np.concatenate([rows[name] for name in _USED])).items()
    }
    counts = {name: len(rows[name]) for name in _USED}
    return {"records": counts, "chosen_from": n_labelled, "targets": targets, "corpora": corpora}
