"""Strange is what is far from its nearest neighbours."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray, subsample
from ssl_ecg.screen.neighbours import (
    build_index,
    chosen_search,
    index_bytes,
    index_from_bytes,
    search_index,
)


class KNNScreen(Detector):
    """Mean distance to the k nearest reference embeddings, in whitened space.

    Parameters
    ----------
    k : int
        Neighbours.
    search : {"auto", "exact", "ivf", "hnsw"}
        How they are found; "auto" is exact up to 50,000 reference embeddings and looks into inverted lists
        beyond. The last two miss some neighbours, so that distances are a little too long. "hnsw" gives the
        same graph again only when faiss has one thread.
    breadth : int
        Lists ("ivf") or candidates ("hnsw") looked at for each record: more find more, and take longer.
    n_components : int or None
        Principal directions kept; None keeps the embeddings as they are.
    whiten : bool
        Give all kept directions the same variance.
    trim : float
        Share of the reference left out as suspect.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    max_fit : int
        A larger reference is sampled.
    seed : int

    Attributes
    ----------
    search_ : str
        How neighbours are found.
    points_ : float32 array (record, component)
        Reference embeddings, with "exact".
    index_ : uint8 array (byte,)
        The faiss index, reference embeddings included, with "ivf" and "hnsw".

    References
    ----------
    Ramaswamy et al. 2000, doi:10.1145/342009.335437; Sun et al. 2022, arXiv:2204.06507 (on deep embeddings).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = KNNScreen().fit(rng.normal(size=(200, 8)))
    >>> screen.predict([[0.0] * 8, [9.0] * 8]).tolist()
    [False, True]
    """

    def __init__(
        self,
        k: int = 10,
        search: str = "auto",
        breadth: int = 32,
        n_components: int | None = 64,
        whiten: bool = True,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        max_fit: int = 1_000_000,
        seed: int = 0,
    ) -> None:
        self.k = k
        self.search = search
        self.breadth = breadth
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.max_fit = max_fit
        self.seed = seed

    def _minimum(self) -> int:
        chosen_search(self.search, 0)
        if self.k < 1 or self.breadth < 1:
            raise SignalError("KNNScreen", f"k {self.k}, breadth {self.breadth}", "give at least 1 of each")
        return max(10, self.k + 1)

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        rows = subsample(len(X), self.max_fit, self.seed)
        points = X if len(rows) == len(X) else X[rows]
        self.search_ = chosen_search(self.search, len(points))
        self._index = build_index(points, self.search_, breadth=self.breadth, seed=self.seed)
        vars(self).pop("points_", None)
        if self.search_ == "exact":
            self.points_ = points
        scores = np.empty(len(X))
        scores[rows] = search_index(self._index, points, self.k, own=True)[0].mean(axis=1)
        rest = np.setdiff1d(np.arange(len(X)), rows)
        if len(rest):
            scores[rest] = self._score_blocks(X[rest])
        return scores

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        return np.asarray(search_index(self._index, X, self.k)[0].mean(axis=1))

    @property
    def index_(self) -> NDArray[np.uint8]:
        """The faiss index as bytes."""
        return index_bytes(self._index)

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give everything fitted as arrays by name and a card for JSON."""
        arrays, card = super().pack()
        return (arrays if self.search_ == "exact" else {**arrays, "index_": self.index_}), card

    def unpack(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> None:
        """Take back what ``pack`` gave."""
        super().unpack({name: array for name, array in arrays.items() if name != "index_"}, numbers)
        if "index_" in arrays:
            self._index = index_from_bytes(arrays["index_"])
        else:
            self.search_ = "exact"
            self._index = build_index(self.points_, "exact")
