"""How well two groupings agree, and which labels a cluster has more of than the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
_SHUFFLES = 20


def contingency(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Count records by group of `a` and group of `b`; (group, group)."""
    rows, columns = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (a, b))
    table = np.zeros((rows.max(initial=-1) + 1, columns.max(initial=-1) + 1))
    np.add.at(table, (rows, columns), 1)
    return table


def adjusted_rand(a: ArrayLike, b: ArrayLike) -> float:
    """Give the adjusted Rand index of two groupings: 1 if they are the same, about 0 by chance.

    References
    ----------
    Hubert & Arabie 1985, doi 10.1007/BF01908075, equation 5.

    Examples
    --------
    >>> adjusted_rand([0, 0, 1, 1], [5, 5, 3, 3]), round(adjusted_rand([0, 0, 1, 1], [0, 1, 0, 1]), 3)
    (1.0, -0.5)
    """
    table = contingency(a, b)
    both, rows, columns = (float((n * (n - 1) / 2).sum()) for n in (table, table.sum(axis=1), table.sum(axis=0)))
    n = float(table.sum())
    pairs = n * (n - 1) / 2
    if not pairs:
        return 1.0
    expected, most = rows * columns / pairs, (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def mutual_information(a: ArrayLike, b: ArrayLike) -> float:
    """Give the mutual information over the mean of the two entropies (NMI), 0 to 1.

    It grows with the number of groups also where they mean nothing: compare with that of shuffled labels.

    References
    ----------
    Vinh et al. 2010, JMLR 11, pp. 2837-2854.
    """
    share = contingency(a, b) / max(1, np.size(a))
    rows, columns = share.sum(axis=1), share.sum(axis=0)
    entropies = [-float((p[p > 0] * np.log(p[p > 0])).sum()) for p in (rows, columns)]
    inside = share > 0
    information = float((share[inside] * np.log(share[inside] / np.outer(rows, columns)[inside])).sum())
    return max(0.0, information / (sum(entropies) / 2)) if sum(entropies) > 0 else 1.0


def purity(clusters: ArrayLike, labels: ArrayLike) -> float:
    """Give the share of records that have the commonest label of their cluster."""
    table = contingency(clusters, labels)
    return float(table.max(axis=1).sum() / table.sum())


def label_agreement(
    clusters: NDArray[np.int64], labels: NDArray[np.floating], classes: tuple[str, ...], seed: int = 0
) -> dict[str, Any]:
    """Compare clusters with the labels of a task.

    Records may have several labels. Indices that need one are given for the first label of each record, in the order
    of the classes, over the records that have one; beside it, every class is compared by itself over all records.

    Parameters
    ----------
    clusters : int64 array (record,)
        -1 counts as a group.
    labels : array (record, class)
        Of records whose labels are known.
    classes : tuple of str
    seed : int
        Of the shuffled labels that show what chance gives.
    """
    positive = labels > 0
    some = positive.any(axis=1)
    report: dict[str, Any] = {
        "n_known": len(labels),
        "n_with_label": int(some.sum()),
        "n_with_several": int((positive.sum(axis=1) > 1).sum()),
    }
    if some.any():
        groups, first = clusters[some], positive[some].argmax(axis=1)
        rng = np.random.default_rng(seed)
        chance = np.mean([mutual_information(groups, rng.permutation(first)) for _ in range(_SHUFFLES)])
        report["first_label"] = {
            "nmi": mutual_information(groups, first), "nmi_by_chance": float(chance),
            "ari": adjusted_rand(groups, first), "purity": purity(groups, first),
            "purity_by_chance": float(np.bincount(first).max() / len(first)),
        }  # fmt: skip
    report["classes"] = {name: _one_class(clusters, positive[:, c]) for c, name in enumerate(classes)}
    return report


def _one_class(clusters: NDArray[np.int64], positive: NDArray[np.bool_]) -> dict[str, Any]:
    """Compare clusters with one class: mutual information, and the cluster that names it best."""
    best, score = -1, 0.0
    for label in np.unique(clusters[clusters >= 0]):
        member = clusters == label
        f1 = 2 * (member & positive).sum() / max(1, member.sum() + positive.sum())
        if f1 > score:
            best, score = int(label), float(f1)
    return {
        "n": int(positive.sum()), "nmi": mutual_information(clusters, positive) if positive.any() else 0.0,
        "best_cluster": best, "best_f1": score,
    }  # fmt: skip


def enrichment(
    clusters: NDArray[np.int64], labels: NDArray[np.floating], classes: tuple[str, ...]
) -> dict[int, list[dict[str, Any]]]:
    """Say which classes each cluster has more of than records have altogether, the largest lift first.

    Parameters
    ----------
    clusters : int64 array (record,)
    labels : array (record, class)
        Of records whose labels are known.
    classes : tuple of str

    Returns
    -------
    dict from cluster to list of dict
        ``class``, ``n`` records with it, ``share`` of the cluster, ``lift`` (share over that among all), ``p``: how
        often a random group of this size has as many (hypergeometric), and ``q``, which bounds the share of false
        findings among all classes and clusters with as small a one. Records count as independent of one another.

    References
    ----------
    Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x.
    """
    from scipy.stats import hypergeom

    positive = labels > 0
    found: list[tuple[int, dict[str, Any]]] = []
    for label in np.unique(clusters[clusters >= 0]):
        member = clusters == label
        for c, name in enumerate(classes):
            n, total = int(positive[member, c].sum()), int(positive[:, c].sum())
            share = n / int(member.sum())
            lift = share / (total / len(labels)) if total else 0.0
            p = float(hypergeom.sf(n - 1, len(labels), total, int(member.sum())))
            found.append((int(label), {"class": name, "n": n, "share": share, "lift": lift, "p": p}))
    for (_, entry), q in zip(found, _false_discovery([entry["p"] for _, entry in found]), strict=True):
        entry["q"] = float(q)
    result: dict[int, list[dict[str, Any]]] = {}
    for label, entry in sorted(found, key=lambda pair: -pair[1]["lift"]):
        result.setdefault(label, []).append(entry)
    return result


def _false_discovery(p: list[float]) -> FloatArray:
    """Give Benjamini and Hochberg's adjusted p-values."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values)[::-1]
    ranks = np.arange(len(values), 0, -1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum.accumulate(np.minimum(values[order] * len(values) / ranks, 1.0))
    return adjusted
