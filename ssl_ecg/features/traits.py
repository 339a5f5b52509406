"""Plain traits of strips by which those that are no ordinary ECG stand out; NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.leads import limb_relations

Floats = NDArray[np.float64]

EDGES = (0.0, 2.0, 5.0, 10.0, 20.0, 30.0, np.inf)
"""Of the frequency bands [Hz]."""
LEAD_TRAITS = (
    "amplitude",
    "peak",
    "polarity",
    "slope_turn",
    "slope_peak",
    *(f"band{k}" for k in range(len(EDGES) - 1)),
)
"""Of each lead."""
_SIGNED = (2, 3)
STEP = 1e-3
"""Amplitudes below this are not told apart [mV]."""
_LEAST_SHARE, _LEAST_RESIDUAL = 1e-4, 0.02


@lru_cache(maxsize=32)
def trait_names(leads: tuple[str, ...]) -> tuple[str, ...]:
    """Name the traits of strips with these leads, such as ``"II/amplitude"``, ``"II~V1"`` or ``"I,II,III"``."""
    each = [f"{lead}/{trait}" for lead in leads for trait in LEAD_TRAITS]
    pairs = [f"{a}~{b}" for a, b in combinations(leads, 2)]
    laws = [",".join(leads[k] for k in np.flatnonzero(row)) for row in limb_relations(leads)]
    return (*each, *pairs, *laws)


def lead_traits(n_traits: int, n_leads: int) -> tuple[slice, tuple[int, int]]:
    """Say where the traits of single leads stand among all, and the shape (lead, trait) in which they do."""
    n = n_leads * len(LEAD_TRAITS)
    return slice(0, min(n, n_traits)), (n_leads, len(LEAD_TRAITS))


def strip_traits(
    signal: NDArray[np.floating], fs: float, leads: Sequence[str], present: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Describe strips by their amplitude, shape and spectrum in each lead, and by how the leads agree.

    With x a lead about its median, r its root mean square, x_p its percentiles, d its differences from sample to
    sample: amplitude log(r); peak log((x_99.5 - x_0.5) / r); polarity (x_99.5 + x_0.5) / (x_99.5 - x_0.5); slope_turn,
    the skewness, and slope_peak, the log of the kurtosis of d (about zero); band0 ... band5, log of the share of the
    power in each band. For two leads their correlation (about the medians); for each law of the limb leads the log of
    the root mean square of what contradicts it, over that of the leads it joins.

    Parameters
    ----------
    signal : array (strip, lead, time) [mV]
        Finite.
    fs : float
        [Hz]
    leads : sequence of str
    present : bool array (strip, lead)

    Returns
    -------
    float32 array (strip, trait)
        In the order of `trait_names`; NaN where a lead is absent.

    Examples
    --------
    >>> beat = np.sin(np.arange(1000) / 10) ** 9
    >>> found = strip_traits(np.stack([beat, -2 * beat])[None], 100, ("V1", "V2"), np.ones((1, 2), bool))
    >>> names = trait_names(("V1", "V2"))
    >>> round(float(found[0, names.index("V1~V2")]), 2)
    -1.0
    """
    x = np.asarray(signal, np.float64)
    x = x - np.median(x, axis=-1, keepdims=True)
    size = np.sqrt(np.mean(np.square(x), axis=-1))
    each = np.stack([*_shape(x, size), *_bands(x, fs)], axis=-1)
    each[~present] = np.nan
    gone = np.where(present, 0.0, np.nan)
    first, second = np.triu_indices(x.shape[1], 1)
    scaled = x / (size + STEP)[..., None]
    pairs = np.einsum("nit,njt->nij", scaled, scaled)[:, first, second] / x.shape[-1]
    pairs = pairs + gone[:, first] + gone[:, second]
    laws = limb_relations(tuple(leads))
    residual = np.sqrt(np.mean(np.square(np.einsum("ri,nit->nrt", laws, x)), axis=-1))
    joined = (laws != 0).astype(np.float64)
    usual = (np.where(present, size, 0.0) @ joined.T) / joined.sum(axis=1) if len(laws) else residual
    contradiction = np.log(residual / (usual + STEP) + _LEAST_RESIDUAL)
    contradiction[(~present).astype(np.float64) @ joined.T > 0] = np.nan
    return np.concatenate([each.reshape(len(x), -1), pairs, contradiction], axis=1).astype(np.float32)


def over_leads(traits: NDArray[np.floating], n_leads: int) -> Floats:
    """Average the traits of single leads over the leads that are there, signed ones without their sign.

    Parameters
    ----------
    traits : array (strip, trait)
        As `strip_traits` gives them.
    n_leads : int

    Returns
    -------
    float64 array (strip, trait of a lead)
    """
    where, shape = lead_traits(traits.shape[1], n_leads)
    each = np.asarray(traits[:, where], np.float64).reshape(-1, *shape)
    each[..., _SIGNED] = np.abs(each[..., _SIGNED])
    known = np.isfinite(each)
    total = np.where(known, each, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def _shape(x: Floats, size: Floats) -> list[Floats]:
    low, high = np.percentile(x, (0.5, 99.5), axis=-1)
    slope = np.diff(x, axis=-1) if x.shape[-1] > 1 else np.zeros_like(x)  # a single sample is flat
    steep = np.sqrt(np.mean(np.square(slope), axis=-1))
    return [
        np.log(size + STEP),
        np.log((high - low + STEP) / (size + STEP)),
        (high + low) / (high - low + STEP),
        np.mean(slope**3, axis=-1) / (steep**3 + STEP**3),
        np.log(np.mean(slope**4, axis=-1) / (steep**4 + STEP**4) + STEP),
    ]


def _bands(x: Floats, fs: float) -> list[Floats]:
    power = np.square(np.abs(np.fft.rfft(x, axis=-1)))
    frequency = np.fft.rfftfreq(x.shape[-1], 1 / fs)
    total = power.sum(axis=-1) + STEP**2
    return [
        np.log(power[..., (frequency >= low) & (frequency < high)].sum(axis=-1) / total + _LEAST_SHARE)
        for low, high in pairwise(EDGES)
    ]
