from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import SignalError
from ssl_ecg.leads import (
    LEAD_SETS,
    LIMB_LEADS,
    STANDARD_LEADS,
    canonical_lead,
    derive_limb_leads,
    limb_relations,
    limb_residual,
    parse_leads,
)


def _limb(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The six limb leads from three electrode potentials, as they are defined."""
    right, left, foot = rng.normal(size=(3, 200))
    return {
        "I": left - right,
        "II": foot - right,
        "III": foot - left,
        "aVR": right - (left + foot) / 2,
        "aVL": left - (right + foot) / 2,
        "aVF": foot - (right + left) / 2,
    }


@pytest.mark.parametrize("pair", [(a, b) for k, a in enumerate(LIMB_LEADS) for b in LIMB_LEADS[:k]])
def test_any_two_limb_leads_give_the_others(pair: tuple[str, str]) -> None:
    limb = _limb(np.random.default_rng(0))
    derived = derive_limb_leads({lead: limb[lead] for lead in pair})
    assert set(derived) == set(LIMB_LEADS) - set(pair)
    for lead, values in derived.items():
        np.testing.assert_allclose(values, limb[lead], atol=1e-12)


def test_nothing_is_derived_from_one_lead_or_when_all_are_there() -> None:
    limb = _limb(np.random.default_rng(1))
    assert derive_limb_leads({"I": limb["I"], "V1": limb["II"]}) == {}
    assert derive_limb_leads(limb) == {}


def test_derived_leads_keep_the_dtype_and_missing_samples() -> None:
    one = np.array([1.0, np.nan], np.float32)
    derived = derive_limb_leads({"I": one, "aVF": np.ones(2, np.float32)})
    assert derived["II"].dtype == np.float32
    assert np.isnan(derived["II"][1])
    assert np.isfinite(derived["II"][0])


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("avr", "aVR"),
        ("AVF", "aVF"),
        (" v3 ", "V3"),
        ("ECG II", "II"),
        ("Lead I", "I"),
        ("lead_v6", "V6"),
        ("MLII", "II"),
        ("MV1", "V1"),
        ("C4", "V4"),
        ("DIII", "III"),
        ("RESP", None),
        ("V7", None),
        ("", None),
        ("PLETH", None),
        ("ABP", None),
    ],
)
def test_names(name: str, lead: str | None) -> None:
    assert canonical_lead(name) == lead


def test_every_standard_lead_is_its_own_name() -> None:
    assert [canonical_lead(lead.swapcase()) for lead in STANDARD_LEADS] == list(STANDARD_LEADS)
    assert all(set(leads) <= set(STANDARD_LEADS) and len(leads) == n for n, leads in LEAD_SETS.items())


@pytest.mark.parametrize("text", ["I,I", "I,mli", "II,nonsense", ""])
def test_wrong_lists_of_leads(text: str) -> None:
    with pytest.raises(SignalError):
        parse_leads(text)


def test_relations_vanish_on_true_limb_leads_in_any_order() -> None:
    limb = _limb(np.random.default_rng(2))
    rng = np.random.default_rng(3)
    for n in range(3, 7):
        names = tuple(rng.permutation(LIMB_LEADS)[:n])
        leads = (*names[:2], "V1", *names[2:])
        signal = np.stack([limb.get(lead, np.full(200, 7.0)) for lead in leads])
        relations = limb_relations(leads)
        assert relations.shape == (n - 2, n + 1)
        np.testing.assert_allclose(relations @ signal, 0, atol=1e-5)
        assert limb_residual(signal, leads) < 1e-5


def test_residual_says_how_far_a_lead_is_off() -> None:
    limb = _limb(np.random.default_rng(4))
    signal = np.stack([limb[lead] for lead in LIMB_LEADS])
    signal[3] += 0.25
    assert limb_residual(signal, LIMB_LEADS) == pytest.approx(0.25, abs=1e-5)
    assert np.isnan(limb_residual(signal[:2], LIMB_LEADS[:2]))


def test_residual_ignores_other_leads_and_missing_samples() -> None:
    limb = _limb(np.random.default_rng(5))
    signal = np.stack([*(limb[lead] for lead in LIMB_LEADS), np.full(200, np.nan)])
    signal[0, 3] = np.nan
    assert limb_residual(signal, (*LIMB_LEADS, "V1")) < 1e-5
