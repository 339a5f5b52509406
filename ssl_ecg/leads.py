"""Names, order and linear relations of the twelve standard leads.

The limb leads are linear functions of I and II: Einthoven's law II = I + III, and Goldberger's
augmented leads aVR = -(I + II) / 2, aVL = I - II / 2, aVF = II - I / 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

LIMB_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF")
CHEST_LEADS = ("V1", "V2", "V3", "V4", "V5", "V6")
STANDARD_LEADS = LIMB_LEADS + CHEST_LEADS

LEAD_SETS = MappingProxyType(
    {
        12: STANDARD_LEADS,
        8: ("I", "II", *CHEST_LEADS),
        6: LIMB_LEADS,
        4: ("I", "II", "III", "V2"),
        3: ("I", "II", "V2"),
        2: ("I", "II"),
        1: ("I",),
    }
)
"""The reduced lead sets of the PhysioNet/CinC Challenge 2021 (8 leads after the lead-attention paper)."""

_ALIASES = {
    **{lead.upper(): lead for lead in STANDARD_LEADS},
    "DI": "I", "DII": "II", "DIII": "III", "D1": "I", "D2": "II", "D3": "III",
    "L1": "I", "L2": "II", "L3": "III", "LEADI": "I", "LEADII": "II", "LEADIII": "III",
    "MLI": "I", "MLII": "II", "MLIII": "III",
    "VR": "aVR", "VL": "aVL", "VF": "aVF",
    **{f"C{k}": f"V{k}" for k in range(1, 7)},
    **{f"MV{k}": f"V{k}" for k in range(1, 7)},
}  # fmt: skip

# Row: limb lead; columns: coefficients of (I, II).
_LIMB_FROM_I_II = np.array(
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0], [-0.5, -0.5], [1.0, -0.5], [-0.5, 1.0]], dtype=np.float64
)


def canonical_lead(name: str) -> str | None:
    """Give the canonical name of a standard lead, or None if the name is not one.

    Case, blanks, and the prefixes "ECG" and "lead" are ignored. The modified leads of ambulatory
    recordings (MLII, MV1 ...) count as the standard lead that they approximate.

    Examples
    --------
    >>> canonical_lead("AVR"), canonical_lead("mlii"), canonical_lead("ECG v1"), canonical_lead("RESP")
    ('aVR', 'II', 'V1', None)
    """
    key = "".join(ch for ch in name.upper() if ch.isalnum())
    for prefix in ("ECG", "EKG", "LEAD"):
        if key.startswith(prefix) and key[len(prefix) :] in _ALIASES:
            key = key[len(prefix) :]
    return _ALIASES.get(key)


def parse_leads(text: str | Sequence[str]) -> tuple[str, ...]:
    """Read a list of leads in the order given, such as ``"I,II,V1"``.

    Raises
    ------
    SignalError
        If a name is unknown or given twice.

    Examples
    --------
    >>> parse_leads("ii, avr, V1")
    ('II', 'aVR', 'V1')
    """
    names = text.split(",") if isinstance(text, str) else list(text)
    leads: list[str] = []
    for name in names:
        lead = canonical_lead(name)
        if lead is None:
            raise SignalError("leads", f"unknown lead {name.strip()!r}", f"choose from {', '.join(STANDARD_LEADS)}")
        if lead in leads:
            raise SignalError("leads", f"lead {lead} is given twice", "name each lead once")
        leads.append(lead)
    return tuple(leads)


def derive_limb_leads(present: dict[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    """Compute the limb leads that follow from two or more independent ones present.

    Parameters
    ----------
    present : dict
        Canonical lead name -> samples [mV], all of one length.

    Returns
    -------
    dict
        The missing limb leads only; empty when fewer than two limb leads are there.

    References
    ----------
    Any two of the six limb leads span the frontal plane (Einthoven 1913; Goldberger 1942).

    Examples
    --------
    >>> out = derive_limb_leads({"I": np.array([1.0]), "III": np.array([0.5])})
    >>> {lead: float(values[0]) for lead, values in out.items()}
    {'II': 1.5, 'aVR': -1.25, 'aVL': 0.25, 'aVF': 1.0}
    """
    known = [k for k, lead in enumerate(LIMB_LEADS) if lead in present]
    if len(known) < 2 or len(known) == len(LIMB_LEADS):
        return {}
    pair = known[:2]
    to_pair = _LIMB_FROM_I_II @ np.linalg.inv(_LIMB_FROM_I_II[pair])
    first, second = (present[LIMB_LEADS[k]] for k in pair)
    dtype = first.dtype
    return {
        lead: (to_pair[k, 0] * first + to_pair[k, 1] * second).astype(dtype)
        for k, lead in enumerate(LIMB_LEADS)
        if k not in known
    }


@lru_cache(maxsize=64)
def limb_relations(leads: tuple[str, ...]) -> NDArray[np.float32]:
    """Give the linear relations that hold between the limb leads among `leads`.

    Returns
    -------
    float32 array (relation, lead)
        ``relations @ signal`` is zero where Einthoven's and Goldberger's laws hold; no rows when fewer than
        three limb leads are there.

    Examples
    --------
    >>> limb_relations(("I", "II", "III", "V1")).tolist()
    [[-1.0, 1.0, -1.0, 0.0]]
    """
    places = [(LIMB_LEADS.index(lead), k) for k, lead in enumerate(leads) if lead in LIMB_LEADS]
    places.sort()
    relations = np.zeros((max(0, len(places) - 2), len(leads)), np.float32)
    if not len(relations):
        return relations
    pair = [place for place, _ in places[:2]]
    to_pair = _LIMB_FROM_I_II @ np.linalg.inv(_LIMB_FROM_I_II[pair])
    for row, (place, k) in zip(relations, places[2:], strict=True):
        row[[places[0][1], places[1][1]]] = to_pair[place]
        row[k] = -1.0
    return relations


def limb_residual(signal: NDArray[np.floating], leads: Sequence[str]) -> float:
    """Give the largest deviation from Einthoven's and Goldberger's relations [mV].

    Parameters
    ----------
    signal : array (lead, time) [mV]
    leads : sequence of canonical lead names, one per row

    Returns
    -------
    float
        The worst relation's 99th percentile over time; NaN when fewer than three limb leads are there.

    Examples
    --------
    >>> limb_residual(np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 1.5]]), ["I", "II", "III"])
    0.495
    """
    relations = limb_relations(tuple(leads))
    if not len(relations):
        return float("nan")
    limb = relations.any(axis=0)
    deviation = np.abs(relations[:, limb] @ np.asarray(signal)[limb])
    return float(np.nanpercentile(deviation, 99, axis=1).max())
