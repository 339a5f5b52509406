"""Calibration error, reliability and calibrators against loops, scikit-learn and a logistic regression."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.calibration import CALIBRATORS, IsotonicCalibration, TemperatureScaling, load_calibrator
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, auroc
from ssl_ecg.evaluate.reliability import brier, expected_calibration_error, reliability


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _case(seed, n=400, classes=3, heat=2.5):
    """Probabilities that are too sure of themselves by a factor in the logit."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-0.5, 1.5, (n, classes))
    y = (rng.random(logit.shape) < _sigmoid(logit)).astype(float)
    return y, _sigmoid(heat * logit)


def _loss(y, p):
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


@pytest.mark.parametrize(("bins", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_reliability_equals_scikit_learn(bins, strategy):
    y, p = _case(1)
    table = reliability(y, p, n_bins=8, bins=bins)
    for k in range(3):
        frequency, proba = calibration_curve(y[:, k], p[:, k], n_bins=8, strategy=strategy)
        filled = table.count[k] > 0
        np.testing.assert_allclose(table.frequency[k, filled], frequency)
        np.testing.assert_allclose(table.proba[k, filled], proba)
        assert np.isnan(table.frequency[k, ~filled]).all()
    assert table.count.sum(axis=1).tolist() == [len(y)] * 3


def test_bins_of_equal_mass_hold_equally_many():
    y, p = _case(2)
    assert np.ptp(reliability(y, p, n_bins=7, bins="mass").count) <= 1


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_calibration_error_equals_a_loop(bins):
    y, p = _case(3, n=150)
    y[::6, 0] = np.nan
    p[:4, 1] = 1.0
    for k, value in enumerate(expected_calibration_error(y, p, n_bins=5, bins=bins)):
        known = ~np.isnan(y[:, k])
        truth, given = y[known, k], p[known, k]
        edges = np.linspace(0, 1, 6) if bins == "width" else np.quantile(given, np.linspace(0, 1, 6))
        error = 0.0
        for b in range(5):
            inside = (given >= edges[b]) & ((given < edges[b + 1]) | (b == 4))
            if inside.any():
                error += inside.mean() * abs(truth[inside].mean() - given[inside].mean())
        assert value == pytest.approx(error)


def test_brier_equals_scikit_learn():
    y, p = _case(4)
    np.testing.assert_allclose(brier(y, p), [sk.brier_score_loss(y[:, k], p[:, k]) for k in range(3)])


def test_weights_equal_repeated_records():
    y, p = _case(5, n=80)
    y[::9, 2] = np.nan
    weights = np.random.default_rng(0).integers(0, 3, (3, len(y)))
    for metric in (brier, expected_calibration_error):
        many = metric(y, p, weights)
        assert many.shape == (3, 3)
        for row, w in zip(many, weights, strict=True):
            repeated = np.repeat(np.arange(len(y)), w)
            np.testing.assert_allclose(row, metric(y[repeated], p[repeated]))


def test_classes_that_cannot_be_judged_are_nan():
    y, p = _case(6)
    y[:, 0], y[:, 1] = 0, np.nan
    for metric in (brier, expected_calibration_error):
        assert np.isnan(metric(y, p)).tolist() == [True, True, False]
    assert reliability(y, p).count[1].sum() == 0


def test_temperature_has_the_least_log_loss():
    y, p = _case(7)
    model = TemperatureScaling().fit(y, p)
    calibrated = model.transform(p)
    for k, temperature in enumerate(model.curves_):
        logit = np.log(p[:, [k]] / (1 - p[:, [k]]))
        fitted = LogisticRegression(C=1e9, fit_intercept=False, tol=1e-10).fit(logit, y[:, k])
        assert 1 / temperature == pytest.approx(fitted.coef_[0, 0], rel=1e-3)
        np.testing.assert_allclose(calibrated[:, k], fitted.predict_proba(logit)[:, 1], atol=1e-4)
    assert np.allclose(model.curves_, 2.5, rtol=0.3)
    np.testing.assert_allclose(auroc(y, calibrated), auroc(y, p))


def test_isotonic_equals_scikit_learn():
    y, p = _case(8)
    y[::5, 1] = np.nan
    model = IsotonicCalibration().fit(y, p)
    other = _case(9)[1]
    for k in range(3):
        known = ~np.isnan(y[:, k])
        reference = IsotonicRegression(out_of_bounds="clip").fit(p[known, k], y[known, k])
        np.testing.assert_allclose(model.transform(other)[:, k], reference.predict(other[:, k]), atol=1e-12)


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_unseen_records_are_better_calibrated(kind):
    y, p = _case(10, n=1200)
    model = CALIBRATORS[kind]().fit(y[:600], p[:600])
    calibrated = model.transform(p[600:])
    assert (expected_calibration_error(y[600:], calibrated) < expected_calibration_error(y[600:], p[600:])).all()
    assert (brier(y[600:], calibrated) < brier(y[600:], p[600:])).all()


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_calibrators_survive_json(kind):
    y, p = _case(11)
    y[:, 1] = 0
    with pytest.warns(UndefinedClassWarning, match=r"fewer than 10.*\[1\]"):
        model = CALIBRATORS[kind]().fit(y, p)
    assert model.identity_ == [1]
    again = load_calibrator(json.loads(json.dumps(model.to_dict())))
    assert type(again) is type(model)
    np.testing.assert_array_equal(again.transform(p), model.transform(p))
    np.testing.assert_array_equal(again.transform(p)[:, 1], p[:, 1])


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_extremes_stay_probabilities(kind):
    y = np.tile([0.0, 1.0], 50)[:, None]
    model = CALIBRATORS[kind]().fit(y, y)  # told apart without error
    out = model.transform([[0.0], [1e-300], [0.5], [1.0]])
    assert np.isfinite(out).all()
    assert (out >= 0).all()
    assert (out <= 1).all()
    assert (np.diff(out[:, 0]) >= 0).all()


def test_wrong_input_is_refused():
    with pytest.raises(LabelError, match="not logits"):
        expected_calibration_error([0, 1], [-3.0, 2.0])
    with pytest.raises(LabelError, match="bins"):
        reliability([0, 1], [0.1, 0.2], n_bins=0)
    with pytest.raises(LabelError, match="call fit"):
        TemperatureScaling().transform([[0.1]])
    y, p = _case(12)
    with pytest.raises(LabelError, match="3 classes"):
        IsotonicCalibration().fit(y, p).transform(p[:, :2])
    with pytest.raises(LabelError, match="not logits"):
        IsotonicCalibration().fit(y, p).transform(2 * p)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"kind": "platt"},
        {"kind": "temperature", "min_count": 10, "curves": [0.0]},
        {"kind": "temperature", "min_count": 10, "curves": "x"},
        {"kind": "isotonic", "min_count": 10, "curves": [{"x": [0.0, 1.0], "y": [1.0, 0.0]}]},
        {"kind": "isotonic", "min_count": 10, "curves": [{"x": [], "y": []}]},
        {"kind": "isotonic", "min_count": 10, "curves": [1.0]},
        {"kind": "isotonic", "curves": []},
    ],
)
def test_damaged_calibrators_are_refused(content):
    with pytest.raises(LabelError, match="calibration"):
        load_calibrator(content)
