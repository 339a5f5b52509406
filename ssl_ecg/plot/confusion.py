"""Draws a 2 x 2 confusion matrix for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.panels import Panels

if TYPE_CHECKING:
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


def plot_confusion(classes: Sequence[str], counts: ArrayLike, *, title: str = "") -> Figure:
    """Draw what was decided of records with and without each class.

    Shares and colours are of a row: below, sensitivity is at the right; above, specificity at the left.

    Parameters
    ----------
    classes : sequence of str
    counts : array (class, 2, 2)
        [[tn, fp], [fn, tp]], as `ssl_ecg.evaluate.decisions.confusion` gives.
    title : str

    Raises
    ------
    SSLECGError
        If counts and classes differ in number.

    Examples
    --------
    >>> figure = plot_confusion(["MI"], [[[90, 10], [5, 15]]])
    >>> [text.get_text().split()[0] for text in figure.axes[0].texts]
    ['90', '10', '5', '15']
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.shape != (len(classes), 2, 2):
        problem = f"has shape {table.shape} for {len(classes)} classes"
        raise SSLECGError("confusion", problem, "give (class, 2, 2)")
    panels = Panels(classes, title=title, xlabel="decision", ylabel="truth")
    total = table.sum(axis=2, keepdims=True)
    shares = table / np.where(total > 0, total, 1)
    for axes, cells, share in zip(panels.axes, table, shares, strict=True):
        axes.pcolormesh(share, cmap=_colours(), vmin=0, vmax=1)
        axes.invert_yaxis()
        for row in range(2):
            for column in range(2):
                text = f"{cells[row, column]:,.0f}\n" + (f"{share[row, column]:.0%}" if cells[row].any() else "-")
                color = "white" if share[row, column] > 0.6 else style.INK
                axes.text(
                    column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=style.FONT_SIZE - 2, color=color
                )
        axes.set(xticks=(0.5, 1.5), xticklabels=("no", "yes"), yticks=(0.5, 1.5), yticklabels=("no", "yes"))
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return panels.figure


def _colours() -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shares", ["#f2f5f8", style.MAIN])
