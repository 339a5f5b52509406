"""The state of a monitor as plain arrays, so that a long recording can be gone on with."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.monitor.baseline import BeatBaseline, WindowBaseline
from ssl_ecg.monitor.blocks import BlockCutter
from ssl_ecg.monitor.events import Beat, Episode
from ssl_ecg.monitor.likeness import Usual

if TYPE_CHECKING:
    from ssl_ecg.monitor.stream import Monitor

Arrays = dict[str, NDArray[Any]]


def monitor_state(monitor: Monitor) -> Arrays:
    """Give what a monitor needs to go on at a block's beginning, without the signal itself.

    Raises
    ------
    SignalError
        While the baseline is being learned: then a recording is begun anew.
    """
    if monitor.beats is None:
        raise SignalError("monitor", "has not learned its baseline yet", "feed it more signal")
    parts = monitor.parts
    episode = parts.episodes.current
    plain = {
        "number": parts.cutter.number,
        "last_beat": parts.measurer.last_beat,
        "last": parts.intervals.last,
        "before": list(parts.intervals.before),
        "episode": None if episode is None else asdict(episode),
        "recent": [asdict(beat) for beat in parts.recent],
    }
    arrays = {"plain": np.frombuffer(json.dumps(plain).encode(), np.uint8), **_beat_arrays(monitor.beats)}
    if monitor.windows is not None and monitor.windows.strips is not None:
        arrays |= {"strips": monitor.windows.strips, "starts": monitor.windows.starts}
    return arrays


def restore_monitor(monitor: Monitor, arrays: Arrays) -> None:
    """Bring a new monitor of the same settings into a state; it is to be fed from sample `monitor.fed` on."""
    plain = json.loads(arrays["plain"].tobytes())
    parts = monitor.parts
    parts.cutter = BlockCutter(len(monitor.leads), parts.cutter.fs, monitor.settings, number=plain["number"])
    parts.measurer.last_beat = plain["last_beat"]
    parts.intervals.last = plain["last"]
    parts.intervals.before = deque(plain["before"], maxlen=parts.intervals.before.maxlen)
    episode = plain["episode"]
    if episode is not None:
        episode["nearest"] = tuple(episode["nearest"])
        parts.episodes.current = Episode(**episode)
    parts.recent = [Beat(**beat) for beat in plain["recent"]]
    monitor.beats = _beats_from(arrays)
    if "strips" in arrays:
        monitor.windows = WindowBaseline(arrays["strips"], arrays["starts"])


def _beat_arrays(baseline: BeatBaseline) -> Arrays:
    everyone = [*baseline.rows, baseline.vector]
    out: Arrays = {"sizes": baseline.sizes, "mask": baseline.mask, "n_rows": np.array(len(baseline.rows))}
    for k, usual in enumerate(everyone):
        if usual is not None:
            out[f"centre_{k}"] = usual.centre
            out[f"level_{k}"] = np.array([usual.energy, usual.noise])
    return out


def _beats_from(arrays: Arrays) -> BeatBaseline:
    usual: list[Usual | None] = []
    for k in range(int(arrays["n_rows"]) + 1):
        there = f"centre_{k}" in arrays
        energy, noise = arrays[f"level_{k}"].tolist() if there else (0.0, 0.0)
        usual.append(Usual(arrays[f"centre_{k}"], energy, noise) if there else None)
    return BeatBaseline(usual[:-1], arrays["sizes"], usual[-1], arrays["mask"])
