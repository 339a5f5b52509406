"""Lays a recording out on ECG paper, in millimetres, for any renderer to draw."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import STANDARD_LEADS, canonical_lead
from ssl_ecg.plot.sheet import (
    ACCENT,
    MUTED,
    NOWHERE,
    WARNING,
    Box,
    Cut,
    Highlight,
    Sheet,
    Style,
    Text,
    Tint,
    Trace,
    printable,
)

LAYOUTS = MappingProxyType(
    {
        "3x4+1": (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"), ("II",)),
        "6x2": (("I", "V1"), ("II", "V2"), ("III", "V3"), ("aVR", "V4"), ("aVL", "V5"), ("aVF", "V6")),
        "12x1": tuple((lead,) for lead in STANDARD_LEADS),
        "rows": (),
    }
)
"""Rows of leads of each layout; "rows" draws the leads of the recording one under the other."""

SECONDS = 10.0  # [s] on one sheet
MARGIN, PULSE_ZONE, TAIL = 4.0, 15.0, 5.0  # [mm] around the grid, and inside it before and after the traces
ROOM_MIN, ROOM_CUT, ROOM_MAX = 10.0, 25.0, 40.0  # [mm] above and below a baseline: least, if cut, most
LABEL_ROOM = 11.0  # [mm] from the left edge of a cell


@dataclass(slots=True)
class _Cell:
    lead: str
    row: int | None  # row of the signal; None: not recorded
    start: float  # [s] from the beginning of the recording
    seconds: float
    time: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # [s] from start
    value: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # [mm] above the baseline
    box: Box = NOWHERE
    baseline: float = 0.0  # y [mm]


@dataclass(slots=True)
class _Plan:
    values: NDArray[np.float64]
    fs: float
    style: Style
    gain: float
    rows: list[list[_Cell]]
    offset: float = 0.0  # largest offset removed [mV]

    @property
    def cells(self) -> Iterator[_Cell]:
        return (cell for row in self.rows for cell in row)

    @property
    def total(self) -> float:
        return float(self.values.shape[1] / self.fs)


def suggest_layout(leads: Sequence[str], lead_mask: ArrayLike | None = None) -> str:
    """Give the layout that suits a recording: "rows" for fewer than six standard leads, else "3x4+1".

    Examples
    --------
    >>> suggest_layout(("MLII", "V1"))
    'rows'
    """
    mask = np.ones(len(leads), bool) if lead_mask is None else np.asarray(lead_mask, bool)
    known = {canonical_lead(lead) for lead, there in zip(leads, mask, strict=True) if there} - {None}
    return "3x4+1" if len(known) >= 6 else "rows"


def compose(signal: ArrayLike, fs: float, leads: Sequence[str], style: Style) -> Sheet:
    """Lay a recording out on paper.

    Parameters
    ----------
    signal : array (lead, time) [mV]
    fs : float
        [Hz]
    leads : sequence of str
    style : Style

    Raises
    ------
    SignalError
        If shapes do not fit, or speed, gain, start or layout are impossible.
    """
    values = _checked(signal, fs, leads, style)
    gain = suggest_gain(values) if style.gain == "auto" else float(style.gain)
    plan = _Plan(values, fs, style, gain, _rows(values.shape[1] / fs, leads, style))
    for cell in plan.cells:
        _measure(cell, plan)
    sheet = Sheet()
    top = _header(sheet, style)
    bottom = _place_rows(sheet, plan, top)
    right = max(cell.box.right for cell in plan.cells) + TAIL
    sheet.grid, sheet.width = Box(MARGIN, top, right - MARGIN, bottom - top), right + MARGIN
    for cell in plan.cells:
        _draw_cell(sheet, cell, plan)
    _mark_annotations(sheet, plan)
    _footer(sheet, plan)
    sheet.description = _description(plan)
    return sheet


def _checked(signal: ArrayLike, fs: float, leads: Sequence[str], style: Style) -> NDArray[np.float64]:
    values = np.array(signal, dtype=np.float64)
    if values.ndim != 2 or 0 in values.shape:
        raise SignalError("signal", f"has shape {values.shape}", "give (lead, time) with at least one sample")
    if len(leads) != values.shape[0]:
        problem = f"{len(leads)} lead names for {values.shape[0]} rows"
        raise SignalError("leads", problem, "name every row of the signal once")
    if style.layout not in LAYOUTS:
        raise SignalError("layout", f"unknown layout {style.layout!r}", f"choose from {', '.join(LAYOUTS)}")
    numbers = {"fs": fs, "speed": style.speed, "gain": 10.0 if style.gain == "auto" else style.gain}
    for name, number in numbers.items():
        if not (isinstance(number, int | float | np.number) and math.isfinite(number) and number > 0):
            raise SignalError(name, f"is {number!r}", "give a number greater than zero")
    if not 0 <= style.start < values.shape[1] / fs:
        problem = f"{style.start} s is outside the recording of {values.shape[1] / fs:.1f} s"
        raise SignalError("start", problem, "begin within the recording")
    if style.lead_mask is not None and np.shape(style.lead_mask) != (len(leads),):
        problem = f"has shape {np.shape(style.lead_mask)}"
        raise SignalError("lead_mask", problem, f"give one value for each of {len(leads)} leads")
    values[~np.isfinite(values)] = np.nan
    return values


def _rows(total: float, leads: Sequence[str], style: Style) -> list[list[_Cell]]:
    present: dict[str, int] = {}
    for k, lead in enumerate(leads):
        if style.lead_mask is None or np.asarray(style.lead_mask)[k]:
            present.setdefault(canonical_lead(lead) or lead, k)
    rows = []
    for names in LAYOUTS[style.layout] or tuple((canonical_lead(lead) or lead,) for lead in leads):
        width = SECONDS / len(names)
        # A recording shorter than the sheet still shows every lead: its columns then overlap in time.
        step = min(width, max(0.0, total - style.start - width) / max(1, len(names) - 1))
        row = []
        for k, name in enumerate(names):
            place = present.get(name)
            cell = _Cell(name if place is None else _label(leads[place]), place, style.start + k * step, width)
            cell.box = Box(MARGIN + PULSE_ZONE + k * width * style.speed, 0, width * style.speed, 0)
            row.append(cell)
        rows.append(row)
    return rows


def _label(lead: str) -> str:
    """Write standard leads in the usual case, and leave the name of others ("MLII") as it is."""
    standard = canonical_lead(lead)
    return standard if standard and standard.upper() == lead.strip().upper() else lead


def suggest_gain(signal: ArrayLike) -> float:
    """Choose full, half or quarter gain [mm/mV] so that all but the rare extremes of (lead, time) [mV] fit.

    Examples
    --------
    >>> suggest_gain(np.sin(np.arange(100))[None]), suggest_gain(9 * np.sin(np.arange(100))[None])
    (10.0, 2.5)
    """
    values = np.asarray(signal, np.float64)
    valid = values[~np.isnan(values).all(axis=1)]
    if not valid.size:
        return 10.0
    spread = np.abs(valid - np.nanmedian(valid, axis=1, keepdims=True))
    bulk = float(np.nanpercentile(spread, 99, axis=1).max())
    return next((gain for gain in (10.0, 5.0, 2.5) if bulk * gain <= ROOM_MAX), 2.5)


def _measure(cell: _Cell, plan: _Plan) -> None:
    """Cut the samples of a cell out of the signal and centre them, as an ECG machine's AC coupling does."""
    if cell.row is None:
        return
    first = math.ceil(cell.start * plan.fs - 1e-9)
    last = math.floor((cell.start + cell.seconds) * plan.fs + 1e-9) + 1
    part = plan.values[cell.row, first:last]
    cell.time = np.arange(first, first + len(part)) / plan.fs - cell.start
    if not np.isnan(part).all():
        offset = float(np.nanmedian(part))
        plan.offset = max(plan.offset, abs(offset))
        part = part - offset
    cell.value = part * plan.gain


def _header(sheet: Sheet, style: Style) -> float:
    """Write title and subtitle; give the upper edge of the grid [mm]."""
    title, right = printable(style.title, 60), MARGIN + PULSE_ZONE + SECONDS * style.speed + TAIL
    if not (title or style.subtitle):
        return MARGIN
    room = max(16, int((right - MARGIN - 2.5 * len(title)) / 1.8))
    sheet.texts.append(Text(MARGIN, MARGIN + 4.0, title, 4.2, bold=True))
    sheet.texts.append(Text(right, MARGIN + 4.0, printable(style.subtitle, room), 3.4, "end", color=MUTED))
    return MARGIN + 7.0


def _place_rows(sheet: Sheet, plan: _Plan, top: float) -> float:
    """Stack the rows, each as high as its traces need; give the lower edge of the grid [mm]."""
    for row in plan.rows:
        up = max(max(_room(_top(cell)), _room(_top(cell, LABEL_ROOM / plan.style.speed) + 4)) for cell in row)
        down = max(_room(-np.nanmin(cell.value, initial=0.0)) for cell in row)
        baseline = top + max(up, 5 * math.ceil(plan.gain / 5 + 1))
        for k, cell in enumerate(row):
            cell.baseline = baseline
            cell.box = Box(cell.box.x, top, cell.box.width, baseline + down - top)
            if k:
                x = cell.box.x
                sheet.ticks += [(x, baseline - 6, baseline - 3), (x, baseline + 3, baseline + 6)]
        x, length = MARGIN + 5, 0.2 * plan.style.speed
        corners = [(-2, 0), (0, 0), (0, -plan.gain), (length, -plan.gain), (length, 0), (length + 2, 0)]
        sheet.pulses.append(np.array([(x + dx, baseline + dy) for dx, dy in corners]))
        top = baseline + down
    return top


def _top(cell: _Cell, seconds: float = math.inf) -> float:
    """Highest point [mm] of the beginning of a trace."""
    return float(np.nanmax(cell.value[cell.time <= seconds], initial=0.0))


def _room(extent: float) -> float:
    room = 5.0 * math.ceil((min(extent, 1e6) + 1) / 5)
    return ROOM_CUT if room > ROOM_MAX else max(ROOM_MIN, room)


def _draw_cell(sheet: Sheet, cell: _Cell, plan: _Plan) -> None:
    box, speed = cell.box, plan.style.speed
    sheet.texts.append(Text(box.x + 1.2, box.y + 4.2, printable(cell.lead, 10), 3.6, bold=True))
    if cell.row is None or np.isnan(cell.value).all():
        message = "no valid samples" if len(cell.value) else "not recorded"
        sheet.texts.append(Text(box.x + box.width / 2, cell.baseline, message, 3.2, "middle", color=MUTED))
        return
    x, y = box.x + cell.time * speed, cell.baseline - cell.value
    for outside, edge, way in ((y < box.y, box.y, -1), (y > box.bottom, box.bottom, 1)):
        where = x[outside]
        runs = np.split(where, np.flatnonzero(np.diff(where) > 3.0) + 1) if where.size else []
        sheet.cuts += [Cut(cell.lead, float(run.mean()), edge, way) for run in runs]
    sheet.traces.append(Trace(cell.lead, x, np.clip(y, box.y - 20, box.bottom + 20), box))
    for span in plan.style.highlight:
        _tint(sheet, cell, span if isinstance(span, Highlight) else Highlight(*span), speed)


def _tint(sheet: Sheet, cell: _Cell, span: Highlight, speed: float) -> None:
    left, right = max(span.start - cell.start, 0.0), min(span.stop - cell.start, cell.seconds)
    if right <= left or span.lead not in (None, cell.lead, canonical_lead(cell.lead)):
        return
    box = Box(cell.box.x + left * speed, cell.box.y, (right - left) * speed, cell.box.height)
    sheet.tints.append(Tint(box, span.strength))
    if span.label:
        x, y = cell.box.x + left * speed + 0.8, cell.box.bottom - 1.2
        sheet.texts.append(Text(x, y, printable(span.label, 40), 2.8, color=ACCENT))


def _mark_annotations(sheet: Sheet, plan: _Plan) -> None:
    """Write beat symbols and rhythm names over the rhythm strip, or over the first row without one."""
    marks = plan.style.annotations
    if marks is None:
        return
    row = plan.rows[-1] if plan.style.layout == "3x4+1" else plan.rows[0]
    for sample, symbol, note in zip(marks.sample, marks.symbol, marks.note, strict=True):
        for cell in row:
            offset = float(sample) / plan.fs - cell.start
            if 0 <= offset < cell.seconds:
                x, y = cell.box.x + offset * plan.style.speed, cell.box.bottom - 1.0
                usual = symbol in ("N", "·", ".") and not note
                text = printable(note.strip("\x00") or symbol, 12)
                sheet.texts.append(Text(x, y, text, 2.8, "middle", not usual, MUTED if usual else ACCENT))
                sheet.ticks.append((x, y - 4.4, y - 2.8))


def _scale(plan: _Plan) -> str:
    text = f"{plan.style.speed:g} mm/s · {plan.gain:g} mm/{plan.style.unit}"
    if _reduced(plan):
        text += " · HALF GAIN" if plan.gain == 5 else " · REDUCED GAIN"
    return text


def _reduced(plan: _Plan) -> bool:
    return plan.style.unit == "mV" and plan.gain < 10


def _notices(sheet: Sheet, plan: _Plan) -> list[str]:
    """Say everything about the drawing that the reader would otherwise have to guess."""
    out = []
    rest = plan.total - plan.style.start
    if rest > SECONDS + 0.05 or plan.style.start > 0:
        out.append(f"{min(rest, SECONDS):.1f} s of {plan.total:.1f} s shown, from {plan.style.start:.1f} s")
    first = plan.rows[0]
    if len(first) > 1 and first[1].start < first[0].start + first[0].seconds - 1e-6:
        starts = ", ".join(f"{cell.start:.1f}" for cell in first)
        out.append(f"{rest:.1f} s recorded: the columns overlap in time and begin at {starts} s")
    if plan.offset > 0.05:
        out.append(f"offset of up to {plan.offset:.2f} {plan.style.unit} removed for drawing")
    if sheet.cuts:
        names = ", ".join(dict.fromkeys(printable(cut.lead, 10) for cut in sheet.cuts))
        out.append(f"cut at the marks where it leaves its row: {names}")
    return out


def _footer(sheet: Sheet, plan: _Plan) -> None:
    band = plan.style.band
    filtered = f"band {band[0]:g}–{band[1]:g} Hz" if band else "band as recorded"
    line = f"{_scale(plan)} · {filtered} · {plan.fs:g} samples/s"
    y, reduced = sheet.grid.bottom + 4.6, _reduced(plan)
    sheet.texts.append(Text(MARGIN, y, line, 3.2, bold=reduced, color=WARNING if reduced else MUTED))
    pulse = f"pulse 1 {plan.style.unit}, 200 ms"
    sheet.texts.append(Text(sheet.grid.right, y, pulse, 3.2, "end", color=MUTED))
    for note in textwrap.wrap("; ".join(_notices(sheet, plan)), max(40, int(sheet.grid.width / 1.75))):
        y += 4.4
        sheet.texts.append(Text(MARGIN, y, note, 3.2, color=WARNING))
    sheet.height = y + MARGIN - 1.0


def _description(plan: _Plan) -> str:
    name = printable(plan.style.title) or "Recording"
    drawn = list(dict.fromkeys(cell.lead for cell in plan.cells if cell.row is not None))
    absent = list(dict.fromkeys(cell.lead for cell in plan.cells if cell.row is None))
    seconds = min(SECONDS, plan.total - plan.style.start)
    text = f"{name}: ECG, {len(drawn)} leads, {seconds:.1f} s, {_scale(plan)}"
    return f"{text}; not recorded: {', '.join(absent)}" if absent else text
