"""Read EDF and EDF+ recordings through edfio."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.readers.selection import choose_leads, choose_window, units_per_millivolt
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError
from ssl_ecg.leads import canonical_lead

if TYPE_CHECKING:
    import edfio

_FIXED_HEADER = 256


def read_edf(path: str, *, leads: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> Record:
    """Read an EDF or EDF+C file.

    Parameters
    ----------
    path : str
    leads : sequence of str, optional
        The leads wanted. By default all signals, if they share one rate and are voltages; else those that are
        named as an ECG.
    start, stop : int
        The window [samples].

    Raises
    ------
    RecordError
        If the file cannot be read, is truncated or has gaps, or its leads have several rates.

    References
    ----------
    Kemp et al. 1992, doi 10.1016/0013-4694(92)90009-7; Kemp and Olivan 2003,
    doi 10.1016/s1388-2457(03)00123-8.
    """
    import edfio

    records, kind = _announced(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            recording = edfio.read_edf(path)
            there = int(recording.num_data_records)
            signals = _chosen(recording, leads, path)
            names = tuple(signal.label for signal in signals)
            rate = float(signals[0].sampling_frequency)
            start, stop = choose_window(start, stop, there * signals[0].samples_per_data_record, path)
            signal = np.stack([_millivolts(one, start, stop, path) for one in signals])
    except RecordError:
        raise
    except Exception as error:  # edfio raises whatever decoding raises
        problem = f"cannot read the file: {type(error).__name__}: {error}"
        raise RecordError(path, problem[:300], "is it an EDF file?") from error
    if there < records:
        problem = f"the file holds {there} of the {records} data records that its header announces"
        raise RecordError(path, problem, "the file is truncated: fetch it again")
    if kind.startswith("EDF+D") and there > 1:
        raise RecordError(path, "is EDF+D, a recording with gaps", "convert it to EDF+C, or split it at the gaps")
    age, sex = _patient(recording)
    record_id = os.path.splitext(os.path.basename(path))[0]
    return Record(signal, rate, names, record_id, age=age, sex=sex)


def edf_length(path: str, leads: Sequence[str] | None = None) -> int:
    """Give the samples of each lead that `read_edf` would give.

    Raises
    ------
    RecordError
        As `read_edf` does.
    """
    import edfio

    read_edf(path, leads=leads, start=0, stop=1)  # says what is wrong with the file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recording = edfio.read_edf(path)
        return int(recording.num_data_records) * int(_chosen(recording, leads, path)[0].samples_per_data_record)


def _announced(path: str) -> tuple[int, str]:
    """Give the number of data records, -1 if unknown, and the kind of file that the header states."""
    try:
        with open(path, "rb") as file:
            header = file.read(_FIXED_HEADER)
    except FileNotFoundError as error:
        raise RecordError(path, "no such file", "check the path") from error
    except (OSError, ValueError) as error:
        raise RecordError(path, f"cannot read the file: {error}", "check the path") from error
    try:
        return int(header[236:244]), header[192:236].decode("ascii", "replace")
    except ValueError as error:
        raise RecordError(path, "the header is damaged", "is it an EDF file?") from error


def _chosen(recording: edfio.Edf, leads: Sequence[str] | None, where: str) -> list[edfio.EdfSignal]:
    signals = list(recording.signals)
    labels = [signal.label for signal in signals]
    if leads is not None:
        signals = [signals[k] for k in choose_leads(labels, leads, where)]
    elif not (_one_rate(signals) and all(_is_voltage(signal) for signal in signals)):
        signals = [signal for signal in signals if _is_ecg(signal.label)]
    if not signals:
        raise RecordError(where, f"has no ECG among {', '.join(labels) or 'no signals'}"[:200], "give leads=[...]")
    if not _one_rate(signals):
        rates = ", ".join(f"{signal.label} {signal.sampling_frequency:g} Hz" for signal in signals)
        raise RecordError(where, f"its leads have several rates: {rates}"[:300], "choose leads of one rate")
    return signals


def _one_rate(signals: Sequence[edfio.EdfSignal]) -> bool:
    return len({signal.sampling_frequency for signal in signals}) <= 1


def _is_ecg(label: str) -> bool:
    return canonical_lead(label) is not None or label.upper().startswith(("ECG", "EKG"))


def _is_voltage(signal: edfio.EdfSignal) -> bool:
    try:
        units_per_millivolt(signal.physical_dimension, signal.label, "")
    except RecordError:
        return False
    return True


def _millivolts(signal: edfio.EdfSignal, start: int, stop: int, where: str) -> NDArray[np.float32]:
    """Map the digital range of a lead to its physical range, for a window only."""
    divisor = units_per_millivolt(signal.physical_dimension, signal.label, where)
    steps = signal.digital_max - signal.digital_min
    extent = signal.physical_max - signal.physical_min
    if steps <= 0 or extent == 0 or not np.isfinite(extent):
        raise RecordError(where, f"lead {signal.label} has no calibration", "correct the ranges in its header")
    gain = extent / steps
    offset = signal.physical_max / gain - signal.digital_max
    digital = _digital(signal, start, stop)
    return np.asarray((digital + offset) * gain / divisor, np.float32)


def _digital(signal: edfio.EdfSignal, start: int, stop: int) -> NDArray[np.integer]:
    """Read a window without the rest, where this version of edfio can."""
    if hasattr(signal, "get_digital_slice"):
        rate = signal.sampling_frequency
        return np.asarray(signal.get_digital_slice(start / rate, stop / rate))
    return np.asarray(signal.digital[start:stop])


def _patient(recording: edfio.Edf) -> tuple[float | None, str | None]:
    """Give age [years] and sex, which only EDF+ states and may leave out."""
    age: float | None = None
    sex: str | None = None
    try:
        sex = {"M": "male", "F": "female"}.get(recording.patient.sex)
        age = (recording.startdate - recording.patient.birthdate).days / 365.25
    except Exception:  # an anonymous patient or a free-text field
        return None, sex
    return (float(int(age)) if 0 <= age <= 130 else None), sex
