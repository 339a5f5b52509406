"""A few leads of a recording, small: as bytes for a page that draws them itself, and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ssl_ecg.plot.sheet as ink
from ssl_ecg.leads import canonical_lead
from ssl_ecg.plot.sheet import printable

SECONDS = 5.0  # [s] shown at most
POINTS = 300  # of a lead
GAP = -128  # where there is no valid sample
PREFERRED = ("II", "V2", "V5")
_WIDTH, _ROW = 300.0, 46.0  # [px]
_GAINS = (24.0, 12.0, 6.0)  # [px/mV]; 60 px are a second, so that 24 px/mV is the usual shape of 10 mm/mV


def choose_leads(leads: Sequence[str], most: int = 3) -> list[int]:
    """Choose the rows that are shown small: II, V2 and V5 where they are, else the first ones.

    Examples
    --------
    >>> choose_leads(("I", "II", "V1", "V2", "V5")), choose_leads(("MLII", "V1"))
    ([1, 3, 4], [0, 1])
    """
    names = [canonical_lead(lead) or lead for lead in leads]
    wanted = [names.index(lead) for lead in PREFERRED if lead in names]
    rest = [row for row in range(len(names)) if row not in wanted]
    return sorted((wanted + rest)[: min(most, len(names))])


def shrink(signals: ArrayLike, fs: float) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Make the first seconds of some leads small; in each bin the sample farthest from the median survives.

    Parameters
    ----------
    signals : array (record, lead, time) [mV]
        NaN leaves a gap; a lead that is zero or NaN throughout is all gap.
    fs : float
        [Hz]

    Returns
    -------
    values : int8 array (record, lead, point)
        In steps of `scales`; `GAP` where nothing is known.
    scales : float32 array (record,)
        [mV]

    Examples
    --------
    >>> values, scales = shrink(np.sin(np.arange(1000) / 20)[None, None], 100)
    >>> values.shape, round(float(values.max() * scales[0]), 2)
    ((1, 1, 300), 1.0)
    """
    given = np.asarray(signals, np.float32)[..., : max(1, round(SECONDS * fs))]
    absent = ~np.nan_to_num(given).any(axis=-1, keepdims=True)
    missing = ~np.isfinite(given) | absent
    filled = np.where(missing, 0.0, given)
    filled = np.where(missing, 0.0, filled - np.median(filled, axis=-1, keepdims=True))
    n = given.shape[-1]
    bins = max(1, round(POINTS * min(1.0, n / (SECONDS * fs))))
    edges = np.linspace(0, n, bins + 1).astype(int)
    out = np.full((*given.shape[:-1], POINTS), np.nan, np.float32)
    for k, (a, b) in enumerate(zip(edges[:-1], np.maximum(edges[1:], edges[:-1] + 1), strict=True)):
        part = filled[..., a:b]
        far = np.take_along_axis(part, np.abs(part).argmax(axis=-1)[..., None], axis=-1)[..., 0]
        out[..., k] = np.where(missing[..., a:b].all(axis=-1), np.nan, far)
    largest = np.nan_to_num(np.abs(out)).max(axis=(-2, -1), initial=0.0)
    scales = (np.maximum(largest, 0.1) / 127).astype(np.float32)
    steps = np.rint(np.nan_to_num(out) / scales[:, None, None])
    return np.where(np.isnan(out), GAP, steps).astype(np.int8), scales


def thumbnail_svg(signal: ArrayLike, fs: float, leads: Sequence[str], alt: str) -> str:
    """Draw leads small on squared paper: a square is 0.2 s wide and, at usual gain, 0.5 mV high.

    Parameters
    ----------
    signal : array (lead, time) [mV]
    fs : float
        [Hz]
    leads : sequence of str
    alt : str
        What it shows, for those who do not see it.

    Examples
    --------
    >>> thumbnail_svg(np.ones((1, 500)), 100, ("II",), "a")[:17]
    '<svg class="small'
    """
    steps, scales = shrink(np.asarray(signal)[None], fs)
    values = np.where(steps[0] == GAP, np.nan, steps[0] * scales[0])
    height = _ROW * len(values)
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    gain = next((gain for gain in _GAINS if largest * gain <= 0.75 * _ROW), _GAINS[-1])
    columns = "".join(f"M{x} 0V{height:g}" for x in range(12, int(_WIDTH), 12))
    rows = "".join(f"M0 {y}H{_WIDTH:g}" for y in range(12, int(height), 12))
    traces, names = [], []
    for k, (row, lead) in enumerate(zip(values, leads, strict=True)):
        middle = (k + 0.55) * _ROW
        y = np.clip(middle - row * gain, 1, height - 1)
        pieces = np.split(np.arange(len(y)), np.flatnonzero(np.diff(np.isnan(y).astype(int))) + 1)
        for piece in pieces:
            if not np.isnan(y[piece[0]]):
                points = " ".join(f"{x * _WIDTH / len(y):g} {y[x]:.1f}" for x in piece)
                traces.append(f"M{points}")
        names.append(f'<text x="3" y="{k * _ROW + 11:g}">{escape(printable(lead, 10))}</text>')
    note = "" if gain == _GAINS[0] else f'<text x="{_WIDTH - 3:g}" y="11" text-anchor="end">gain reduced</text>'
    return (
        f'<svg class="small" role="img" aria-label="{escape(printable(alt, 200))}" viewBox="0 0 {_WIDTH:g} {height:g}" '
        f'xmlns="http://www.w3.org/2000/svg" font-size="9" font-weight="bold" fill="{ink.INK}">'
        f'<path fill="{ink.PAPER}" d="M0 0H{_WIDTH:g}V{height:g}H0z"/>'
        f'<path fill="none" stroke="{ink.FINE}" stroke-width=".8" d="{columns}{rows}"/>'
        f'<path fill="none" stroke="{ink.INK}" stroke-linejoin="round" d="{"".join(traces)}"/>'
        f"{''.join(names)}{note}</svg>"
    )
