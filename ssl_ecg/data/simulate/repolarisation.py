"""Infarction, ischaemia and strain: what they do to the first forces of QRS, to ST and to T."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ssl_ecg.data.simulate.conduction import left_hypertrophy
from ssl_ecg.data.simulate.dipole import Beat, Floats


@dataclass(frozen=True, slots=True)
class Territory:
    """Wall of an infarction.

    Attributes
    ----------
    lost : array (5, 3) [mV]
        What the dead muscle takes from the five QRS waves.
    injury : array (3,)
        Direction of ST elevation while it is acute.
    ischaemia : array (3,) [mV]
        What T loses when it inverts.
    """

    lost: Floats
    injury: Floats
    ischaemia: Floats


_TERRITORIES: Mapping[str, Territory] = MappingProxyType(
    {
        "AMI": Territory(
            lost=np.array([[0.0, 0, -0.26], [0.06, 0, -0.50], [0.25, 0, -0.42], [0.0, 0, -0.05], [0, 0, 0]]),
            injury=np.array([0.35, 0.0, -1.0]),
            ischaemia=np.array([0.22, 0.0, -0.44]),
        ),
        "IMI": Territory(
            lost=np.array([[0.0, 0.27, 0], [0.02, 0.46, -0.04], [0.10, 0.34, -0.08], [0, 0.05, 0], [0, 0, 0]]),
            injury=np.array([-0.25, 1.0, 0.30]),
            ischaemia=np.array([0.02, 0.34, 0.04]),
        ),
        "LMI": Territory(
            lost=np.array([[0.30, 0, 0], [0.50, 0.02, 0], [0.42, 0.04, -0.08], [0.06, 0, 0], [0, 0, 0]]),
            injury=np.array([1.0, -0.30, 0.1]),
            ischaemia=np.array([0.42, 0.02, -0.04]),
        ),
    }
)


def infarction(territory: str, stage: str) -> Callable[[Beat, np.random.Generator], None]:
    """Give the change by an infarction: of ``"AMI"``, ``"IMI"`` or ``"LMI"``, acute, recent or old."""
    wall = _TERRITORIES[territory]
    q_wave = {"acute": (0.3, 0.8), "recent": (0.55, 1.1), "old": (0.55, 1.2)}[stage]

    def change(beat: Beat, rng: np.random.Generator) -> None:
        size = float(np.linalg.norm(beat.qrs.vector[2]) / 1.46)
        beat.qrs.vector[:5] -= wall.lost * rng.uniform(*q_wave) * max(size, 0.8)
        beat.axis = (max(beat.axis[0] - 30, -80.0), beat.axis[1] + 25)
        if stage == "acute":
            beat.st = wall.injury + rng.normal(0, 0.12, 3)
            beat.st_target = 0.14 + float(np.clip(rng.exponential(0.12), 0, 0.4))
            beat.slope = float(rng.uniform(0.0, 0.8))
            beat.t.vector += 0.35 * beat.st_target * wall.injury
        elif stage == "recent":
            beat.t.vector -= np.array([[0.35], [1.0]]) * wall.ischaemia * rng.uniform(0.7, 1.4)
            beat.qtc += 0.015

    return change


def st_depression(beat: Beat, rng: np.random.Generator) -> None:
    """Subendocardial ischaemia: ST away from the apex, horizontal or downsloping, T flat or turned."""
    beat.st = np.array([-1.0, -0.55, 0.25]) + rng.normal(0, 0.2, 3)
    beat.st_target = -0.10 - float(np.clip(rng.exponential(0.05), 0.01, 0.25))
    beat.slope = float(rng.uniform(-0.4, 0.6))
    beat.t.vector *= rng.uniform(0.4, 1.0)
    beat.t.vector[1] -= np.array([0.10, 0.05, 0.0]) * rng.uniform(0, 1.2)


_ELEVATIONS: Floats = np.array([[0.5, 0.1, -1.0], [-0.2, 1.0, 0.15], [0.9, 0.7, -0.35]])


def st_elevation(beat: Beat, rng: np.random.Generator) -> None:
    """ST elevation without Q waves: anterior, inferior, or in most leads; upsloping into T."""
    beat.st = _ELEVATIONS[rng.integers(3)] + rng.normal(0, 0.12, 3)
    beat.st_target = 0.12 + float(np.clip(rng.exponential(0.08), 0.01, 0.3))
    beat.slope = float(rng.uniform(0.1, 0.9))
    beat.t.vector *= rng.uniform(0.9, 1.3)


def low_t(beat: Beat, rng: np.random.Generator) -> None:
    """Flat T waves, ST a little low."""
    beat.t.vector *= rng.uniform(0.15, 0.45)
    beat.st = beat.st * 0.3 + np.array([-0.02, -0.015, 0.0]) * rng.uniform(0, 1)


def inverted_t(beat: Beat, rng: np.random.Generator) -> None:
    """T waves turned away from the apex, with little change of ST."""
    direction = np.array([-0.26, -0.12, 0.06]) + rng.normal(0, 0.04, 3)
    beat.t.vector = beat.t.vector * 0.1 + np.array([[0.25], [1.0]]) * direction * rng.uniform(0.7, 1.5)
    beat.st = beat.st * 0.3
    beat.qtc += 0.01


def left_strain(beat: Beat, rng: np.random.Generator) -> None:
    """Left hypertrophy with downsloping ST depression and T inversion on the left."""
    left_hypertrophy(beat, rng)
    beat.st = np.array([-1.0, -0.25, -0.35]) + rng.normal(0, 0.12, 3)
    beat.st_target = -0.11 - float(np.clip(rng.exponential(0.05), 0, 0.2))
    beat.slope = float(rng.uniform(0.3, 1.0))
    strain = np.array([-0.34, -0.10, -0.16]) * rng.uniform(0.7, 1.4)
    beat.t.vector = beat.t.vector * np.array([0.1, 0.2, 0.7]) + np.array([[0.3], [1.0]]) * strain
