"""Drift tests against plain loops, and what they say with and without drift."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.screen.drift import _mmd_test, _one_per_patient, drift, drift_folders

QUICK = {"permutations": 99, "classifier_permutations": 19}


def _mmd2(K, new):
    """Equation 3 of Gretton et al. 2012, in loops."""
    one, other = np.flatnonzero(new), np.flatnonzero(~new)

    def pairs(side):
        return sum(K[i, j] for i in side for j in side if i != j) / (len(side) * (len(side) - 1))

    return pairs(one) + pairs(other) - 2 * sum(K[i, j] for i in one for j in other) / (len(one) * len(other))


def test_mmd_equals_loops():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(22, 3))
    K = np.exp(-((X[:, None] - X[None]) ** 2).sum(axis=2) / 4)
    new = np.arange(22) >= 13
    value, p = _mmd_test(K, new, 30, np.random.default_rng(5))
    assert value == pytest.approx(_mmd2(K, new))
    again = np.random.default_rng(5)
    permuted = [_mmd2(K, again.permutation(new)) for _ in range(30)]
    assert p == pytest.approx((1 + sum(other >= value for other in permuted)) / 31)


def test_drift_is_found_and_its_records_named():
    rng = np.random.default_rng(0)
    usual, new = rng.normal(size=(150, 6)), rng.normal(size=(120, 6))
    new[90:] += 4
    found = drift(usual, new, **QUICK)
    assert found.mmd_p == 0.01
    assert found.auroc_p == 0.05
    assert found.auroc > 0.55
    assert set(found.drivers) <= set(range(90, 120))
    assert found.witness.shape == (120,)
    assert found.witness[90:].mean() > found.witness[:90].mean()


def test_without_drift_p_values_are_even():
    rng = np.random.default_rng(1)
    found = [drift(*rng.normal(size=(2, 40, 8)), **QUICK, seed=k) for k in range(25)]
    for p in ([each.mmd_p for each in found], [each.auroc_p for each in found]):
        assert 0.3 < np.mean(p) < 0.7
        assert np.mean(np.asarray(p) <= 0.1) < 0.3


def test_many_records_of_few_patients_are_no_drift():
    """Patients differ: their repeated records would look like drift if each counted."""
    rng = np.random.default_rng(2)
    centre = rng.normal(size=(80, 4)) * 3
    Z = np.repeat(centre, 20, axis=0) + 0.1 * rng.normal(size=(1600, 4))
    patients = np.repeat(np.arange(80), 20)
    sides = {"reference_patients": patients[:800], "incoming_patients": patients[800:]}
    assert drift(Z[:800], Z[800:], **sides, **QUICK).n_compared == (40, 40)
    assert drift(Z[:800], Z[800:], **sides, **QUICK).mmd_p > 0.05
    assert drift(Z[:800], Z[800:], **QUICK).mmd_p == 0.01


def test_each_patient_is_drawn_once():
    first, second = np.array(["a", "a", "b", "c"]), np.array(["c", "d", "d"])
    drawn = [_one_per_patient(first, second, np.random.default_rng(k)) for k in range(40)]
    for one, other in drawn:
        assert sorted([*first[one], *second[other]]) == ["a", "b", "c", "d"]
    assert {len(one) for one, _ in drawn} == {2, 3}  # c is now on this side, now on that


def test_folders(tmp_path):
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(60, 5))
    Z[:30] += 3
    Z[7] = np.nan
    names = [f"n{k}" for k in range(60)]
    Embeddings(rng.normal(size=(50, 5)), pd.DataFrame({"record_id": [f"u{k}" for k in range(50)]})).save(tmp_path / "u")
    Embeddings(Z, pd.DataFrame({"record_id": names})).save(tmp_path / "n")
    found = drift_folders(tmp_path / "u", tmp_path / "n", n_drivers=4, **QUICK)
    assert np.isnan(found.witness).tolist() == [k == 7 for k in range(60)]
    assert found.driver_ids == [f"n{k}" for k in found.drivers]
    assert found.drivers == np.argsort(-np.nan_to_num(found.witness, nan=-9))[:4].tolist()
    assert all(k < 30 and k != 7 for k in found.drivers)
    stored = json.loads(found.to_json(tmp_path / "drift.json").read_text())
    assert stored == found.to_dict()
    assert (stored["n_incoming"], stored["n_compared"]) == (59, [50, 59])
    assert "witness" not in stored


def test_wrong_requests():
    Z = np.random.default_rng(0).normal(size=(60, 5))
    with pytest.raises(SignalError, match="19 patients, at least 20"):
        drift(Z[:19], Z)
    with pytest.raises(SignalError, match="4 dimensions, 5 were fitted"):
        drift(Z, Z[:, :4])
    with pytest.raises(SignalError, match="60 embeddings but 3 patients"):
        drift(Z, Z, incoming_patients=["a", "b", "c"])
