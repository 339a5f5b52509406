"""The shapes of which a drawing on ECG paper consists, in millimetres, and what its caller may choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.data.record import Annotations

INK, MUTED, WARNING, ACCENT, TINT = "#111111", "#555555", "#9c1c00", "#0b4f9e", "#ffc400"
PAPER, FINE, HEAVY = "#fffafa", "#f8cfcf", "#eb9c9c"
FINE_WIDTH, HEAVY_WIDTH, TRACE_WIDTH = 0.1, 0.18, 0.3  # [mm]


class Text(NamedTuple):
    """Text with its baseline at (x, y) [mm]; size is the em [mm]."""

    x: float
    y: float
    text: str
    size: float = 3.2
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    color: str = INK


class Box(NamedTuple):
    """A rectangle with its upper left corner at (x, y) [mm]."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """Right edge [mm]."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """Lower edge [mm]."""
        return self.y + self.height


NOWHERE = Box(0, 0, 0, 0)


class Trace(NamedTuple):
    """One lead in one cell: polyline [mm] with NaN as gaps, to be clipped to the box."""

    lead: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    box: Box


class Cut(NamedTuple):
    """Where a trace leaves its box: a mark at (x, y) [mm], pointing up (-1) or down (+1)."""

    lead: str
    x: float
    y: float
    way: int


class Highlight(NamedTuple):
    """A span of time to be tinted, in all leads or in one.

    Parameters
    ----------
    start, stop : float
        [s] from the beginning of the recording.
    lead : str or None
    label : str
    strength : float
        How strong the tint is, from 0 to 1.
    """

    start: float
    stop: float
    lead: str | None = None
    label: str = ""
    strength: float = 1.0


class Tint(NamedTuple):
    """A tinted box and how strong its tint is, from 0 to 1."""

    box: Box
    strength: float = 1.0


@dataclass(slots=True)
class Sheet:
    """Everything to be drawn; x to the right and y downwards, in millimetres."""

    width: float = 0.0
    height: float = 0.0
    grid: Box = NOWHERE
    traces: list[Trace] = field(default_factory=list)
    pulses: list[NDArray[np.float64]] = field(default_factory=list)  # (corner, 2) each
    ticks: list[tuple[float, float, float]] = field(default_factory=list)  # x, y from, y to
    cuts: list[Cut] = field(default_factory=list)
    tints: list[Tint] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    description: str = ""


@dataclass(frozen=True, slots=True)
class Style:
    """What the caller may choose; `ssl_ecg.plot.ecg.plot_ecg` documents each item."""

    layout: str = "3x4+1"
    title: str = ""
    subtitle: str = ""
    speed: float = 25.0
    gain: float | Literal["auto"] = 10.0
    unit: str = "mV"
    band: tuple[float, float] | None = None
    start: float = 0.0
    lead_mask: ArrayLike | None = None
    annotations: Annotations | None = None
    highlight: Sequence[Highlight | tuple[float, float]] = ()


def printable(text: object, limit: int = 160) -> str:
    r"""Give text on one line, without control, surrogate and direction-changing characters, cut to a length.

    Examples
    --------
    >>> printable("a\x00b\u202ec"), printable("x" * 9, 5)
    ('a�b�c', 'xxxx…')
    """
    line = " ".join(str(text).split())
    clean = "".join(ch if ch.isprintable() else "�" for ch in line)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
