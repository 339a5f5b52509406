"""Who is recorded, and with what: everything about a record that is known before its signal is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.simulate.findings import MIXTURE, choices, codes_of
from ssl_ecg.data.simulate.subject import Subject, draw_subject
from ssl_ecg.errors import LabelError, SignalError

# One stream of random numbers for each purpose, so that none depends on how another is used.
SIZES, PATIENT, ANATOMY, RECORD, SIGNAL = range(5)
_TRANSIENT = {"PAC", "PVC"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What `simulate` was asked for; equal settings give equal records.

    Attributes
    ----------
    seed : int
    seconds : float [s]
    fs : float [Hz]
    noise : float
    findings : tuple of (combination, share)
    records_per_patient : tuple of two int
    chosen : bool
        Whether the caller named the findings; then every record shows them.
    """

    seed: int
    seconds: float
    fs: float
    noise: float
    findings: tuple[tuple[str, float], ...]
    records_per_patient: tuple[int, int]
    chosen: bool


@dataclass(frozen=True, slots=True)
class Case:
    """One record to come.

    Attributes
    ----------
    number : int
        From 1.
    patient : int
        From 1.
    subject : Subject
        With the heart rate of this record.
    findings : tuple of str
        Keys of `FINDINGS`.
    codes : tuple of str
    """

    number: int
    patient: int
    subject: Subject
    findings: tuple[str, ...]
    codes: tuple[str, ...]

    @property
    def record_id(self) -> str:
        """Name of the record, as ``"sim-000001"``."""
        return f"sim-{self.number:06d}"

    @property
    def patient_id(self) -> str:
        """Name of the patient, as ``"p000001"``."""
        return f"p{self.patient:06d}"

    @property
    def fold(self) -> int:
        """Fold 1 to 10, the same for all records of a patient."""
        return (self.patient - 1) % 10 + 1


def check_settings(
    *,
    seed: int,
    seconds: float,
    fs: float,
    noise: float,
    findings: Sequence[str] | Mapping[str, float] | None,
    records_per_patient: tuple[int, int],
) -> Settings:
    """Check what `simulate` is asked for.

    Raises
    ------
    SignalError
        If a number is out of its range.
    LabelError
        If a finding is unknown, or two of a combination exclude each other.
    """
    if not _whole(seed, 0):
        raise SignalError("seed", f"is {seed!r}", "give a whole number from 0")
    _in_range("seconds", seconds, 2.0, 86_400.0)
    _in_range("fs", fs, 50.0, 10_000.0)
    _in_range("noise", noise, 0.0, 100.0)
    pair = tuple(records_per_patient) if isinstance(records_per_patient, Sequence) else ()
    if len(pair) != 2 or not (_whole(pair[0], 1) and _whole(pair[1], pair[0]) and pair[1] <= 1000):
        problem = f"is {records_per_patient!r}"
        raise SignalError("records_per_patient", problem, "give (fewest, most), from 1 to 1000, as (1, 3)")
    shares = _shares(findings)
    low, high = (int(value) for value in pair)
    return Settings(int(seed), float(seconds), float(fs), float(noise), shares, (low, high), findings is not None)


def _whole(value: object, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= least


def _in_range(name: str, value: float, low: float, high: float) -> None:
    good = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and low <= value <= high
    if not good:
        raise SignalError(name, f"is {value!r}", f"give a number from {low:g} to {high:g}")


def _shares(findings: Sequence[str] | Mapping[str, float] | None) -> tuple[tuple[str, float], ...]:
    """Give every combination with its share of the patients; the shares sum to one."""
    if findings is None:
        findings = MIXTURE
    if isinstance(findings, str):
        findings = [findings]
    named = dict(findings) if isinstance(findings, Mapping) else dict.fromkeys(findings, 1.0)
    if not named:
        raise LabelError("findings", "is empty", "name at least one, or None for the usual mixture")
    for text, share in named.items():
        if not isinstance(text, str):
            raise LabelError("findings", f"{text!r} is no name", 'give names such as "LBBB" or "AF+PVC"')
        choices(text)
        if not (isinstance(share, (int, float, np.number)) and np.isfinite(share) and share >= 0):
            raise LabelError("findings", f"the share of {text} is {share!r}", "give a number from 0")
    total = float(sum(named.values()))
    if total <= 0:
        raise LabelError("findings", "all shares are 0", "give at least one a share above 0")
    return tuple((text, float(share) / total) for text, share in named.items())


def draw_case(settings: Settings, index: int) -> Case:
    """Draw who record `index` (from 0) is of and what it shows, from seed and index alone."""
    patient = _patient_of(settings.seed, settings.records_per_patient, index)
    rng = stream(settings, PATIENT, patient)
    shares = settings.findings
    drawn = shares[int(np.searchsorted(np.cumsum([share for _, share in shares])[:-1], rng.random(), "right"))][0]
    possible = choices(drawn)
    findings = possible[int(rng.integers(len(possible)))]
    subject = draw_subject(rng, normal=findings == ("NORM",))
    record = stream(settings, RECORD, index)
    if not settings.chosen and record.random() < 0.15:
        # Early beats come and go: some records of the patient have none.
        findings = tuple(name for name in findings if name not in _TRANSIENT) or ("NORM",)
    subject = _today(subject, findings, record)
    return Case(index + 1, patient + 1, subject, findings, codes_of(findings, subject.rate))


def _today(subject: Subject, findings: tuple[str, ...], rng: np.random.Generator) -> Subject:
    """Give the person with the heart rate of this record."""
    rate = subject.rate * float(rng.lognormal(0, 0.06))
    if "AF" in findings:
        rate = float(np.clip(rate * rng.lognormal(0.2, 0.2), 55, 150))
    elif findings == ("NORM",):
        rate = float(np.clip(rate, 61, 98))
    return replace(subject, rate=rate)


def stream(settings: Settings, purpose: int, number: int) -> np.random.Generator:
    """Give the random numbers of one patient or record (from 0) for one purpose."""
    return np.random.default_rng([settings.seed, purpose, number])


# In a block of patients every number of records occurs this often, so that all blocks have as many records.
_REPEATS = 64


def _patient_of(seed: int, limits: tuple[int, int], index: int) -> int:
    """Give the patient (from 0) of a record, without drawing the records before it."""
    low, high = limits
    in_block = _REPEATS * sum(range(low, high + 1))
    block, rest = divmod(index, in_block)
    ends = _block_ends(seed, limits, block)
    return block * len(ends) + int(np.searchsorted(ends, rest, "right"))


@lru_cache(maxsize=32)
def _block_ends(seed: int, limits: tuple[int, int], block: int) -> NDArray[np.int64]:
    """Give the running sum of the records of one block's patients."""
    rng = np.random.default_rng([seed, SIZES, block])
    sizes = np.repeat(np.arange(limits[0], limits[1] + 1), _REPEATS)
    return np.cumsum(rng.permutation(sizes))
