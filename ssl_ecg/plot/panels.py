"""Grids of small panels, one a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.sheet import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


class Panels:
    """A figure with one square panel for each class, from left to right and top to bottom.

    Parameters
    ----------
    classes : sequence of str
    title, xlabel, ylabel : str
        Axis labels stand once, below and beside all panels.
    names : sequence of str
        Of what each panel compares, for a legend below; none for one name.

    Raises
    ------
    SSLECGError
        If there is no class.

    Attributes
    ----------
    figure : Figure
    axes : list of Axes
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        title: str = "",
        xlabel: str = "",
        ylabel: str = "",
        names: Sequence[str] = (),
    ) -> None:
        if not classes:
            raise SSLECGError("classes", "there is none", "give at least one")
        n = len(classes)
        columns = n if n <= 5 else min(8, math.ceil(math.sqrt(1.5 * n)))
        rows = math.ceil(n / columns)
        height = 1.85 * rows + 0.45 + 0.3 * bool(title)
        foot = 0.28 * math.ceil(len(names) / 4) if len(names) > 1 else 0.0
        self.figure: Figure = style.new_figure(max(1.9 * columns + 0.5, 3.6), height + foot)
        main: Figure | SubFigure = self.figure
        if foot:  # a part of its own, or the legend would lie on the axis label
            parts = self.figure.add_gridspec(2, 1, height_ratios=[height, foot])
            main = self.figure.add_subfigure(parts[0])
            _legend(self.figure.add_subfigure(parts[1]), names)
        self.axes: list[Axes] = []
        for k, name in enumerate(classes):
            axes = main.add_subplot(rows, columns, k + 1)
            style.tidy(axes, grid="")
            text = axes.set_title(printable(name, 22), fontsize=style.FONT_SIZE - 1, color=style.INK, parse_math=False)
            text.set_fontweight("bold")
            axes.tick_params(labelsize=style.FONT_SIZE - 3, length=2)
            axes.set_box_aspect(1)
            axes.tick_params(labelbottom=k + columns >= n, labelleft=k % columns == 0)
            self.axes.append(axes)
        options = {"fontsize": style.FONT_SIZE, "color": style.INK}
        for place, label in ((main.supxlabel, xlabel), (main.supylabel, ylabel)):
            if label:
                place(printable(label), **options).set_parse_math(False)
        if title:
            main.suptitle(
                printable(title), x=0.01, ha="left", fontsize=style.FONT_SIZE + 1, color=style.INK, fontweight="bold"
            ).set_parse_math(False)

    def note(self, axes: Axes, lines: Sequence[tuple[str, str]], *, place: str = "lower right") -> None:
        """Write lines of (text, colour) into a corner of a panel."""
        right, low = "right" in place, "lower" in place
        for k, (text, color) in enumerate(reversed(lines) if low else lines):
            axes.text(
                0.97 if right else 0.03, (0.04 + 0.11 * k) if low else (0.96 - 0.11 * k), printable(text, 30),
                transform=axes.transAxes, ha="right" if right else "left", va="bottom" if low else "top",
                fontsize=style.FONT_SIZE - 3, color=color, parse_math=False,
            )  # fmt: skip


def color_of(k: int, name: str) -> str:
    """Give the colour of the k-th of several names; grey for a baseline."""
    return style.BASELINE if style.is_baseline(name) else style.PALETTE[k % len(style.PALETTE)]


def _legend(place: SubFigure, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=color_of(k, name), linewidth=1.6) for k, name in enumerate(names)]
    box = place.legend(
        lines, [printable(name, 40) for name in names], loc="center", ncols=min(len(names), 4),
        frameon=False, fontsize=style.FONT_SIZE - 1, labelcolor=style.INK,
    )  # fmt: skip
    for text in box.get_texts():
        text.set_parse_math(False)
