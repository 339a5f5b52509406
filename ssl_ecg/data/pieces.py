"""A few entries of a source at a time: read, brought into form, and listed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.canonical import Form, canonicalise
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import SSLECGError


@dataclass(frozen=True, slots=True)
class Item:
    """One record to prepare: where it comes from, and the recording itself where it is in memory already."""

    source: int
    entry: Entry
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """What becomes of a few items.

    Attributes
    ----------
    rows : list of str
        Each record's row of the index as JSON, without the closing brace: its place in the shard follows.
    lengths : list of int
        Samples of each record, zero where it could not be used.
    samples : int16 array
        The recordings back to back; of use only until the next piece is asked for.
    """

    rows: list[str]
    lengths: list[int]
    samples: NDArray[np.int16]


class Room:
    """Memory that takes recordings one after the other, and is used again for the next piece.

    Parameters
    ----------
    memory : int16 array, optional
        Is filled first; what does not fit goes elsewhere.
    """

    def __init__(self, memory: NDArray[np.int16] | None = None) -> None:
        self._memory = np.empty(2**18, np.int16) if memory is None else memory
        self._used = 0

    @property
    def samples(self) -> NDArray[np.int16]:
        """What has been added since `clear`."""
        return self._memory[: self._used]

    def add(self, samples: NDArray[np.int16]) -> None:
        """Append a recording."""
        end = self._used + samples.size
        if end > len(self._memory):
            larger = np.empty(max(end, 2 * len(self._memory)), np.int16)
            larger[: self._used] = self.samples
            self._memory = larger
        self._memory[self._used : end] = samples.reshape(-1)
        self._used = end

    def clear(self) -> None:
        """Begin anew."""
        self._used = 0


def prepare_piece(items: Sequence[Item], sources: Sequence[Corpus], form: Form, room: Room) -> Piece:
    """Read and convert a few records into `room`; one that fails becomes a row with its reason."""
    rows: list[str] = []
    lengths: list[int] = []
    room.clear()
    for item in items:
        row = _described(sources[item.source], item.entry)
        try:
            record = item.record if item.record is not None else sources[item.source].read(item.entry)
            done = canonicalise(record, form)
        except SSLECGError as error:
            row["reason"] = f"{error.problem}; {error.remedy}" if error.remedy else error.problem
        except Exception as error:  # a flaw of a reader costs one record, not the night's work
            row["reason"] = f"unexpected {type(error).__name__}: {error}; please report it with the file"
        else:
            row.update(
                status="ok",
                reason=done.note,
                age=row["age"] if row["age"] is not None else record.age,
                sex=row["sex"] or record.sex,
                codes=row["codes"] or list(record.codes),
                fs_source=float(record.fs),
                leads_present=done.present,
                quality=done.quality,
                n_samples=done.samples.shape[1],
                scale=done.scale,
            )
            room.add(done.samples)
        rows.append(json.dumps({key: plain(value) for key, value in row.items()})[:-1])
        lengths.append(row["n_samples"])
    return Piece(rows, lengths, room.samples)


def _described(source: Corpus, entry: Entry) -> dict[str, Any]:
    return {
        "record_id": str(entry.record_id),
        "corpus": source.name,
        "patient_id": source.patient_key(entry),
        "fold": entry.fold,
        "age": entry.age,
        "sex": entry.sex,
        "codes": list(entry.codes),
        "status": "failed",
        "reason": None,
        "source": entry.location,
        "fs_source": None,
        "leads_present": 0,
        "quality": [],
        "n_samples": 0,
        "scale": 0.0,
    }


def plain(value: Any) -> Any:
    """Make what JSON and any file can hold: names need not be valid Unicode, numbers may be NumPy's or NaN."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
