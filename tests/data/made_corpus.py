"""A small corpus that needs no files: what a record holds follows from its number."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError
from ssl_ecg.leads import STANDARD_LEADS


class Made(Corpus):
    """`n` records of two seconds at 250 Hz; those in `broken` cannot be read."""

    name = "made"
    licence = "none"
    overlaps = ("other",)

    def __init__(
        self, n: int = 20, *, name: str = "made", broken: tuple[int, ...] = (), kill_at: int = -1, pause: float = 0.0
    ) -> None:
        super().__init__(Path(__file__).parent)
        self.n, self.broken = n, broken
        self.name = self.namespace = name
        self._kill_at, self._pause = kill_at, pause

    def entries(self) -> Iterator[Entry]:
        for k in range(self.n):
            if k == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Entry(
                f"r{k}", f"made/{k}", f"p{k // 2}" if k % 5 else None, k % 10 + 1, 40.0 + k, "female", ("NORM",)
            )

    def read(self, entry: Entry) -> Record:
        time.sleep(self._pause)
        k = int(entry.location.split("/")[1])
        if k in self.broken:
            raise RecordError(entry.record_id, "is broken", "mend it")
        return made_record(k).replace(record_id=entry.record_id, patient_id=entry.patient_id)


def made_record(k: int, fs: float = 250.0, seconds: float = 2.0) -> Record:
    rng = np.random.default_rng(k)
    signal = np.cumsum(rng.normal(size=(12, int(fs * seconds))), axis=1).astype(np.float32) / 20
    signal[2] = signal[1] - signal[0]
    signal[3] = -(signal[0] + signal[1]) / 2
    signal[4] = signal[0] - signal[1] / 2
    signal[5] = signal[1] - signal[0] / 2
    return Record(signal, fs, STANDARD_LEADS, f"r{k}", f"p{k // 2}", 40.0 + k, "female", ("NORM",))
