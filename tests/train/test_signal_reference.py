"""Distances of signals against scikit-learn's shrunk covariance, record by record; records against their windows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from ssl_ecg import Archive, prepare
from ssl_ecg.data.record import Record
from ssl_ecg.features.traits import strip_traits, trait_names
from ssl_ecg.train.reference import load_reference, make_reference
from ssl_ecg.train.signal_reference import Look, look_at, look_reference
from ssl_ecg.train.supervised.data import open_windows

LEADS = ("I", "V1", "V2")
N = len(trait_names(LEADS))


def drawn(n: int, seed: int) -> np.ndarray:
    """Traits that go together."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(N, N)) / 5 + np.eye(N)
    return (rng.normal(size=(n, N)) @ mixing * np.linspace(0.1, 3, N)).astype(np.float32)


def look(traits: np.ndarray) -> Look:
    there = np.isfinite(traits[:, :33:11])
    return Look(traits, there, there)


def slow_distances(train: np.ndarray, held_out: np.ndarray, new: np.ndarray, quantile: float) -> list[float]:
    """Compare by all traits and by their averages over the three leads; of records without gaps."""

    def averages(x: np.ndarray) -> np.ndarray:
        each = x[:, :33].reshape(-1, 3, 11).astype(float).copy()
        each[..., 2:4] = abs(each[..., 2:4])
        return each.mean(axis=1)

    def usual(values: list[float]) -> float:
        return sorted(values)[math.ceil(quantile * (len(values) - 1))]

    kinds = []
    for view in (lambda x: x.astype(float), averages):
        mean, scale = view(train).mean(axis=0), view(train).std(axis=0)
        fitted = LedoitWolf().fit((view(train) - mean) / scale)
        inverse = np.linalg.inv(fitted.covariance_)
        each = []
        for part in (held_out, new):
            z = (view(part) - mean) / scale - fitted.location_
            each.append([math.sqrt(row @ inverse @ row) for row in z])
        largest = usual(each[0])
        kinds.append([[d / largest for d in values] for values in each])
    kept, found = ([max(pair) for pair in zip(kinds[0][k], kinds[1][k], strict=True)] for k in (0, 1))
    return [d / usual(kept) for d in found]


@pytest.mark.parametrize("quantile", [0.5, 0.99])
def test_distances_are_those_of_scikit_learn(quantile: float) -> None:
    train, held_out, new = drawn(60, 0), drawn(30, 1), drawn(9, 2)
    new[4, 5] += 40  # one trait of one lead
    new[5, [0, 11, 22]] += 1.5  # the same trait in every lead
    reference = look_reference(LEADS, look(train), look(held_out))
    found = reference.distance(new, quantile)
    np.testing.assert_allclose(found, slow_distances(train, held_out, new, quantile), rtol=1e-3)
    assert found[4] > 1
    shares = [(reference.distance(held_out, q) > 1).mean() for q in (0.5, 0.9, 1.0)]
    assert shares == [pytest.approx(15 / 30, abs=0.05), pytest.approx(3 / 30, abs=0.04), 0]


def test_a_record_is_compared_by_the_leads_that_it_has() -> None:
    train, held_out, new = drawn(60, 0), drawn(30, 1), drawn(5, 2)
    reference = look_reference(LEADS, look(train), look(held_out))
    names = trait_names(LEADS)
    gone = np.array(["V2" in name for name in names])
    new[:, gone] = np.nan
    two = tuple(name for name in names if "V2" not in name)
    assert trait_names(LEADS[:2]) == two
    alone = look_reference(LEADS[:2], look2(train[:, ~gone]), look2(held_out[:, ~gone]))
    np.testing.assert_allclose(reference.distance(new), alone.distance(new[:, ~gone]), rtol=1e-5)
    assert reference.most_absent(np.ones(3, bool)) == 0
    new[:] = np.nan
    assert np.isnan(reference.distance(new)).all()
    train[5:, gone] = np.nan  # five records with V2 are too few
    few = look_reference(LEADS, look(train), look(held_out))
    assert np.isnan(few.distance(drawn(3, 2))).all()
    held_out[:3, gone] = np.nan
    assert look_reference(LEADS, look(train), look(held_out)).most_absent(np.ones(3, bool)) == 1
    assert look_reference(LEADS, look(train[:5]), look(held_out)) is None


def look2(traits: np.ndarray) -> Look:
    there = np.ones((len(traits), 2), bool)
    return Look(traits, there, there)


def test_the_oddest_trait_in_words() -> None:
    reference = look_reference(LEADS, look(drawn(300, 0) / 20), look(drawn(30, 1) / 20))
    names = trait_names(LEADS)
    usual = np.median(reference.train, axis=0)
    assert reference.oddest(usual) is None

    def with_(name: str, value: float) -> str | None:
        odd = usual.copy()
        odd[names.index(name)] = value
        return reference.oddest(odd)

    assert with_("V1/amplitude", math.log(31.001)).startswith("V1 31 mV root mean square, usually ")
    assert " % of the power 2 to 5 Hz, usually " in with_("V2/band1", -80)
    assert with_("I~V2", -90).startswith("correlation of I and V2 -90.00, usually ")


def test_looks_are_means_over_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    records = [
        Record(rng.normal(size=(3, n)).astype(np.float32), 100.0, LEADS, f"r{k}") for k, n in enumerate((250, 620, 130))
    ]
    records[1].signal[2] = 0.004
    records.append(Record(records[0].signal[:2], 100.0, LEADS[:2], "two"))
    archive: Archive = prepare(records, tmp_path / "a", leads=LEADS, band=None, workers=1, progress=False)
    found = look_at(open_windows(archive, np.array([1, 2, 0, 3]), 2.5, 2.0))
    starts = {0: [0], 1: [0, 200, 370], 2: [0], 3: [0]}
    for k, row in enumerate((1, 2, 0, 3)):
        signal, present = archive.read(row), np.array([True, True, row != 3])
        wanted = np.mean(
            [strip_traits(signal[None, :, s : s + 250], 100, LEADS, present[None])[0] for s in starts[row]], axis=0
        )
        np.testing.assert_allclose(found.traits[k], wanted, rtol=1e-5, atol=1e-6)
    assert found.present.tolist() == [[True] * 3, [True] * 3, [True] * 3, [True, True, False]]
    assert found.moves.tolist() == [[True, True, False], [True] * 3, [True] * 3, [True, True, False]]


def test_a_stored_reference_compares_as_before(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = look_reference(LEADS, look(drawn(60, 0)), look(drawn(30, 1)))
    reference = make_reference(rng.normal(size=(50, 8)), {"": rng.normal(size=(20, 8))}, signal)
    reference.save(tmp_path)
    again = load_reference(tmp_path).signal
    assert again.leads == LEADS
    np.testing.assert_array_equal(again.distance(drawn(5, 3)), signal.distance(drawn(5, 3)))
    make_reference(rng.normal(size=(50, 8)), {"": rng.normal(size=(20, 8))}).save(tmp_path)
    assert load_reference(tmp_path).signal is None
