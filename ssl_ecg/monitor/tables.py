"""The tables of a watched recording: read back, as Parquet, and as a WFDB annotation file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ssl_ecg.errors import ArchiveError
from ssl_ecg.files import write_whole
from ssl_ecg.monitor.event_files import FILES

if TYPE_CHECKING:
    import pandas as pd

EXTENSION = "ssl"
"""Suffix of the annotation file."""


class Tables(NamedTuple):
    """What `monitor_recording` wrote."""

    timeline: pd.DataFrame
    beats: pd.DataFrame
    episodes: pd.DataFrame


def read_tables(folder: str | Path) -> Tables:
    """Read timeline, beats and episodes.

    Raises
    ------
    ArchiveError
        If they are missing or damaged.
    """
    import pandas as pd

    tables = []
    for name, columns in FILES.values():
        path = Path(folder) / name
        try:
            text = {column: str for column in ("state", "label", "leads", "nearest") if column in columns}
            table = pd.read_csv(
                path, dtype=text, keep_default_na=False, na_values={c: [""] for c in set(columns) - set(text)}
            )
            tables.append(table[list(columns)])
        except (OSError, ValueError, KeyError) as error:
            raise ArchiveError(
                str(path), f"cannot be read ({error})", "remove it and run ssl-ecg monitor again"
            ) from error
    return Tables(*tables)


def write_parquet(tables: Tables, folder: str | Path) -> list[Path]:
    """Write `timeline.parquet`, `beats.parquet` and `episodes.parquet`."""
    out = []
    for table, (name, _) in zip(tables, FILES.values(), strict=True):
        path = (Path(folder) / name).with_suffix(".parquet")
        out.append(write_whole(path, lambda file, table=table: table.to_parquet(file, index=False)))  # type: ignore[misc]
    return out


def write_annotations(tables: Tables, folder: str | Path, name: str, fs: float) -> Path:
    """Write a WFDB annotation file, which WAVE, LightWAVE, PhysioZoo and wfdb read.

    Every beat is "Q", a beat that is not classified: the monitor tells what is unusual and not what it is. Unusual
    beats carry the note "unusual" and their score. A comment (`"`) stands at the start of each episode, "(episode
    3", and at its end, "episode 3)". A change of signal quality is "~" with the note "noise", "lead_off", "gap" or
    "clean".

    Parameters
    ----------
    tables : Tables
    folder : path
    name : str
        Of the record; the file is called so, with the suffix ".ssl".
    fs : float
        [Hz]

    Raises
    ------
    ArchiveError
        If it cannot be written.
    """
    import wfdb

    marks = [*_beat_marks(tables.beats), *_episode_marks(tables.episodes), *_state_marks(tables.timeline)]
    marks.sort(key=lambda mark: mark[0])
    clean = re.sub(r"[^\w-]", "_", name, flags=re.ASCII) or "record"
    path = Path(folder) / f"{clean}.{EXTENSION}"
    if not marks:
        marks = [(0.0, '"', "nothing found")]
    sample = np.maximum.accumulate(np.rint(np.array([mark[0] for mark in marks]) * fs).astype(np.int64))
    try:
        path.unlink(missing_ok=True)
        wfdb.wrann(
            clean,
            EXTENSION,
            np.maximum(sample, 0),
            symbol=[mark[1] for mark in marks],
            aux_note=[mark[2] for mark in marks],
            fs=fs,
            write_dir=str(folder),
        )
    except OSError as error:
        raise ArchiveError(str(path), f"cannot be written ({error.strerror})", "choose another --out") from error
    return path


def _beat_marks(beats: pd.DataFrame) -> list[tuple[float, str, str]]:
    scores = beats["score"].to_numpy()
    notes = [
        f"unusual {score:.1f}" if label == "unusual" else ""
        for label, score in zip(beats["label"], scores, strict=True)
    ]
    return [(float(time), "Q", note) for time, note in zip(beats["time"], notes, strict=True)]


def _episode_marks(episodes: pd.DataFrame) -> list[tuple[float, str, str]]:
    marks = []
    for number, (start, end, score) in enumerate(
        zip(episodes["start"], episodes["end"], episodes["score"], strict=True), 1
    ):
        marks.append((max(0.0, float(start)), '"', f"(episode {number} score {score:.1f}"))
        marks.append((float(end), '"', f"episode {number})"))
    return marks


def _state_marks(timeline: pd.DataFrame) -> list[tuple[float, str, str]]:
    marks, before = [], "clean"
    for start, state in zip(timeline["start"], timeline["state"], strict=True):
        now = state if state in ("noise", "lead_off", "gap") else "clean"
        if now != before:
            marks.append((float(start), "~", now))
            before = now
    return marks
