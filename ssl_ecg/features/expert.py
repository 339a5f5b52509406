"""Expert features of recordings and archives: statistics and wavelet bands, rhythm, averaged beat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.engine import PROCESSES, open_engine
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, SignalError, SSLECGError
from ssl_ecg.features.beats import AMPLITUDES, INTERVALS, beat_features
from ssl_ecg.features.qrs import r_peaks
from ssl_ecg.features.qrs_energy import silent
from ssl_ecg.features.rhythm import RHYTHM, rhythm_features
from ssl_ecg.features.statistics import SIGNALS, STATISTICS, lead_statistics
from ssl_ecg.spectral import filled

AXES = ("qrs_axis_cos", "qrs_axis_sin")
"""Direction of the QRS in the frontal plane, where leads I and aVF are there."""
SHORTEST = 1.0
"""A recording lasts at least so long [s]."""
_PART = 64  # records that a process takes at a time


@lru_cache(maxsize=32)
def feature_names(leads: tuple[str, ...]) -> tuple[str, ...]:
    """Name the features of recordings with these leads, such as ``"II/d3/sd"``, ``"V1/r"`` or ``"rr_mean"``."""
    statistics = [f"{lead}/{signal}/{name}" for lead in leads for signal in SIGNALS for name in STATISTICS]
    amplitudes = [f"{lead}/{wave}" for lead in leads for wave in AMPLITUDES]
    axes = AXES if {"I", "aVF"} <= {*leads} else ()
    return (*statistics, *amplitudes, *INTERVALS, *RHYTHM, *axes)


def expert_features(signal: ArrayLike, fs: float, leads: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Describe a recording by features that people thought of.

    For each lead: percentiles, mean, standard deviation, variance and entropy of the samples and of
    the bands of a wavelet decomposition (db10, level 4), and the amplitudes of the averaged beat. For the recording:
    intervals of the averaged beat, statistics of the intervals between R peaks, and the electrical axis.

    Parameters
    ----------
    signal : array (lead, time) [mV]
        At least a second; NaN is bridged.
    fs : float
        [Hz]
    leads : sequence of str
        Canonical names, one per row.

    Returns
    -------
    names : tuple of str
        As `feature_names` gives them.
    values : float32 array (feature,)
        NaN for leads that are missing or flat throughout, and where there are too few beats or no such wave.

    Raises
    ------
    SignalError
        If shape or rate is impossible, or PyWavelets is not installed.

    Examples
    --------
    >>> from ssl_ecg.data.simulate import simulate
    >>> record = simulate(1, seed=1, findings=["NORM"])[0]
    >>> names, values = expert_features(record.signal, record.fs, record.leads)
    >>> len(names), bool(0.06 < values[names.index("qrs_width")] < 0.12)
    (745, True)
    """
    rows = np.asarray(signal, np.float32)
    if rows.ndim != 2 or len(rows) != len(leads) or not rows.shape[1] >= SHORTEST * fs:
        problem = f"signal of shape {rows.shape} at {fs:g} Hz for {len(leads)} leads"
        raise SignalError("features", problem, f"give (lead, time) of at least {SHORTEST:g} s")
    heard = ~silent(rows, fs).all(axis=-1)
    known = filled(rows)[0]
    peaks = r_peaks(rows, fs)
    statistics = np.full((len(rows), len(SIGNALS) * len(STATISTICS)), np.nan)
    amplitudes = np.full((len(rows), len(AMPLITUDES)), np.nan)
    intervals = np.full(len(INTERVALS), np.nan)
    if heard.any():
        statistics[heard] = lead_statistics(known[heard]).reshape(int(heard.sum()), -1)
        intervals, amplitudes[heard] = beat_features(known[heard], peaks, fs)
    names = feature_names(tuple(leads))
    rest = [intervals, rhythm_features(peaks, fs)]
    if len(names) > statistics.size + amplitudes.size + len(INTERVALS) + len(RHYTHM):
        rest.append(_axis(amplitudes[:, -1], list(leads)))
    return names, np.concatenate([statistics.ravel(), amplitudes.ravel(), *rest]).astype(np.float32)


def expert_embeddings(archive: Archive, *, impute: bool = True, workers: int = 1, progress: bool = False) -> Embeddings:
    """Compute the expert features of every record of an archive, in the form that probes and screens take.

    Those of a record shorter than a second are unknown.

    Parameters
    ----------
    archive : Archive
    impute : bool
        Put the median over the archive where a feature is unknown, and zero where it is unknown for
        all. Probes and screens need that; the baselines take NaN and use the median of their training records.
    workers : int
        Processes; with one, everything happens here. The features are the same.
    progress : bool

    Returns
    -------
    Embeddings
        float32 (record, feature) and the archive's index; ``card["features"]`` holds the names.

    Raises
    ------
    SignalError
        If PyWavelets is not installed.
    ArchiveError
        If a worker process dies.
    """
    vectors = expert_vectors(archive, np.arange(len(archive)), workers=workers, progress=progress)
    if impute:
        vectors = fill_unknown(vectors, medians(vectors))
    return Embeddings(vectors, lambda: archive.index, features_card(archive))


def features_card(archive: Archive) -> dict[str, Any]:
    """Say what the expert features of an archive are, as the card of embeddings does."""
    names = list(feature_names(archive.leads))
    return {"archive": archive.fingerprint, "encoder": "expert features", "features": names}


def expert_vectors(
    archive: Archive,
    rows: NDArray[np.integer],
    *,
    leads: Sequence[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> NDArray[np.float32]:
    """Compute the expert features of some records of an archive; float32 (row, feature), NaN where unknown.

    With `leads`, the others count as absent. A record of which nothing can be computed is unknown throughout. Other
    parameters and errors are those of `expert_embeddings`.
    """
    vectors = np.empty((len(rows), len(feature_names(archive.leads))), np.float32)
    done = 0
    for values in expert_parts(archive, rows, leads=leads, workers=workers, progress=progress):
        vectors[done : done + len(values)] = values
        done += len(values)
    return vectors


def expert_parts(
    archive: Archive,
    rows: NDArray[np.integer],
    *,
    start: int = 0,
    leads: Sequence[str] | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Iterator[NDArray[np.float32]]:
    """Compute what `expert_vectors` gives a few records at a time, from row number `start` on."""
    if workers < 1:
        raise ArchiveError("workers", f"is {workers}", "give at least 1")
    parts = [rows[first : first + _PART] for first in range(start, len(rows), _PART)]
    with tqdm(total=len(rows), initial=start, unit="record", desc="features", disable=not progress) as bar:
        for part, values in zip(parts, _computed(archive, parts, leads, workers), strict=True):
            yield values
            bar.update(len(part))


def medians(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Give the median of each feature over the records where it is known, zero where it is known for none."""
    known = [column[np.isfinite(column)] for column in np.asarray(vectors).T]
    return np.array([np.median(column) if column.size else 0.0 for column in known], np.float32)


def fill_unknown(vectors: NDArray[np.floating], instead: NDArray[np.floating]) -> NDArray[np.float32]:
    """Put a feature's substitute where it is unknown; (record, feature) and (feature,)."""
    return np.where(np.isfinite(vectors), vectors, instead).astype(np.float32)


def _computed(
    archive: Archive, parts: list[NDArray[np.integer]], leads: Sequence[str] | None, workers: int
) -> Iterator[NDArray[np.float32]]:
    if workers == 1:
        yield from (_of_part((archive, leads), part) for part in parts)
        return
    with open_engine(PROCESSES, workers) as engine:
        yield from engine.map(_of_part, (archive, leads), parts)


def _of_part(of: tuple[Archive, Sequence[str] | None], rows: NDArray[np.integer]) -> NDArray[np.float32]:
    archive, leads = of
    absent = np.array([leads is not None and lead not in leads for lead in archive.leads])
    out = np.full((len(rows), len(feature_names(archive.leads))), np.nan, np.float32)
    for values, row in zip(out, rows, strict=True):
        if archive.n_samples[row] < SHORTEST * archive.fs:
            continue
        signal = np.where(absent[:, None], np.float32(0), archive.read(row))
        try:
            values[:] = expert_features(signal, archive.fs, archive.leads)[1]
        except SSLECGError:
            raise
        except (ValueError, ArithmeticError, IndexError):  # one record does not end the others
            continue
    return out


def _axis(area: NDArray[np.float64], leads: list[str]) -> NDArray[np.float64]:
    """Give cosine and sine of the axis; aVF is shorter than I by the root of three over two."""
    across, down = float(area[leads.index("I")]), float(area[leads.index("aVF")]) * 2 / np.sqrt(3)
    length = np.hypot(across, down)
    return np.array([across, down]) / length if length > 0 else np.full(2, np.nan)
