"""The views of 3KG as its recipe makes them, against loops over strips and samples with the published matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import ssl_ecg.augment.transforms_leads as transforms_leads
from ssl_ecg import simulate
from ssl_ecg.augment.views import build_views
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.recipes import load_recipe

# Dower et al. 1980, and its inverse as Edenbrandt and Pahlm 1988 published it; rows are leads, columns X, Y, Z.
DOWER = {
    "V1": (-0.515, 0.157, -0.917), "V2": (0.044, 0.164, -1.387), "V3": (0.882, 0.098, -1.277),
    "V4": (1.213, 0.127, -0.601), "V5": (1.125, 0.127, -0.086), "V6": (0.831, 0.076, 0.230),
    "I": (0.632, -0.235, 0.059), "II": (0.235, 1.066, -0.132),
}  # fmt: skip
INVERSE = {
    "V1": (-0.172, 0.057, -0.229), "V2": (-0.074, -0.019, -0.310), "V3": (0.122, -0.106, -0.246),
    "V4": (0.231, -0.022, -0.063), "V5": (0.239, 0.041, 0.055), "V6": (0.194, 0.048, 0.108),
    "I": (0.156, -0.227, 0.022), "II": (-0.010, 0.887, 0.102),
}  # fmt: skip


def turned(v: list[float], angles: list[float]) -> list[float]:
    """Turn about X, then Y, then Z."""
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        v = list(v)
        v[a], v[b] = math.cos(angle) * v[a] - math.sin(angle) * v[b], math.sin(angle) * v[a] + math.cos(angle) * v[b]
    return v


def moved(sample: dict[str, float], angles: list[float], factors: list[float], *, published: bool) -> list[float]:
    """Twelve leads at one moment, after the dipole is turned and stretched and what it does not explain is kept."""
    if published:
        dipole = [sum(INVERSE[lead][axis] * sample[lead] for lead in DOWER) for axis in range(3)]
    else:  # the inverse unrounded: the dipole that explains most of the leads
        dipole = list(np.linalg.lstsq(np.array(list(DOWER.values())), [sample[lead] for lead in DOWER], rcond=None)[0])
    after = [factor * x for factor, x in zip(factors, turned(dipole, angles), strict=True)]
    leads = {}
    for lead, row in DOWER.items():
        rest = sample[lead] - sum(w * x for w, x in zip(row, dipole, strict=True))
        leads[lead] = rest + sum(w * x for w, x in zip(row, after, strict=True))
    one, two = leads["I"], leads["II"]
    leads |= {"III": two - one, "aVR": -(one + two) / 2, "aVL": one - two / 2, "aVF": two - one / 2}
    return [leads[lead] for lead in STANDARD_LEADS]


@pytest.mark.parametrize(("published", "atol"), [(False, 1e-4), (True, 1e-2)])
def test_views_turn_and_stretch_the_dipole(published: bool, atol: float, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: dict[str, list[torch.Tensor]] = {"angles": [], "factors": []}

    def note(name: str, function: object) -> object:
        def noting(*arguments: object) -> torch.Tensor:
            result = function(*arguments)  # type: ignore[operator]
            drawn[name].append(arguments[0] if name == "angles" else result)
            return result

        return noting

    monkeypatch.setattr(transforms_leads, "rotation_matrix", note("angles", transforms_leads.rotation_matrix))
    monkeypatch.setattr(transforms_leads, "factor", note("factors", transforms_leads.factor))
    section = load_recipe("three_kg")["views"]
    length = section["crop"]  # strips as long as the views, so that all crops are the same
    x = np.stack([record.signal[:, :length] for record in simulate(4, seed=0, seconds=2, fs=100)])
    assert np.abs(x).max() > 0.5, "in mV"
    present = torch.ones(4, 12, dtype=torch.bool)
    x[2, 7], present[2, 7] = 0, False
    torch.manual_seed(0)
    views = build_views(section, fs=100.0)(torch.from_numpy(x), present)
    assert len(views) == len(drawn["angles"]) == len(drawn["factors"]) == 2
    for view, all_angles, all_factors in zip(views, drawn["angles"], drawn["factors"], strict=True):
        assert float(all_angles.abs().max()) <= math.radians(45)
        assert 1 / 1.5 <= float(all_factors.min()) <= float(all_factors.max()) <= 1.5
        for b in range(4):
            angles, factors = all_angles[b].tolist(), all_factors[b].tolist()
            hidden = [t for t in range(length) if not view[b, :, t].any()]
            assert len(hidden) <= length / 2 + 1
            assert not hidden or hidden == list(range(hidden[0], hidden[-1] + 1)), "one span"
            for t in set(range(0, length, 3)) - set(hidden):
                sample = dict(zip(STANDARD_LEADS, x[b, :, t].tolist(), strict=True))
                whole = b != 2  # of a strip without a lead the dipole cannot be told
                expected = moved(sample, angles, factors, published=published) if whole else list(sample.values())
                np.testing.assert_allclose(view[b, :, t].numpy(), expected, atol=atol)
