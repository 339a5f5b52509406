"""Conduction and hypertrophy: what they do to P, PR, the QRS loop, and the T wave that follows from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ssl_ecg.data.simulate.dipole import Beat, Floats, Waves, rotation_matrix


def no_p_wave(beat: Beat, rng: np.random.Generator) -> None:
    """Atrial fibrillation has no P wave."""
    beat.p.vector[:] = 0.0


def first_degree_block(beat: Beat, rng: np.random.Generator) -> None:
    """AV block of the first degree: PR above 200 ms."""
    beat.pr = float(np.clip(rng.normal(0.245, 0.028), 0.214, 0.330))


def left_bundle_block(beat: Beat, rng: np.random.Generator) -> None:
    """No septal q; one slow, notched movement to the left and back; ST and T against QRS."""
    size = _size(beat) * rng.lognormal(0.05, 0.15)
    beat.duration = float(np.clip(rng.normal(0.153, 0.009), 0.141, 0.180))
    vector = np.array(
        [
            [0.16, 0.10, -0.02],
            [0.58, 0.30, 0.52],
            [0.40, 0.10, 0.95],
            [0.70, -0.06, 0.92],
            [0.34, -0.16, 0.34],
        ]
    )
    beat.qrs = Waves(
        beat.duration * np.array([0.13, 0.30, 0.48, 0.66, 0.83]),
        beat.duration * np.array([0.072, 0.085, 0.090, 0.088, 0.080]),
        vector * size * rng.lognormal(0, 0.12, (5, 1)) + rng.normal(0, 0.03, (5, 3)),
    )
    discordant = -np.array([0.30, 0.02, 0.52]) * size * rng.lognormal(0, 0.2)
    beat.t.vector = beat.t.vector * 0.25 + np.array([[0.35], [0.9]]) * discordant
    beat.st = 0.28 * discordant
    beat.qtc += 0.045
    beat.voltage = (1.6, 4.6)
    beat.axis = (-75.0, 95.0)


def right_bundle_block(beat: Beat, rng: np.random.Generator) -> None:
    """Right bundle branch block: QRS ends slowly to the right and the front; rSR' in V1, broad S in V6."""
    size = _size(beat) * rng.lognormal(0, 0.15)
    beat.duration = float(np.clip(rng.normal(0.143, 0.008), 0.134, 0.164))
    # The right ventricle no longer balances the left: less posterior force in the middle.
    beat.qrs.vector[3:, 2] *= 0.55
    beat.qrs.vector[4] *= 0.5
    terminal = np.array([[-0.36, -0.04, -0.46], [-0.42, -0.06, -0.62]]) * size * rng.lognormal(0, 0.15, (2, 1))
    end = beat.duration
    beat.qrs = Waves(
        np.append(beat.qrs.at, [end - 0.052, end - 0.031]),
        np.append(beat.qrs.width, [0.0130, 0.0150]),
        np.concatenate([beat.qrs.vector, terminal + rng.normal(0, 0.03, (2, 3))]),
    )
    beat.t.vector += np.array([[0.3], [1.0]]) * np.array([0.02, 0.0, 0.29]) * size * rng.lognormal(0, 0.2)
    beat.st = beat.st + np.array([0.0, 0.0, 0.03])
    beat.qtc += 0.025
    beat.voltage = (0.0, 3.4)
    beat.axis = (-75.0, 120.0)


def incomplete_right_block(beat: Beat, rng: np.random.Generator) -> None:
    """Incomplete right block: a small late force to the right within a QRS under 120 ms; rSr' in V1."""
    size = _size(beat) * rng.lognormal(0, 0.15)
    beat.duration = float(np.clip(beat.duration + 0.008, 0.098, 0.114))
    beat.qrs.vector[4] *= 0.4
    terminal = np.array([[-0.22, -0.02, -0.34]]) * size * rng.uniform(0.8, 1.4) + rng.normal(0, 0.03, (1, 3))
    beat.qrs = Waves(
        np.append(beat.qrs.at, beat.duration - 0.024),
        np.append(beat.qrs.width, 0.0105),
        np.concatenate([beat.qrs.vector, terminal]),
    )
    beat.voltage = (0.0, 3.35)


def left_anterior_block(beat: Beat, rng: np.random.Generator) -> None:
    """Down first, then up and to the left: q in I and aVL, deep S in II, III and aVF."""
    size = _size(beat)
    beat.duration = float(np.clip(beat.duration + 0.008, 0.09, 0.114))
    vector = np.array(
        [
            [-0.10, 0.22, -0.08],
            [0.34, 0.22, -0.22],
            [0.95, 0.02, 0.16],
            [0.30, -0.74, 0.58],
            [-0.10, -0.42, 0.14],
        ]
    )
    beat.qrs = Waves(
        beat.duration * np.array([0.15, 0.27, 0.42, 0.59, 0.76]),
        beat.duration * np.array([0.085, 0.080, 0.090, 0.098, 0.095]),
        vector * size * rng.lognormal(0, 0.15, (5, 1)) + rng.normal(0, 0.03, (5, 3)),
    )
    beat.axis = (-80.0, -float(rng.uniform(45, 60)))


def left_hypertrophy(beat: Beat, rng: np.random.Generator) -> None:
    """More force to the left and the back; the sum of S in V1 and R in V5 above 3.5 mV."""
    beat.qrs.vector[2] *= rng.uniform(1.1, 1.5)
    beat.qrs.vector[3] *= rng.uniform(1.1, 1.6)
    beat.qrs.vector[3, 2] += 0.15
    beat.duration = min(beat.duration * 1.08, 0.114)
    beat.qrs.at *= 1.08
    beat.qrs.width *= 1.06
    beat.t.vector[:, 0] *= rng.uniform(0.55, 1.0)
    beat.voltage = (3.65 + float(np.clip(rng.exponential(0.45), 0, 1.8)), 5.6)


def right_hypertrophy(beat: Beat, rng: np.random.Generator) -> None:
    """Force to the right and the front: tall R and inverted T in V1, deep S in V6, right axis."""
    size = _size(beat) * rng.lognormal(0.1, 0.15)
    part = rng.uniform(0.7, 1.0)
    vector = np.array(
        [
            [-0.12, 0.0, -0.12],
            [0.15, 0.10, -0.32],
            [0.42, 0.55, -0.62],
            [-0.80, 0.46, -0.42],
            [-0.34, -0.04, 0.04],
        ]
    )
    beat.qrs.vector[:5] = (1 - part) * beat.qrs.vector[:5] + part * size * vector
    beat.t.vector += np.array([[0.4], [1.0]]) * np.array([0.0, -0.08, 0.38]) * part * rng.lognormal(0, 0.25)
    beat.st = beat.st + np.array([0.0, -0.01, 0.05]) * part
    beat.p.vector[0] *= rng.uniform(1.0, 1.7)
    beat.voltage = (0.0, np.inf)
    beat.axis = (94.0, 150.0)


def premature_atrial(beat: Beat, rng: np.random.Generator) -> Beat:
    """Give the beat from an atrial focus elsewhere: another P axis and PR, almost the same QRS."""
    turn = rotation_matrix(*rng.uniform([-50, -60, -140], [50, 60, 60]))
    p = Waves(beat.p.at * 0.9, beat.p.width * 0.9, beat.p.vector @ turn.T * rng.uniform(0.7, 1.2))
    qrs = Waves(beat.qrs.at, beat.qrs.width, beat.qrs.vector * rng.uniform(0.92, 1.06))
    pr = float(np.clip(beat.pr + rng.uniform(-0.03, 0.02), 0.115, 0.34))
    return replace(beat, p=p, qrs=qrs, pr=pr)


# Mean direction of QRS by focus: outflow tract of the right ventricle (as in LBBB, inferior axis), its apex,
# the left ventricle from below (as in RBBB, superior axis), and its outflow tract.
_FOCI: Floats = np.array([[0.45, 1.0, 0.65], [0.75, -0.65, 0.75], [-0.50, -0.65, -0.90], [-0.55, 0.85, -0.70]])


def ventricular(rng: np.random.Generator) -> Beat:
    """Give a ventricular premature beat: no P, QRS above 120 ms, ST and T against it."""
    direction = _FOCI[rng.integers(len(_FOCI))] + rng.normal(0, 0.12, 3)
    direction *= rng.lognormal(0.35, 0.15) / np.linalg.norm(direction)
    duration = float(np.clip(rng.normal(0.160, 0.012), 0.140, 0.190))
    turn = rotation_matrix(*rng.normal(0, 22, 3))
    scale = np.array([0.30, 0.80, 1.0, 0.70, 0.22])[:, None] * rng.lognormal(0, 0.3, (5, 1))
    vector = scale * direction
    vector[:2] = vector[:2] @ turn.T
    vector[3:] = vector[3:] @ turn
    qrs = Waves(
        duration * np.array([0.13, 0.30, 0.48, 0.66, 0.82]),
        duration * np.array([0.075, 0.092, 0.095, 0.092, 0.080]),
        vector,
    )
    discordant = -direction * rng.uniform(0.32, 0.5)
    t = Waves(np.array([-0.065, 0.0]), np.array([0.055, 0.048]), np.array([[0.35], [0.85]]) * discordant)
    none = Waves(np.zeros(1), np.full(1, 0.02), np.zeros((1, 3)))
    return Beat(none, qrs, t, 0.1, duration, 0.46, 0.25 * discordant)


def _size(beat: Beat) -> float:
    """Give the size of this person's QRS against the usual one, at least three quarters."""
    return max(0.75, float(np.linalg.norm(beat.qrs.vector[2]) / 1.46))
