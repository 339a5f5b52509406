"""Where alerts begin: so many for every 1,000 records, a quantile of the reference, or a false-alarm rate."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.conformal import conformal_threshold

KINDS = ("budget", "quantile", "conformal")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What makes a score an alert.

    Attributes
    ----------
    kind : {"budget", "quantile", "conformal"}
        "budget": the strangest of the screened records, ``level`` for every 1,000. "quantile": scores above
        the ``level`` quantile (0 to 1) of the reference's. "conformal": conformal p-values of at most
        ``level``, which a usual record has with at most this probability. For it a third of the reference's
        patients are left out of the fit and kept as the standard; the promise is on average over such splits
        and holds for records that are exchangeable with theirs (same devices, same kind of patients).
    level : float

    Raises
    ------
    SignalError
        If the kind is unknown or the level out of range.

    References
    ----------
    Vovk et al. 2005, doi:10.1007/b106715; Bates et al. 2023, arXiv:2104.08279 (conformal p-values).

    Examples
    --------
    >>> OperatingPoint("conformal", 0.01).false_alarm_rate
    0.01
    >>> str(OperatingPoint("budget", 20))
    '20 alerts per 1,000 records'
    """

    kind: str = "budget"
    level: float = 20.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise SignalError("operating point", f"unknown kind {self.kind!r}", f"choose from {', '.join(KINDS)}")
        if self.kind == "budget" and not 0 <= self.level < 1000:
            raise SignalError("screen", f"alert budget is {self.level} per 1000", "give 0 to below 1000")
        if self.kind != "budget" and not 0 < self.level < 1:
            raise SignalError("operating point", f"{self.kind} level is {self.level}", "give a number between 0 and 1")

    def __str__(self) -> str:
        words = {
            "budget": f"{self.level:g} alerts per 1,000 records",
            "quantile": f"above the {self.level:g} quantile of the reference",
            "conformal": f"false-alarm rate of at most {self.level:g}",
        }
        return words[self.kind]

    @property
    def false_alarm_rate(self) -> float:
        """Share of usual records that will be flagged if the screened are like the reference."""
        return {"budget": self.level / 1000, "quantile": 1 - self.level, "conformal": self.level}[self.kind]

    def threshold(
        self, reference_scores: NDArray[np.floating], calibration_scores: NDArray[np.floating] | None = None
    ) -> float:
        """Give the score above which, and only above which, a record is flagged; NaN for a budget.

        Parameters
        ----------
        reference_scores : array (record,)
            For "quantile".
        calibration_scores : array (record,), optional
            For "conformal".

        Raises
        ------
        SignalError
            If there are too few calibration scores for the level.
        """
        if self.kind == "quantile":
            return float(np.quantile(reference_scores, self.level, method="higher"))
        if self.kind == "conformal":
            return conformal_threshold(() if calibration_scores is None else calibration_scores, self.level)
        return math.nan

    def flag(self, scores: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
        """Tell which of the screened records are alerts, given the threshold unless it is a budget."""
        return within_budget(scores, self.level) if self.kind == "budget" else np.asarray(scores > threshold)

    def to_dict(self) -> dict[str, str | float]:
        """Give kind and level."""
        return asdict(self)


def within_budget(scores: NDArray[np.floating], per_thousand: float) -> NDArray[np.bool_]:
    """Flag the strangest records: so many for every 1,000, rounded down, at least one.

    Examples
    --------
    >>> within_budget(np.array([0.1, 0.9, 0.2]), 10).tolist()
    [False, True, False]
    """
    flagged = np.zeros(len(scores), dtype=bool)
    count = max(1, int(per_thousand * len(scores) / 1000)) if per_thousand > 0 else 0
    flagged[np.argsort(-scores, kind="stable")[:count]] = True
    return flagged
