"""Watches a recording on disk, block by block, into tables; an interrupted call goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_ecg.data.readers.long import LongRecording
from ssl_ecg.embedding.identity import encoder_identity
from ssl_ecg.errors import RecordError
from ssl_ecg.files import make_folder, plain, write_json, write_whole
from ssl_ecg.monitor.event_files import FILES, EventFiles
from ssl_ecg.monitor.settings import MonitorSettings
from ssl_ecg.monitor.state import Arrays, monitor_state, restore_monitor
from ssl_ecg.monitor.stream import Monitor

if TYPE_CHECKING:
    from torch import nn

CARD, STATE = "monitor.json", "state.npz"
BLOCK = 30.0
"""Of recordings on disk, so much is processed at a time [s]."""
SHORTEST = 60.0
"""A shorter recording has no baseline to speak of [s]."""
_PLACES = 9  # where a recording is looked at to know it again
_KEPT_EVERY = 20.0  # the state is kept so often [s of work]


def monitor_recording(
    recording: LongRecording,
    out: str | Path,
    encoder: nn.Module,
    *,
    leads: tuple[str, ...] | None = None,
    settings: MonitorSettings | None = None,
    reference: NDArray[np.floating] | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Write `timeline.csv`, `beats.csv` and `episodes.csv` of a recording, and `monitor.json` when it is done.

    Memory does not grow with the recording. A call that was interrupted goes on where it stopped if recording,
    encoder, settings and reference are the same; a finished one is not repeated.

    Parameters
    ----------
    recording : LongRecording
    out : path
        Folder.
    encoder : nn.Module
        In evaluation mode.
    leads : tuple of str, optional
        Standard leads that the rows are, if their names do not say so.
    settings : MonitorSettings, optional
        Blocks of 30 s unless given.
    reference : array (record, dim), optional
        Embeddings of what counts as usual for windows.
    progress : bool

    Returns
    -------
    dict
        What `monitor.json` holds: recording, settings, seconds in each state, numbers of beats and episodes.

    Raises
    ------
    RecordError
        If the recording is too short or cannot be read.
    SignalError
        If leads, rate or reference do not fit.
    ArchiveError
        If `out` cannot be written.
    """
    folder = Path(out)
    settings = settings or MonitorSettings(block=BLOCK)
    if recording.n_samples < SHORTEST * recording.fs:
        problem = f"lasts {recording.n_samples / recording.fs:.1f} s"
        raise RecordError(recording.path, problem, f"give a recording of {SHORTEST:g} s or more")
    monitor = Monitor(encoder, recording.fs, leads or recording.leads, settings=settings, reference=reference)
    origin = plain(_origin(recording, monitor, encoder, reference))
    make_folder(folder)
    done = _read_card(folder / CARD)
    if (
        done is not None
        and done.get("origin") == origin
        and all((folder / name).is_file() for name, _ in FILES.values())
    ):
        return done
    (folder / CARD).unlink(missing_ok=True)
    sizes = _resumed(folder, monitor, origin)
    if sizes is None:
        (folder / STATE).unlink(missing_ok=True)  # it does not belong to the tables that are begun now
    with closing(EventFiles(folder, sizes)) as files:
        for events in _watched(recording, monitor, files, folder, origin, progress):
            files.write(events)
        files.sizes()
    card = {**_summary(folder, recording), "origin": origin}
    write_json(folder / CARD, card)
    (folder / STATE).unlink(missing_ok=True)
    return plain(card)  # type: ignore[no-any-return]


def _watched(
    recording: LongRecording, monitor: Monitor, files: EventFiles, folder: Path, origin: dict[str, Any], progress: bool
) -> Iterator[list[Any]]:
    """Feed a monitor from where it is to the end, keeping its state now and then."""
    length = round(monitor.settings.block * recording.fs)
    kept = time.monotonic()
    every = {"total": recording.n_samples, "initial": monitor.fed, "unit": " samples", "unit_scale": True}
    with tqdm(**every, desc="monitor", disable=not progress) as bar:
        for part in recording.parts(length, monitor.fed):
            yield monitor.feed(part)
            bar.update(part.shape[1])
            if not monitor.learning and time.monotonic() - kept > _KEPT_EVERY:
                keep_state(folder, monitor, files, origin)
                kept = time.monotonic()
        yield monitor.finish()


def keep_state(folder: Path, monitor: Monitor, files: EventFiles, origin: dict[str, Any]) -> None:
    """Write everything that is needed to go on from here."""
    card = json.dumps({"origin": origin, "sizes": files.sizes()}).encode()
    arrays: Arrays = {**monitor_state(monitor), "card": np.frombuffer(card, np.uint8)}
    save: Any = np.savez  # its stub takes the arrays' names for options
    write_whole(folder / STATE, lambda file: save(file, **arrays))


def _resumed(folder: Path, monitor: Monitor, origin: dict[str, Any]) -> dict[str, int] | None:
    """Bring a monitor to where an interrupted call of the same kind stopped; give the sizes of its files."""
    try:
        with np.load(folder / STATE, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        card = json.loads(arrays.pop("card").tobytes())
        if card["origin"] != origin:
            return None
        sizes: dict[str, int] = card["sizes"]
        if any((folder / name).stat().st_size < size for name, size in sizes.items()):
            return None
        restore_monitor(monitor, arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        return None  # nothing to go on from: begin anew
    return sizes


def _origin(
    recording: LongRecording, monitor: Monitor, encoder: nn.Module, reference: NDArray[np.floating] | None
) -> dict[str, Any]:
    given = None if reference is None else hashlib.sha256(np.ascontiguousarray(reference).tobytes()).hexdigest()
    return {
        "recording": Path(recording.path).name,
        "fs": recording.fs,
        "samples": recording.n_samples,
        "leads": monitor.leads,
        "content": _content(recording),
        **encoder_identity(encoder),
        "settings": monitor.settings.to_dict(),
        "reference": given,
    }


def _content(recording: LongRecording) -> str:
    """Tell recordings apart by what is at several places: many begin with a lead that is not yet attached."""
    length = round(10 * recording.fs)
    digest = hashlib.sha256()
    for start in np.linspace(0, max(0, recording.n_samples - length), _PLACES).astype(int).tolist():
        digest.update(recording.read(start, start + length).tobytes())
    return digest.hexdigest()


def _read_card(path: Path) -> dict[str, Any] | None:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return card if isinstance(card, dict) else None


def _summary(folder: Path, recording: LongRecording) -> dict[str, Any]:
    """Count, reading the tables line by line."""
    import csv

    states: dict[str, float] = {}
    labels: dict[str, int] = {}
    until = 0.0
    with (folder / "timeline.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            end = float(row["end"])  # windows overlap: what is new in each counts
            states[row["state"]] = states.get(row["state"], 0.0) + end - max(until, float(row["start"]))
            until = end
    with (folder / "beats.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            labels[row["label"]] = labels.get(row["label"], 0) + 1
    with (folder / "episodes.csv").open(encoding="utf-8", newline="") as file:
        episodes = sum(1 for _ in csv.DictReader(file))
    seconds = {state: round(value, 3) for state, value in states.items()}
    return {
        "recording": Path(recording.path).name,
        "seconds": recording.n_samples / recording.fs,
        "fs": recording.fs,
        "leads": list(recording.leads),
        "seconds_by_state": seconds,
        "beats": labels,
        "episodes": episodes,
    }
