"""What a monitor says: windows, beats and episodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["normal", "anomaly", "noise", "lead_off", "gap", "unknown"]
STATES: tuple[State, ...] = ("normal", "anomaly", "noise", "lead_off", "gap", "unknown")
"""Unknown: no baseline could be learned yet."""


@dataclass(frozen=True, slots=True)
class Window:
    """A window of the timeline.

    Attributes
    ----------
    start, end : float
        [s] from the beginning of the stream.
    state : str
        One of `STATES`. Anomaly: the window is unusual, or a beat in it is.
    score, threshold : float
        Of the window itself; the score is NaN where it was not scored.
    heart_rate : float
        [/min]; NaN with fewer than three beats.
    leads : tuple of str
        Those used.
    beats, unusual_beats : int
    beat_score : float
        Highest score of a beat in it; NaN without any.
    nearest : tuple of float
        Beginnings of the baseline windows most like this one [s], or rows of the reference.
    """

    start: float
    end: float
    state: State
    score: float
    threshold: float
    heart_rate: float
    leads: tuple[str, ...]
    beats: int
    unusual_beats: int
    beat_score: float
    nearest: tuple[float, ...] = ()

    @property
    def time(self) -> float:
        """Where the event lies [s]."""
        return self.start


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat.

    Attributes
    ----------
    time : float
        R peak [s].
    score, threshold : float
        The score is NaN where it was not scored.
    rr : float
        Interval from the beat before [s]; NaN after a pause in the recording.
    label : {"usual", "unusual", "noise", "unknown"}
    """

    time: float
    score: float
    threshold: float
    rr: float
    label: Literal["usual", "unusual", "noise", "unknown"]


@dataclass(frozen=True, slots=True)
class Episode:
    """Unusual windows and beats that follow each other.

    Attributes
    ----------
    start, end : float
        [s]
    peak : float
        Middle of the window, or time of the beat, that scores highest above its threshold [s].
    score : float
        By how much.
    beats : int
        Unusual beats.
    windows : int
        Windows that are unusual themselves.
    nearest : tuple of float
        Baseline windows most like the peak [s], or rows of the reference.
    ended : bool
        False when it is announced, at its beginning.
    """

    start: float
    end: float
    peak: float
    score: float
    beats: int
    windows: int
    nearest: tuple[float, ...] = ()
    ended: bool = True

    @property
    def time(self) -> float:
        """Where the event lies [s]."""
        return self.end if self.ended else self.start


Event = Window | Beat | Episode
