"""Resampling, filters, scaling, windows and quality of recordings; NumPy, time on the last axis.

The filters are zero-phase: a Butterworth filter's gain is the squared magnitude of the digital design, which
is what forward and backward filtering gives. They act on the spectrum in one pass (`ssl_ecg.spectral`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import limb_relations
from ssl_ecg.spectral import Rows, band_plan, filled, notch_plan, run

QualityFlag = Literal["nan", "flat", "saturated", "amplitude", "einthoven"]
"""What `quality_flags` may find."""
FLAT = 1e-3
"""A lead that moves by less over a second is flat there [mV]."""
IMPLAUSIBLE = (0.05, 20.0)
"""A lead's range (maximum minus minimum) should lie between these [mV]."""
REST = 0.25
"""A rail lies at least so far from the mean of its lead [mV]."""
RELATION = 0.1
"""Deviation from Einthoven's and Goldberger's relations that is tolerated in 99 % of the samples [mV]."""


def resample(x: NDArray[np.floating], fs_in: float, fs_out: float) -> NDArray[np.float32]:
    """Change the sampling rate, without aliasing and without delay.

    Frequencies up to 90 % of the lower Nyquist frequency pass unchanged; nothing passes beyond it.

    Parameters
    ----------
    x : array (..., time)
        NaN and infinite samples are bridged by a line, and are NaN again in the result.
    fs_in, fs_out : float
        Rates [Hz], in any ratio.

    Returns
    -------
    float32 array (..., ceil(time * fs_out / fs_in))
        Sample 0 stays at time 0.

    Raises
    ------
    SignalError
        If a rate or the shape is impossible.

    Examples
    --------
    >>> resample(np.zeros((12, 5000)), 500, 100).shape
    (12, 1000)
    """
    return resample_band(x, fs_in, fs_out, None)


def bandpass(
    x: NDArray[np.floating], fs: float, low: float | None, high: float | None, order: int = 4
) -> NDArray[np.float32]:
    """Filter with a zero-phase Butterworth band pass.

    Parameters
    ----------
    x : array (..., time)
    fs : float
        [Hz]
    low, high : float or None
        Edges [Hz], where the gain is one half (-6 dB: the filter acts twice). None leaves that side open.
    order : int
        Of the Butterworth design, as in ``scipy.signal.butter``.

    Raises
    ------
    SignalError
        If the edges do not lie in order between 0 and fs / 2.

    References
    ----------
    Gustafsson (1996), doi 10.1109/78.492552, on forward and backward filtering and its ends.

    Examples
    --------
    >>> t = np.arange(1000) / 100
    >>> y = bandpass(np.sin(2 * np.pi * 5 * t) + 3, 100, 0.5, 40)
    >>> bool(np.abs(y - np.sin(2 * np.pi * 5 * t))[300:700].max() < 0.01)
    True
    """
    return resample_band(x, fs, fs, (low, high), order)


def notch(x: NDArray[np.floating], fs: float, freq: float, quality: float = 30.0) -> NDArray[np.float32]:
    """Remove one frequency, such as the mains', with a zero-phase second-order notch.

    Parameters
    ----------
    x : array (..., time)
    fs, freq : float
        [Hz]
    quality : float
        `freq` over the width of the notch.

    Raises
    ------
    SignalError
        If `freq` is not between 0 and fs / 2, or `quality` is not positive.
    """
    x = _checked(x, fs, fs)
    if not (0 < freq < fs / 2 and quality > 0):
        raise SignalError("notch", f"{freq:g} Hz at {fs:g} Hz with quality {quality:g}", "give 0 < freq < fs / 2")
    return run(x, notch_plan(x.shape[-1], float(fs), float(freq), float(quality)))


def resample_band(
    x: NDArray[np.floating],
    fs_in: float,
    fs_out: float,
    band: tuple[float | None, float | None] | None,
    order: int = 4,
) -> NDArray[np.float32]:
    """Resample and band-pass in one pass; what `resample`, then `bandpass` at the new rate would give.

    Parameters
    ----------
    x : array (..., time)
    fs_in, fs_out : float
        [Hz]
    band : (float, float) or None
        Edges [Hz]; None only resamples.
    order : int
        Of the Butterworth design.

    Raises
    ------
    SignalError
        If shape, rates or edges are impossible.
    """
    x = _checked(x, fs_in, fs_out)
    low, high = (band[0] or None, band[1]) if band else (None, None)
    edges = [edge for edge in (low, high) if edge is not None]
    if any(not 0 < edge < fs_out / 2 for edge in edges) or sorted(set(edges)) != edges or order < 1:
        problem = f"band {low} to {high} Hz of order {order} at {fs_out:g} Hz"
        raise SignalError("band", problem, f"give edges in order between 0 and {fs_out / 2:g} Hz")
    return run(x, band_plan(x.shape[-1], float(fs_in), float(fs_out), low, high, order))


def scale(x: NDArray[np.floating], mode: str) -> NDArray[np.float32]:
    """Scale a strip or recording as an encoder's preprocessing says.

    Parameters
    ----------
    x : array (lead, time) [mV]
    mode : {"none", "record", "lead"}
        "record" divides by the root mean square over the leads that are not all zero, so that the proportions
        between leads stay; "lead" is the z-score of each lead. Flat leads become zero.

    Raises
    ------
    SignalError
        If the mode is unknown.

    Examples
    --------
    >>> scale(np.array([[1.0, -1.0], [3.0, 3.0]]), "lead").tolist()
    [[1.0, -1.0], [0.0, 0.0]]
    """
    x = np.asarray(x, np.float32)
    if mode == "none":
        return x
    if mode == "lead":
        centred = x - np.nanmean(x, axis=-1, keepdims=True)
        spread = np.sqrt(np.nanmean(np.square(centred), axis=-1, keepdims=True))
        return _divided(centred, spread)
    if mode == "record":
        energy = np.nanmean(np.square(x), axis=-1)
        present = energy[energy > 0]
        return _divided(x, np.sqrt(present.mean() if present.size else np.float32(0)))
    raise SignalError("scale", f"unknown mode {mode!r}", "choose none, record or lead")


def windows(x: NDArray[np.floating], length: int, stride: int | None = None) -> NDArray[np.floating]:
    """Cut a recording into windows, without copying.

    Parameters
    ----------
    x : array (lead, time)
    length, stride : int
        [samples]; the stride defaults to the length (no overlap).

    Returns
    -------
    array (window, lead, length)
        Read-only view; whole windows only, so none of a recording that is shorter than one.

    Examples
    --------
    >>> windows(np.arange(7.0)[None], 3, 2)[:, 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [4.0, 5.0, 6.0]]
    """
    stride = length if stride is None else stride
    if length < 1 or stride < 1:
        raise SignalError("windows", f"length {length}, stride {stride}", "give both in samples, at least 1")
    if x.shape[-1] < length:
        return np.empty((0, *x.shape[:-1], length), x.dtype)
    cut = np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[..., ::stride, :]
    return np.moveaxis(cut, -2, 0)


@np.errstate(over="ignore", invalid="ignore")
def quality_flags(x: NDArray[np.floating], fs: float, leads: Sequence[str]) -> list[str]:
    """List what looks wrong with a recording, before it is filtered.

    Parameters
    ----------
    x : array (lead, time) [mV]
    fs : float
        [Hz]
    leads : sequence of str
        Canonical names, one per row.

    Returns
    -------
    list of str
        ``nan:LEAD``: samples are missing or infinite. ``flat:LEAD``: the lead does not move in at least a
        tenth of the recording, counted in whole seconds. ``saturated:LEAD``: it rests at its maximum or
        minimum for 50 ms or more, a quarter of a millivolt or more away from its mean.
        ``amplitude:LEAD``: its range is below 0.05 or above 20 mV. ``einthoven``: the limb leads contradict
        each other.

    Examples
    --------
    >>> t = np.arange(1000) / 100
    >>> quality_flags(np.stack([np.sin(9 * t), 0 * t]), 100, ["I", "V1"])
    ['flat:V1']
    """
    rows, missing = _checked(x, fs, fs), None
    upper, lower = _extremes(rows, round(fs))
    high, low = upper.max(axis=-1), lower.min(axis=-1)
    if not np.isfinite(high - low).all():
        rows, missing = filled(rows)
        upper, lower = _extremes(rows, round(fs))
        high, low = upper.max(axis=-1), lower.min(axis=-1)
    flat = upper - lower < FLAT
    span = high - low
    flagged = {
        "flat": np.count_nonzero(flat, axis=-1) >= 0.1 * flat.shape[1],
        "saturated": _rests(rows, high, low, fs),
        "amplitude": ~flat.all(axis=-1) & ((span < IMPLAUSIBLE[0]) | (span > IMPLAUSIBLE[1])),
    }
    if missing is not None:
        flat &= _extremes(missing.astype(np.float32), round(fs))[0] == 0  # a bridge over a gap is not the lead
        flagged = {"nan": missing.any(axis=-1), **flagged, "flat": flat.mean(axis=-1) >= 0.1}
    flags = [
        f"{name}:{leads[k]}" for name, which in flagged.items() if which.any() for k in np.flatnonzero(which).tolist()
    ]
    relations = limb_relations(tuple(leads))
    if len(relations):
        residual = np.abs(relations @ rows[:, :: max(1, round(fs / 100))])
        if np.count_nonzero(residual.max(axis=0) > RELATION) > 0.01 * residual.shape[1]:
            flags.append("einthoven")
    return flags


def _extremes(rows: Rows, block: int) -> tuple[Rows, Rows]:
    """Give the maximum and minimum of each second; a last piece of less counts to none but the extremes."""
    n = rows.shape[1]
    block = max(1, min(block, n))
    n_blocks = n // block
    blocks = rows[:, : n_blocks * block].reshape(len(rows), n_blocks, block)
    upper, lower = blocks.max(axis=-1), blocks.min(axis=-1)
    if rest := n - n_blocks * block:
        np.maximum(upper[:, -1], rows[:, -rest:].max(axis=-1), out=upper[:, -1])
        np.minimum(lower[:, -1], rows[:, -rest:].min(axis=-1), out=lower[:, -1])
    return upper, lower


def _rests(rows: Rows, high: Rows, low: Rows, fs: float) -> NDArray[np.bool_]:
    """Find the leads that rest at one of their extremes for 50 ms, at least three samples."""
    shortest = max(3, round(0.05 * fs))
    sparse = rows[:, :: max(1, shortest // 2)]
    at_rail = (sparse == high[:, None]) | (sparse == low[:, None])
    out = np.zeros(len(rows), np.bool_)
    for k in np.flatnonzero((at_rail[:, 1:] & at_rail[:, :-1]).any(axis=-1)):  # so long a rest is met twice
        mean = float(rows[k].mean())
        for rail in (float(high[k]), float(low[k])):
            if abs(rail - mean) >= REST:
                hits = np.flatnonzero(rows[k] == rail)
                spans = hits[shortest - 1 :] - hits[: max(0, len(hits) - shortest + 1)]
                out[k] |= bool((spans == shortest - 1).any())
    return out


def _checked(x: NDArray[np.floating], fs_in: float, fs_out: float) -> NDArray[np.float32]:
    x = np.asarray(x, np.float32)
    if x.ndim < 1 or x.size < 1:
        raise SignalError("signal", f"has shape {x.shape}", "give at least one sample, time last")
    if not (0 < fs_in < np.inf and 0 < fs_out < np.inf):
        raise SignalError("fs", f"rates are {fs_in} and {fs_out} Hz", "give rates in Hz, greater than zero")
    return x


def _divided(x: NDArray[np.float32], spread: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(x / np.where(spread < 1e-6, np.inf, spread), np.float32)
