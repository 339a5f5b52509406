"""Changes that recordings meet in the world, as pure functions on (lead, time)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import LIMB_LEADS
from ssl_ecg.signal import resample

Rows = NDArray[np.float32]

SWAPS: dict[str, dict[str, tuple[str, float]]] = {
    "LA/RA": {
        "I": ("I", -1.0),
        "II": ("III", 1.0),
        "III": ("II", 1.0),
        "aVR": ("aVL", 1.0),
        "aVL": ("aVR", 1.0),
    },
    "LA/LL": {
        "I": ("II", 1.0),
        "II": ("I", 1.0),
        "III": ("III", -1.0),
        "aVL": ("aVF", 1.0),
        "aVF": ("aVL", 1.0),
    },
    "RA/LL": {
        "I": ("III", -1.0),
        "II": ("II", -1.0),
        "III": ("I", -1.0),
        "aVR": ("aVF", 1.0),
        "aVF": ("aVR", 1.0),
    },
}
"""Which lead is recorded instead of which, and with which sign, when two electrodes are exchanged."""


def add_noise(signal: Rows, noise: Rows, snr: float, measured: Rows | None = None) -> Rows:
    """Add noise at a signal-to-noise ratio that every lead has for itself.

    Parameters
    ----------
    signal : float32 array (lead, time) [mV]
        NaN where missing; a lead that does not vary gets no noise.
    noise : float32 array (lead, time)
        Of any size.
    snr : float
        Ratio of the variances over time of the clean lead and of its noise [dB].
    measured : float32 array (lead, time), optional
        The noise whose variance counts, such as before a filter; itself unless given.

    Examples
    --------
    >>> clean = np.array([[1.0, -1.0, 1.0, -1.0]], np.float32)
    >>> add_noise(clean, np.array([[5.0, 5.0, -5.0, -5.0]], np.float32), 20.0).round(3).tolist()
    [[1.10..., -0.89..., 0.89..., -1.10...]]
    """
    measured = noise if measured is None else measured
    if not signal.shape == noise.shape == measured.shape:
        raise SignalError("noise", f"has shape {noise.shape}, the recording {signal.shape}", "give one row a lead")
    known = np.isfinite(signal)
    power = _variance(np.where(known, signal, 0), known)
    own = measured.var(axis=-1, dtype=np.float64)
    gain = np.sqrt(np.where(own > 0, power / np.where(own > 0, own, 1), 0) * 10 ** (-snr / 10))
    centred = noise - noise.mean(axis=-1, keepdims=True, dtype=np.float64)
    return np.asarray(signal + gain[:, None] * centred, np.float32)


def draw_places(
    shape: tuple[int, int], n_leads: int, n_samples: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a piece of recorded noise for each lead: which row, and from where.

    Parameters
    ----------
    shape : (int, int)
        Of the recording of noise (row, time); it is repeated if it is shorter than what is asked for.
    n_leads, n_samples : int
    rng : Generator

    Returns
    -------
    int64 arrays (lead, 1) and (lead, time)
        ``noise[drawn]`` gives the pieces.

    Examples
    --------
    >>> noise = np.arange(20).reshape(2, 10)
    >>> pieces = noise[draw_places(noise.shape, 3, 4, np.random.default_rng(0))]
    >>> pieces.shape, np.unique(np.diff(pieces)).tolist()
    ((3, 4), [1])
    """
    rows = rng.integers(shape[0], size=(n_leads, 1))
    starts = rng.integers(max(shape[1] - n_samples, 0) + 1, size=(n_leads, 1))
    return rows, (starts + np.arange(n_samples)) % shape[1]


def lose_leads(signal: Rows, leads: Sequence[str], lost: Sequence[str]) -> Rows:
    """Set leads to zero, which stands for a lead that is absent.

    Raises
    ------
    SignalError
        If one is not among the leads.

    Examples
    --------
    >>> lose_leads(np.ones((2, 2), np.float32), ("I", "V1"), ["V1"]).tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    out = signal.copy()
    out[[_row(lead, leads) for lead in lost]] = 0.0
    return out


def pass_rate(signal: Rows, fs: float, rate: float) -> Rows:
    """Give the recording as it would come from a device with another sampling rate.

    It is resampled to `rate` [Hz] and, as by `prepare`, back to `fs` [Hz]; below twice the band, something is lost.
    """
    back = resample(resample(signal, fs, rate), rate, fs)
    return np.asarray(_fitted(back, signal.shape[1]), np.float32)


def invert(signal: Rows, leads: Sequence[str], which: Sequence[str] | None = None) -> Rows:
    """Turn the sign of some leads, or of all.

    Raises
    ------
    SignalError
        If one is not among the leads.
    """
    out = signal.copy()
    rows = slice(None) if which is None else [_row(lead, leads) for lead in which]
    out[rows] = -out[rows]
    return out


def swap_electrodes(signal: Rows, leads: Sequence[str], pair: str) -> Rows:
    """Give what is recorded when two limb electrodes are exchanged.

    Parameters
    ----------
    signal : float32 array (lead, time) [mV]
    leads : sequence of str
        Canonical names, one per row. The chest leads do not change.
    pair : {"LA/RA", "LA/LL", "RA/LL"}
        Left arm, right arm, left leg.

    Raises
    ------
    SignalError
        If the pair is unknown, or a limb lead is needed that is not there.

    References
    ----------
    Kligfield et al. 2007, doi 10.1161/CIRCULATIONAHA.106.180200 (placement of electrodes).

    Examples
    --------
    >>> swap_electrodes(np.array([[1], [3], [2]], np.float32), ("I", "II", "III"), "LA/RA").ravel().tolist()
    [-1.0, 2.0, 3.0]
    """
    if pair not in SWAPS:
        raise SignalError("electrodes", f"no pair {pair!r}", f"choose from {', '.join(SWAPS)}")
    out = signal.copy()
    for row, lead in enumerate(leads):
        if lead in LIMB_LEADS and lead in SWAPS[pair]:
            source, sign = SWAPS[pair][lead]
            out[row] = sign * signal[_row(source, leads)]
    return out


def lose_samples(signal: Rows, n_missing: int, n_gaps: int, rng: np.random.Generator) -> Rows:
    """Set samples to NaN in all leads at once, in gaps of equal length that may touch each other but not overlap.

    Parameters
    ----------
    signal : float32 array (lead, time)
    n_missing, n_gaps : int
        Samples in all, and gaps among which they are divided.
    rng : Generator
    """
    n = signal.shape[1]
    n_missing = min(n_missing, n)
    if n_missing < 1 or n_gaps < 1:
        return signal.copy()
    lengths = np.diff(np.linspace(0, n_missing, min(n_gaps, n_missing) + 1).round().astype(int))
    before = np.sort(rng.integers(n - n_missing + 1, size=len(lengths)))
    starts = before + np.cumsum(lengths) - lengths
    out = signal.copy()
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        out[:, start : start + length] = np.nan
    return out


def _variance(signal: Rows, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    n = np.maximum(known.sum(axis=-1), 1)
    mean = signal.sum(axis=-1, dtype=np.float64) / n
    return np.asarray((np.square(signal - mean[:, None]) * known).sum(axis=-1) / n, np.float64)


def _row(lead: str, leads: Sequence[str]) -> int:
    if lead not in leads:
        raise SignalError("leads", f"lead {lead} is not there, only {', '.join(leads)}", "choose among these")
    return list(leads).index(lead)


def _fitted(signal: Rows, n_samples: int) -> Rows:
    """Cut off, or repeat the last sample: a change of rate and back may round the length up."""
    short = n_samples - signal.shape[1]
    return np.pad(signal, ((0, 0), (0, short)), mode="edge") if short > 0 else signal[:, :n_samples]
