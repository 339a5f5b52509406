"""Events in CSV files that grow with the recording and can be cut back to where a state was kept."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from ssl_ecg.errors import ArchiveError
from ssl_ecg.monitor.events import Beat, Episode, Event, Window

TIMELINE = ("start", "end", "state", "score", "threshold", "heart_rate", "beats", "unusual_beats", "beat_score",
            "leads", "nearest")  # fmt: skip
BEATS = ("time", "score", "threshold", "rr", "label")
EPISODES = ("start", "end", "peak", "score", "beats", "windows", "nearest")
FILES: dict[type, tuple[str, tuple[str, ...]]] = {
    Window: ("timeline.csv", TIMELINE),
    Beat: ("beats.csv", BEATS),
    Episode: ("episodes.csv", EPISODES),
}


class EventFiles:
    """The three tables of a recording, open for writing.

    Parameters
    ----------
    folder : Path
        Must be there.
    sizes : dict of str to int, optional
        Bytes to keep of each file that is gone on with; without it, the files begin anew.

    Raises
    ------
    ArchiveError
        If they cannot be written, or hold less than `sizes` says.
    """

    def __init__(self, folder: Path, sizes: dict[str, int] | None = None) -> None:
        self._open: dict[type, tuple[IO[str], Any, tuple[str, ...]]] = {}
        try:
            for kind, (name, columns) in FILES.items():
                if sizes is not None:
                    if (folder / name).stat().st_size < sizes[name]:
                        raise ArchiveError(str(folder / name), "is shorter than it was", "begin in another folder")
                    os.truncate(folder / name, sizes[name])
                file = (folder / name).open("w" if sizes is None else "a", newline="", encoding="utf-8")
                self._open[kind] = file, csv.writer(file, lineterminator="\n"), columns
                if sizes is None:
                    csv.writer(file, lineterminator="\n").writerow(columns)
        except OSError as error:
            raise ArchiveError(str(folder), f"cannot be written ({error.strerror})", "choose another --out") from error

    def write(self, events: Iterable[Event]) -> None:
        """Write events; an episode when it has ended."""
        for event in events:
            if not isinstance(event, Episode) or event.ended:
                _, writer, columns = self._open[type(event)]
                writer.writerow([_cell(getattr(event, name)) for name in columns])

    def sizes(self) -> dict[str, int]:
        """Bring everything to disk and give the size of each file."""
        out = {}
        for kind, (file, _, _) in self._open.items():
            file.flush()
            os.fsync(file.fileno())
            out[FILES[kind][0]] = os.fstat(file.fileno()).st_size
        return out

    def close(self) -> None:
        """Close the files."""
        for file, _, _ in self._open.values():
            file.close()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3f}"
    if isinstance(value, tuple):
        return " ".join(f"{item:.3f}" if isinstance(item, float) else str(item).replace(" ", "_") for item in value)
    return value
