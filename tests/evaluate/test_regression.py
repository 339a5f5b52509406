"""Metrics of continuous targets against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.regression import mean_absolute_error, pearson, r2, spearman

ALL = {
    r2: sk.r2_score,
    mean_absolute_error: sk.mean_absolute_error,
    pearson: lambda a, b: stats.pearsonr(a, b)[0],
    spearman: lambda a, b: stats.spearmanr(a, b)[0],
}


def _case(seed, n=70):
    rng = np.random.default_rng(seed)
    y = np.round(rng.normal(60, 15, (n, 2)))
    return y, np.round(y + rng.normal(3, 12, y.shape))


@pytest.mark.parametrize("metric", ALL)
def test_metrics_equal_the_references(metric):
    y, p = _case(1)
    y[::5, 1] = np.nan
    known = ~np.isnan(y[:, 1])
    expected = [ALL[metric](y[:, 0], p[:, 0]), ALL[metric](y[known, 1], p[known, 1])]
    np.testing.assert_allclose(metric(y, p), expected, rtol=1e-9)


@pytest.mark.parametrize("metric", ALL)
def test_weights_equal_repeated_records(metric):
    y, p = _case(2)
    y[::5, 1] = np.nan
    weights = np.random.default_rng(0).integers(0, 3, (3, len(y)))
    many = metric(y, p, weights)
    assert many.shape == (3, 2)
    for row, w in zip(many, weights, strict=True):
        repeated = np.repeat(np.arange(len(y)), w)
        np.testing.assert_allclose(row, metric(y[repeated], p[repeated]), rtol=1e-9)


def test_far_from_zero_nothing_is_lost():
    y, p = _case(3)
    for metric in ALL:
        np.testing.assert_allclose(metric(y + 1e7, p + 1e7), metric(y, p), rtol=1e-6)


def test_targets_that_cannot_be_judged_are_nan():
    y, p = _case(4)
    y[:, 0], y[:, 1] = 70.0, np.nan
    for metric in (r2, pearson, spearman):
        assert np.isnan(metric(y, p)).all()
    assert np.isnan(mean_absolute_error(y, p)).tolist() == [False, True]
    assert np.isnan(pearson([1.0, 2.0, 3.0], [0.1, 0.1, 0.1])).all()


def test_wrong_input_is_refused():
    with pytest.raises(LabelError, match="shape"):
        r2([1.0, 2.0], [[1.0, 2.0]])
    with pytest.raises(LabelError, match="not finite"):
        r2([1.0, 2.0], [1.0, np.nan])
