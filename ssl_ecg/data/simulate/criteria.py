"""Scale a beat until it meets the measurement that defines its finding."""

from __future__ import annotations

import numpy as np

from ssl_ecg.data.simulate.dipole import Beat, Floats, Waves, path_of, rotation_matrix, twelve_lead_matrix

_I, _AVF, _V1, _V5 = 0, 5, 6, 10
# All but aVR, which shows everything upside down.
_ST_LEADS = np.array([0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11])


def meet_criteria(beat: Beat, leads: Floats, rate: float) -> None:
    """Bring axis, voltage and ST level of a beat in place to what its findings ask for.

    Parameters
    ----------
    beat : Beat
        In the position of the heart in the body.
    leads : array (8, 3)
        Lead matrix of I, II, V1-V6.
    rate : float [beats/min]
    """
    twelve = twelve_lead_matrix(leads)
    _turn_axis(beat, twelve)
    _scale_voltage(beat, twelve)
    if beat.st_target:
        _scale_st(beat, twelve, 60.0 / rate)


def sokolow(qrs: Waves, twelve: Floats) -> float:
    """Give the sum of S in V1 and R in V5 [mV] (Sokolow and Lyon 1949, doi 10.1016/0002-8703(49)90562-1)."""
    time = np.linspace(0.0, float(qrs.at.max()) + 0.02, 90)
    shape = np.exp(-0.5 * ((time - qrs.at[:, None]) / qrs.width[:, None]) ** 2)
    signal = twelve @ (qrs.vector.T @ shape)
    return float(-signal[_V1].min() + signal[_V5].max())


def _turn_axis(beat: Beat, twelve: Floats) -> None:
    """Turn QRS in the frontal plane into its range; a few steps, as Frank's axes are not square in the leads."""
    for _ in range(4):
        area = twelve @ (beat.qrs.vector.T @ beat.qrs.width)
        axis = float(np.degrees(np.arctan2(area[_AVF] * 2 / np.sqrt(3), area[_I])))
        excess = axis - float(np.clip(axis, *beat.axis))
        if abs(excess) < 1.0:
            return
        beat.qrs = beat.qrs.rotated(rotation_matrix(0.0, 0.0, -excess))


def _scale_voltage(beat: Beat, twelve: Floats) -> None:
    low, high = beat.voltage
    value = sokolow(beat.qrs, twelve)
    if not low <= value <= high:
        beat.qrs.vector = beat.qrs.vector * (float(np.clip(value, low, high)) / value)


def _scale_st(beat: Beat, twelve: Floats, rr: float) -> None:
    """Scale the ST waves so that the second most changed lead has the level, T and QRS included."""
    at = np.array([beat.duration + 0.060])
    wanted = beat.st
    beat.st = np.zeros(3)
    rest = (twelve @ path_of(beat, at, rr))[_ST_LEADS, 0]
    beat.st = wanted
    step = (twelve @ path_of(beat, at, rr))[_ST_LEADS, 0] - rest
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = np.where(step * beat.st_target > 0, (beat.st_target - rest) / step, np.inf)
    scale = np.sort(np.where(np.abs(step) > 0.2 * np.abs(step).max(), scale, np.inf))
    beat.st = wanted * max(0.0, float(scale[1]))
