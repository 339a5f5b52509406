"""What is known of each cluster, and its most typical recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.clusters.agreement import enrichment, label_agreement
from ssl_ecg.clusters.clustering import Clustering
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError

if TYPE_CHECKING:
    import pandas as pd

_NAMES = ("record_id", "corpus", "patient_id")


def representatives(embeddings: Embeddings, clustering: Clustering, n: int = 3) -> pd.DataFrame:
    """Give the most central recordings of each cluster, of different patients, for experts to look at.

    Parameters
    ----------
    embeddings : Embeddings
    clustering : Clustering
        Of these embeddings.
    n : int
        For each cluster; fewer where it has fewer patients.

    Returns
    -------
    DataFrame
        cluster, rank (1 is nearest to the centroid), record_id, corpus, patient_id, row, distance.
    """
    table = assignments(embeddings, clustering)
    table = table[table["cluster"] >= 0].sort_values(["cluster", "distance"], kind="stable")
    known = table["patient_id"].notna()
    table = table[~known | ~table.duplicated(["cluster", "corpus", "patient_id"])]
    table.insert(1, "rank", table.groupby("cluster").cumcount() + 1)
    return table.loc[table["rank"] <= n, ["cluster", "rank", *_NAMES, "row", "distance"]].reset_index(drop=True)


def assignments(embeddings: Embeddings, clustering: Clustering) -> pd.DataFrame:
    """Give record_id, corpus, patient_id, row, cluster and distance to the centroid, one row a record."""
    if len(clustering.labels) != len(embeddings):
        problem = f"{len(clustering.labels)} records in the clustering, {len(embeddings)} embeddings"
        raise SignalError("clusters", problem, "give the embeddings that were clustered")
    table = embeddings.index.reindex(columns=[*_NAMES, "row"]).reset_index(drop=True)
    table["cluster"], table["distance"] = clustering.labels, clustering.distance
    return table


def describe_clusters(
    embeddings: Embeddings, clustering: Clustering, *, task: str | Any | None = None, n_prototypes: int = 3
) -> dict[str, Any]:
    """Describe a clustering as plain JSON types.

    Parameters
    ----------
    embeddings : Embeddings
    clustering : Clustering
        Of these embeddings.
    task : str or task, optional
        As `find_targets` takes it; its labels are compared where they are known.
    n_prototypes : int
        Most central records named in each card.

    Returns
    -------
    dict
        ``method``, ``n_clusters``, ``n_records``, ``n_without_cluster``, ``params``, ``chosen_by``, ``stability``
        (mean and range of the adjusted Rand index), ``agreement`` (with a task, see `label_agreement`) and
        ``cards``: for each cluster ``cluster``, ``size``, ``share``, ``jaccard`` (stability), ``prototypes``,
        ``spread`` (root mean square distance to the centroid), ``labels`` (see `enrichment`), ``age``, ``sex``.

    Raises
    ------
    LabelError
        If there is no such task, it is continuous, or no record has a label of it.
    """
    found = clustering.labels
    report: dict[str, Any] = {
        "method": clustering.method, "n_clusters": clustering.n_clusters, "n_records": len(found),
        "n_without_cluster": int((found < 0).sum()), "params": dict(clustering.params),
        "chosen_by": {str(k): value for k, value in clustering.chosen_by.items()},
        "stability": _stability(clustering), "agreement": None,
    }  # fmt: skip
    labelled: dict[int, list[dict[str, Any]]] | None = None
    if task is not None:
        report["agreement"], labelled = _compare(embeddings, found, task)
    typical = representatives(embeddings, clustering, n_prototypes)
    report["cards"] = [
        _card(embeddings.index, clustering, label, typical[typical["cluster"] == label], labelled)
        for label in range(clustering.n_clusters)
    ]
    return report


def _stability(clustering: Clustering) -> dict[str, Any] | None:
    if clustering.stability is None:
        return None
    ari = clustering.stability.ari
    return {"ari": float(ari.mean()), "low": float(ari.min()), "high": float(ari.max()), "resamples": len(ari)}


def _compare(
    embeddings: Embeddings, found: NDArray[np.int64], task: str | Any
) -> tuple[dict[str, Any], dict[int, list[dict[str, Any]]]]:
    from ssl_ecg.probing.folder import task_labels

    name, classes, labels, known = task_labels(task, embeddings.index)
    agreement = {"task": name, **label_agreement(found[known], labels[known], classes)}
    return agreement, enrichment(found[known], labels[known], classes)


def _card(
    index: pd.DataFrame,
    clustering: Clustering,
    label: int,
    typical: pd.DataFrame,
    labelled: dict[int, list[dict[str, Any]]] | None,
) -> dict[str, Any]:
    member = clustering.labels == label
    jaccard = None if clustering.stability is None else float(clustering.stability.mean_jaccard[label])
    entries = typical.astype(object).where(typical.notna(), None).to_dict("records")
    return {
        "cluster": label, "size": int(member.sum()), "share": float(member.mean()), "jaccard": jaccard,
        "prototypes": [{name: entry[name] for name in (*_NAMES, "row", "distance")} for entry in entries],
        "spread": float(np.sqrt(np.mean(clustering.distance[member] ** 2))),
        "labels": None if labelled is None else labelled.get(label, []),
        "age": _ages(index, member), "sex": _sexes(index, member),
    }  # fmt: skip


def _ages(index: pd.DataFrame, member: NDArray[np.bool_]) -> dict[str, float] | None:
    """Give median and quartiles [years] of the known ages."""
    import pandas as pd

    if "age" not in index:
        return None
    known = pd.to_numeric(index["age"], errors="coerce")[member].dropna().to_numpy(np.float64)
    if not len(known):
        return None
    low, median, high = np.quantile(known, [0.25, 0.5, 0.75])
    return {"n": len(known), "median": float(median), "low": float(low), "high": float(high)}


def _sexes(index: pd.DataFrame, member: NDArray[np.bool_]) -> dict[str, int] | None:
    if "sex" not in index:
        return None
    return {str(name): int(n) for name, n in index["sex"][member].value_counts().items() if str(name)} or None
