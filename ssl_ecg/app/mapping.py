"""The picture of `ssl-ecg map`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError, LabelError
from ssl_ecg.map import project
from ssl_ecg.plot.map import plot_map
from ssl_ecg.plot.style import save_figure
from ssl_ecg.tasks import get_task

if TYPE_CHECKING:
    import pandas as pd

_TASKS = ("superclass", "cpsc9", "cinc26")
_FEWEST_LABELLED = 60
"""Labelled records below which no task fits."""
Colour = Literal["label", "cluster", "score"]


def draw_map(
    embeddings: str | Path,
    out: str | Path,
    *,
    task: str | None = None,
    scores: str | Path | None = None,
    colour: Colour | None = None,
    method: Literal["umap", "pca"] = "umap",
    seed: int = 0,
) -> Path:
    """Project embeddings to the plane and draw them.

    Parameters
    ----------
    embeddings : path
        Folder written by `embed`.
    out : path
        The picture: .png or .svg.
    task : str, optional
        Colour by its classes; by the raw codes if None.
    scores : path, optional
        `scores.parquet` of a screen, or the folder it is in, for "cluster" and "score".
    colour : {"label", "cluster", "score"}, optional
        By default "label" with a task, else "score" with scores, else "label".
    method : {"umap", "pca"}
    seed : int

    Returns
    -------
    Path
        The picture.

    Raises
    ------
    LabelError, ArchiveError
        If the task or the scores do not fit the embeddings, or the picture cannot be written.
    """
    out = Path(out)
    if out.suffix.lower() not in (".png", ".svg"):
        raise ArchiveError(str(out), "is neither .png nor .svg", "give --out map.png, for example")
    records = load_embeddings(embeddings)
    colour = colour or ("label" if task or not scores else "score")
    colours = _colours(records, colour, task, scores)
    points = project(records.vectors, method=method, seed=seed)
    title = f"{len(records):,} recordings, {method.upper()}"
    figure = plot_map(points, title=title, **colours)
    save_figure(figure, out.with_suffix(""), formats=(out.suffix.lower().lstrip("."),))
    return out


def _colours(records: Embeddings, colour: Colour, task: str | None, scores: str | Path | None) -> dict[str, Any]:
    """Give the arguments of `plot_map` that colour the points."""
    if colour == "label":
        return label_colours(records, task)
    if scores is None:
        raise LabelError("map", f"colour by {colour} needs scores", "give --scores scores.parquet of ssl-ecg screen")
    table = _read_scores(Path(scores), records)
    if colour == "score":
        return {"scores": table["anomaly_score"].to_numpy(float)}
    return {"clusters": table["cluster"].to_numpy(int)}


def _read_scores(path: Path, records: Embeddings) -> pd.DataFrame:
    """Read the scores of these embeddings, row by row."""
    import pandas as pd

    path = path / "scores.parquet" if path.is_dir() else path
    try:
        table = pd.read_parquet(path, columns=["record_id", "anomaly_score", "cluster"])
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors, a missing column too
        raise ArchiveError(str(path), f"cannot be read ({error})", "give scores.parquet of ssl-ecg screen") from None
    if len(table) != len(records):
        problem = f"has {len(table)} rows for {len(records)} embeddings"
        raise ArchiveError(str(path), problem, "screen these embeddings")
    if table["record_id"].astype(str).tolist() != records.index["record_id"].astype(str).tolist():
        raise ArchiveError(str(path), "has the scores of other records", "screen these embeddings")
    return table


def label_colours(records: Embeddings, task: str | None) -> dict[str, Any]:
    """Give the labels of each record: the classes of a task, or its raw codes.

    Raises
    ------
    LabelError
        If the task is unknown or no record has a code of it.
    """
    codes = [tuple(item) for item in records.index["codes"]]
    if task is None:
        return {"labels": codes}
    chosen = get_task(task)
    labels, known = chosen.labels(codes)
    if not known.any():
        problem = f"none of {len(codes)} records has a code of this task"
        raise LabelError(task, problem, "choose a task that fits the codes of the corpus")
    names = np.array(chosen.classes)
    return {"labels": [tuple(names[row > 0]) for row in labels], "order": order_of(chosen.classes)}


def fitting_task(codes: Sequence[Sequence[str]]) -> str | None:
    """Give the first task that enough records have codes of, at least two classes with five positives each."""
    for name in _TASKS:
        labels, known = get_task(name).labels(codes)
        if known.sum() >= _FEWEST_LABELLED and (np.nansum(labels, axis=0) >= 5).sum() >= 2:
            return name
    return None


def order_of(classes: tuple[str, ...]) -> tuple[str, ...]:
    """Put findings before the normal class, so that a record with both is drawn as the finding."""
    normal = [name for name in classes if name in ("NORM", "SNR", "NSR", "SR")]
    return (*(name for name in classes if name not in normal), *normal)
