"""Draws anomaly scores, label efficiency and figures per class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.sheet import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Estimate(NamedTuple):
    """A figure with its interval; bounds are NaN where none was computed."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def plot_scores(scores: ArrayLike, threshold: float | None = None, *, title: str = "", how: str = "") -> Figure:
    """Draw the distribution of anomaly scores with the operating point.

    Parameters
    ----------
    scores : array (record,)
        Higher is stranger.
    threshold : float or None
        Records at or above it are flagged.
    title, how : str
        `how` says where the threshold comes from.

    Raises
    ------
    SSLECGError
        If there is no finite score.

    Examples
    --------
    >>> plot_scores([0.1, 0.2, 0.9], 0.5).axes[0].get_xlabel()
    'anomaly score (higher is stranger)'
    """
    values = np.asarray(scores, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        raise SSLECGError("scores", "there is no finite score", "screen at least one record")
    figure = style.new_figure(6.4, 3.2)
    axes = figure.add_subplot()
    top = float(np.percentile(values, 99.5)) * 1.05 if values.size > 200 else float(values.max())
    top = max(top, threshold * 1.05 if threshold is not None and np.isfinite(threshold) else top)
    edges = np.histogram_bin_edges(np.minimum(values, top), bins=int(np.clip(np.sqrt(values.size) * 1.5, 10, 60)))
    cut = np.inf if threshold is None else threshold
    flagged = values >= cut
    parts = [np.minimum(values[~flagged], edges[-1]), np.minimum(values[flagged], edges[-1])]
    axes.hist(parts, edges.tolist(), stacked=True, color=[style.MAIN, style.ALERT], label=["below", "flagged"])
    if threshold is not None:
        axes.axvline(threshold, color=style.INK, linewidth=1.2, linestyle="--")
        share = f"threshold {threshold:.3g}: {flagged.sum():,} of {values.size:,} ({flagged.mean():.1%}) flagged"
        axes.set_title(
            f"{share}\n{printable(how)}" if how else share,
            fontsize=9,
            loc="right",
            color=style.INK,
            parse_math=False,
        )
    hidden = int((values > edges[-1]).sum())
    label = "anomaly score (higher is stranger)" + (f"; {hidden} beyond the axis in the last bar" if hidden else "")
    style.tidy(axes, title=title, xlabel=label, ylabel="records")
    return figure


def plot_label_efficiency(
    curves: Mapping[str, Mapping[int, Estimate | float]],
    *,
    title: str = "",
    metric: str = "macro AUROC",
    xlabel: str = "labelled records used by the probe",
) -> Figure:
    """Draw a figure of merit against the number of labelled records.

    Parameters
    ----------
    curves : mapping
        Name of the encoder -> {number of labels: value or Estimate}; that of a baseline (see
        `is_baseline`) is drawn in grey.
    title, metric, xlabel : str
    """
    figure = style.new_figure(6.0, 3.6)
    axes = figure.add_subplot()
    colors = iter(style.PALETTE * (len(curves) // len(style.PALETTE) + 1))
    for k, (name, curve) in enumerate(curves.items()):
        quiet = style.is_baseline(name)
        color = style.BASELINE if quiet else next(colors)
        counts = sorted(curve)
        points = [as_estimate(curve[n]) for n in counts]
        marker, line = style.MARKERS[k % len(style.MARKERS)], "--" if quiet else "-"
        axes.plot(
            counts, [p.value for p in points], line, color=color, marker=marker, ms=5, lw=1.6, label=printable(name, 40)
        )
        axes.fill_between(counts, [p.low for p in points], [p.high for p in points], color=color, alpha=0.2, lw=0)
    axes.set_xscale("log")
    ticks = sorted({n for curve in curves.values() for n in curve})
    axes.set_xticks(ticks, [f"{n:,}" for n in ticks])
    axes.minorticks_off()
    style.legend(axes, loc="lower right")
    style.tidy(axes, title=title, xlabel=xlabel, ylabel=metric)
    return figure


def plot_per_class(
    classes: Sequence[str],
    values: Sequence[Estimate | float],
    baseline: Sequence[Estimate | float] | None = None,
    *,
    names: tuple[str, str] = ("pretrained", "random encoder"),
    title: str = "",
    metric: str = "AUROC",
) -> Figure:
    """Draw one figure a class, with its interval, beside that of a baseline.

    Parameters
    ----------
    classes : sequence of str
    values, baseline : sequence of Estimate or float
        One for each class.
    names : (str, str)
        Of the two in the legend.
    title, metric : str

    Raises
    ------
    SSLECGError
        If the sequences differ in length.
    """
    groups = [list(map(as_estimate, values))] + ([list(map(as_estimate, baseline))] if baseline is not None else [])
    if not classes or any(len(group) != len(classes) for group in groups):
        raise SSLECGError("classes", "classes and values differ in number", "give one value for each class")
    figure = style.new_figure(6.4, 1.0 + 0.32 * len(classes) * max(1.0, 0.8 * len(groups)))
    axes = figure.add_subplot()
    place = np.arange(len(classes))[::-1].astype(float)
    for k, group in enumerate(groups):
        y = place + (0.16 - 0.32 * k if len(groups) > 1 else 0.0)
        x = np.array([item.value for item in group])
        bounds = np.array([[item.value - item.low, item.high - item.value] for item in group]).T
        color, marker = (style.BASELINE, "D") if k else (style.MAIN, "o")
        axes.errorbar(
            x,
            y,
            xerr=np.clip(bounds, 0, None),
            fmt=marker,
            ms=6,
            color=color,
            elinewidth=1.8,
            label=printable(names[k], 40),
        )
    if metric.upper().endswith("AUROC"):
        axes.axvline(0.5, color=style.SOFT, linewidth=0.9, linestyle=":")
    axes.set_yticks(place, [printable(name, 60) for name in classes])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.set_ylim(-0.6, len(classes) - 0.4)
    if len(groups) > 1:
        style.legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)
    style.tidy(axes, title="" if len(groups) > 1 else title, xlabel=metric, grid="x")
    return figure


def as_estimate(value: Estimate | float | Sequence[float]) -> Estimate:
    """Take a number, or (value, low, high), as an estimate.

    Examples
    --------
    >>> as_estimate((0.8, 0.7, 0.9)).low
    0.7
    """
    if isinstance(value, int | float | np.number):
        return Estimate(float(value))
    return Estimate(*(float(v) for v in value))
