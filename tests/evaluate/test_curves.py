"""Points of curves against scikit-learn's, and the areas under them against the metrics."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import trapezoid
from sklearn import metrics as sk

from ssl_ecg.evaluate.curves import precision_recall_curves, roc_curves
from ssl_ecg.evaluate.metrics import auroc, average_precision


def _case(seed, n=300, ties=True):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.1, 0.3, 0.6]).astype(float)
    score = y + rng.normal(size=y.shape)
    return y, np.round(score, 1) if ties else score


@pytest.mark.parametrize("ties", [True, False])
def test_roc_has_the_corners_of_scikit_learn(ties):
    y, score = _case(1, ties=ties)
    for k, curve in enumerate(roc_curves(y, score, max_points=10_000)):
        x, up, _ = sk.roc_curve(y[:, k], score[:, k], drop_intermediate=False)
        everywhere = set(zip(x.round(12), up.round(12), strict=True))
        assert set(zip(np.round(curve.x, 12), np.round(curve.y, 12), strict=True)) <= everywhere
        assert trapezoid(curve.y, curve.x) == pytest.approx(auroc(y, score)[k])
        assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("ties", [True, False])
def test_steps_of_precision_have_the_area_of_average_precision(ties):
    y, score = _case(2, ties=ties)
    for k, curve in enumerate(precision_recall_curves(y, score, max_points=10_000)):
        assert np.sum(np.diff(curve.x) * curve.y[1:]) == pytest.approx(average_precision(y, score)[k])
        precision, recall, _ = sk.precision_recall_curve(y[:, k], score[:, k])
        everywhere = set(zip(recall.round(12), precision.round(12), strict=True))
        assert set(zip(np.round(curve.x[1:], 12), np.round(curve.y[1:], 12), strict=True)) <= everywhere


def test_unknown_labels_do_not_count_and_missing_classes_have_no_curve():
    y, score = _case(3)
    hidden = y.copy()
    hidden[::3, 0], hidden[:, 1], hidden[:, 2] = np.nan, 0, np.nan
    kept = np.arange(len(y)) % 3 != 0
    for curves in (roc_curves, precision_recall_curves):
        found = curves(hidden, score)
        assert found[0] == curves(y[kept, 0], score[kept, 0])[0]
        assert found[1:] == [None, None]
    assert roc_curves(np.ones(3), np.arange(3.0)) == [None]


def test_long_curves_are_thinned_and_keep_their_ends():
    y, score = _case(4, n=4000, ties=False)
    for curves in (roc_curves, precision_recall_curves):
        full, short = curves(y, score, max_points=10_000)[1], curves(y, score, max_points=50)[1]
        assert len(short.x) == 50
        assert (short.x[0], short.y[-1]) == (full.x[0], full.y[-1])
        assert json.loads(json.dumps(short)) == [short.x, short.y]
    assert trapezoid(*roc_curves(y, score)[1][::-1]) == pytest.approx(auroc(y, score)[1], abs=0.003)
