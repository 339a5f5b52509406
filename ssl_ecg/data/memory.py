"""Recordings in memory, such as simulated ones, as a corpus."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError


class Records(Corpus):
    """A corpus of recordings that are in memory, or are made one by one.

    Parameters
    ----------
    records : iterable of Record
        Is gone through once.
    name : str
        Name of the corpus in the archive's index.
    folds : int, optional
        Draw this many folds by patient.

    Examples
    --------
    >>> import numpy as np
    >>> corpus = Records([Record(np.zeros((1, 5), np.float32), 100, ("I",), "a1", "p7")], name="made")
    >>> [corpus.patient_key(entry) for entry in corpus.entries()]
    ['made/p7']
    """

    name = "records"
    title = "recordings in memory"

    def __init__(self, records: Iterable[object], name: str = "records", *, folds: int | None = None) -> None:
        self.records = records
        self.name = self.namespace = name
        self.folds = folds

    def pairs(self) -> Iterator[tuple[Entry, Record]]:
        """Give each recording with its entry."""
        for record in self.records:
            if not isinstance(record, Record):
                problem = f"holds a {type(record).__name__}"
                raise CorpusError(self.name, problem, "give Record objects, or paths of corpora")
            entry = Entry(
                record.record_id,
                record.record_id,
                record.patient_id,
                age=record.age,
                sex=record.sex,
                codes=tuple(record.codes),
            )
            yield self._folded(entry), record

    def entries(self) -> Iterator[Entry]:
        """Give the entries; the recordings come with them in `pairs`."""
        return (entry for entry, _ in self.pairs())

    def read(self, entry: Entry) -> Record:
        """Refuse: recordings in memory come with their entries."""
        raise CorpusError(self.name, "has its recordings in memory", "take them from pairs()")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "records": ()}  # worker processes need the name only

    def __repr__(self) -> str:
        return f"Records(name={self.name!r})"
