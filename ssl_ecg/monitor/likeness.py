"""How far vectors are from the usual one, with allowance for the noise around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating]

NEIGHBOURS = 4.0
"""The noise of a beat is told from the beats so far before and after it [s]."""
NOISE_SHARE = 0.25
"""Part of the noise energy that is allowed for, beyond that of the baseline."""
DRIFT = 0.05
"""A squared distance of this part of the usual vector's own size is nothing unusual: posture and breathing."""
LOWEST = -1.0
"""No vector counts as more usual than this, so that one that shows nothing does not outweigh one that does."""
CORE = 0.6
"""Part of the baseline that is taken to be usual."""


def local_noise(vectors: Vectors, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the noise energy in vectors of successive beats.

    Half the squared distance to the nearest among the neighbouring beats is the energy of the noise if one of
    them is of the same kind; the median over the neighbours is little moved by single beats that are not. A run of
    ventricular beats or a bigeminy is therefore no noise.

    Parameters
    ----------
    vectors : array (beat, dim)
    times : float64 array (beat,) [s]
        Increasing.

    Returns
    -------
    float64 array (beat,)
        NaN where there are fewer than three beats.

    Examples
    --------
    >>> local_noise(np.array([[0.0], [9.0], [0.2], [9.2]]), np.arange(4.0)).round(2).tolist()
    [0.02, 0.02, 0.02, 0.02]
    """
    out = np.full(len(times), np.nan)
    if not len(times):
        return out
    firsts = np.searchsorted(times, times - NEIGHBOURS, "left")
    stops = np.searchsorted(times, times + NEIGHBOURS, "right")
    nearest = np.full(len(times), np.nan)
    for k, (first, stop) in enumerate(zip(firsts, stops, strict=True)):
        if stop - first >= 3:
            others = np.r_[first:k, k + 1 : stop]
            nearest[k] = np.square(vectors[others] - vectors[k], dtype=np.float64).sum(axis=1).min() / 2
    for k, (first, stop) in enumerate(zip(firsts, stops, strict=True)):
        known = nearest[first:stop][np.isfinite(nearest[first:stop])]
        out[k] = np.median(known) if known.size else np.nan
    return out


def core_rows(vectors: Vectors, share: float = CORE, rounds: int = 5) -> NDArray[np.int64]:
    """Choose the rows that lie closest together: a trimmed mean, begun at the median.

    Examples
    --------
    >>> core_rows(np.array([[0.0], [0.1], [9.0], [0.2], [9.1]])).tolist()
    [0, 1, 3]
    """
    centre = np.median(vectors, axis=0)
    keep = np.arange(len(vectors))
    for _ in range(rounds):
        distance = np.square(vectors - centre, dtype=np.float64).sum(axis=1)
        keep = np.sort(np.argsort(distance, kind="stable")[: max(1, int(share * len(vectors)))])
        centre = vectors[keep].mean(axis=0)
    return keep


@dataclass(frozen=True, slots=True)
class Usual:
    """The usual vector of a baseline.

    Attributes
    ----------
    centre : float64 array (dim,)
    energy : float
        Usual squared distance from the centre, and `DRIFT`.
    noise : float
        Usual `local_noise`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> usual = Usual.fit(rng.normal(size=(90, 8)), np.full(90, 4.0))
    >>> usual.score(np.array([[0.0] * 8, [9.0] * 8]), np.array([4.0, 4.0])).round(0).tolist()
    [-1.0, 5.0]
    """

    centre: NDArray[np.float64]
    energy: float
    noise: float

    @classmethod
    def fit(cls, vectors: Vectors, noise: NDArray[np.float64], origin: NDArray[np.floating] | float = 0.0) -> Usual:
        """Learn from vectors (beat, dim), up to two fifths of which may be unusual, and their noise (beat,).

        `origin` is the vector of no signal at all.
        """
        core = vectors[core_rows(vectors)]
        centre = core.mean(axis=0, dtype=np.float64)
        energy = float(np.median(np.square(core - centre, dtype=np.float64).sum(axis=1)))
        energy += DRIFT * float(np.square(centre - origin).sum())
        known = noise[np.isfinite(noise)]
        return cls(centre, max(energy, 1e-12), float(np.median(known)) if known.size else 0.0)

    def score(self, vectors: Vectors, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the logarithm of squared distance over what is usual and what the noise explains; (beat,)."""
        distance = np.square(vectors - self.centre, dtype=np.float64).sum(axis=1)
        share = distance / (self.energy * (1 + NOISE_SHARE * self.excess(noise)))
        return np.asarray(np.maximum(np.log(np.maximum(share, 1e-9)), LOWEST))

    def excess(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give the noise beyond that of the baseline, over the usual energy; (beat,)."""
        return np.asarray(np.maximum(np.nan_to_num(noise, nan=self.noise) - self.noise, 0.0) / self.energy)
