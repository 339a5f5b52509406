"""Draws the course of a training from its CSV log."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ssl_ecg.plot.style as style
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.sheet import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Log = dict[str, tuple[list[float], list[float]]]
"""Name of a quantity -> its steps and its values."""

PANELS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Loss", ("loss",), ""),
    ("Learning rate", ("lr", "learning_rate", "learning rate"), ""),
    ("Embedding rank", ("rank",), "effective dimensions"),
    ("Embedding spread", ("std",), "standard deviation"),
    ("Online probe", ("auroc", "probe", "accuracy"), ""),
)
"""Title, words in the names of the columns, and axis label of each panel; other columns are not drawn."""


def read_log(path: str | Path) -> Log:
    """Read a CSV log with a column ``step``; empty cells (quantities logged at other steps) are passed over.

    Parameters
    ----------
    path : path
        File, or a folder that holds ``log.csv`` or ``metrics.csv`` somewhere below.

    Raises
    ------
    SSLECGError
        If there is no such file, or it is no such table.
    """
    file = _find(Path(path))
    log: Log = {}
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(line.replace("\0", "") for line in lines)
            for count, row in enumerate(table):
                step = _number(row.get("step"))
                step = float(count) if step is None else step
                for name, cell in row.items():
                    value = _number(cell) if isinstance(cell, str) else None
                    if name and name != "step" and value is not None:
                        steps, values = log.setdefault(name, ([], []))
                        steps.append(step)
                        values.append(value)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SSLECGError(str(file), f"cannot be read as a log ({error})", "give the CSV log of a run") from error
    if not log:
        raise SSLECGError(str(file), "holds no numbers", "give a CSV log with columns such as step, loss, lr")
    return log


def plot_curves(log: Log | str | Path, *, title: str = "") -> Figure:
    """Draw loss, learning rate, embedding rank and spread, and online probe, as far as they were logged.

    Parameters
    ----------
    log : dict or path
        As `read_log` gives or takes it.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SSLECGError
        If the log cannot be read.

    Examples
    --------
    >>> figure = plot_curves({"train/loss": ([0, 1, 2], [3.0, 2.0, 1.5]), "lr": ([0, 1, 2], [0.1, 0.2, 0.1])})
    >>> [axes.get_title(loc="left") for axes in figure.axes]
    ['Loss', 'Learning rate']
    """
    series = log if isinstance(log, dict) else read_log(log)
    panels = [(panel, names) for panel in PANELS if (names := _columns(series, panel[1]))]
    panels = panels or [(("Log", (), ""), list(series)[:6])]
    columns = min(3 if len(panels) > 4 else 2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = style.new_figure(10.5 if columns == 3 else 4.4 * columns, 2.7 * rows)
    for k, ((name, _, label), columns_shown) in enumerate(panels):
        axes = figure.add_subplot(rows, columns, k + 1)
        for j, column in enumerate(columns_shown):
            steps, values = series[column]
            color = style.PALETTE[j % len(style.PALETTE)]
            if name == "Loss" and len(values) > 100:
                axes.plot(steps, values, color=color, alpha=0.25, linewidth=0.8)
                values = smooth(values)
            marker = "." if len(values) < 30 else ""
            axes.plot(steps, values, color=color, linewidth=1.6, marker=marker, label=printable(column, 40))
        if len(columns_shown) > 1:
            style.legend(axes)
        axes.ticklabel_format(axis="y", scilimits=(-2, 5))
        axes.yaxis.get_offset_text().set_fontsize(style.FONT_SIZE - 2)
        style.tidy(axes, title=name, xlabel="step", ylabel=label)
    if title:
        figure.suptitle(printable(title), fontsize=style.FONT_SIZE + 2, color=style.INK, parse_math=False)
    return figure


def smooth(values: Sequence[float], share: float = 0.02) -> list[float]:
    """Average over a centred window of a share of the points; infinite and NaN values are left out.

    Examples
    --------
    >>> smooth([0.0, 3.0, 0.0], share=1.0)
    [1.5, 1.0, 1.5]
    """
    half = max(1, int(len(values) * share / 2))
    out = []
    for k in range(len(values)):
        near = [v for v in values[max(0, k - half) : k + half + 1] if math.isfinite(v)]
        out.append(sum(near) / len(near) if near else math.nan)
    return out


def _columns(series: Mapping[str, object], words: tuple[str, ...]) -> list[str]:
    """Choose columns by a part of their name: "loss" finds "train/loss" and "loss_step", not "lossy"."""
    chosen = []
    for name in series:
        parts = name.lower().replace("-", "_").replace("/", "_").replace(".", "_").split("_")
        if any(word in parts or word == name.lower() for word in words):
            chosen.append(name)
    return chosen[:6]


def _find(path: Path) -> Path:
    if path.is_dir():
        for name in ("log.csv", "metrics.csv", "*.csv"):
            found = sorted(path.rglob(name))
            if found:
                return found[-1]
    if not path.is_file():
        raise SSLECGError(str(path), "no such log", "give the CSV log of a run, or the folder that holds it")
    return path


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
