"""The hybrid probe: its parts, their average against a loop, and what it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from ssl_ecg import LinearProbe
from ssl_ecg.errors import SignalError
from ssl_ecg.evaluate.metrics import best_f1_thresholds, macro_auroc
from ssl_ecg.features.hybrid import HybridProbe, averaged_odds


def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z, f = rng.normal(size=(240, 6)), rng.normal(size=(240, 5))
    y = np.column_stack([z[:, 0] + 2 * (f[:, 0] > 0.5) > 0.5, z[:, 1] * f[:, 1] > 0]).astype(float)
    f[::9, 3] = np.nan
    y[::11, 1] = np.nan
    return z, f, y


def test_it_is_the_average_of_its_parts() -> None:
    z, f, y = data()
    train, val, test = slice(0, 120), slice(120, 180), slice(180, 240)
    probe = HybridProbe(n_trees=20, max_depth=4, seed=3)
    proba = probe.fit(z[train], f[train], y[train], z[val], f[val], y[val]).predict_proba(z[test], f[test])
    linear = LinearProbe(seed=3).fit(z[train], y[train], z[val], y[val]).predict_proba(z[test])
    both = np.hstack([f, z])
    both[:, :5] = np.where(np.isnan(both[:, :5]), np.nanmedian(both[train, :5], axis=0), both[:, :5])
    both = np.clip((both - both[train].mean(axis=0)) / both[train].std(axis=0), -10, 10)
    for k in range(2):
        known = ~np.isnan(y[train, k])
        forest = RandomForestClassifier(20, max_depth=4, random_state=3).fit(both[train][known], y[train, k][known])
        told = forest.predict_proba(both[test])[:, 1]
        for i in range(60):
            odds = [math.log(p / (1 - p)) for p in np.clip([linear[i, k], told[i]], 1e-4, 1 - 1e-4)]
            assert proba[i, k] == pytest.approx(1 / (1 + math.exp(-sum(odds) / 2)), abs=1e-6)
    np.testing.assert_array_equal(probe.thresholds_, best_f1_thresholds(y[val], probe.predict_proba(z[val], f[val])))


def test_it_uses_both() -> None:
    z, f, y = data()
    y = np.nan_to_num(y)
    train, val, test = slice(0, 120), slice(120, 180), slice(180, 240)
    probe = HybridProbe(n_trees=60).fit(z[train], f[train], y[train], z[val], f[val], y[val])
    whole = macro_auroc(y[test], probe.predict_proba(z[test], f[test]))
    assert whole > macro_auroc(y[test], probe.linear_.predict_proba(z[test])) + 0.03


def test_certain_answers_stay_finite() -> None:
    assert averaged_odds([[0.0, 1.0]], [[0.0, 0.5]]).round(4).tolist() == [[0.0001, 0.9901]]


def test_what_does_not_fit_is_refused() -> None:
    z, f, y = data()
    with pytest.raises(SignalError, match="rows of features"):
        HybridProbe().fit(z, f[:-1], y, z, f, y)
    with pytest.raises(SignalError, match="call fit first"):
        HybridProbe().predict_proba(z, f)
