"""Draws embeddings reduced to two dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.sheet import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

NO_LABEL = "no label"
OTHERS = "other"


def dominant(labels: Sequence[Sequence[str] | str | None], order: Sequence[str] = ()) -> list[str]:
    """Choose one label a record: the first in `order` that it has, else its rarest in the whole set.

    The rarest, because the common labels (sinus rhythm) say least about a record.

    Examples
    --------
    >>> dominant([("SR", "AFIB"), ("SR",), (), "NORM"])
    ['AFIB', 'SR', 'no label', 'NORM']
    """
    sets = [(item,) if isinstance(item, str) else tuple(() if item is None else item) for item in labels]
    counts = Counter(label for item in sets for label in set(item))
    rank = {label: k for k, label in enumerate(order)}
    far = len(order)
    return [
        min(item, key=lambda label: (rank.get(label, far), counts[label], label)) if item else NO_LABEL for item in sets
    ]


def plot_map(
    xy: ArrayLike,
    *,
    labels: Sequence[Sequence[str] | str | None] | None = None,
    clusters: ArrayLike | None = None,
    scores: ArrayLike | None = None,
    order: Sequence[str] = (),
    marked: Sequence[int] = (),
    title: str = "",
    max_labels: int = 8,
) -> Figure:
    """Draw a scatter of records, coloured by label, by cluster or by anomaly score.

    Parameters
    ----------
    xy : array (record, 2)
        For example from UMAP; distances have no unit.
    labels : sequence or None
        Labels of each record; one with several is drawn in its dominant one (see `dominant`).
    clusters : int array (record,) or None
        -1 is noise.
    scores : array (record,) or None
        Higher is stranger.
    order : sequence of str
        Preferred labels, most important first.
    marked : sequence of int
        Rows to ring and number, 1 first.
    title : str
    max_labels : int
        Rarer labels are drawn together as "other".

    Raises
    ------
    SSLECGError
        If the arrays do not fit together.
    """
    points = np.asarray(xy, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise SSLECGError("map", f"points have shape {points.shape}", "give (record, 2)")
    for name, item in (("labels", labels), ("clusters", clusters), ("scores", scores)):
        if item is not None and len(np.asarray(item, dtype=object)) != len(points):
            raise SSLECGError("map", f"{name} do not fit {len(points)} points", "give one for each point")
    figure = style.new_figure(7.2, 4.8)
    axes = figure.add_subplot()
    if labels is not None:
        _by_group(axes, points, _common(dominant(labels, order), max_labels), order)
    elif clusters is not None:
        names = ["noise" if k < 0 else f"cluster {k}" for k in np.asarray(clusters).tolist()]
        _by_group(axes, points, _common(names, max_labels), ())
    elif scores is not None:
        _by_score(figure, axes, points, np.asarray(scores, dtype=np.float64))
    else:
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=_area(len(points)),
            color=style.MAIN,
            alpha=0.7,
            linewidths=0,
            rasterized=True,
        )
    for number, row in enumerate(marked, start=1):
        axes.plot(*points[row], "o", ms=9, mfc="none", mec=style.INK, mew=1.2)
        axes.annotate(str(number), points[row], (5, 4), textcoords="offset points", fontsize=9, color=style.INK)
    style.tidy(axes, title=title, grid="")
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(style.RULE)
    return figure


def _area(n: int) -> float:
    return float(np.clip(20000 / max(n, 1), 4, 34))


def _common(names: list[str], most: int) -> list[str]:
    keep = {name for name, _ in Counter(name for name in names if name not in (NO_LABEL, "noise")).most_common(most)}
    return [name if name in keep or name in (NO_LABEL, "noise") else OTHERS for name in names]


def _by_group(axes: Axes, points: NDArray[np.float64], groups: Sequence[str], order: Sequence[str]) -> None:
    names = np.array(groups, dtype=object)
    counts = Counter(names.tolist())
    quiet = [name for name in (NO_LABEL, "noise", OTHERS) if name in counts]
    rank = {name: k for k, name in enumerate(order)}
    loud = [name for name in counts if name not in quiet]
    loud.sort(key=lambda name: (rank.get(name, len(rank)), -counts[name], name))
    for k, name in enumerate(loud + quiet):
        rows = names == name
        j = k if k < len(loud) else -1
        color = style.BASELINE if j < 0 else style.PALETTE[j % len(style.PALETTE)]
        marker = "." if j < 0 else style.MARKERS[j % len(style.MARKERS)]
        label = f"{printable(name, 40)}  ({counts[name]:,})"
        look: dict[str, Any] = {
            "s": _area(len(points)),
            "color": color,
            "marker": marker,
            "alpha": 0.75 if j >= 0 else 0.4,
        }
        axes.scatter(
            points[rows, 0],
            points[rows, 1],
            label=label,
            linewidths=0,
            rasterized=True,
            zorder=3 if j >= 0 else 2,
            **look,
        )
    style.legend(
        axes,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        scatterpoints=1,
        markerscale=max(1.0, (34 / _area(len(points))) ** 0.5),
    )


def _strangeness() -> Colormap:
    """Grey for what is usual, through orange to dark red; seen on light and dark pages alike."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("strangeness", ["#b4bec7", "#e69f00", "#c43c00", "#a5103c"])


def _by_score(figure: Figure, axes: Axes, points: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
    order = np.argsort(np.nan_to_num(scores, nan=-np.inf), kind="stable")  # strange ones on top
    low, high = np.nanpercentile(scores, [2, 98]) if np.isfinite(scores).any() else (0.0, 1.0)
    dots = axes.scatter(
        points[order, 0],
        points[order, 1],
        c=scores[order],
        s=_area(len(points)),
        cmap=_strangeness(),
        vmin=low,
        vmax=max(high, low + 1e-9),
        linewidths=0,
        rasterized=True,
    )
    bar = figure.colorbar(dots, ax=axes, shrink=0.7, extend="both")
    bar.set_label("anomaly score (higher is stranger)", fontsize=style.FONT_SIZE - 1, color=style.INK)
    bar.ax.tick_params(labelsize=style.FONT_SIZE - 2, labelcolor=style.INK)
    bar.outline.set_visible(False)
