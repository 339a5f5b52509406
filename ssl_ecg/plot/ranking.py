"""Draws ROC and precision-recall curves, a panel for each class."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.panels import Panels, color_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ssl_ecg.evaluate.curves import Curve

Points = Sequence["Curve | tuple[Sequence[float], Sequence[float]] | None"]
Areas = Mapping[str, Sequence[float]]


def plot_roc(
    classes: Sequence[str], curves: Mapping[str, Points], areas: Areas | None = None, *, title: str = ""
) -> Figure:
    """Draw the ROC curve of every class, of one model or of several.

    Parameters
    ----------
    classes : sequence of str
    curves : mapping
        Name of the model -> one curve for each class, as `ssl_ecg.evaluate.curves.roc_curves` gives; None where
        it could not be judged.
    areas : mapping, optional
        Name of the model -> AUROC of each class, written into its panel.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SSLECGError
        If curves and classes differ in number.

    Examples
    --------
    >>> figure = plot_roc(["MI"], {"model": [([0, 0, 1], [0, 1, 1])]}, {"model": [1.0]})
    >>> figure.axes[0].get_title()
    'MI'
    """
    panels = Panels(classes, title=title, xlabel="1 - specificity", ylabel="sensitivity", names=list(curves))
    for axes in panels.axes:
        axes.plot([0, 1], [0, 1], color=style.SOFT, linewidth=0.8, linestyle=":")
    _draw(panels, classes, curves, areas, "AUROC", "lower right", steps=False)
    return panels.figure


def plot_precision_recall(
    classes: Sequence[str],
    curves: Mapping[str, Points],
    areas: Areas | None = None,
    *,
    prevalence: Sequence[float] | None = None,
    title: str = "",
) -> Figure:
    """Draw the precision-recall curve of every class as steps, without interpolation.

    Parameters are those of `plot_roc`, with curves of `ssl_ecg.evaluate.curves.precision_recall_curves` and average
    precisions.

    Parameters
    ----------
    classes, curves, areas, title
        As in `plot_roc`.
    prevalence : sequence of float, optional
        Share of positives of each class, what a model that knows nothing reaches; drawn as a dotted line.
    """
    panels = Panels(classes, title=title, xlabel="recall", ylabel="precision", names=list(curves))
    if prevalence is not None and len(prevalence) != len(classes):
        problem = f"{len(prevalence)} for {len(classes)} classes"
        raise SSLECGError("prevalence", problem, "give one value for each class")
    for axes, share in zip(panels.axes, [math.nan] * len(classes) if prevalence is None else prevalence, strict=True):
        if math.isfinite(share):
            axes.plot([0.4, 1.02], [share, share], color=style.SOFT, linewidth=0.8, linestyle=":")
    _draw(panels, classes, curves, areas, "AP", "lower left", steps=True)
    return panels.figure


def _draw(
    panels: Panels,
    classes: Sequence[str],
    curves: Mapping[str, Points],
    areas: Areas | None,
    metric: str,
    place: str,
    *,
    steps: bool,
) -> None:
    notes: list[list[tuple[str, str]]] = [[] for _ in classes]
    for j, (name, points) in enumerate(curves.items()):
        values = (areas or {}).get(name)
        if len(points) != len(classes) or (values is not None and len(values) != len(classes)):
            problem = f"{name!r} has {len(points)} curves for {len(classes)} classes"
            raise SSLECGError("curves", problem, "give one curve, and one value, for each class")
        color = color_of(j, name)
        for k, curve in enumerate(points):
            if curve is None:
                notes[k].append(("cannot be judged", color))
                continue
            x, y = curve
            style_of_line = "steps-pre" if steps else "default"
            panels.axes[k].plot(x, y, color=color, linewidth=1.4, drawstyle=style_of_line)
            if values is not None:
                notes[k].append((f"{metric} {values[k]:.3f}" if math.isfinite(values[k]) else f"{metric} -", color))
    for axes, lines in zip(panels.axes, notes, strict=True):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        panels.note(axes, lines, place=place)
