"""What a monitor can be told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

from ssl_ecg.errors import SignalError

LEFT = 20.0
"""Signal before a block that is filtered and searched for R peaks with it [s]."""
LEVEL = (-0.25, 0.45)
"""A beat reaches so far from its R peak; the median of this part is its level [s]."""
RIGHT = 5.0
"""Signal after a block that is waited for: the filter and the neighbours of its last beats need it [s]."""


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Times and thresholds of a monitor.

    Attributes
    ----------
    window, hop : float
        Length of the windows that are embedded, and the time from one to the next [s].
    block : float
        So much is processed at a time [s], a multiple of `hop`. Longer blocks need less work, and more patience:
        an event is out `block` + 5 s after its time.
    baseline : float
        The patient's usual is learned from so much signal at the beginning [s], longer if that is not usable.
    beat_threshold, window_threshold : float
        A beat or window that scores higher is unusual. Scores are natural logarithms of squared distances
        from what is usual; usual beats and windows are near or below 0.
    merge : float
        What is unusual and no farther apart belongs to one episode [s].

    Raises
    ------
    SignalError
        If the times do not fit together, or a threshold is not a finite number.

    Examples
    --------
    >>> MonitorSettings(block=30.0).latency
    35.0
    """

    window: float = 10.0
    hop: float = 5.0
    block: float = 5.0
    baseline: float = 300.0
    beat_threshold: float = 2.75
    window_threshold: float = 1.5
    merge: float = 10.0

    def __post_init__(self) -> None:
        if not 2 <= self.window <= LEFT or not 0 < self.hop <= self.window:
            problem = f"windows of {self.window:g} s every {self.hop:g} s"
            raise SignalError("monitor", problem, f"give a window of 2 to {LEFT:g} s and a hop no longer than it")
        if self.block < self.hop or abs(self.block / self.hop - round(self.block / self.hop)) > 1e-9:
            raise SignalError("monitor", f"a block of {self.block:g} s", "give a multiple of the hop")
        if not 30 <= self.baseline <= 1800 or self.merge < 0:
            problem = f"baseline {self.baseline:g} s, merge {self.merge:g} s"
            raise SignalError("monitor", problem, "give a baseline of 30 to 1800 s and a merge of at least 0 s")
        if not (isfinite(self.beat_threshold) and isfinite(self.window_threshold)):
            problem = f"thresholds {self.beat_threshold:g} (beats) and {self.window_threshold:g} (windows)"
            raise SignalError("monitor", problem, "give numbers")

    @property
    def latency(self) -> float:
        """An event about time t is out before t + this has been fed, once the baseline is learned [s]."""
        return self.block + RIGHT

    def to_dict(self) -> dict[str, Any]:
        """Give the fields."""
        return asdict(self)
