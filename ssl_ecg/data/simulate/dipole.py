"""The heart as a moving dipole: Gaussian waves, and the matrix that shows them to the leads.

Frank's axes throughout: x to the left, y to the feet, z to the back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DOWER: Floats = np.array(
    [
        [0.632, -0.235, 0.059],  # I
        [0.235, 1.066, -0.132],  # II
        [-0.515, 0.157, -0.917],  # V1
        [0.044, 0.164, -1.387],  # V2
        [0.882, 0.098, -1.277],  # V3
        [1.213, 0.127, -0.601],  # V4
        [1.125, 0.127, -0.086],  # V5
        [0.831, 0.076, 0.230],  # V6
    ]
)
"""Frank's X, Y, Z to I, II, V1-V6. Dower, Machado, Osborne 1980, Clin Cardiol 3(2):87-95."""

_LIMB = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]])
# One QRS wave further than this from its centre adds under 0.4 microvolts.
_REACH = 4.0
_CHUNK = 256


@dataclass(slots=True)
class Waves:
    """Gaussian waves of the dipole.

    Attributes
    ----------
    at : array (wave,) [s]
        Centres, from a reference that the owner states.
    width : array (wave,) [s]
        Standard deviations.
    vector : array (wave, 3) [mV]
        Dipole moment at the centre, in the units of the leads that Frank's matrix gives.
    """

    at: Floats
    width: Floats
    vector: Floats

    def rotated(self, rotation: Floats) -> Waves:
        """Give the waves with every vector turned by a (3, 3) matrix."""
        return Waves(self.at, self.width, self.vector @ rotation.T)


@dataclass(slots=True)
class Beat:
    """One kind of heartbeat.

    Attributes
    ----------
    p, qrs, t : Waves
        Times from the onset of P, from the onset of QRS, and from the peak of T.
    pr, duration, qtc : float [s]
        PR interval, QRS duration, and QT interval at a cycle of one second.
    st : array (3,) [mV]
        Dipole moment of the ST segment 60 ms after its start.
    slope : float
        Change of the ST segment over its length, as a part of its level.
    st_target : float [mV]
        Level that two leads shall reach 60 ms after the J point; 0 leaves `st` as it is.
    voltage : tuple of two floats [mV]
        Range in which the sum of S in V1 and R in V5 shall lie.
    axis : tuple of two floats [degree]
        Range in which the frontal axis of QRS shall lie.
    """

    p: Waves
    qrs: Waves
    t: Waves
    pr: float
    duration: float
    qtc: float
    st: Floats = field(default_factory=lambda: np.zeros(3))
    slope: float = 0.0
    st_target: float = 0.0
    voltage: tuple[float, float] = (0.0, np.inf)
    axis: tuple[float, float] = (-180.0, 180.0)

    def rotated(self, rotation: Floats) -> Beat:
        """Give the beat with the whole heart turned by a (3, 3) matrix."""
        p, qrs, t = (waves.rotated(rotation) for waves in (self.p, self.qrs, self.t))
        return replace(self, p=p, qrs=qrs, t=t, st=rotation @ self.st)


def rotation_matrix(x: float, y: float, z: float) -> Floats:
    """Give the (3, 3) rotation by three angles [degree] about x, then y, then z.

    Examples
    --------
    >>> rotation_matrix(0, 0, 90).round(3) @ [1, 0, 0]
    array([0., 1., 0.])
    """
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians([x, y, z])), np.sin(np.radians([x, y, z]))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x, dtype=np.float64)


def st_waves(beat: Beat, qt: Floats) -> tuple[Floats, Floats, Floats]:
    """Give three waves whose sum is the ST segment: (beat, 3), (beat, 3) [s] and (3, 3) [mV].

    They span the time from the J point to the peak of T, so that they move with the heart rate;
    their sum is `beat.st` some 60 ms after the J point.
    """
    length = t_peak(beat, qt) - beat.duration
    at = beat.duration + length[:, None] * np.array([0.10, 0.36, 0.62])
    width = np.repeat(0.16 * length[:, None], 3, axis=1)
    weight = 0.74 * (1.0 + beat.slope * np.array([-0.5, 0.0, 0.5]))
    return at, width, weight[:, None] * beat.st


def qt_interval(beat: Beat, rr: Floats) -> Floats:
    """Give QT [s] at cycles `rr` [s] (Fridericia's cube root, at least 70 ms of T after QRS)."""
    return np.asarray(np.maximum(beat.qtc * np.cbrt(rr), beat.duration + 0.17))


def t_peak(beat: Beat, qt: Floats) -> Floats:
    """Give the peak of T [s] from the onset of QRS: two widths before the end of T."""
    return np.asarray(qt - 2.1 * beat.t.width[-1] * qt / beat.qtc)


def beat_waves(beat: Beat, rr: Floats) -> Waves:
    """Lay all waves of beats out in time from the onset of QRS.

    Parameters
    ----------
    beat : Beat
    rr : array (beat,) [s]
        Cycle that rules the repolarisation of each beat.

    Returns
    -------
    Waves
        `at` and `width` are (beat, wave); `vector` is (wave, 3).

    References
    ----------
    McSharry et al. 2003, doi 10.1109/TBME.2003.808805, eq. 1; Sameni et al. 2007,
    doi 10.1155/2007/43407, eq. 4. There every wave has a fixed phase of the cycle; here P and QRS have
    fixed times and only the repolarisation follows the cycle, as in the heart.
    """
    qt = qt_interval(beat, rr)
    stretch = (qt / beat.qtc)[:, None]
    st_at, st_width, st_vector = st_waves(beat, qt)
    same = np.ones((len(rr), 1))
    t_at = t_peak(beat, qt)[:, None] + beat.t.at * stretch
    at = (same * (beat.p.at - beat.pr), same * beat.qrs.at, st_at, t_at)
    width = (same * beat.p.width, same * beat.qrs.width, st_width, beat.t.width * stretch)
    vector = (beat.p.vector, beat.qrs.vector, st_vector, beat.t.vector)
    return Waves(np.concatenate(at, axis=1), np.concatenate(width, axis=1), np.concatenate(vector))


def add_beats(dipole: NDArray[np.float32], fs: float, onset: Floats, waves: Waves, gain: Floats, tilt: Floats) -> None:
    """Add beats to the dipole's path in place, each only where its waves are above nothing.

    Parameters
    ----------
    dipole : float32 array (3, time) [mV]
    fs : float [Hz]
    onset : array (beat,) [s]
        Start of each QRS.
    waves : Waves
        As `beat_waves` gives them.
    gain : array (beat, wave)
    tilt : array (beat, 3) [rad]
        Small rotation of each beat (breathing moves the heart).
    """
    samples = dipole.shape[1]
    first = float((waves.at - _REACH * waves.width).min())
    last = float((waves.at + _REACH * waves.width).max())
    offset = np.arange(int(np.ceil((last - first) * fs)) + 1) / fs
    for begin in range(0, len(onset), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        start = np.ceil((onset[part] + first) * fs).astype(np.int64)
        time = (start / fs - onset[part])[:, None] + offset
        path = _beat_path(time, waves.at[part], waves.width[part], waves.vector, gain[part], tilt[part])
        for k, sample in enumerate(start):
            low, high = max(0, -int(sample)), min(len(offset), samples - int(sample))
            if low < high:
                dipole[:, sample + low : sample + high] += path[k, :, low:high]


def _beat_path(
    time: Floats, at: Floats, width: Floats, vector: Floats, gain: Floats, tilt: Floats
) -> NDArray[np.float32]:
    """Sum the waves: (beat, time), (beat, wave) ... -> (beat, 3, time)."""
    inverse = np.sqrt(0.5) / width
    score: NDArray[np.float32] = time.astype(np.float32)[:, None, :] * inverse.astype(np.float32)[:, :, None]
    score -= (at * inverse).astype(np.float32)[:, :, None]
    np.multiply(score, score, out=score)
    np.negative(score, out=score)
    np.exp(score, out=score)
    moments = vector[None] + np.cross(tilt[:, None, :], vector[None])
    scaled = (moments * gain[:, :, None]).astype(np.float32).transpose(0, 2, 1)
    return np.asarray(scaled @ score, dtype=np.float32)


def path_of(beat: Beat, time: Floats, rr: float) -> Floats:
    """Give the dipole (3, time) of one beat alone at times [s] from the onset of QRS."""
    waves = beat_waves(beat, np.array([rr]))
    shape = np.exp(-0.5 * ((time - waves.at[0][:, None]) / waves.width[0][:, None]) ** 2)
    return np.asarray(waves.vector.T @ shape)


def r_peak(beat: Beat) -> float:
    """Give the time [s] from the onset of QRS at which the dipole of QRS is largest."""
    time = np.arange(0.0, beat.duration, 0.001)
    shape = np.exp(-0.5 * ((time - beat.qrs.at[:, None]) / beat.qrs.width[:, None]) ** 2)
    return float(time[np.argmax(((beat.qrs.vector.T @ shape) ** 2).sum(axis=0))])


def twelve_leads(eight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Derive III, aVR, aVL and aVF: (8, time) as I, II, V1-V6 -> (12, time) in standard order.

    Examples
    --------
    >>> twelve_leads(np.float32([[1], [3], [0], [0], [0], [0], [0], [0]]))[:6, 0].tolist()
    [1.0, 3.0, 2.0, -2.0, -0.5, 2.5]
    """
    signal = np.empty((12, eight.shape[1]), dtype=np.float32)
    signal[0:2] = eight[0:2]
    signal[6:12] = eight[2:8]
    np.subtract(signal[1], signal[0], out=signal[2])
    signal[3] = (signal[0] + signal[1]) * np.float32(-0.5)
    signal[4] = signal[0] - np.float32(0.5) * signal[1]
    signal[5] = signal[1] - np.float32(0.5) * signal[0]
    return signal


def twelve_lead_matrix(eight: Floats) -> Floats:
    """Give the (12, 3) lead matrix that belongs to an (8, 3) one."""
    return np.concatenate([_LIMB @ eight[:2], eight[2:]])
