"""The recording as every reader gives it and every later step takes it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import RecordError


@dataclass(frozen=True, slots=True)
class Annotations:
    """Beat and rhythm annotations of a recording.

    Attributes
    ----------
    sample : int64 array (annotation,)
        Sample index at the rate of the recording.
    symbol : tuple of str
        WFDB annotation codes such as "N", "V", "+".
    note : tuple of str
        Auxiliary text such as "(AFIB"; empty where there is none.
    """

    sample: NDArray[np.int64]
    symbol: tuple[str, ...]
    note: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One ECG recording.

    Attributes
    ----------
    signal : float32 array (lead, time) [mV]
        NaN where the recording marks a sample as invalid.
    fs : float
        Sampling rate [Hz].
    leads : tuple of str
        One name per row, as in the file.
    record_id : str
        Unique within its corpus.
    patient_id : str or None
    age : float or None
        [years]
    sex : {"male", "female"} or None
    codes : tuple of str
        Diagnostic codes as published (SCP, SNOMED CT or the corpus's own).
    annotations : Annotations or None

    Raises
    ------
    RecordError
        If shape, rate and leads do not fit together.

    Examples
    --------
    >>> record = Record(np.zeros((2, 500), np.float32), 500.0, ("I", "II"), "a1")
    >>> record.n_leads, record.seconds
    (2, 1.0)
    """

    signal: NDArray[np.float32]
    fs: float
    leads: tuple[str, ...]
    record_id: str
    patient_id: str | None = None
    age: float | None = None
    sex: str | None = None
    codes: tuple[str, ...] = ()
    annotations: Annotations | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.signal.ndim != 2:
            raise RecordError(self.record_id, f"signal has shape {self.signal.shape}", "give it as (lead, time)")
        if len(self.leads) != self.signal.shape[0]:
            problem = f"{len(self.leads)} lead names for {self.signal.shape[0]} rows"
            raise RecordError(self.record_id, problem, "name every lead once; signal is (lead, time)")
        if not (np.isfinite(self.fs) and self.fs > 0):
            raise RecordError(self.record_id, f"sampling rate is {self.fs}", "give fs in Hz, greater than zero")

    @property
    def n_leads(self) -> int:
        """Number of leads."""
        return int(self.signal.shape[0])

    @property
    def seconds(self) -> float:
        """Duration [s]."""
        return float(self.signal.shape[1] / self.fs)

    def replace(self, **changes: object) -> Record:
        """Give a copy with some attributes changed."""
        return replace(self, **changes)  # type: ignore[arg-type]
