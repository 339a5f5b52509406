"""Draws reliability diagrams: how often what is said to be probable comes true."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.panels import Panels, color_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ssl_ecg.evaluate.reliability import Reliability


def plot_reliability(
    classes: Sequence[str],
    tables: Mapping[str, Reliability],
    errors: Mapping[str, Sequence[float]] | None = None,
    *,
    title: str = "",
) -> Figure:
    """Draw the share of positives over the mean probability of each bin, a panel for each class.

    Areas of dots are proportional to the records in a bin; a line below the dotted one is too sure.

    Parameters
    ----------
    classes : sequence of str
    tables : mapping
        Name, such as "raw" and "calibrated" -> table of `ssl_ecg.evaluate.reliability.reliability`.
    errors : mapping, optional
        Name -> expected calibration error of each class, written into its panel.
    title : str

    Raises
    ------
    SSLECGError
        If tables and classes differ in number.

    Examples
    --------
    >>> from ssl_ecg.evaluate.reliability import reliability
    >>> table = reliability([0, 0, 1, 1], [0.1, 0.3, 0.3, 0.9], n_bins=2)
    >>> plot_reliability(["MI"], {"raw": table}).axes[0].get_title()
    'MI'
    """
    panels = Panels(classes, title=title, xlabel="mean probability", ylabel="share of positives", names=list(tables))
    notes: list[list[tuple[str, str]]] = [[] for _ in classes]
    for j, (name, table) in enumerate(tables.items()):
        values = (errors or {}).get(name)
        if len(table.count) != len(classes) or (values is not None and len(values) != len(classes)):
            problem = f"{name!r} has {len(table.count)} classes, not {len(classes)}"
            raise SSLECGError("reliability", problem, "give one row, and one value, for each class")
        color = color_of(j, name)
        for k, axes in enumerate(panels.axes):
            filled = table.count[k] > 0
            x, y, count = table.proba[k, filled], table.frequency[k, filled], table.count[k, filled]
            axes.plot(x, y, color=color, linewidth=1.2)
            size = 90 * count / max(int(table.count[k].sum()), 1)
            axes.scatter(x, y, s=np.maximum(size, 9), color=color, alpha=0.8, linewidths=0)
            if values is not None and math.isfinite(values[k]):
                notes[k].append((f"ECE {values[k]:.3f}", color))
    for axes, lines in zip(panels.axes, notes, strict=True):
        axes.plot([0, 1], [0, 1], color=style.SOFT, linewidth=0.8, linestyle=":", zorder=0)
        axes.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panels.note(axes, lines, place="lower right")
    return panels.figure
