"""When the heart beats: sinus rhythm, atrial fibrillation and premature beats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.simulate.dipole import Floats

SINUS, ATRIAL, VENTRICULAR = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A run of beats.

    Attributes
    ----------
    onset : array (beat,) [s]
        Start of each QRS; the first lies before 0, the last after the end.
    cycle : array (beat,) [s]
        Mean of the preceding cycles, which rules the repolarisation.
    kind : int array (beat,)
        `SINUS` (any beat of the usual kind, also in fibrillation), `ATRIAL` or `VENTRICULAR`.
    """

    onset: Floats
    cycle: Floats
    kind: NDArray[np.int64]


def draw_rhythm(
    rng: np.random.Generator,
    seconds: float,
    *,
    rate: float,
    variability: float,
    breathing: float,
    fibrillation: bool = False,
    atrial: bool = False,
    ventricular: bool = False,
) -> Rhythm:
    """Draw the beats of a recording.

    Parameters
    ----------
    rng : numpy Generator
    seconds : float [s]
    rate : float [beats/min]
    variability : float
        Relative standard deviation of the cycle in sinus rhythm.
    breathing : float [Hz]
        Rate of the respiratory sinus arrhythmia.
    fibrillation : bool
        Cycles without order.
    atrial, ventricular : bool
        At least one premature beat of the kind inside the recording.

    Returns
    -------
    Rhythm
    """
    count = int(np.ceil((seconds + 3.0) * rate / 60.0 * 1.6)) + 8
    cycle = 60.0 / rate
    rr = _fibrillation(rng, count, cycle) if fibrillation else _sinus(rng, count, cycle, variability, breathing)
    start = -1.2 - rng.random() * cycle
    kind = np.zeros(count, dtype=np.int64)
    # Ventricular last: it must not be overwritten by an atrial one.
    for wanted, value in ((atrial, ATRIAL), (ventricular, VENTRICULAR)):
        if wanted:
            _place(rng, kind, start + np.cumsum(rr), seconds, value, pattern=not (atrial and ventricular))
    usual = rr.copy()
    _premature(rng, rr, kind, fibrillation)
    onset = start + np.cumsum(rr)
    keep = onset < seconds + 1.2
    return Rhythm(onset[keep], _smoothed(usual)[keep], kind[keep])


def _sinus(rng: np.random.Generator, count: int, cycle: float, variability: float, breathing: float) -> Floats:
    """Respiratory sinus arrhythmia, the 0.1 Hz rhythm of blood pressure, and a slow drift."""
    time = np.arange(count) * cycle
    phase = rng.uniform(0, 2 * np.pi, 2)
    share = np.sqrt(rng.dirichlet([3.0, 2.0, 2.0]))
    drift = rng.normal(0, 1, count)
    drift = 0.6 * drift + 0.8 * np.convolve(drift, [0.5, 0.4, 0.3, 0.2], "same")
    wave = (
        share[0] * np.sqrt(2) * np.sin(2 * np.pi * breathing * time + phase[0])
        + share[1] * np.sqrt(2) * np.sin(2 * np.pi * 0.1 * time + phase[1])
        + share[2] * drift
    )
    return np.asarray(cycle * np.clip(1 + variability * wave, 0.7, 1.4))


def _fibrillation(rng: np.random.Generator, count: int, cycle: float) -> Floats:
    """Independent cycles with a coefficient of variation of 0.15 to 0.3, none under 0.32 s."""
    spread = rng.uniform(0.17, 0.28)
    rr = cycle * rng.lognormal(-0.5 * spread**2, spread, count)
    return np.asarray(np.clip(rr, 0.32, 2.2))


def _place(
    rng: np.random.Generator,
    kind: NDArray[np.int64],
    onset: Floats,
    seconds: float,
    value: int,
    *,
    pattern: bool,
) -> None:
    """Choose which beats come early: one in any case, more by chance, sometimes every second one."""
    free = np.flatnonzero(_alone(kind) & (onset > 0.2 * seconds) & (onset < 0.85 * seconds))
    sure = int(rng.choice(free)) if len(free) else int(np.argmin(np.abs(onset - 0.5 * seconds)))
    kind[sure] = value
    if pattern and rng.random() < 0.12:
        chosen = np.arange(sure % 2, len(kind), 2)
    else:
        chosen = np.flatnonzero(rng.random(len(kind)) < rng.uniform(0.02, 0.14))
    for beat in chosen:
        if _alone(kind)[beat]:
            kind[beat] = value


def _alone(kind: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which beats are usual ones between usual ones; the first two are never early."""
    usual = np.pad(kind == SINUS, 1, constant_values=True)
    alone = usual[:-2] & usual[1:-1] & usual[2:]
    alone[:2] = False
    return np.asarray(alone)


def _premature(rng: np.random.Generator, rr: Floats, kind: NDArray[np.int64], fibrillation: bool) -> None:
    """Shorten the cycle before each early beat, and make the pause after it, in place."""
    coupling = rng.uniform(0.55, 0.72)
    for beat in np.flatnonzero(kind):
        usual = rr[beat]
        rr[beat] = max(0.36, usual * (coupling + rng.normal(0, 0.02)))
        if fibrillation:
            rr[beat] = max(0.36, min(rr[beat], 0.62 * float(np.median(rr))))
        if beat + 1 < len(rr):
            # After a ventricular beat the sinus node keeps its time; an atrial one resets it.
            full = 2 * usual - rr[beat] if kind[beat] == VENTRICULAR else usual * rng.uniform(1.03, 1.2)
            rr[beat + 1] = max(full, rr[beat + 1] * 0.9)


def _smoothed(rr: Floats) -> Floats:
    """Average the preceding cycles with weights that halve with each."""
    out = np.empty_like(rr)
    level = float(np.mean(rr[:4]))
    for k, value in enumerate(rr):
        level = 0.7 * level + 0.3 * float(value)
        out[k] = level
    return out


def fibrillatory_waves(rng: np.random.Generator, samples: int, fs: float) -> NDArray[np.float32]:
    """Draw the waves of the fibrillating atria: 4 to 9 per second, of changing size and rate.

    Parameters
    ----------
    rng : numpy Generator
    samples : int
    fs : float [Hz]

    Returns
    -------
    float32 array (3, time) [mV]
        Largest in V1, as most of it comes from the right atrium.

    References
    ----------
    Stridh and Sornmo 2001, doi 10.1109/10.900266: a sawtooth of a few harmonics, modulated.
    """
    time = np.arange(samples, dtype=np.float32) / np.float32(fs)
    out = np.zeros((3, samples), dtype=np.float32)
    directions = np.array([[-0.25, 0.35, -1.0], [0.2, 0.6, -0.3]]) + rng.normal(0, 0.15, (2, 3))
    size = rng.lognormal(np.log(0.045), 0.45)
    base = rng.uniform(4.8, 8.0)
    for direction, part in zip(directions, (1.0, 0.5), strict=True):
        rate = base * rng.uniform(0.94, 1.06)
        sway = rng.uniform(0.15, 0.5, 3) * 2 * np.pi
        phase = 2 * np.pi * rng.random(6)
        angle = (
            2 * np.pi * rate * time
            + 1.1 * np.sin(sway[0] * time + phase[0])
            + 0.7 * np.sin(3.1 * sway[1] * time + phase[1])
        ).astype(np.float32)
        wave = np.sin(angle) + 0.45 * np.sin(2 * angle + 0.4) + 0.2 * np.sin(3 * angle + 0.8)
        swell = 1 + 0.35 * np.sin(2.3 * sway[2] * time + phase[2]) + 0.15 * np.sin(7.1 * sway[1] * time + phase[3])
        out += (direction[:, None] * (part * size)).astype(np.float32) * (wave * swell).astype(np.float32)
    return out
