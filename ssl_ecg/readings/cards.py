"""How what a model puts out becomes an answer: calibrated probabilities with decisions, or numbers with an interval.

A reading is learnt on validation records and stored with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_ecg.readings.base import Reading
from ssl_ecg.readings.classes import ClassReading, ExclusiveReading
from ssl_ecg.readings.values import ValueReading

_KINDS: dict[str, type[ClassReading] | type[ExclusiveReading] | type[ValueReading]] = {
    "multiclass": ExclusiveReading,
    "continuous": ValueReading,
}


def read_card(card: Mapping[str, Any], leads: Sequence[str] | None = None) -> Reading:
    """Give the reading that a head's card holds: with all leads, or with some if it was judged with these."""
    judged = {**card, **card.get("reduced_leads", {}).get(",".join(leads or ()), {})}
    return _KINDS.get(str(card.get("kind")), ClassReading).from_card(card["classes"], judged)
