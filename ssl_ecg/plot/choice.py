"""Draws what a detector chose by the data: the criterion of every candidate, the chosen one marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.screen.choice import Choice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TAKEN = {"highest": " (high is good)", "lowest": " (low is good)", "knee": ""}
_FEW = 12  # candidates that are marked one by one


def plot_choice(choices: Sequence[Choice], *, title: str = "") -> Figure:
    """Draw one panel for each choice.

    Parameters
    ----------
    choices : sequence of Choice
        ``choice_`` of a fitted detector, or what ``ssl_ecg.screen.choice.load_choices`` reads.
    title : str

    Raises
    ------
    SSLECGError
        If nothing was chosen by the data.

    Examples
    --------
    >>> choice = Choice("k", "silhouette", "highest", (2.0, 3.0, 4.0), (0.2, 0.5, 0.3), 3.0)
    >>> plot_choice([choice]).axes[0].get_title(loc="right")
    'k = 3'
    """
    if not choices:
        raise SSLECGError("choice", "nothing was chosen by the data", "leave k, eps or min_samples to the detector")
    columns = min(len(choices), 3)
    rows = -(-len(choices) // columns)
    figure = style.new_figure(max(4.0, 3.4 * columns), 2.8 * rows + 0.3 * bool(title))
    for k, choice in enumerate(choices):
        _draw(figure.add_subplot(rows, columns, k + 1), choice)
    if title:
        heading = figure.suptitle(title, x=0.01, ha="left", fontsize=style.FONT_SIZE + 1, color=style.INK)
        heading.set_parse_math(False)
        heading.set_fontweight("bold")
    return figure


def _draw(axes: Axes, choice: Choice) -> None:
    x, y = np.asarray(choice.candidates), np.asarray(choice.values)
    few = len(x) <= _FEW
    axes.plot(x, y, color=style.MAIN, linewidth=1.6, marker="o" if few else "", markersize=5)
    axes.axvline(choice.chosen, color=style.ALERT, linewidth=1.2, linestyle="--")
    at = np.flatnonzero(x == choice.chosen)
    if len(at):
        axes.plot(x[at], y[at], "o", color=style.ALERT, markersize=8, markerfacecolor="none", markeredgewidth=1.8)
    if few and len(x) > 1 and x.min() > 0 and x.max() > 10 * x.min():
        axes.set_xscale("log")
    if few:
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
    if not np.isfinite(y).any():
        axes.set_yticks([])
        note: dict[str, Any] = {"ha": "center", "va": "center", "transform": axes.transAxes, "color": style.SOFT}
        axes.text(
            0.5, 0.5, "no candidate could be measured", fontsize=style.FONT_SIZE - 1, backgroundcolor="white", **note
        )
    style.tidy(axes, xlabel=choice.parameter, ylabel=choice.criterion + _TAKEN[choice.best], grid="y")
    text = axes.set_title(
        f"{choice.parameter} = {choice.chosen:.4g}" + (" (knee)" if choice.best == "knee" else ""),
        loc="right",
        fontsize=style.FONT_SIZE - 1,
        color=style.ALERT,
    )
    text.set_parse_math(False)
