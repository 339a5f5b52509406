"""RR intervals, and how they compare with those before."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

LONGEST = 3.0
"""A longer interval is a pause in the beats that can be seen: comparison begins anew after it [s]."""
_BEFORE, _FEWEST = 8, 3


class Intervals:
    """Keeps the last eight intervals.

    Examples
    --------
    >>> intervals = Intervals()
    >>> rr, share = intervals.add(np.array([0.0, 1.0, 2.0, 3.0, 3.5]))
    >>> rr.tolist(), share.tolist()
    ([nan, 1.0, 1.0, 1.0, 0.5], [nan, nan, nan, nan, 0.5])
    """

    def __init__(self) -> None:
        self.last = float("nan")
        self.before: deque[float] = deque(maxlen=_BEFORE)

    def add(self, times: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Take the times of the next beats [s]; give their intervals [s], and these over the median of those before."""
        rr, share = np.full(len(times), np.nan), np.full(len(times), np.nan)
        for k, time in enumerate(times.tolist()):
            interval, self.last = time - self.last, time
            if not interval <= LONGEST:
                self.before.clear()
                continue
            rr[k] = interval
            if len(self.before) >= _FEWEST:
                share[k] = interval / float(np.median(self.before))
            self.before.append(interval)
        return rr, share
