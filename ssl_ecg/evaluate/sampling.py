"""Seeded choices of records: nested labelled subsets, and patient-disjoint folds with balanced labels."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError

IntArray = NDArray[np.int64]


def nested_subsets(Y: ArrayLike, sizes: Sequence[int], *, seed: int) -> dict[int, IntArray]:
    """Choose n labelled records for every n in ``sizes``, the smaller subsets inside the larger ones.

    The first records hold a positive of every class that has one, as far as n allows, the rarest class
    first; after them every combination of labels comes in proportion.

    Parameters
    ----------
    Y : array (record, class)
        1, 0, or NaN where unknown.
    sizes : sequence of int
        Number of records of each subset.
    seed : int

    Returns
    -------
    dict
        Size -> sorted row numbers.

    Raises
    ------
    LabelError
        If a size is below one or above the number of records.

    Examples
    --------
    >>> subsets = nested_subsets(np.eye(3)[[0] * 8 + [1] * 8 + [2]], [3, 6], seed=1)
    >>> subsets[3].size, set(subsets[3]) <= set(subsets[6]), 16 in subsets[3]
    (3, True, True)
    """
    labels = _labels(Y)
    for size in sizes:
        if not 1 <= size <= len(labels):
            remedy = f"choose sizes from 1 to {len(labels)}"
            raise LabelError("label sizes", f"cannot take {size} of {len(labels)} labelled records", remedy)
    order = stratified_order(labels, seed=seed)
    return {int(size): np.sort(order[:size]) for size in sizes}


def draw_seed(seed: int, draw: int) -> int:
    """Give the seed for one of several draws of labelled records, so that all who ask draw the same.

    Examples
    --------
    >>> draw_seed(3, 2)
    2003
    """
    return seed + 1000 * draw


def stratified_order(Y: ArrayLike, *, seed: int) -> IntArray:
    """Order the records so that every beginning of the list is a stratified sample.

    Examples
    --------
    >>> order = stratified_order([[1], [0]] * 50, seed=0)
    >>> bool(20 <= (order[:50] % 2).sum() <= 30)
    True
    """
    labels = _labels(Y)
    rng = np.random.default_rng(seed)
    stratum = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    place = rng.random(len(labels))
    for value in np.unique(stratum):
        rows = np.flatnonzero(stratum == value)
        place[rows[rng.permutation(len(rows))]] = (np.arange(len(rows)) + rng.random(len(rows))) / len(rows)
    order = np.argsort(place, kind="stable")
    positives = labels.sum(axis=0)
    first: list[int] = []
    for k in np.argsort(positives, kind="stable"):
        if positives[k] and not labels[first, k].any():
            first.append(int(order[np.argmax(labels[order, k])]))
    return np.concatenate([np.array(first, np.int64), order[~np.isin(order, first)]])


def grouped_folds(
    Y: ArrayLike, groups: ArrayLike, *, n_folds: int = 5, shares: Sequence[float] | None = None, seed: int
) -> IntArray:
    """Give every record a fold, all records of a patient the same one, with labels spread in proportion.

    Patients are dealt one by one, those with the rarest labels first, to the fold that lacks them most.

    Parameters
    ----------
    Y : array (record, class)
        1, 0, or NaN where unknown.
    groups : array (record,)
        Patient of each record.
    n_folds : int
    shares : sequence of float, optional
        Wanted share of the records in each fold; equal when not given.
    seed : int

    Returns
    -------
    int64 array (record,)
        0 to n_folds - 1.

    Raises
    ------
    LabelError
        If there are fewer patients than folds.

    References
    ----------
    Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10 (iterative stratification), here over patients.

    Examples
    --------
    >>> folds = grouped_folds([[1], [0], [0], [1]], ["a", "a", "b", "c"], n_folds=2, seed=0)
    >>> bool(folds[0] == folds[1]), sorted(set(folds.tolist()))
    (True, [0, 1])
    """
    labels = _labels(Y)
    patients, member = np.unique(np.asarray(groups), return_inverse=True)
    wanted = np.full(n_folds, 1 / n_folds) if shares is None else np.asarray(shares) / np.sum(shares)
    if len(patients) < len(wanted):
        problem = f"{len(patients)} patients for {len(wanted)} folds"
        raise LabelError("folds", problem, "use fewer folds or more patients")
    contents = np.zeros((len(patients), labels.shape[1] + 1))  # positives of each class, and records
    np.add.at(contents, member, np.hstack([labels, np.ones((len(labels), 1))]))
    rng = np.random.default_rng(seed)
    fold_of = _deal(contents, wanted, rng)
    return fold_of[member]


def _deal(contents: NDArray[np.float64], wanted: NDArray[np.float64], rng: np.random.Generator) -> IntArray:
    """Deal patients to folds; ``contents`` is (patient, class + 1) with the number of records last."""
    total = np.maximum(contents.sum(axis=0), 1)
    importance = np.where(contents > 0, 1 / total, 0.0)
    urgency = importance.max(axis=1)
    order = np.lexsort((rng.random(len(contents)), -urgency))
    missing = wanted[:, None] * total  # (fold, class + 1)
    fold_of = np.full(len(contents), -1, np.int64)
    empty = set(range(len(wanted)))
    for rank, patient in enumerate(order):
        need = (missing / (wanted[:, None] * total)) @ importance[patient] + 1e-9 * rng.random(len(wanted))
        if len(empty) >= len(order) - rank:  # the last patients must fill what is still empty
            need[[fold for fold in range(len(wanted)) if fold not in empty]] = -np.inf
        fold = int(np.argmax(need))
        empty.discard(fold)
        fold_of[patient] = fold
        missing[fold] -= contents[patient]
    return fold_of


def _labels(Y: ArrayLike) -> NDArray[np.float64]:
    array = np.nan_to_num(np.asarray(Y, dtype=np.float64))
    return array[:, None] if array.ndim == 1 else array
