"""Draws the reasons of one record: its leads against time, dark where the strangeness lies."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ssl_ecg.plot.sheet import Highlight, printable

if TYPE_CHECKING:
    from ssl_ecg.explain.reasons import Reasons

FAINT = 0.25  # pieces with less than this share of the strongest are not highlighted in a drawing
_ROW, _LEFT, _WIDTH = 10.0, 30.0, 300.0
_TONE = "#b3261e"


def highlights(reasons: Reasons) -> list[Highlight]:
    """Give the strongest pieces as spans to be tinted in a drawing, each as strongly as its share.

    Returns
    -------
    list of Highlight
        None where nothing stands out.
    """
    most = float(reasons.values.max(initial=0.0))
    if most <= 0:
        return []
    return [
        Highlight(start, stop, lead, strength=float(share) / most)
        for lead, row in zip(reasons.leads, reasons.values, strict=True)
        for share, (start, stop) in zip(row, reasons.seconds.tolist(), strict=True)
        if share >= FAINT * most
    ]


def reasons_svg(reasons: Reasons, alt: str) -> str:
    """Draw shares by lead and time as a small picture, dark for the largest share."""
    height, total = _ROW * len(reasons.leads), float(reasons.seconds[:, 1].max(initial=1e-9))
    most = max(float(reasons.values.max(initial=0.0)), 1e-12)
    cells, names = [], []
    for k, (lead, row) in enumerate(zip(reasons.leads, reasons.values, strict=True)):
        y = k * _ROW
        names.append(f'<text x="{_LEFT - 4:g}" y="{y + 8:g}" text-anchor="end">{escape(printable(lead, 6))}</text>')
        for share, (start, stop) in zip(row, reasons.seconds.tolist(), strict=True):
            x, width = _LEFT + start / total * _WIDTH, (stop - start) / total * _WIDTH
            opacity = f"{float(share) / most:.2f}"
            if opacity != "0.00":
                cells.append(
                    f'<rect x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="{_ROW:g}" fill-opacity="{opacity}"/>'
                )
    step = max(1, round(total / 5))
    for second in np.arange(0, total + 1e-6, step):
        x = _LEFT + second / total * _WIDTH
        names.append(f'<text x="{x:.1f}" y="{height + 10:g}" text-anchor="middle">{second:g}</text>')
    area = f"M{_LEFT:g} 0h{_WIDTH:g}v{height:g}h-{_WIDTH:g}z"
    frame = f'<path fill="none" stroke="currentColor" stroke-opacity=".4" d="{area}"/>'
    unit = f'<text x="{_LEFT + _WIDTH + 7:g}" y="{height + 10:g}">s</text>'
    return (
        f'<svg role="img" aria-label="{escape(printable(alt, 200))}" xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {_LEFT + _WIDTH + 14:g} {height + 13:g}" font-size="8.5" fill="currentColor">'
        f'<g fill="{_TONE}">{"".join(cells)}</g>{frame}{"".join(names)}{unit}</svg>'
    )
