"""Simulated recordings with known findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.record import Annotations, Record
from ssl_ecg.data.simulate.cases import ANATOMY, SIGNAL, Case, Settings, check_settings, draw_case, stream
from ssl_ecg.data.simulate.conduction import premature_atrial, ventricular
from ssl_ecg.data.simulate.criteria import meet_criteria
from ssl_ecg.data.simulate.dipole import (
    Beat,
    Floats,
    add_beats,
    beat_waves,
    r_peak,
    rotation_matrix,
    twelve_leads,
)
from ssl_ecg.data.simulate.findings import FINDINGS
from ssl_ecg.data.simulate.noise import draw_noise
from ssl_ecg.data.simulate.rhythm import ATRIAL, SINUS, VENTRICULAR, Rhythm, draw_rhythm, fibrillatory_waves
from ssl_ecg.data.simulate.subject import normal_beat
from ssl_ecg.errors import SignalError
from ssl_ecg.leads import STANDARD_LEADS


def simulate(
    n: int,
    *,
    seed: int,
    seconds: float = 10.0,
    fs: float = 500.0,
    noise: float = 1.0,
    findings: Sequence[str] | Mapping[str, float] | None = None,
    records_per_patient: tuple[int, int] = (1, 3),
) -> list[Record]:
    """Simulate 12-lead ECGs with known findings.

    A moving dipole of Gaussian waves is seen through Dower's lead matrix; conduction, infarction and
    repolarisation change the waves, rhythm changes when they come. Made for demonstrations and tests,
    never for a claim about real patients.

    Parameters
    ----------
    n : int
        Number of records. The first records do not depend on it.
    seed : int
    seconds : float [s]
        2 or more.
    fs : float [Hz]
        50 or more; the beats are the same at every rate, the noise is not.
    noise : float
        0 none, 1 as in a usual resting ECG.
    findings : sequence of str, or mapping of str to share, or None
        Combinations such as ``"LBBB"``, ``"AF+PVC"`` or ``"MI"``, from which one is drawn for each patient
        (names in `ssl_ecg.data.simulate.findings`). None draws from a mixture of all.
    records_per_patient : (int, int)
        Fewest and most records of a patient, who keeps findings and anatomy from one to the next.

    Returns
    -------
    list of Record
        12 standard leads; `codes` holds SCP codes as in PTB-XL and the SNOMED CT codes of CPSC 2018's nine
        classes; `annotations` the R peaks (N, L, R, A, V) and a rhythm mark at the start.

    Raises
    ------
    SignalError
        If a number is out of its range.
    LabelError
        If a finding is unknown, or two of a combination exclude each other.

    References
    ----------
    McSharry et al. 2003, doi 10.1109/TBME.2003.808805; Sameni et al. 2007, doi 10.1155/2007/43407;
    Dower et al. 1980, Clin Cardiol 3(2):87-95.

    Examples
    --------
    >>> first, second = simulate(2, seed=0, findings=["LBBB"])
    >>> first.record_id, first.patient_id, first.signal.shape, first.codes[:2]
    ('sim-000001', 'p000001', (12, 5000), ('CLBBB', '164909002'))
    """
    return list(
        simulate_records(
            n,
            seed=seed,
            seconds=seconds,
            fs=fs,
            noise=noise,
            findings=findings,
            records_per_patient=records_per_patient,
        )
    )


def simulate_records(
    n: int,
    *,
    seed: int,
    seconds: float = 10.0,
    fs: float = 500.0,
    noise: float = 1.0,
    findings: Sequence[str] | Mapping[str, float] | None = None,
    records_per_patient: tuple[int, int] = (1, 3),
) -> Iterator[Record]:
    """Give the records of `simulate` one after the other, for more than fit into memory.

    Raises
    ------
    SignalError, LabelError
        At once, as `simulate` does.
    """
    settings = check_settings(
        seed=seed,
        seconds=seconds,
        fs=fs,
        noise=noise,
        findings=findings,
        records_per_patient=records_per_patient,
    )
    count = check_count(n)
    return (draw_record(settings, draw_case(settings, index)) for index in range(count))


def check_count(n: int) -> int:
    """Give the number of records as an int.

    Raises
    ------
    SignalError
        If it is not a whole number from 0.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise SignalError("n", f"is {n!r}", "give the number of records, from 0")
    return int(n)


def draw_record(settings: Settings, case: Case) -> Record:
    """Draw the signal of a case: the same for equal settings, whatever was drawn before."""
    rng = stream(settings, SIGNAL, case.number - 1)
    subject, fs = case.subject, settings.fs
    samples = max(1, round(settings.seconds * fs))
    beats = _kinds_of_beat(settings, case, rng)
    rhythm = draw_rhythm(
        rng,
        settings.seconds,
        rate=subject.rate,
        variability=subject.variability,
        breathing=subject.breathing,
        fibrillation="AF" in case.findings,
        atrial="PAC" in case.findings,
        ventricular="PVC" in case.findings,
    )
    dipole = np.zeros((3, samples), dtype=np.float32)
    if "AF" in case.findings:
        dipole += fibrillatory_waves(rng, samples, fs)
    _add_rhythm(dipole, fs, rhythm, beats, subject.breathing, rng)
    eight = subject.leads.astype(np.float32) @ dipole
    eight += draw_noise(
        rng, samples, fs, level=settings.noise, mains=subject.mains, breathing=subject.breathing
    )  # fmt: skip
    return Record(
        signal=twelve_leads(eight),
        fs=fs,
        leads=STANDARD_LEADS,
        record_id=case.record_id,
        patient_id=case.patient_id,
        age=subject.age,
        sex=subject.sex,
        codes=case.codes,
        annotations=_annotate(case, rhythm, beats, fs, samples),
    )


def _kinds_of_beat(settings: Settings, case: Case, rng: np.random.Generator) -> dict[int, Beat]:
    """Make the patient's usual beat and the early ones, with the heart where it lies today."""
    patient = stream(settings, ANATOMY, case.patient - 1)
    usual = normal_beat(case.subject, patient)
    for name in case.findings:
        change = FINDINGS[name].change
        if change is not None:
            change(usual, patient)
    turn = rotation_matrix(*rng.normal(0, 2.5, 3)) @ case.subject.rotation
    usual = usual.rotated(turn)
    meet_criteria(usual, case.subject.leads, case.subject.rate)
    ectopic = ventricular(patient).rotated(turn)
    return {SINUS: usual, ATRIAL: premature_atrial(usual, patient), VENTRICULAR: ectopic}


def _add_rhythm(
    dipole: NDArray[np.float32],
    fs: float,
    rhythm: Rhythm,
    beats: dict[int, Beat],
    breathing: float,
    rng: np.random.Generator,
) -> None:
    """Add every beat; breathing tilts and scales the heart, and each beat differs a little."""
    count = len(rhythm.onset)
    breath = np.sin(2 * np.pi * breathing * rhythm.onset + rng.uniform(0, 2 * np.pi))
    tilt = rng.normal(0, 0.035, 3) * breath[:, None] + rng.normal(0, 0.006, (count, 3))
    size = (1 + rng.uniform(0.01, 0.05) * breath) * rng.lognormal(0, 0.012, count)
    for kind, beat in beats.items():
        those = rhythm.kind == kind
        if those.any():
            waves = beat_waves(beat, rhythm.cycle[those])
            gain = size[those, None] * _wave_gain(rng, int(those.sum()), waves.vector)
            add_beats(dipole, fs, rhythm.onset[those], waves, gain, tilt[those])


def _wave_gain(rng: np.random.Generator, count: int, vector: Floats) -> Floats:
    """Let each wave of each beat differ by a few per cent."""
    return np.asarray(1 + 0.025 * rng.standard_normal((count, len(vector))))


def _annotate(case: Case, rhythm: Rhythm, beats: dict[int, Beat], fs: float, samples: int) -> Annotations:
    """Mark the R peaks inside the recording, after a mark of the rhythm at its start."""
    usual = "L" if "LBBB" in case.findings else "R" if "RBBB" in case.findings else "N"
    symbols = {SINUS: usual, ATRIAL: "A", VENTRICULAR: "V"}
    peak = {kind: r_peak(beat) for kind, beat in beats.items()}
    time = rhythm.onset + np.array([peak[int(kind)] for kind in rhythm.kind])
    sample = np.rint(time * fs).astype(np.int64)
    inside = np.flatnonzero((sample >= 0) & (sample < samples))
    note = "(AFIB" if "AF" in case.findings else "(N"
    return Annotations(
        np.concatenate([[0], sample[inside]]).astype(np.int64),
        ("+", *(symbols[int(rhythm.kind[k])] for k in inside)),
        (note, *("" for _ in inside)),
    )
