"""Traits of strips against loops over strips and leads."""

from __future__ import annotations

import math

import numpy as np
from scipy.signal import periodogram

from ssl_ecg.features.traits import over_leads, strip_traits, trait_names
from ssl_ecg.leads import STANDARD_LEADS

LEADS = ("I", "II", "III", "aVR", "V1")
BANDS = [(0, 2), (2, 5), (5, 10), (10, 20), (20, 30), (30, 1e9)]


def slow_traits(signal: np.ndarray, fs: float) -> list[float]:
    """Give the traits of one strip (lead, time) with all leads, each by its formula."""
    each, sizes, about = [], [], []
    for row in signal.astype(float):
        x = row - np.median(row)
        r = math.sqrt(sum(v * v for v in x) / len(x))
        low, high = np.percentile(x, 0.5), np.percentile(x, 99.5)
        d = x[1:] - x[:-1]
        s = math.sqrt((d**2).mean())
        each += [math.log(r + 1e-3), math.log((high - low + 1e-3) / (r + 1e-3)), (high + low) / (high - low + 1e-3)]
        each += [(d**3).mean() / (s**3 + 1e-9), math.log((d**4).mean() / (s**4 + 1e-12) + 1e-3)]
        f, power = periodogram(x, fs, detrend=False, scaling="spectrum")
        power[(f > 0) & (f < fs / 2)] /= 2  # one-sided: as many times as each component is there
        each += [math.log(power[(f >= a) & (f < b)].sum() / power.sum() + 1e-4) for a, b in BANDS]
        sizes.append(r)
        about.append(x)
    pairs = [
        (about[i] * about[j]).mean() / ((sizes[i] + 1e-3) * (sizes[j] + 1e-3))
        for i in range(len(signal))
        for j in range(i + 1, len(signal))
    ]
    one, two, three, right = about[:4]
    laws = []
    for gap, joined in ((two - one - three, (0, 1, 2)), (right + (one + two) / 2, (0, 1, 3))):
        usual = sum(sizes[k] for k in joined) / 3
        laws.append(math.log(math.sqrt((gap**2).mean()) / (usual + 1e-3) + 0.02))
    return [*each, *pairs, *laws]


def test_traits_are_their_formulas() -> None:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(3, 5, 501)) ** 3 * rng.uniform(0.1, 2, (3, 5, 1)) + 1
    signal[0] = np.cumsum(signal[0], axis=-1) / 10
    signal[1, 2] = signal[1, 1] - signal[1, 0]
    found = strip_traits(signal, 100, LEADS, np.ones((3, 5), bool))
    assert found.shape == (3, len(trait_names(LEADS))) == (3, 5 * 11 + 10 + 2)
    np.testing.assert_allclose(found, [slow_traits(strip, 100) for strip in signal], rtol=1e-4, atol=1e-4)
    assert found[1, -2] < math.log(0.03) < found[1, -1], "Einthoven holds, Goldberger does not"


def test_an_absent_lead_is_unknown_and_changes_no_other() -> None:
    signal = np.random.default_rng(1).normal(size=(2, 12, 300))
    present = np.ones((2, 12), bool)
    present[1, [2, 7]] = False
    signal[1, [2, 7]] = 0
    names = trait_names(STANDARD_LEADS)
    found = strip_traits(signal, 100, STANDARD_LEADS, present)
    gone = {name for name, value in zip(names, found[1], strict=True) if np.isnan(value)}
    assert gone == {n for n in names if {"III", "V2"} & {*n.replace("/", ",").replace("~", ",").split(",")}}
    whole = strip_traits(signal, 100, STANDARD_LEADS, np.ones((2, 12), bool))
    np.testing.assert_array_equal(found[1][~np.isnan(found[1])], whole[1][~np.isnan(found[1])])
    assert np.isfinite(found[0]).all()


def test_averages_over_the_leads_that_are_there() -> None:
    signal = np.random.default_rng(2).normal(size=(1, 5, 300)) ** 3
    present = np.array([[True, True, False, True, False]])
    found = strip_traits(signal, 100, LEADS, present)
    each = found[0, :55].reshape(5, 11)[[0, 1, 3]].astype(float)
    each[:, [2, 3]] = abs(each[:, [2, 3]])
    np.testing.assert_allclose(over_leads(found, 5)[0], each.mean(axis=0))


def test_flat_leads_have_finite_traits() -> None:
    found = strip_traits(np.zeros((1, 5, 100)), 100, LEADS, np.ones((1, 5), bool))
    assert np.isfinite(found).all()


def test_a_single_sample_has_finite_traits() -> None:
    with np.errstate(all="raise"):
        assert np.isfinite(strip_traits(np.ones((1, 5, 1)), 100, LEADS, np.ones((1, 5), bool))).all()
