"""Draws a recording on ECG paper, as a matplotlib figure or as compact SVG."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ssl_ecg.plot.sheet as ink
from ssl_ecg.data.record import Annotations
from ssl_ecg.plot.paper import compose
from ssl_ecg.plot.sheet import Box, Highlight, Sheet, Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Gain = float | Literal["auto"]
UNITS = 40  # steps of the SVG coordinates per millimetre
TINT_OPACITY = 0.4  # of a highlight at full strength
TOLERANCE = 0.025  # [mm] by which a dropped sample may lie off the line drawn
FONT = "Helvetica,Arial,'Liberation Sans',sans-serif"


def plot_ecg(
    signal: ArrayLike,
    fs: float,
    leads: Sequence[str],
    *,
    layout: str = "3x4+1",
    title: str = "",
    subtitle: str = "",
    speed: float = 25.0,
    gain: Gain = 10.0,
    unit: str = "mV",
    band: tuple[float, float] | None = None,
    start: float = 0.0,
    lead_mask: ArrayLike | None = None,
    annotations: Annotations | None = None,
    highlight: Sequence[Highlight | tuple[float, float]] = (),
    dpi: float = 150.0,
) -> Figure:
    """Draw ten seconds of a recording on ECG paper at true size.

    Each lead is centred on its median; rows are spaced so that traces do not overlap, and what leaves its row
    is cut and marked. Whatever differs from a plain ten-second drawing at 10 mm/mV is said under the paper.

    Parameters
    ----------
    signal : array (lead, time) [mV]
        NaN leaves a gap.
    fs : float
        [Hz]
    leads : sequence of str
        One name per row.
    layout : {"3x4+1", "6x2", "12x1", "rows"}
        "rows" draws the leads as they are given; the others draw standard leads at their places.
    title, subtitle : str
    speed : float
        [mm/s]
    gain : float or "auto"
        [mm/mV]; "auto" takes half or quarter gain where the traces would not fit.
    unit : str
        Unit of the signal where it is not millivolts.
    band : (float, float) or None
        Pass band of the filter already applied [Hz], for the footer.
    start : float
        Beginning of the strip shown [s].
    lead_mask : bool array (lead,) or None
        False marks leads that were not recorded.
    annotations : Annotations or None
        Beat symbols, written under the rhythm strip.
    highlight : sequence of Highlight or (start, stop)
        Spans to tint [s].
    dpi : float
        Resolution; the size in millimetres does not depend on it.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SignalError
        If shapes do not fit, or speed, gain, start or layout are impossible.

    References
    ----------
    Kligfield et al. 2007, "Recommendations for the standardization and interpretation of the
    electrocardiogram, part I", doi 10.1161/CIRCULATIONAHA.106.180200.

    Examples
    --------
    >>> figure = plot_ecg(np.zeros((2, 1000)), 100, ("I", "II"), layout="rows")
    >>> [round(25.4 * float(side)) for side in figure.get_size_inches()]
    [278, 62]
    """
    style = Style(layout, title, subtitle, speed, gain, unit, band, start, lead_mask, annotations, highlight)
    return _figure(compose(signal, fs, leads, style), dpi)


def ecg_svg(
    signal: ArrayLike,
    fs: float,
    leads: Sequence[str],
    *,
    layout: str = "3x4+1",
    title: str = "",
    subtitle: str = "",
    speed: float = 25.0,
    gain: Gain = 10.0,
    unit: str = "mV",
    band: tuple[float, float] | None = None,
    start: float = 0.0,
    lead_mask: ArrayLike | None = None,
    annotations: Annotations | None = None,
    highlight: Sequence[Highlight | tuple[float, float]] = (),
) -> str:
    """Draw a recording as `plot_ecg` does, as SVG that can stand alone or inside HTML.

    Points that lie within 0.025 mm of the line through their neighbours are left out, and coordinates are
    rounded to 1/40 mm; the drawing stays within 0.05 mm of the signal.

    Returns
    -------
    str
        An ``svg`` element, sized in millimetres, with a title for screen readers.

    Examples
    --------
    >>> ecg_svg(np.zeros((1, 1000)), 100, ("II",), layout="rows", title="<b>")[:4]
    '<svg'
    """
    style = Style(layout, title, subtitle, speed, gain, unit, band, start, lead_mask, annotations, highlight)
    return _svg(compose(signal, fs, leads, style))


def _figure(sheet: Sheet, dpi: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(sheet.width / 25.4, sheet.height / 25.4), dpi=dpi, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, sheet.width)
    axes.set_ylim(sheet.height, 0)
    axes.set_axis_off()
    _draw_grid(axes, sheet.grid)
    _draw_shapes(axes, sheet)
    for text in sheet.texts:
        axes.text(
            text.x,
            text.y,
            text.text,
            fontsize=_points(text.size),
            ha={"start": "left", "middle": "center", "end": "right"}[text.anchor],
            va="baseline",
            color=text.color,
            weight="bold" if text.bold else "normal",
            parse_math=False,
            zorder=5,
        )
    return figure


def _points(size: float) -> float:
    return size * 72 / 25.4


def _draw_grid(axes: Axes, grid: Box) -> None:
    from matplotlib.collections import LineCollection
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((grid.x, grid.y), grid.width, grid.height, color=ink.PAPER, lw=0, zorder=0))
    for step, color, width in ((1, ink.FINE, ink.FINE_WIDTH), (5, ink.HEAVY, ink.HEAVY_WIDTH)):
        columns = grid.x + np.arange(0, grid.width + 0.5, step)
        rows = grid.y + np.arange(0, grid.height + 0.5, step)
        lines = [[(x, grid.y), (x, grid.bottom)] for x in columns]
        lines += [[(grid.x, y), (grid.right, y)] for y in rows]
        axes.add_collection(LineCollection(lines, colors=color, linewidths=_points(width), zorder=1 + step / 10))


def _draw_shapes(axes: Axes, sheet: Sheet) -> None:
    from matplotlib.patches import Rectangle

    look: dict[str, Any] = {"color": ink.INK, "lw": _points(ink.TRACE_WIDTH), "zorder": 4}
    for tint, strength in sheet.tints:
        alpha = TINT_OPACITY * strength
        axes.add_patch(Rectangle(tint[:2], tint.width, tint.height, color=ink.TINT, alpha=alpha, lw=0, zorder=2))
    for trace in sheet.traces:
        box = Rectangle(trace.box[:2], trace.box.width, trace.box.height, transform=axes.transData)
        axes.plot(trace.x, trace.y, solid_joinstyle="round", **look)[0].set_clip_path(box)
    for pulse in sheet.pulses:
        axes.plot(*pulse.T, solid_joinstyle="miter", **look)
    for x, low, high in sheet.ticks:
        axes.plot([x, x], [low, high], **look)
    for cut in sheet.cuts:
        axes.fill(*_triangle(cut).T, color=ink.WARNING, lw=0, zorder=6)


def _triangle(cut: ink.Cut) -> NDArray[np.float64]:
    """Corners of the mark at a cut [mm], its tip on the edge."""
    inside = cut.y - cut.way * 1.8
    return np.array([(cut.x - 1.1, inside), (cut.x + 1.1, inside), (cut.x, cut.y)])


def _svg(sheet: Sheet) -> str:
    body = "".join([_svg_grid(sheet.grid), _svg_shapes(sheet), *(_svg_text(text) for text in sheet.texts)])
    width, height = f"{sheet.width:g}", f"{sheet.height:.4g}"
    key = "e" + hashlib.sha256((sheet.description + body).encode()).hexdigest()[:8]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ecg" role="img" aria-labelledby="{key}" '
        f'width="{width}mm" height="{height}mm" viewBox="0 0 {width} {height}" '
        f'font-family="{FONT}" font-size="3.2"><title id="{key}">{escape(sheet.description)}</title>'
        f'<path fill="#fff" d="M0 0H{width}V{height}H0z"/>{body.replace("@", key)}</svg>'
    )


def _svg_grid(grid: Box) -> str:
    """Draw the grid from two tiles; each holds half of the lines at its edges, its neighbours the rest."""
    tiles = [
        (1, "f", "", ink.FINE, ink.FINE_WIDTH),
        (5, "h", '<path fill="url(#@f)" d="M0 0H5V5H0z"/>', *_HEAVY),
    ]
    area = f"M{grid.x:g} {grid.y:g}h{grid.width:g}v{grid.height:g}h{-grid.width:g}z"
    patterns = "".join(
        f'<pattern id="@{name}" width="{size}" height="{size}" patternUnits="userSpaceOnUse" '
        f'x="{grid.x % size:g}" y="{grid.y % size:g}">{under}'
        f'<path d="M0 0H{size}V{size}H0z" fill="none" stroke="{color}" stroke-width="{width}"/></pattern>'
        for size, name, under, color, width in tiles
    )
    edge = f'stroke="{ink.HEAVY}" stroke-width="{ink.HEAVY_WIDTH}"'
    paper = f'<path fill="{ink.PAPER}" d="{area}"/>'
    return f'<defs>{patterns}</defs>{paper}<path fill="url(#@h)" {edge} d="{area}"/>'


_HEAVY = (ink.HEAVY, ink.HEAVY_WIDTH)


def _svg_shapes(sheet: Sheet) -> str:
    out = []
    for box, strength in sheet.tints:
        out.append(
            f'<rect x="{box.x:g}" y="{box.y:g}" width="{box.width:.4g}" height="{box.height:g}" '
            f'fill="{ink.TINT}" fill-opacity="{TINT_OPACITY * strength:.2g}"/>'
        )
    boxes = dict.fromkeys(trace.box for trace in sheet.traces)
    for k, box in enumerate(boxes):
        area = f"M{box.x:g} {box.y:g}h{box.width:g}v{box.height:g}h{-box.width:g}z"
        out.append(f'<clipPath id="@c{k}"><path d="{area}"/></clipPath>')
    place = {box: k for k, box in enumerate(boxes)}
    out.append(f'<g fill="none" stroke="{ink.INK}" stroke-width="{ink.TRACE_WIDTH}" stroke-linejoin="round">')
    scaled = f'transform="scale({1 / UNITS:g})" stroke-width="{ink.TRACE_WIDTH * UNITS:g}"'
    for trace in sheet.traces:
        lead = escape(ink.printable(trace.lead, 10))
        path = f'<path data-lead="{lead}" {scaled} d="{_path(trace.x, trace.y)}"/>'
        out.append(f'<g clip-path="url(#@c{place[trace.box]})">{path}</g>')
    pulses = "".join("M" + "L".join(f"{x:g} {y:g}" for x, y in pulse) for pulse in sheet.pulses)
    ticks = "".join(f"M{x:.5g} {low:.5g}V{high:.5g}" for x, low, high in sheet.ticks)
    out.append(f'<path class="pulse" stroke-linejoin="miter" d="{pulses}"/><path d="{ticks}"/></g>')
    cuts = "".join("M" + "L".join(f"{x:.5g} {y:.5g}" for x, y in _triangle(cut)) + "z" for cut in sheet.cuts)
    out.append(f'<path class="cut" fill="{ink.WARNING}" d="{cuts}"/>' if cuts else "")
    return "".join(out)


def _svg_text(text: ink.Text) -> str:
    if not text.text:
        return ""
    size = "" if text.size == 3.2 else f' font-size="{text.size:g}"'
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    bold = ' font-weight="bold"' if text.bold else ""
    content = escape(text.text).replace("@", "&#64;")
    return f'<text x="{text.x:.5g}" y="{text.y:.5g}" fill="{text.color}"{size}{anchor}{bold}>{content}</text>'


def _path(x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
    """Write a polyline relative to the rounded point before, so that rounding errors do not add up."""
    valid = np.flatnonzero(~np.isnan(y))
    out = []
    for run in np.split(valid, np.flatnonzero(np.diff(valid) > 1) + 1) if valid.size else []:
        keep = run[_corners(y[run])]
        points = np.rint(np.column_stack([x[keep], y[keep]]) * UNITS).astype(int)
        steps = np.diff(points, axis=0) if len(points) > 1 else np.array([[1, 0]])
        numbers = [str(v) for v in steps.ravel()]
        tail = "".join(v if v[0] == "-" or k == 0 else f" {v}" for k, v in enumerate(numbers))
        out.append(f"M{points[0, 0]} {points[0, 1]}l{tail}")
    return "".join(out)


def _corners(y: NDArray[np.float64]) -> list[int]:
    """Choose the samples whose polyline stays within TOLERANCE of all the others (swinging door)."""
    values = y.tolist()
    corners, anchor, low, high = [0], 0, -np.inf, np.inf
    for k in range(1, len(values)):
        run = k - anchor
        slope = (values[k] - values[anchor]) / run
        if not low <= slope <= high:
            anchor, run = k - 1, 1
            corners.append(anchor)
            slope, low, high = values[k] - values[anchor], -np.inf, np.inf
        low = max(low, slope - TOLERANCE / run)
        high = min(high, slope + TOLERANCE / run)
    if len(values) > 1:
        corners.append(len(values) - 1)
    return corners
