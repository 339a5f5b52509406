"""Changes of recordings with their settings; `perturbed` applies one to a whole archive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.augment.noise_parts import Part, part_of
from ssl_ecg.data.readers import read_record
from ssl_ecg.errors import RecipeError, SignalError
from ssl_ecg.evaluate.perturb import (
    SWAPS,
    Rows,
    add_noise,
    draw_places,
    invert,
    lose_leads,
    lose_samples,
    pass_rate,
    swap_electrodes,
)
from ssl_ecg.signal import resample_band


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a change has to know of a recording: rate [Hz], leads, which are there (lead,), pass band [Hz] or None."""

    fs: float
    leads: tuple[str, ...]
    present: NDArray[np.bool_]
    band: tuple[float, float] | None = None


class Perturbation(ABC):
    """A change of recordings; equal settings, seed and record give an equal result."""

    grows: float = 1.0
    """How many times as large a recording may become; what is larger still is cut off."""

    @property
    @abstractmethod
    def label(self) -> str:
        """Name with settings, for tables; two changes with one label do the same."""

    @abstractmethod
    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Change a recording (lead, time) [mV]; NaN is missing, a lead of zeros absent."""

    def lost(self, of: Recorded, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Say which leads are absent after the change; (lead,)."""
        return ~of.present


@dataclass(frozen=True)
class Noise(Perturbation):
    """Recorded noise, a piece of its own for each lead.

    Parameters
    ----------
    record : str
        Path of a record of noise, such as ``nstdb/em``.
    snr : float
        [dB], of each lead for itself.
    in_band : bool
        Measure the ratio within the archive's band. Otherwise it is that of the recording before it was
        filtered: of baseline wander, most is then gone.
    part : {"all", "first", "second"}
        Half of the recording from which the noise comes: one that was not trained with, see
        `ssl_ecg.augment.transforms_real_noise.RealNoise`.

    References
    ----------
    Moody, Muldrow and Mark 1984, Computers in Cardiology 11:381-384; doi 10.13026/C2HS3T.
    """

    record: str
    snr: float
    in_band: bool = True
    part: Part = "all"
    grows = 8.0

    def __post_init__(self) -> None:
        part_of(np.empty((1, 0)), self.part)  # refuses an unknown one

    @property
    def label(self) -> str:
        """Name with settings."""
        half = "" if self.part == "all" else f", {self.part} half"
        return f"{Path(self.record).stem} {self.snr:g} dB{'' if self.in_band else ' before the filter'}{half}"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Add the noise, filtered as the archive is."""
        raw, filtered = _noise_bank(self.record, of.fs, of.band, self.part)
        n_leads, n_samples = signal.shape
        drawn = draw_places((raw.shape[0], raw.shape[1]), n_leads, n_samples, rng)
        measured = filtered if self.in_band else raw
        return add_noise(signal, filtered[drawn], self.snr, measured[drawn])


@dataclass(frozen=True)
class LostLeads(Perturbation):
    """Leads that are absent.

    Parameters
    ----------
    leads : tuple of str
        Names; empty for leads drawn at random.
    n : int
        How many to draw from those of each record.
    """

    leads: tuple[str, ...] = ()
    n: int = 0

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"without {','.join(self.leads)}" if self.leads else f"without {self.n} leads"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Set the leads to zero."""
        lost = self.lost(of, rng)
        return lose_leads(signal, of.leads, [lead for lead, gone in zip(of.leads, lost, strict=True) if gone])

    def lost(self, of: Recorded, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Name the leads, or draw them from those present."""
        if self.leads:
            lose_leads(np.zeros((len(of.leads), 1), np.float32), of.leads, self.leads)  # refuses unknown ones
            return ~of.present | np.isin(of.leads, self.leads)
        gone = ~of.present
        gone[rng.permutation(np.flatnonzero(of.present))[: self.n]] = True
        return gone


@dataclass(frozen=True)
class Rate(Perturbation):
    """A device with another sampling rate [Hz]."""

    rate: float

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"{self.rate:g} Hz"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Resample to the rate and back."""
        return pass_rate(signal, of.fs, self.rate)


@dataclass(frozen=True)
class Gain(Perturbation):
    """An amplitude that is wrong by a factor."""

    factor: float

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"times {self.factor:g}"

    @property
    def grows(self) -> float:  # type: ignore[override]
        """The factor, if it makes larger."""
        return max(1.0, abs(self.factor))

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Multiply."""
        return np.asarray(signal * np.float32(self.factor), np.float32)


@dataclass(frozen=True)
class Inverted(Perturbation):
    """Leads with the wrong sign; all of them unless named."""

    leads: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"inverted {','.join(self.leads) or 'all'}"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Turn the sign."""
        return invert(signal, of.leads, self.leads or None)


@dataclass(frozen=True)
class Swapped(Perturbation):
    """Two limb electrodes exchanged: "LA/RA", "LA/LL" or "RA/LL"."""

    pair: str = "LA/RA"

    def __post_init__(self) -> None:
        if self.pair not in SWAPS:
            raise SignalError("electrodes", f"no pair {self.pair!r}", f"choose from {', '.join(SWAPS)}")

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"{self.pair} swapped"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Exchange the leads."""
        return swap_electrodes(signal, of.leads, self.pair)

    def lost(self, of: Recorded, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Let a lead be absent where that in whose place it comes was."""
        present = swap_electrodes(of.present[:, None].astype(np.float32), of.leads, self.pair)[:, 0]
        return np.asarray(present == 0, np.bool_)


@dataclass(frozen=True)
class LostSamples(Perturbation):
    """A share of the samples missing in all leads, in `gaps` gaps."""

    share: float
    gaps: int = 1

    @property
    def label(self) -> str:
        """Name with settings."""
        return f"{self.share:.0%} of the samples missing"

    def apply(self, signal: Rows, of: Recorded, rng: np.random.Generator) -> Rows:
        """Set the samples to NaN."""
        return lose_samples(signal, round(self.share * signal.shape[1]), self.gaps, rng)


PERTURBATIONS: dict[str, type[Perturbation]] = {
    "noise": Noise,
    "lost_leads": LostLeads,
    "rate": Rate,
    "gain": Gain,
    "inverted": Inverted,
    "swapped": Swapped,
    "lost_samples": LostSamples,
}


def build_perturbation(settings: Mapping[str, Any]) -> Perturbation:
    """Build a change from its name and settings.

    Raises
    ------
    RecipeError
        If there is no such change or setting.

    Examples
    --------
    >>> build_perturbation({"name": "gain", "factor": 2.0}).label
    'times 2'
    """
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    name = arguments.pop("name", None)
    if name not in PERTURBATIONS:
        raise RecipeError("perturbation", f"no {name!r}", f"choose from {', '.join(PERTURBATIONS)}")
    try:
        return PERTURBATIONS[name](**arguments)
    except TypeError as error:
        raise RecipeError(f"perturbation {name}", str(error), "check its settings") from error


@lru_cache(maxsize=16)
def _noise_bank(record: str, fs: float, band: tuple[float, float] | None, part: Part) -> tuple[Rows, Rows]:
    """Read noise and give it at a rate [Hz], as it is and filtered; each row of variance one before the filter."""
    found = read_record(record)
    raw = np.nan_to_num(resample_band(part_of(found.signal, part), found.fs, fs, None))
    raw -= raw.mean(axis=-1, keepdims=True)
    deviation = raw.std(axis=-1, keepdims=True)
    raw = (raw / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return raw, raw if band is None else resample_band(raw, fs, fs, band)
