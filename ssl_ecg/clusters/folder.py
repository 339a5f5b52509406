"""Clusters of a folder of embeddings, written as tables and cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg._version import __version__
from ssl_ecg.clusters.cards import assignments, describe_clusters, representatives
from ssl_ecg.clusters.clustering import cluster
from ssl_ecg.clusters.order import Coverage, labelling_order
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_json, write_whole
from ssl_ecg.probing.folder import task_labels

if TYPE_CHECKING:
    import pandas as pd


def cluster_folder(
    embeddings_dir: str | Path,
    out: str | Path,
    *,
    method: str = "kmeans",
    k: int | None = None,
    task: str | Any | None = None,
    n_representatives: int = 3,
    resamples: int = 20,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Cluster a folder's embeddings; write ``clusters.parquet``, ``clusters.json`` and ``representatives.csv``.

    Parameters
    ----------
    embeddings_dir, out : path
    method, k, resamples, seed, progress
        As `cluster` takes them.
    task : str or Task, optional
        Whose labels are compared with the clusters.
    n_representatives : int
        Records of each cluster for annotation, the most central first.

    Returns
    -------
    dict
        What ``clusters.json`` holds, see `describe_clusters`.

    Raises
    ------
    SignalError, LabelError
        As `cluster` and the task demand.
    ArchiveError
        If a folder cannot be read or written.
    """
    embeddings = load_embeddings(embeddings_dir)
    if task is not None:
        task_labels(task, embeddings.index)  # before long work
    found = cluster(embeddings, method=method, k=k, resamples=resamples, seed=seed, progress=progress)
    report = describe_clusters(embeddings, found, task=task, n_prototypes=n_representatives)
    report |= {"fingerprint": embeddings.fingerprint, "version": __version__}
    table, typical = assignments(embeddings, found), representatives(embeddings, found, n_representatives)
    out = Path(out)
    write_whole(out / "clusters.parquet", lambda file: table.to_parquet(file, index=False))
    _write_csv(out / "representatives.csv", typical)
    write_json(out / "clusters.json", report)
    return report


def order_folder(
    embeddings_dir: str | Path,
    out: str | Path,
    n: int,
    *,
    labelled: str | Path | None = None,
    predictions: str | Path | None = None,
    coverage: Coverage = "facility",
    seed: int = 0,
) -> pd.DataFrame:
    """Choose records of a folder to label; write ``order.csv``.

    Parameters
    ----------
    embeddings_dir, out : path
    n : int
    labelled : path, optional
        CSV or Parquet table whose column ``record_id`` names the records that have labels, with ``corpus`` where two
        corpora share names.
    predictions : path, optional
        Table of `ssl-ecg predict`, CSV or Parquet: ``record_id`` and ``proba_CLASS`` for each class, and ``corpus``
        likewise.
    coverage, seed
        As `labelling_order` takes them.

    Raises
    ------
    SignalError
        As `labelling_order` does.
    ArchiveError
        If a file cannot be read or written, has no column that is needed, or leaves open which record is meant.
    """
    embeddings = load_embeddings(embeddings_dir)
    rows = None if labelled is None else _labelled_rows(embeddings, Path(labelled))
    chances = None if predictions is None else _probabilities(embeddings, Path(predictions))
    table = labelling_order(embeddings, n, labelled=rows, probabilities=chances, coverage=coverage, seed=seed)
    _write_csv(Path(out) / "order.csv", table)
    return table


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    text = table.to_csv(index=False)
    write_whole(path, lambda file: file.write(text.encode("utf-8")))


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        names = {"record_id": str, "corpus": str}  # "007" is not 7
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=names)
    except (OSError, ValueError) as error:
        raise ArchiveError(str(path), f"cannot be read ({error})", "give a CSV or Parquet table") from None
    if "record_id" not in table:
        raise ArchiveError(str(path), "has no column record_id", "name the records in a column record_id")
    return table.assign(record_id=table["record_id"].astype(str))


def _labelled_rows(embeddings: Embeddings, path: Path) -> NDArray[np.bool_]:
    table = _read_table(path)
    return _named(_keys(embeddings.index, table), table, path)


def _named(keys: pd.Series[str], table: pd.DataFrame, path: Path) -> NDArray[np.bool_]:
    """Tell which records a table names, each of them without doubt.

    Raises
    ------
    ArchiveError
        If it names none, or one by an id that several records have.
    """
    rows = keys.isin(_keys(table, table))
    if len(table) and not rows.any():
        raise ArchiveError(str(path), "names no record of the embeddings", "give the table of the same records")
    twice = keys[rows & keys.duplicated(keep=False)].unique()
    if len(twice):
        problem = f"{len(twice)} of its ids belong to several records, such as {twice[0]!r}"
        raise ArchiveError(str(path), problem, "add a column corpus that says which is meant")
    return np.asarray(rows)


def _probabilities(embeddings: Embeddings, path: Path) -> NDArray[np.float64]:
    """Give probabilities in the order of the embeddings; NaN for records without."""
    table = _read_table(path)
    columns = [name for name in table if str(name).startswith("proba_")]
    if not columns:
        raise ArchiveError(str(path), "has no column proba_CLASS", "give the table that `ssl-ecg predict` wrote")
    keys = _keys(table, table)
    try:
        numbers = table[columns].astype(np.float64).set_axis(keys, axis=0)[~keys.duplicated().to_numpy()]
    except (TypeError, ValueError) as error:
        raise ArchiveError(str(path), f"a probability is no number ({error})", "give numbers from 0 to 1") from None
    wanted = _keys(embeddings.index, table)
    _named(wanted, table, path)
    return numbers.reindex(wanted).to_numpy(np.float64)


def _keys(table: pd.DataFrame, other: pd.DataFrame) -> pd.Series[str]:
    """Name records by their corpus too, if the other table does."""
    names = table["record_id"].astype(str)
    return table["corpus"].astype(str) + "/" + names if "corpus" in other and "corpus" in table else names
