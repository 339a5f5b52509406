"""Which recordings to label first: those that cover the rest, and those a model is unsure of."""

# ruff: noqa: N803, N806 - matrices are upper case, as in the equations

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import subsample
from ssl_ecg.screen.whiten import fit_whitening

if TYPE_CHECKING:
    import pandas as pd

Coverage = Literal["facility", "kcenter"]
FloatArray = NDArray[np.float64]

_GROUND = 2_000  # records that have to be covered by "facility"; more are sampled
_BLOCK = 4_096


def labelling_order(
    embeddings: Embeddings,
    n: int,
    *,
    labelled: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    coverage: Coverage = "facility",
    unsure: float = 0.5,
    n_components: int | None = 64,
    seed: int = 0,
) -> pd.DataFrame:
    """Choose recordings to label, the most useful first.

    Each choice is that with the largest gain, given what is labelled and chosen already. With probabilities the gain
    is multiplied by ``1 - unsure + unsure * uncertainty``. A chosen set covers the archive better than a random one;
    that a probe learns more from it is not a given: compare on your own task before relying on it.

    Parameters
    ----------
    embeddings : Embeddings
    n : int
        Fewer where fewer are left.
    labelled : int or bool array, optional
        Rows that have labels: what they cover is covered, and they are not chosen.
    probabilities : array (record, class), optional
        Of a probe or a fine-tuned model, each class by itself; uncertainty is their mean binary entropy, between 0 and
        1. Where they are NaN the mean over the others counts.
    coverage : {"facility", "kcenter"}
        "facility": what falls is the mean distance of records to the nearest labelled one, so typical recordings
        of large groups come first. "kcenter": the record farthest from all labelled ones; it bounds the largest
        distance, and so takes strange recordings early.
    unsure : float
        Weight of the uncertainty, 0 to 1; without probabilities it does nothing.
    n_components : int or None
        Principal directions in which distances are measured, not whitened.
    seed : int
        Of the sample of records that have to be covered, among more than 2,000.

    Returns
    -------
    DataFrame
        rank (from 1), record_id, corpus, patient_id, row, gain, uncertainty (NaN without probabilities). Records whose
        embedding is not finite are not chosen.

    Raises
    ------
    SignalError
        If a number is out of range or arrays do not fit the embeddings.

    References
    ----------
    Sener & Savarese 2018, arXiv 1708.00489, algorithm 1 (k-center). Wei et al. 2015, ICML, PMLR 37, pp. 1954-1963
    (facility location).

    Examples
    --------
    >>> import pandas as pd
    >>> Z = np.random.default_rng(0).normal(size=(60, 2)) + 20 * np.repeat([[0, 0], [0, 1], [1, 0]], 20, axis=0)
    >>> order = labelling_order(Embeddings(Z, pd.DataFrame({"record_id": range(60)})), 3)
    >>> sorted(order["row"] // 20)
    [0, 1, 2]
    """
    if n < 1 or not 0 <= unsure <= 1 or coverage not in get_args(Coverage):
        problem = f"{n} recordings, unsure {unsure}, coverage {coverage!r}"
        raise SignalError("labelling order", problem, "give at least 1, a weight from 0 to 1, and facility or kcenter")
    total = len(embeddings)
    finite = np.isfinite(embeddings.vectors).all(axis=1)
    done = np.zeros(total, bool) if labelled is None else _mask(labelled, total)
    uncertainty = np.full(total, np.nan) if probabilities is None else binary_entropy(probabilities, total)
    weight = np.ones(total) if probabilities is None else 1 - unsure + unsure * uncertainty
    if not finite.any():
        raise SignalError("labelling order", "no embedding is finite", "embed the records again")
    Z = embeddings.vectors[finite]
    X = fit_whitening(Z, n_components, whiten=False)(Z).astype(np.float64)
    pick = _facility if coverage == "facility" else _kcenter
    places, gains = pick(X, done[finite], weight[finite], n, seed)
    rows = np.flatnonzero(finite)[places]
    table = embeddings.index.reindex(columns=["record_id", "corpus", "patient_id", "row"]).iloc[rows]
    table = table.reset_index(drop=True)
    table.insert(0, "rank", np.arange(1, len(rows) + 1))
    table["gain"], table["uncertainty"] = gains, uncertainty[rows]
    return table


def binary_entropy(probabilities: ArrayLike, n: int | None = None) -> FloatArray:
    """Give the mean over classes of the entropy of each probability [bit]; 0 sure, 1 unsure.

    Where a record's probabilities are all NaN, the mean over the other records is given.

    Raises
    ------
    SignalError
        If they are not (record, class), not between 0 and 1, not of `n` records, or all NaN.

    Examples
    --------
    >>> binary_entropy([[0.5, 0.5], [0.0, 1.0], [np.nan, np.nan]]).tolist()
    [1.0, 0.0, 0.5]
    """
    p = np.asarray(probabilities, np.float64)
    known = np.isfinite(p)
    if p.ndim != 2 or (n is not None and len(p) != n) or not known.any() or (np.abs(p[known] - 0.5) > 0.5).any():
        problem = f"probabilities have shape {p.shape} for {n} records, or are not between 0 and 1"
        raise SignalError("labelling order", problem, "give (record, class), one row for each embedding")
    clear = np.where(known & (p > 0) & (p < 1), p, 0.5)
    bits = -(clear * np.log2(clear) + (1 - clear) * np.log2(1 - clear))
    bits = np.where((p == 0) | (p == 1), 0.0, bits)
    count = known.sum(axis=1)
    mean = np.where(known, bits, 0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, mean, mean[count > 0].mean()))


def _mask(labelled: ArrayLike, n: int) -> NDArray[np.bool_]:
    given = np.asarray(labelled)
    out = np.zeros(n, bool)
    if given.dtype == bool and given.shape == (n,):
        return given
    rows = given.astype(np.int64).reshape(-1)
    if given.dtype == bool or (len(rows) and not (rows.min() >= 0 and rows.max() < n)):
        raise SignalError("labelling order", f"labelled does not name rows of {n}", "give rows from 0, or a mask")
    out[rows] = True
    return out


def _kcenter(
    X: FloatArray, done: NDArray[np.bool_], weight: FloatArray, n: int, seed: int
) -> tuple[list[int], list[float]]:
    """Take the farthest record again and again, the one nearest to the middle first if nothing is labelled."""
    gap = np.full(len(X), np.inf)
    for row in np.flatnonzero(done):
        gap = np.minimum(gap, np.linalg.norm(X - X[row], axis=1))
    free, places, gains = ~done, [], []
    if not done.any():
        gap = np.linalg.norm(X - X.mean(axis=0), axis=1)
        start = int((gap * np.where(weight > 0, 1 / np.maximum(weight, 1e-9), np.inf)).argmin())
        places, gains, free[start] = [start], [float(gap.mean())], False
        gap = np.linalg.norm(X - X[start], axis=1)
    while len(places) < n and free.any():
        worth = np.where(free, gap * weight, -1.0)
        best = int(worth.argmax())
        places.append(best)
        gains.append(float(worth[best]))
        free[best] = False
        gap = np.minimum(gap, np.linalg.norm(X - X[best], axis=1))
    return places, gains


def _facility(
    X: FloatArray, done: NDArray[np.bool_], weight: FloatArray, n: int, seed: int
) -> tuple[list[int], list[float]]:
    """Take what lowers the mean distance to the nearest labelled record most, again and again.

    Gains never grow as more is chosen, so a candidate is looked at again only while its last gain is the largest
    (lazy greedy; Minoux 1978, doi 10.1007/BFb0006528).
    """
    ground = X[subsample(len(X), _GROUND, seed)]
    if done.any():
        gap = np.min([_distances(part, ground).min(axis=0) for part in _blocks(X[done])], axis=0)
    else:
        gap = np.full(len(ground), float(np.max([_distances(part, ground).max() for part in _blocks(X)])))
    bound = np.concatenate([np.maximum(gap - _distances(part, ground), 0).mean(axis=1) for part in _blocks(X)])
    bound = np.where(done, -1.0, bound * weight)
    places: list[int] = []
    gains: list[float] = []
    while len(places) < min(n, int((~done).sum())):
        best = int(bound.argmax())
        nearer = np.maximum(gap - _distances(X[best : best + 1], ground)[0], 0)
        bound[best] = nearer.mean() * weight[best]
        if int(bound.argmax()) == best:
            places.append(best)
            gains.append(float(bound[best]))
            gap, bound[best] = gap - nearer, -1.0
    return places, gains


def _blocks(X: FloatArray) -> list[FloatArray]:
    return [X[first : first + _BLOCK] for first in range(0, len(X), _BLOCK)]


def _distances(a: FloatArray, b: FloatArray) -> FloatArray:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b))
