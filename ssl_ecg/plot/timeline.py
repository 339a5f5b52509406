"""The course of a long recording: scores, states and heart rate against time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.plot.style import ALERT, BASELINE, MAIN, PALETTE, SOFT, legend, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 1200
"""Longer recordings are drawn with so many points: the highest score in each, the range of heart rates."""
BANDS = {"noise": PALETTE[4], "lead_off": PALETTE[3], "gap": BASELINE}
NAMES = {"noise": "noise", "lead_off": "lead off", "gap": "gap"}


def plot_timeline(
    start: ArrayLike,
    end: ArrayLike,
    states: Sequence[str],
    beat_score: ArrayLike,
    window_score: ArrayLike,
    heart_rate: ArrayLike,
    *,
    thresholds: tuple[float, float],
    episodes: Sequence[tuple[float, float]] = (),
    baseline: float = 0.0,
    title: str = "",
) -> Figure:
    """Draw what a monitor found.

    Parameters
    ----------
    start, end : array (window,) [s]
    states : sequence of str
        One per window; "noise", "lead_off" and "gap" are drawn as bands.
    beat_score, window_score : array (window,)
        Highest score of a beat, and the score of the window itself; NaN where there is none.
    heart_rate : array (window,) [/min]
    thresholds : (float, float)
        Of beats and of windows.
    episodes : sequence of (start, end) [s]
        Marked above the scores.
    baseline : float
        What the usual was learned from ends here [s].
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SignalError
        If lengths differ or there is no window.

    Examples
    --------
    >>> figure = plot_timeline([0, 5], [10, 15], ["normal", "gap"], [0, 1], [0, 1], [60, 61], thresholds=(2, 1))
    >>> len(figure.axes)
    3
    """
    columns = [np.asarray(values, np.float64) for values in (start, end, beat_score, window_score, heart_rate)]
    if not len(columns[0]) or len({len(column) for column in columns} | {len(states)}) > 1:
        raise SignalError("plot_timeline", "columns of different length, or none", "give a value for each window")
    unit, name = _unit(columns[1].max())
    starts, ends, beats, windows, rate = columns
    figure = new_figure(10.0, 5.2)
    upper, middle, lower = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 2))
    middles = (starts + ends) / 2 / unit
    for axes, values, threshold, ylabel in (
        (upper, beats, thresholds[0], "strangest beat"),
        (middle, windows, thresholds[1], "window"),
    ):
        _draw_scores(axes, middles, values, threshold)
        tidy(axes, ylabel=ylabel, title=title if axes is upper else "")
    _draw_rate(lower, middles, rate)
    tidy(lower, ylabel="heart rate [/min]", xlabel=f"time [{name}]")
    for axes in (upper, middle, lower):
        _draw_bands(axes, starts / unit, ends / unit, states)
        if baseline:
            axes.axvline(baseline / unit, color=SOFT, lw=0.8, ls=":", zorder=1)
    _mark_episodes(upper, episodes, unit)
    lower.set_xlim(0, float(ends.max()) / unit)
    _explain(upper, states, bool(len(episodes)), bool(baseline))
    return figure


def _unit(longest: float) -> tuple[float, str]:
    return (3600.0, "h") if longest > 7200 else (60.0, "min")


def _binned(x: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Give position, lowest and highest known value of each of at most `BINS` pieces."""
    edges = np.unique(np.linspace(0, len(x), min(len(x), BINS) + 1).astype(np.intp))[:-1]
    low = np.fmin.reduceat(values, edges)
    high = np.fmax.reduceat(values, edges)
    return x[edges], low, high


def _draw_scores(axes: Axes, x: NDArray[np.float64], values: NDArray[np.float64], threshold: float) -> None:
    at, _, high = _binned(x, values)
    axes.plot(at, high, color=MAIN, lw=0.7, zorder=3)
    above = high > threshold
    axes.plot(at[above], high[above], ".", color=ALERT, ms=3, zorder=4)
    axes.axhline(threshold, color=ALERT, lw=0.8, ls="--", zorder=2)


def _draw_rate(axes: Axes, x: NDArray[np.float64], rate: NDArray[np.float64]) -> None:
    at, low, high = _binned(x, rate)
    axes.fill_between(at, low, high, color=MAIN, alpha=0.3, lw=0, zorder=2)
    axes.plot(at, (low + high) / 2, color=MAIN, lw=0.7, zorder=3)


def _draw_bands(axes: Axes, start: NDArray[np.float64], end: NDArray[np.float64], states: Sequence[str]) -> None:
    named = np.asarray(states, object)
    for state, colour in BANDS.items():
        inside = np.flatnonzero(named == state)
        for run in np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1) if inside.size else []:
            axes.axvspan(start[run[0]], end[run[-1]], color=colour, alpha=0.35, lw=0, zorder=1)


def _mark_episodes(axes: Axes, episodes: Sequence[tuple[float, float]], unit: float) -> None:
    for first, last in episodes:
        axes.plot(
            [first / unit, last / unit], [1.02, 1.02], color=ALERT, lw=4, solid_capstyle="projecting",
            transform=axes.get_xaxis_transform(), clip_on=False, zorder=5,
        )  # fmt: skip


def _explain(axes: Axes, states: Sequence[str], any_episode: bool, any_baseline: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    items: list[Line2D | Patch] = [Line2D([], [], color=ALERT, lw=0.8, ls="--", label="threshold")]
    if any_episode:
        items.append(Line2D([], [], color=ALERT, lw=4, label="episode"))
    if any_baseline:
        items.append(Line2D([], [], color=SOFT, lw=0.8, ls=":", label="end of the baseline"))
    items += [Patch(color=BANDS[state], alpha=0.35, lw=0, label=NAMES[state]) for state in BANDS if state in states]
    legend(axes, handles=items, loc="lower right", bbox_to_anchor=(1.0, 1.03), ncols=len(items))
