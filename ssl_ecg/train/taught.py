"""What a teacher, a pretrained encoder, says of whole recordings: targets of pretraining."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from ssl_ecg.data.archive import Archive
from ssl_ecg.embedding.run import embed
from ssl_ecg.embedding.vectors import load_embeddings
from ssl_ecg.train.checkpoint import load_encoder, read_card
from ssl_ecg.waiting import await_result, watched

_FOLDER = "teacher"


def teacher_targets(
    archive: Archive,
    rows: Int64[np.ndarray, " item"],
    teacher: str | Path,
    *,
    folder: str | Path | None = None,
    compute: bool = True,
    progress: bool = False,
) -> Float32[np.ndarray, "record dim"]:
    """Embed the records that are trained on with a teacher, each dimension with mean 0 and deviation 1 over them.

    Parameters
    ----------
    archive : Archive
    rows : int64 array (item,)
        The records that are trained on.
    teacher : str or Path
        Run folder, checkpoint folder or released name.
    folder : path, optional
        Run folder, where the embeddings are kept in `teacher/`; when the run goes on they are found there, or
        finished.
    compute : bool
        Of several processes one computes, and the others wait for what it keeps.
    progress : bool

    Returns
    -------
    float32 array (record, dim)
        For every row of `archive.index`; NaN for records that are not trained on.

    Raises
    ------
    CheckpointError
        If there is no such teacher, or it expects another rate, other leads or another filter.
    ArchiveError
        If the folder cannot be written.
    TrainingError
        If the process that is waited for has failed or is gone.
    """
    chosen = np.unique(rows)
    kept = None if folder is None else Path(folder) / _FOLDER
    if kept is None:
        z = embed(load_encoder(teacher), archive, progress=progress).vectors[chosen]
    elif compute:
        with watched(kept):
            z = embed(load_encoder(teacher), archive, out=kept, progress=progress).vectors[chosen]
    else:
        await_result(kept, lambda: (kept / "embeddings.npy").is_file() or None)
        z = load_embeddings(kept, mmap=True).vectors[chosen]
    spread = z.std(axis=0, dtype=np.float64)
    targets = np.full((len(archive), z.shape[1]), np.nan, np.float32)
    targets[chosen] = (z - z.mean(axis=0, dtype=np.float64)) / np.where(spread > 0, spread, 1)
    return targets


def check_teacher(teacher: str | Path, archive: Archive) -> int:
    """Give the width of a teacher's embedding, or refuse one that does not fit an archive.

    Raises
    ------
    CheckpointError
    """
    encoder = load_encoder(teacher)
    encoder.preprocessing.check_archive(archive)  # type: ignore[union-attr, operator]
    return int(encoder.dim)  # type: ignore[arg-type]


def seen_before(checkpoint: str | Path) -> dict[str, object]:
    """Give what an encoder's card says it has seen: records, and labels if it learnt from any."""
    card = read_card(checkpoint)
    names = ("pretrained_on", "labels", "finetuned_on", "teacher", "start")
    return {"checkpoint": str(checkpoint), **{name: card[name] for name in names if card.get(name) is not None}}
