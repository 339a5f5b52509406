"""All transforms by name."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any

from ssl_ecg.augment.base import Transform
from ssl_ecg.augment.transforms_crop import RandomCrop, RandomResizedCrop
from ssl_ecg.augment.transforms_lead_sets import LeadSets
from ssl_ecg.augment.transforms_leads import DipoleRotation, DipoleScaling, Gain, LeadGain, LeadMask
from ssl_ecg.augment.transforms_noise import EMG, BaselineWander, Powerline
from ssl_ecg.augment.transforms_real_noise import RealNoise
from ssl_ecg.augment.transforms_time import BandFilter, Speed, TimeMask, TimeWarp
from ssl_ecg.errors import RecipeError

TRANSFORMS: dict[str, type[Transform]] = {
    "crop": RandomCrop,
    "resized_crop": RandomResizedCrop,
    "gain": Gain,
    "lead_gain": LeadGain,
    "lead_mask": LeadMask,
    "lead_sets": LeadSets,
    "dipole_rotation": DipoleRotation,
    "dipole_scaling": DipoleScaling,
    "baseline_wander": BaselineWander,
    "powerline": Powerline,
    "emg": EMG,
    "real_noise": RealNoise,
    "time_mask": TimeMask,
    "time_warp": TimeWarp,
    "speed": Speed,
    "band_filter": BandFilter,
}


def parameters_of(name: str) -> tuple[str, ...]:
    """Give the parameters of a transform.

    Raises
    ------
    RecipeError
        If the name is unknown.

    Examples
    --------
    >>> parameters_of("gain")
    ('largest', 'p', 'strength')
    """
    if name not in TRANSFORMS:
        raise RecipeError(f"transform {name!r}", "unknown name", _nearest(name, tuple(TRANSFORMS)))
    return tuple(inspect.signature(TRANSFORMS[name]).parameters)


def build_transform(name: str, **kwargs: Any) -> Transform:
    """Make a transform from its name and parameters.

    Raises
    ------
    RecipeError
        If the name or a parameter is unknown, missing or out of range.
    SignalError, RecordError
        If leads or noise records do not fit.

    Examples
    --------
    >>> build_transform("time_mask", share=0.2).share
    0.2
    >>> build_transform("time_musk")
    Traceback (most recent call last):
        ...
    ssl_ecg.errors.RecipeError: transform 'time_musk': unknown name; did you mean 'time_mask'?
    """
    known = parameters_of(name)
    for key in kwargs:
        if key not in known:
            raise RecipeError(f"transform {name!r}", f"unknown parameter {key!r}", _nearest(key, known))
    try:
        return TRANSFORMS[name](**kwargs)
    except RecipeError as error:
        raise RecipeError(f"{error.where} of transform {name!r}", error.problem, error.remedy) from error
    except TypeError as error:
        raise RecipeError(f"transform {name!r}", str(error), f"its parameters are {', '.join(known)}") from error


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"
