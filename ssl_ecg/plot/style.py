"""The look shared by all charts, and how they are saved."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from ssl_ecg.files import write_whole
from ssl_ecg.plot.sheet import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, RULE = "#22303c", "#5d6b78", "#d3d9df"
PALETTE = ("#1a7fc1", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7b5ea7")
"""Colours that people with any colour vision tell apart (after Okabe and Ito 2008)."""
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
MAIN, BASELINE, ALERT = PALETTE[0], "#8b949d", PALETTE[1]
FONT_SIZE = 10.0  # [pt]


def new_figure(width: float = 6.4, height: float = 3.6) -> Figure:
    """Make an empty figure with its own Agg canvas; size in inches.

    Examples
    --------
    >>> new_figure(4, 2).get_size_inches().tolist()
    [4.0, 2.0]
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def is_baseline(name: str) -> bool:
    """Tell by its name whether a curve is a baseline, which is drawn in grey.

    Examples
    --------
    >>> is_baseline("untrained, linear"), is_baseline("encoder")
    (True, False)
    """
    return any(word in name.lower() for word in ("random", "baseline", "untrained"))


def tidy(
    axes: Axes,
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    grid: Literal["x", "y", "both", ""] = "y",
) -> None:
    """Give axes the common look: two spines, quiet grid, labels in ink."""
    axes.set_title(printable(title), fontsize=FONT_SIZE + 1, loc="left", color=INK, fontweight="bold", parse_math=False)
    axes.set_xlabel(printable(xlabel), fontsize=FONT_SIZE, color=INK, parse_math=False)
    axes.set_ylabel(printable(ylabel), fontsize=FONT_SIZE, color=INK, parse_math=False)
    axes.tick_params(labelsize=FONT_SIZE - 1, colors=SOFT, labelcolor=INK, length=3)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(SOFT)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0.0)
    if grid:
        axes.grid(axis=grid, color=RULE, linewidth=0.7)


def legend(axes: Axes, **options: object) -> None:
    """Add a legend in the common look, its text never read as mathematics."""
    box = axes.legend(frameon=False, fontsize=FONT_SIZE - 1, labelcolor=INK, **options)
    for text in box.get_texts():
        text.set_parse_math(False)


def save_figure(figure: Figure, path: str | Path, formats: Iterable[str] = ("png", "svg")) -> list[Path]:
    """Write a figure in several formats beside each other, each file whole or not at all.

    Parameters
    ----------
    figure : Figure
    path : path
        The suffix of each format is put after it, in place of .png, .svg or .pdf if it has one.
    formats : iterable of str

    Returns
    -------
    list of Path

    Raises
    ------
    ArchiveError
        If a file cannot be written.
    """
    stem = Path(path)
    if stem.suffix.lower() in (".png", ".svg", ".pdf"):
        stem = stem.with_suffix("")
    out = []
    for name in formats:
        target = stem.with_name(f"{stem.name}.{name}")
        write_whole(target, partial(_render, figure, name))
        out.append(target)
    return out


def inline_svg(figure: Figure, alt: str) -> str:
    """Give a figure as an ``svg`` element for HTML: unique ids, text in the colour of the page.

    Parameters
    ----------
    figure : Figure
    alt : str
        Description for those who do not see it; must be escaped already.
    """
    stream = io.BytesIO()
    _render(figure, "svg", stream)
    text = stream.getvalue().decode()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text[text.index("<svg") :], flags=re.DOTALL)
    key = "f" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    text = re.sub(r'\bid="', f'id="{key}', text)
    text = re.sub(r'(url\(|href=")#', rf"\g<1>#{key}", text)
    text = text.replace(INK, "currentColor").replace(SOFT, "var(--soft)").replace(RULE, "var(--rule)")
    return text.replace("<svg ", f'<svg class="chart" role="img" aria-label="{alt}" ', 1)


def _render(figure: Figure, name: str, stream: BinaryIO) -> None:
    import matplotlib as mpl

    options: dict[str, object] = {"svg.fonttype": "none", "svg.hashsalt": "ssl_ecg", "svg.image_inline": True}
    with mpl.rc_context(options):
        figure.savefig(
            stream,
            format=name,
            facecolor="none" if name == "svg" else "white",
            metadata={"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(name),
        )
