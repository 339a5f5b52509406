"""Baselines on features: masks, imputation, standardisation, and the same scores as scikit-learn by hand."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from ssl_ecg.errors import LabelError, SignalError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, macro_auroc
from ssl_ecg.features.baselines import BASELINES, ForestBaseline, LightGBMBaseline, LogisticBaseline, MLPBaseline
from ssl_ecg.probing.linear import LinearProbe

SMALL = {"logistic": {}, "forest": {"n_trees": 30}, "lightgbm": {"n_trees": 30}, "mlp": {"steps": 60}}


def made(n: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) * [1, 10, 0.01, 1, 1, 1] + [0, 100, 0, 0, 0, 0]
    y = np.stack([x[:, 0] > 0, x[:, 1] > 105, x[:, 2] + 0.01 * x[:, 0] > 0], axis=1).astype(float)
    return x, y


@pytest.mark.parametrize("name", BASELINES)
def test_learns_with_gaps_in_features_and_labels(name: str) -> None:
    x, y = made()
    truth = y.copy()
    rng = np.random.default_rng(1)
    x[:, 4] = np.nan
    x[rng.random(len(x)) < 0.1, 3] = np.nan
    y[rng.random(y.shape) < 0.2] = np.nan
    fitted = BASELINES[name](**SMALL[name]).fit(x[:180], y[:180])
    proba = fitted.predict_proba(x[180:])
    assert proba.shape == (60, 3)
    assert ((proba >= 0) & (proba <= 1)).all()
    assert macro_auroc(truth[180:], proba) > 0.9
    again = clone(fitted).fit(x[:180], y[:180])
    np.testing.assert_array_equal(again.predict_proba(x[180:]), proba)


@pytest.mark.parametrize("name", BASELINES)
def test_unknown_labels_are_left_out_and_not_negative(name: str) -> None:
    """Records without a label change nothing, if they are copies and leave median and deviation as they are."""
    x, y = made()
    twice, known_once = np.tile(x[:120], (2, 1)), np.concatenate([y[:120], np.full((120, 3), np.nan)])
    known_once[:30, 0] = np.nan
    known_once[120:150, 0] = y[:30, 0]  # class 0 is known in another half of the copies
    validation = (x[120:180], y[120:180])
    found = BASELINES[name](**SMALL[name]).fit(twice, known_once, *validation).predict_proba(x[180:])
    expected = BASELINES[name](**SMALL[name]).fit(x[:120], y[:120], *validation).predict_proba(x[180:])
    moved = np.concatenate([np.arange(30, 120), np.arange(30)])  # the order in which class 0 is met
    first = BASELINES[name](**SMALL[name]).fit(x[:120][moved], y[:120][moved], *validation).predict_proba(x[180:])
    np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=2e-3)
    np.testing.assert_allclose(found[:, 0], first[:, 0], atol=2e-3)


@pytest.mark.parametrize("name", BASELINES)
def test_scale_and_monotone_units_do_not_matter(name: str) -> None:
    x, y = made()
    a = BASELINES[name](**SMALL[name]).fit(x[:180], y[:180]).predict_proba(x[180:])
    b = BASELINES[name](**SMALL[name]).fit(1000 * x[:180], y[:180]).predict_proba(1000 * x[180:])
    np.testing.assert_allclose(a, b, atol=0.02)


def by_hand(x: np.ndarray, rows: slice) -> np.ndarray:
    """Impute and standardise by the training records, one value after the other."""
    out = np.empty_like(x)
    for k in range(x.shape[1]):
        train = x[rows, k]
        median = np.median(train[~np.isnan(train)])
        column = np.float32(np.where(np.isnan(x[:, k]), median, x[:, k])).astype(float)
        out[:, k] = np.clip((column - column[rows].mean()) / column[rows].std(), -10, 10)
    return out


def test_forest_and_perceptron_are_scikit_learns() -> None:
    x, y = made()
    x[::9, 5] = np.nan
    z = by_hand(x, slice(0, 180))
    forest = ForestBaseline(n_trees=20, seed=3).fit(x[:180], y[:180]).predict_proba(x[180:])
    mlp = MLPBaseline(steps=40, seed=3).fit(x[:180], y[:180]).predict_proba(x[180:])
    for k in range(3):
        trees = RandomForestClassifier(20, max_depth=10, random_state=3).fit(z[:180], y[:180, k])
        np.testing.assert_allclose(forest[:, k], trees.predict_proba(z[180:])[:, 1], atol=0.051)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = MLPClassifier((100, 50), max_iter=40, random_state=3).fit(z[:180], y[:180, k])
        np.testing.assert_allclose(mlp[:, k], net.predict_proba(z[180:])[:, 1], atol=1e-3)


def test_logistic_is_the_probe_on_filled_features() -> None:
    x, y = made()
    x[::9, 5] = np.nan
    z = by_hand(x, slice(0, 150))
    found = LogisticBaseline().fit(x[:150], y[:150], x[150:190], y[150:190]).predict_proba(x[190:])
    expected = LinearProbe().fit(z[:150], y[:150], z[150:190], y[150:190]).predict_proba(z[190:])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("name", BASELINES)
def test_a_class_that_cannot_be_learnt_gets_its_prior(name: str) -> None:
    x, y = made()
    y[:, 1] = 0
    with pytest.warns(UndefinedClassWarning, match=r"classes \[1\]"):
        fitted = BASELINES[name](**SMALL[name]).fit(x[:180], y[:180])
    assert fitted.degenerate_ == (1,)
    proba = fitted.predict_proba(x[180:])[:, 1]
    assert np.ptp(proba) < 1e-12
    assert proba[0] < 0.01


def test_what_does_not_fit_is_refused() -> None:
    x, y = made()
    with pytest.raises(LabelError, match="one row"):
        ForestBaseline().fit(x, y[:10])
    with pytest.raises(LabelError, match="0, 1 and NaN"):
        ForestBaseline().fit(x, y + 1)
    with pytest.raises(SignalError, match="not fitted"):
        ForestBaseline().predict_proba(x)
    with pytest.raises(SignalError, match="5 features"):
        LogisticBaseline().fit(x, y).predict_proba(x[:, :5])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    x, y = made()
    with pytest.raises(SignalError, match=r"ssl_ecg\[features\]"):
        LightGBMBaseline().fit(x, y)
