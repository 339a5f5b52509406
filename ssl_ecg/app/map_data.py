"""The points of the interactive map, chosen and packed as text that the script of the page unpacks."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import ssl_ecg.plot.style as style
from ssl_ecg.app.inputs import Anomaly, MapPoints
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.map import NO_LABEL, OTHERS, dominant
from ssl_ecg.plot.sheet import printable

MOST_POINTS = 20_000
"""More recordings are sampled for the map."""
MOST_THUMBNAILS = 4_000
"""Recordings whose ECG is in the page: some 1.2 kB each."""
_GROUPS = 8  # colours
_UNKNOWN = ("noise", "no cluster", NO_LABEL, OTHERS)


def choose_points(scores: ArrayLike, flagged: ArrayLike, most: int = MOST_POINTS, seed: int = 0) -> NDArray[np.int64]:
    """Choose the recordings that the map shows: the flagged (the strangest, if too many), then any.

    Parameters
    ----------
    scores : array (record,)
        NaN where there is none.
    flagged : bool array (record,)
    most : int
    seed : int

    Returns
    -------
    int64 array
        Rows, ascending.

    Examples
    --------
    >>> choose_points([1.0, 9.0, 2.0, 3.0], [False, True, False, False], 1).tolist()
    [1]
    """
    values, marked = np.asarray(scores, np.float64), np.asarray(flagged, bool)
    if len(values) <= most:
        return np.arange(len(values))
    strangest = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    first = strangest[marked[strangest]][:most]
    others = np.setdiff1d(np.arange(len(values)), first)
    drawn = np.random.default_rng(seed).choice(others, most - len(first), replace=False)
    return np.sort(np.concatenate([first, drawn]))


def pack(points: MapPoints, anomalies: Sequence[Anomaly] = ()) -> str:
    """Give the points as JSON that may stand inside a ``script`` element.

    Raises
    ------
    SSLECGError
        If ids, labels, clusters or scores do not fit the points.
    """
    xy = np.asarray(points.xy, np.float64)
    n = len(xy)
    parts = {"ids": points.record_ids, "labels": points.labels, "clusters": points.clusters, "scores": points.scores}
    for name, part in parts.items():
        if part is not None and len(np.asarray(part, dtype=object)) != n:
            raise SSLECGError("map", f"{name} do not fit {n} points", "give one for each point")
    low, span = (xy.min(axis=0), np.ptp(xy, axis=0)) if n else (np.zeros(2), np.ones(2))
    size = max(float(span.max()), 1e-9)
    rows = np.arange(n) if points.rows is None else np.asarray(points.rows)
    place = {int(row): k for k, row in enumerate(rows)}
    found: dict[str, Any] = {
        "n": n,
        "total": points.total or n,
        "xy": _text(np.rint((xy - low) / size * 65535).astype("<u2")),
        "extent": [float(span[0] / size), float(span[1] / size)],
        "ids": [printable(name, 80) for name in points.record_ids],
        "colours": {},
        "drawn": {str(place[a.row]): k for k, a in enumerate(anomalies, start=1) if a.row in place},
    }
    _pack_scores(found, points)
    _pack_groups(found, points)
    _pack_thumbnails(found, points)
    # "<" would let a name end the element
    return json.dumps(found, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _pack_scores(found: dict[str, Any], points: MapPoints) -> None:
    if points.scores is None:
        return
    scores = np.asarray(points.scores, np.float32)
    finite = scores[np.isfinite(scores)]
    low, high = np.percentile(finite, [2, 99]) if finite.size else (0.0, 1.0)
    found["score"] = _text(scores.astype("<f4"))
    found["range"] = [float(low), float(max(high, low + 1e-9))]
    if points.ranks is not None:
        found["rank"] = _text(np.asarray(points.ranks, "<i4"))
    if points.flagged is not None:
        found["flagged"] = _text(np.asarray(points.flagged, np.uint8))


def _pack_groups(found: dict[str, Any], points: MapPoints) -> None:
    if points.clusters is not None:
        names = _cluster_names(points.clusters)
        if len(set(names)) > 1:
            found["colours"]["cluster"] = _groups(names, ())
    if points.labels is not None:
        found["colours"]["label"] = _groups(dominant(points.labels, points.order), points.order)
    if points.labels is not None or len(points.texts):
        labels = points.labels or ()
        texts = points.texts or [item if isinstance(item, str) else ", ".join(item or ()) for item in labels]
        known = {text: k for k, text in enumerate(dict.fromkeys(texts))}
        found["texts"] = [printable(text, 120) for text in known]
        found["text"] = _text(np.array([known[text] for text in texts], "<u4"))


def cluster_colours(clusters: ArrayLike) -> dict[int, str]:
    """Give the colour that each cluster has on a map of these points."""
    groups = _groups(_cluster_names(clusters), ())
    colours = dict(zip(groups["names"], groups["colours"], strict=True))
    return {int(k): colours.get(f"cluster {k}", style.BASELINE) for k in np.unique(np.asarray(clusters)) if k >= 0}


def _cluster_names(clusters: ArrayLike) -> list[str]:
    return ["noise" if k < 0 else f"cluster {k}" for k in np.asarray(clusters).tolist()]


def _groups(names: Sequence[str], order: Sequence[str]) -> dict[str, Any]:
    """Give names, colours and sizes of the groups, and the group of each point; rare ones are one group."""
    counts = Counter(names)
    rank = {name: k for k, name in enumerate(order)}
    loud = [name for name, _ in counts.most_common() if name not in _UNKNOWN][:_GROUPS]
    loud.sort(key=lambda name: (rank.get(name, len(rank)), -counts[name], name))
    shown = [*loud, *(name for name in _UNKNOWN if name in counts)]
    if any(name not in shown for name in counts) and OTHERS not in shown:
        shown.append(OTHERS)
    place = {name: k for k, name in enumerate(shown)}
    index = np.array([place.get(name, place.get(OTHERS, 0)) for name in names], np.uint8)
    return {
        "names": [printable(name, 40) for name in shown],
        "colours": [style.PALETTE[k] if k < len(loud) else style.BASELINE for k in range(len(shown))],
        "counts": np.bincount(index, minlength=len(shown)).tolist(),
        "of": _text(index),
    }


def _pack_thumbnails(found: dict[str, Any], points: MapPoints) -> None:
    pictures = points.thumbnails
    if pictures is None or not len(pictures.values):
        return
    values = np.asarray(pictures.values, np.int8)
    where = np.full(found["n"], -1, "<i4")
    where[np.asarray(pictures.points)] = np.arange(len(values))
    found["ecg"] = {
        "leads": [printable(lead, 10) for lead in pictures.leads],
        "points": values.shape[2],
        "seconds": pictures.seconds,
        "count": len(values),
        "of": _text(where),
        "scale": _text(np.asarray(pictures.scales, "<f4")),
        "values": _text(values),
    }


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
