"""Noise as it arises: at nine electrodes, so that every lead relation still holds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Samples = NDArray[np.float32]

# Rows: I, II, V1-V6; columns: the electrodes RA, LA, LL, C1-C6 (Wilson's terminal for the chest).
_ELECTRODES = np.zeros((8, 9), dtype=np.float32)
_ELECTRODES[0, :2] = (-1.0, 1.0)
_ELECTRODES[1, (0, 2)] = (-1.0, 1.0)
_ELECTRODES[2:, :3] = -1.0 / 3.0
_ELECTRODES[2:, 3:] = np.eye(6)


def draw_noise(
    rng: np.random.Generator, samples: int, fs: float, *, level: float, mains: float, breathing: float
) -> Samples:
    """Draw baseline wander, muscle, mains, and electrode motion.

    Parameters
    ----------
    rng : numpy Generator
    samples : int
    fs : float [Hz]
    level : float
        1 is a usual resting recording, as those of PTB-XL; 0 none.
    mains : float [Hz]
        50 or 60.
    breathing : float [Hz]

    Returns
    -------
    float32 array (8, time) [mV]
        Of leads I, II, V1-V6.
    """
    if level == 0:
        return np.zeros((8, samples), dtype=np.float32)
    # Room for the wrap of the Fourier transform, so that the end does not meet the start.
    size = fft.next_fast_len(samples + min(samples, int(2 * fs)), real=True)
    electrodes = _muscle(rng, size, samples, fs)
    electrodes += _coloured(rng, size, _wander(rng, size, fs))[:, :samples]
    electrodes += _periodic(rng, samples, fs, mains, breathing)
    _add_motion(rng, electrodes, fs)
    quality = rng.lognormal(-0.1, 0.4)
    return np.asarray(_ELECTRODES @ electrodes * np.float32(level * quality), dtype=np.float32)


def _coloured(rng: np.random.Generator, size: int, amplitude: Samples) -> Samples:
    """Give noise (9, size) [mV] whose rms in each bin is `amplitude` (9, bin), with nothing above."""
    bins = amplitude.shape[1]
    spectrum = np.zeros((9, size // 2 + 1), dtype=np.complex64)
    parts = rng.standard_normal((9, bins, 2), dtype=np.float32).view(np.complex64)[..., 0]
    np.multiply(parts, amplitude * np.float32(0.5 * size), out=spectrum[:, :bins])
    return np.asarray(fft.irfft(spectrum, n=size, axis=1, overwrite_x=True), dtype=np.float32)


def _per_electrode(rng: np.random.Generator, shape: NDArray[np.float64], rms: float, spread: float) -> Samples:
    """Scale one spectrum to `rms` [mV] times a factor of each electrode: (bin,) -> (9, bin)."""
    factor = rms * rng.lognormal(0, spread, (9, 1))
    return np.asarray(factor * shape / np.sqrt((shape**2).sum()), dtype=np.float32)


def _wander(rng: np.random.Generator, size: int, fs: float) -> Samples:
    """Give the spectrum of the drift of the contacts, which falls with frequency up to 0.8 Hz."""
    frequency = np.arange(int(0.8 * size / fs) + 2) * fs / size
    shape = np.where(frequency > 0.02, 1.0 / np.maximum(frequency, 0.06), 0.0)
    return _per_electrode(rng, shape, rng.lognormal(np.log(0.03), 0.5), 0.85)


def _muscle(rng: np.random.Generator, size: int, samples: int, fs: float) -> Samples:
    """Muscle of 15 to 150 Hz that swells and fades on each electrode, and the amplifier's white noise."""
    frequency = np.arange(int(min(150.0, 0.5 * fs) * size / fs)) * fs / size
    shape = 0.12 + (frequency > 15) / (1.0 + (frequency / 80.0) ** 2)
    amplitude = _per_electrode(rng, shape, rng.lognormal(np.log(0.0017), 0.6), 0.6)
    noise = _coloured(rng, size, amplitude)[:, :samples]
    angle = 2 * np.pi * np.outer(rng.uniform(0.05, 0.35, 2), np.arange(samples) / fs) + rng.uniform(0, 6, (2, 1))
    swell = rng.normal(0, 0.35, (9, 2)).astype(np.float32) @ np.sin(angle.astype(np.float32))
    noise *= np.exp(swell)
    return noise


def _periodic(rng: np.random.Generator, samples: int, fs: float, mains: float, breathing: float) -> Samples:
    """Breathing, which moves the baseline, and the mains with its third harmonic: one phase, nine sizes."""
    time = np.arange(samples) / fs
    phase = rng.uniform(0, 2 * np.pi, 3)
    angle = np.stack([2 * np.pi * breathing * time + phase[0], 2 * np.pi * mains * time + phase[1]])
    wave = np.zeros((3, samples), dtype=np.float32)
    wave[:2] = np.sin(angle)  # in double precision: over an hour the angle passes a million
    wave[0] += 0.5 * wave[0] * wave[0]
    wave[2] = wave[1] * (3 - 4 * wave[1] * wave[1])  # sin(3 x)
    size = rng.normal(0, 1, (9, 3)) * np.array([0.022, 0.0016, 0.0003]) * rng.lognormal(0, [0.6, 0.9, 0.9])
    size[:, 1:] *= 2 * np.array([mains, 3 * mains]) < fs
    return np.asarray(size.astype(np.float32) @ wave)


def _add_motion(rng: np.random.Generator, electrodes: Samples, fs: float) -> None:
    """Now and then an electrode is moved: a fast step that creeps back."""
    samples = electrodes.shape[1]
    for _ in range(rng.poisson(0.03 * samples / fs)):
        start = int(rng.integers(samples))
        rise, fall = rng.uniform(0.03, 0.12), rng.uniform(0.2, 0.9)
        time = np.arange(min(samples - start, int(6 * fall * fs))) / fs
        size = rng.choice([-1, 1]) * rng.lognormal(np.log(0.2), 0.6)
        step = size * (np.exp(-time / fall) - np.exp(-time / rise))
        electrodes[int(rng.integers(9)), start : start + len(time)] += step.astype(np.float32)
