"""The person: age, sex, the position of heart and electrodes, and the normal beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssl_ecg.data.simulate.dipole import DOWER, Beat, Floats, Waves, rotation_matrix

# Centre and width as parts of the QRS duration; moments [mV]: septum, anterior wall, apex and free
# wall of the left ventricle, its posterior wall, and the base. Amplitudes and times follow the mean
# beat of the normal records of PTB-XL (doi 10.1038/s41597-020-0495-6).
_QRS_AT = np.array([0.16, 0.28, 0.43, 0.60, 0.78])
_QRS_WIDTH = np.array([0.085, 0.080, 0.092, 0.098, 0.098])
_QRS = np.array(
    [
        [-0.09, -0.03, -0.15],
        [0.20, 0.03, -0.24],
        [1.26, 0.68, 0.47],
        [-0.16, 0.02, 0.64],
        [-0.03, -0.03, 0.08],
    ]
)
_P = np.array([[0.030, 0.082, -0.050], [0.068, 0.066, 0.046]])
_T = np.array([[0.09, 0.04, -0.12], [0.28, 0.15, -0.17]])


@dataclass(frozen=True, slots=True)
class Subject:
    """A person at rest.

    Attributes
    ----------
    age : float [years]
    sex : {"male", "female"}
    rate : float [beats/min]
    breathing : float [Hz]
    variability : float
        Relative standard deviation of the cycle in sinus rhythm.
    rotation : array (3, 3)
        Position of the heart.
    leads : array (8, 3)
        Lead matrix of I, II, V1-V6 with this person's electrode positions.
    mains : float [Hz]
    """

    age: float
    sex: str
    rate: float
    breathing: float
    variability: float
    rotation: Floats
    leads: Floats
    mains: float


def draw_subject(rng: np.random.Generator, *, normal: bool) -> Subject:
    """Draw a person; those with a normal ECG are younger and have a rate of 62 to 96."""
    age = float(np.clip(rng.normal(50, 16) if normal else rng.normal(62, 15), 18, 95))
    rate = float(np.clip(rng.normal(74, 10), 62, 96) if normal else np.clip(rng.normal(76, 12), 48, 125))
    # The heart turns to the left with age; the usual spread of the frontal axis is some 20 degrees.
    axis = float(np.clip(rng.normal(-0.4 * (age - 50), 15), -42, 32))
    horizontal, sagittal = np.clip(rng.normal(0, 9, 2), -17, 17)
    return Subject(
        age=round(age),
        sex="male" if rng.random() < 0.52 else "female",
        rate=rate,
        breathing=float(rng.uniform(0.18, 0.33)),
        variability=float(min(0.065, 0.035 * np.exp(-(age - 45) / 50) * rng.lognormal(0, 0.4))),
        rotation=rotation_matrix(sagittal, horizontal, axis),
        leads=_electrodes(rng),
        mains=float(rng.choice([50.0, 60.0])),
    )


def _electrodes(rng: np.random.Generator) -> Floats:
    """Move each chest electrode along the chest by a part of the gap to its neighbour."""
    leads = DOWER.copy()
    shift = np.clip(rng.normal(0, 0.15) + rng.normal(0, 0.12, 6), -0.45, 0.45)
    chest = DOWER[2:]
    neighbour = np.clip(np.arange(6) + np.where(shift > 0, 1, -1), 0, 5)
    part = np.abs(shift)[:, None]
    leads[2:] = ((1 - part) * chest + part * chest[neighbour]) * rng.lognormal(0, 0.13, 6)[:, None]
    return leads


def normal_beat(subject: Subject, rng: np.random.Generator) -> Beat:
    """Draw this person's normal beat, before the heart is put in its position."""
    male = subject.sex == "male"
    size = (1.08 if male else 0.95) * np.exp(-0.003 * (subject.age - 50)) * rng.lognormal(0.02, 0.22)
    duration = float(np.clip(rng.normal(0.098 if male else 0.093, 0.006), 0.086, 0.110))
    qrs = Waves(
        _QRS_AT * duration * np.exp(rng.normal(0, 0.02, 5)),
        _QRS_WIDTH * duration * np.exp(rng.normal(0, 0.06, 5)),
        _QRS * size * rng.lognormal(0, 0.2, (5, 1)) + rng.normal(0, 0.045, (5, 3)),
    )
    # A small notch, somewhere after the septum, makes every loop a little its own.
    notch = np.array([[rng.uniform(0.3, 0.75) * duration], [rng.uniform(0.004, 0.007)]])
    moment = rng.normal(0, 0.05, (1, 3))
    qrs = Waves(np.append(qrs.at, notch[0]), np.append(qrs.width, notch[1]), np.append(qrs.vector, moment, axis=0))
    p_length = float(np.clip(rng.normal(0.102, 0.008), 0.085, 0.118))
    p = Waves(
        np.array([0.36, 0.66]) * p_length,
        np.array([0.17, 0.18]) * p_length,
        _P * rng.lognormal(0.05, 0.2) + rng.normal(0, 0.008, (2, 3)),
    )
    t_turn = rotation_matrix(*np.clip(rng.normal(0, 11, 3), -22, 22))
    t_size = (1.08 if male else 0.92) * rng.lognormal(-0.02, 0.32)
    t = Waves(np.array([-0.062, 0.0]), np.array([0.042, 0.038]) * rng.lognormal(0, 0.08), _T * t_size @ t_turn.T)
    return Beat(
        p=p,
        qrs=qrs,
        t=t,
        pr=float(np.clip(rng.normal(0.152 + 0.0003 * (subject.age - 45), 0.016), 0.122, 0.192)),
        duration=duration,
        qtc=float(np.clip(rng.normal(0.402 if male else 0.414, 0.014), 0.368, 0.445)),
        st=np.array([0.018, 0.008, -0.03]) * rng.lognormal(0, 0.4) + rng.normal(0, 0.006, 3),
        voltage=(1.4, 3.35),
        axis=(-10.0, 88.0),
    )
