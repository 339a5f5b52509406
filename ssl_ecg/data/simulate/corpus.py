"""A corpus that exists nowhere: each record is drawn when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate.cases import check_settings, draw_case
from ssl_ecg.data.simulate.records import check_count, draw_record
from ssl_ecg.errors import RecordError


class SimulatedCorpus(Corpus):
    """Simulated recordings as a corpus, for `ssl_ecg.data.prepare`; the options are those of `simulate`.

    Record i comes from seed and i alone, so that any process can draw any record, in any order.

    Parameters
    ----------
    n : int
    seed, seconds, fs, noise, findings, records_per_patient
        As in `simulate`.

    Raises
    ------
    SignalError, LabelError
        As `simulate` does.

    Examples
    --------
    >>> corpus = SimulatedCorpus(3, seed=0)
    >>> [(entry.record_id, entry.patient_id, entry.fold) for entry in corpus.entries()][0]
    ('sim-000001', 'p000001', 1)
    """

    name = "simulated"
    title: ClassVar[str] = "Simulated ECGs"
    licence: ClassVar[str] = "MIT"
    listing: ClassVar[str] = "none"

    def __init__(
        self,
        n: int,
        *,
        seed: int,
        seconds: float = 10.0,
        fs: float = 500.0,
        noise: float = 1.0,
        findings: Sequence[str] | Mapping[str, float] | None = None,
        records_per_patient: tuple[int, int] = (1, 3),
    ) -> None:
        # Not the parent's: there is no folder to look for, and so no root.
        self.folds = None
        self.n = check_count(n)
        self._settings = check_settings(
            seed=seed,
            seconds=seconds,
            fs=fs,
            noise=noise,
            findings=findings,
            records_per_patient=records_per_patient,
        )
        # Plain values tell `prepare` whether an archive was made of the same records.
        self.seed, self.seconds, self.fs = self._settings.seed, self._settings.seconds, self._settings.fs
        self.noise, self.records_per_patient = self._settings.noise, self._settings.records_per_patient
        self.findings = ", ".join(f"{name}: {share:.6g}" for name, share in self._settings.findings)
        # Two corpora of different seeds share no patient.
        self.namespace = f"simulated-{self.seed}"

    def entries(self) -> Iterator[Entry]:
        """Give the records in order, without their signals."""
        for index in range(self.n):
            case = draw_case(self._settings, index)
            yield Entry(
                record_id=case.record_id,
                location=f"seed={self.seed}#{index}",
                patient_id=case.patient_id,
                fold=case.fold,
                age=case.subject.age,
                sex=case.subject.sex,
                codes=case.codes,
            )

    def read(self, entry: Entry) -> Record:
        """Draw the recording of an entry.

        Raises
        ------
        RecordError
            If the entry is not one of this corpus.
        """
        source, _, row = entry.location.partition("#")
        if source != f"seed={self.seed}" or not row.isdecimal() or int(row) >= self.n:
            problem = f"{entry.location!r} is not in the simulated corpus of seed {self.seed}"
            raise RecordError(entry.record_id, problem, "take entries from the corpus's own list")
        return draw_record(self._settings, draw_case(self._settings, int(row)))

    def __repr__(self) -> str:
        return f"SimulatedCorpus({self.n}, seed={self.seed})"
