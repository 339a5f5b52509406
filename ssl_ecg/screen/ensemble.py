"""Strange is what several detectors together find strange: the mean of their ranks."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.base import Detector, FloatArray, subsample

_CLUSTERED_RECORDS = 2000  # looked at to see whether a member has clusters
_BETWEEN = "/"  # between a member's name and the name of its array


class EnsembleScreen(Detector):
    """Mean of the members' ranks among the reference, each from 0 to 1, and up to 2 beyond its highest score.

    A member's score is replaced by the share of reference records that score lower (ties count half,
    linear between records). Beyond the reference's highest score m it is 1 + (s - m) / (s - m + m - median):
    the order among the strangest is kept, and no member outvotes the others by its scale.

    Parameters
    ----------
    members : sequence of str
        Names in ``ssl_ecg.screen.detectors.DETECTORS``.
    options : mapping, optional
        Further arguments by the member's name, such as ``{"knn": {"k": 5}}``.
    n_components : int or None
        Principal directions that members get; None gives them the embeddings. Each then keeps its own number.
    whiten : bool
        Give all kept directions the same variance, before members do with them as they are used to.
    trim : float
        Share of the reference left out as suspect, by the ensemble's score.
    alert_rate : float
        Share of the reference records that ``predict`` flags.
    seed : int
        Of all members.

    Attributes
    ----------
    members_ : dict of str to Detector
        Fitted on projected embeddings.
    clustered_by_ : str
        The first member that has clusters, from which ``cluster`` takes them; "" if none has.

    References
    ----------
    Aggarwal and Sathe 2015, doi:10.1145/2830544.2830549 (averaging the scores of detectors).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> screen = EnsembleScreen(["kmeans", "mahalanobis"]).fit(rng.normal(size=(200, 4)))
    >>> screen.predict([[0.0] * 4, [9.0] * 4]).tolist()
    [False, True]
    """

    def __init__(
        self,
        members: Sequence[str] = ("kmeans", "knn", "mahalanobis", "isolation"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        n_components: int | None = None,
        whiten: bool = False,
        trim: float = 0.0,
        alert_rate: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.members = members
        self.options = options
        self.n_components = n_components
        self.whiten = whiten
        self.trim = trim
        self.alert_rate = alert_rate
        self.seed = seed

    def _minimum(self) -> int:
        return max(10, *(member._minimum() for member in self._build().values()))

    def _build(self) -> dict[str, Detector]:
        from ssl_ecg.screen.detectors import DETECTORS

        names, options = list(self.members), dict(self.options or {})
        usable = [name for name in DETECTORS if name != "ensemble"]
        unknown = [name for name in (*names, *options) if name not in usable or name not in names]
        if unknown or not names or len(set(names)) < len(names):
            problem = f"members {names}" + (f", options for {list(options)}" if options else "")
            raise SignalError("EnsembleScreen", problem, f"name each once, from {', '.join(usable)}")
        return {
            name: DETECTORS[name]().set_params(**{"seed": self.seed, **options.get(name, {})})
            for name in names
        }  # fmt: skip

    def _fit(self, X: NDArray[np.float32]) -> FloatArray:
        self.members_ = self._build()
        ranks = np.zeros(len(X))
        for name, member in self.members_.items():
            if self._suspect > 0:  # the first round: each member leaves out what it finds strange
                member.set_params(trim=max(member.trim, self._suspect))
            ranks += rank_share(member.fit_score(X), member.reference_scores_)
            self.choice_ += [choice.of(name) for choice in member.choice_]
        sample = X[subsample(len(X), _CLUSTERED_RECORDS, self.seed)]
        having = (name for name, member in self.members_.items() if (member.cluster(sample) >= 0).any())
        self.clustered_by_ = next(having, "")
        return ranks / len(self.members_)

    def _score(self, X: NDArray[np.float32]) -> FloatArray:
        shares = [rank_share(m.anomaly_score(X), m.reference_scores_) for m in self.members_.values()]
        return np.asarray(np.mean(shares, axis=0))

    def _cluster(self, X: NDArray[np.float32]) -> NDArray[np.int64]:
        if not self.clustered_by_:
            return np.full(len(X), -1, np.int64)
        return self.members_[self.clustered_by_].cluster(X)

    def pack(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Give everything fitted, of the members too, as arrays by name and a card for JSON."""
        arrays, card = super().pack()
        cards = {}
        for name, member in self.members_.items():
            own, cards[name] = member.pack()
            arrays |= {f"{name}{_BETWEEN}{key}": array for key, array in own.items()}
        card["fitted"] = {**card["fitted"], "members_": cards}
        return arrays, card

    def unpack(self, arrays: Mapping[str, NDArray[Any]], numbers: Mapping[str, Any]) -> None:
        """Take back what ``pack`` gave."""
        from ssl_ecg.screen.detectors import unpacked

        own = {name: array for name, array in arrays.items() if _BETWEEN not in name}
        super().unpack(own, {name: value for name, value in numbers.items() if name != "members_"})
        self.members_ = {}
        for name, card in numbers["members_"].items():
            start = f"{name}{_BETWEEN}"
            theirs = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
            self.members_[name] = unpacked(card, theirs)


def rank_share(scores: FloatArray, reference: FloatArray) -> FloatArray:
    """Give the share of sorted reference scores below each score; from 1 to 2 beyond the highest.

    Examples
    --------
    >>> rank_share(np.array([0.0, 1.5, 3.0, 4.0]), np.array([1.0, 2.0, 3.0])).round(2).tolist()
    [0.17, 0.33, 0.83, 1.5]
    """
    levels, first, count = np.unique(reference, return_index=True, return_counts=True)
    share = np.interp(scores, levels, (first + count / 2) / len(reference))
    beyond = np.asarray(scores) - levels[-1]
    spread = levels[-1] - np.median(reference)
    scale = spread if spread > 0 else max(abs(float(levels[-1])), 1.0)
    far = np.maximum(beyond, 0.0)
    return np.where(beyond > 0, 1 + far / (far + scale), share)
