"""One recording in the form in which an archive keeps it: canonical leads, one rate, filtered, int16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecordError
from ssl_ecg.leads import LIMB_LEADS, STANDARD_LEADS, canonical_lead, derive_limb_leads
from ssl_ecg.signal import quality_flags, resample_band

INVALID = -32768
"""Stands for a sample that is missing (NaN)."""
STEP = 1e-3
"""Resolution of an archive [mV]; coarser for a recording that does not fit into 16 bits."""
IMPOSSIBLE = 1e6
"""No recording reaches this [mV]."""
_LARGEST = 32767


@dataclass(frozen=True, slots=True)
class Form:
    """What every recording of an archive has in common.

    Attributes
    ----------
    fs : float
        [Hz]
    leads : tuple of str
        Canonical names, in order.
    band : (float, float) or None
        Pass band [Hz]; None leaves the recordings unfiltered.
    """

    fs: float = 100.0
    leads: tuple[str, ...] = STANDARD_LEADS
    band: tuple[float, float] | None = (0.5, 40.0)


@dataclass(frozen=True, slots=True, eq=False)
class Canonical:
    """A recording in the form of its archive.

    Attributes
    ----------
    samples : int16 array (lead, time)
        `INVALID` where a sample is missing, zero in leads that are absent.
    scale : float
        [mV] per step.
    present : int
        Bit k is set where lead k was recorded or could be derived.
    quality : list of str
        See `ssl_ecg.signal.quality_flags`.
    note : str or None
        What was left out.
    """

    samples: NDArray[np.int16]
    scale: float
    present: int
    quality: list[str]
    note: str | None


def canonicalise(record: Record, form: Form) -> Canonical:
    """Bring a recording into the form of an archive.

    Leads are recognised by name. Unknown ones are left out and noted. Of two that carry one name, the second
    is left out and noted if they are equal; the standard spelling of a name goes before an alias (II before
    MLII). Limb leads that are missing are derived where two others are there. A lead without a
    single valid sample counts as missing.

    Parameters
    ----------
    record : Record
    form : Form

    Raises
    ------
    RecordError
        If there is no usable lead or sample, or two different leads carry one name.

    Examples
    --------
    >>> record = Record(np.ones((3, 500), np.float32), 500, ("ii", "I", "RESP"), "a1")
    >>> done = canonicalise(record, Form(leads=("I", "II", "III", "V1"), band=None))
    >>> done.samples[:, 0].tolist(), bin(done.present), done.note
    ([1000, 1000, 0, 0], '0b111', 'left out RESP')
    """
    if record.signal.shape[1] == 0:
        raise RecordError(record.record_id, "has no samples", "leave it out or fetch it again")
    choice = _choose(record.leads)
    left_out = list(choice.left_out)
    for name, first, second in choice.doubles:
        if not np.array_equal(record.signal[first], record.signal[second], equal_nan=True):
            problem = f"two different leads are called {name} (rows {first + 1} and {second + 1})"
            raise RecordError(record.record_id, problem, "name each lead once")
        left_out.append(f"{record.leads[second]} (a copy)")
    wanted = _needed(choice.leads, form.leads)
    signal, leads = _usable(record, [choice.rows[k] for k in wanted], [choice.leads[k] for k in wanted])
    quality = quality_flags(signal, record.fs, leads)
    valid = [k for k, lead in enumerate(leads) if f"nan:{lead}" not in quality or np.isfinite(signal[k]).any()]
    if not valid:
        raise RecordError(record.record_id, "has no valid sample", "leave it out or fetch it again")
    if quality and np.abs(signal, where=np.isfinite(signal), out=np.zeros_like(signal)).max() >= IMPOSSIBLE:
        raise RecordError(record.record_id, f"reaches {IMPOSSIBLE:g} mV", "check gain and units")
    filtered = resample_band(signal, record.fs, form.fs, form.band)
    samples, scale, present = _quantised({leads[k]: filtered[k] for k in valid}, form, record.record_id)
    return Canonical(samples, scale, present, quality, f"left out {', '.join(left_out)}" if left_out else None)


def lead_mask(present: NDArray[np.uint16] | int, n_leads: int) -> NDArray[np.bool_]:
    """Unpack `Canonical.present` into booleans (..., lead).

    Examples
    --------
    >>> lead_mask(0b101, 3).tolist()
    [True, False, True]
    """
    bits = np.asarray(present, np.uint16)[..., None] >> np.arange(n_leads, dtype=np.uint16)
    return np.asarray(bits & 1, np.bool_)


@dataclass(frozen=True, slots=True)
class _Choice:
    leads: tuple[str, ...]  # canonical, in canonical order
    rows: tuple[int, ...]
    doubles: tuple[tuple[str, int, int], ...]  # name, row, other row
    left_out: tuple[str, ...]


@lru_cache(maxsize=256)
def _choose(names: tuple[str, ...]) -> _Choice:
    rows: dict[str, list[int]] = {}
    left_out: list[str] = []
    for k, name in enumerate(names):
        lead = canonical_lead(name)
        if lead is None:
            left_out.append(name or "a lead without name")
        else:
            rows.setdefault(lead, []).append(k)
    doubles: list[tuple[str, int, int]] = []
    for lead, found in rows.items():
        exact = [k for k in found if names[k].strip().upper() == lead.upper()]
        doubles += [(lead, (exact or found)[0], k) for k in (exact or found)[1:]]
        left_out += [names[k] for k in found if exact and k not in exact]
        rows[lead] = exact or found
    leads = tuple(sorted(rows, key=STANDARD_LEADS.index))
    return _Choice(leads, tuple(rows[lead][0] for lead in leads), tuple(doubles), tuple(left_out))


@lru_cache(maxsize=256)
def _needed(leads: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[int, ...]:
    """Say which of the leads there are needed, also to derive limb leads from."""
    derive = any(lead in LIMB_LEADS and lead not in leads for lead in wanted)
    return tuple(k for k, lead in enumerate(leads) if lead in wanted or (derive and lead in LIMB_LEADS))


def _usable(record: Record, rows: Sequence[int], leads: list[str]) -> tuple[NDArray[np.float32], list[str]]:
    if not rows:
        problem = f"has none of the archive's leads, only {', '.join(record.leads) or 'none at all'}"
        remedy = "prepare it with leads that it has, or say which leads they are: leads_as=II"
        raise RecordError(record.record_id, problem, remedy)
    whole = list(rows) == list(range(record.n_leads))
    signal = record.signal if whole else record.signal[list(rows)]
    return signal, leads


def _quantised(
    signal: dict[str, NDArray[np.float32]], form: Form, record_id: str
) -> tuple[NDArray[np.int16], float, int]:
    signal = {**signal, **derive_limb_leads(signal)}
    out = np.zeros((len(form.leads), next(iter(signal.values())).size), np.float32)
    present = 0
    for k, lead in enumerate(form.leads):
        if lead in signal:
            out[k] = signal[lead]
            present |= 1 << k
    if not present:
        raise RecordError(record_id, "has no valid sample in the archive's leads", "leave it out")
    missing = None
    peak = float(max(-out.min(), out.max()))
    if np.isnan(peak):
        missing = np.isnan(out)
        out[missing] = 0.0
        peak = float(max(-out.min(), out.max()))
    steps = max(1, int(np.ceil(peak / (_LARGEST * STEP))))  # whole microvolts
    scale = float(np.float32(steps * STEP))
    out *= np.float32(1 / scale)
    samples = np.rint(out, out=out).astype("<i2")
    if missing is not None:
        samples[missing] = INVALID
    return samples, scale, present
