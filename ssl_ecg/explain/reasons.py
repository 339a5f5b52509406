"""What a record's strangeness is owed to: a share for each lead and span of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

How = Literal["occlusion", "reconstruction"]


@dataclass(frozen=True, slots=True)
class Reasons:
    """Shares of a record's strangeness by lead and span of time.

    Attributes
    ----------
    values : float32 array (lead, segment)
        Share owed to each piece; not negative, sums to 1, or is 0 throughout where nothing stands out.
    seconds : float64 array (segment, 2)
        Start and end of each segment [s], by ascending start; segments may overlap.
    leads : tuple of str
        The leads that were judged; absent ones are left out.
    how : {"occlusion", "reconstruction"}

    Raises
    ------
    SignalError
        If shapes do not fit, or a share is negative or not finite.

    Examples
    --------
    >>> seconds = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]])
    >>> values = np.array([[0.0, 0.5, 0.3], [0.0, 0.1, 0.1]], np.float32)
    >>> reasons = Reasons(values, seconds, ("V1", "V2"), "occlusion")
    >>> [(lead, round(share, 2)) for lead, share in reasons.top_leads()]
    [('V1', 0.8), ('V2', 0.2)]
    >>> reasons.text()
    'V1; 1.0-3.0 s'
    """

    values: NDArray[np.float32]
    seconds: NDArray[np.float64]
    leads: tuple[str, ...]
    how: How

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.leads), len(self.seconds)) or self.seconds.shape[1:] != (2,):
            problem = f"values {self.values.shape}, seconds {self.seconds.shape}, {len(self.leads)} leads"
            raise SignalError("reasons", problem, "give values (lead, segment) and seconds (segment, 2)")
        if not (np.isfinite(self.values).all() and (self.values >= 0).all()):
            raise SignalError("reasons", "a share is negative or not finite", "use share_out")

    def top_leads(self, n: int = 3) -> list[tuple[str, float]]:
        """Give the leads with the largest shares, largest first; none with a share of 0."""
        shares = self.values.sum(axis=1, dtype=np.float64)
        order = np.argsort(-shares, kind="stable")[:n]
        return [(self.leads[k], float(shares[k])) for k in order if shares[k] > 0]

    def top_spans(self, n: int = 3) -> list[tuple[float, float, float]]:
        """Give the spans with the largest shares over all leads: (start, end, share), largest first.

        Segments count that have at least an even share and half of the largest; those that touch or overlap are one
        span.
        """
        shares = self.values.sum(axis=0, dtype=np.float64)
        if not shares.any():
            return []
        spans: list[list[float]] = []
        for k in np.flatnonzero(shares >= max(shares.mean(), shares.max() / 2) * (1 - 1e-6)):
            start, end, share = float(self.seconds[k, 0]), float(self.seconds[k, 1]), float(shares[k])
            if spans and start <= spans[-1][1] + 1e-9:
                spans[-1][1:] = [max(end, spans[-1][1]), spans[-1][2] + share]
            else:
                spans.append([start, end, share])
        spans.sort(key=lambda span: -span[2])
        return [(start, end, share) for start, end, share in spans[:n]]

    def text(self) -> str:
        """Say it in words: leads with more than an even share and half of the largest, three at most, and a span."""
        ranked = self.top_leads()
        leads = [
            lead for lead, share in ranked if share * len(self.leads) > 1 + 1e-6 and share > ranked[0][1] * (0.5 - 1e-6)
        ]
        spans = self.top_spans(1)
        if not spans:
            return "nothing stands out"
        named = ", ".join(leads) or "all leads"
        return f"{named}; {spans[0][0]:.1f}-{spans[0][1]:.1f} s"


def share_out(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Make shares of what pieces contribute: negative and unknown ones count 0, the sum is 1 unless all are 0.

    Examples
    --------
    >>> share_out(np.array([[3.0, -1.0], [1.0, np.nan]])).tolist()
    [[0.75, 0.0], [0.25, 0.0]]
    """
    positive = np.where(np.isfinite(values), np.maximum(values, 0.0), 0.0).astype(np.float64)
    total = positive.sum()
    return (positive / total if total > 0 else positive).astype(np.float32)
