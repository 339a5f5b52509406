from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sk

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate import metrics


def _case(seed, n=120, classes=4, ties=True):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < rng.uniform(0.1, 0.7, classes)).astype(float)
    score = y + rng.normal(size=(n, classes))
    return y, np.round(score * 2) / 2 if ties else score


@pytest.mark.parametrize("ties", [True, False])
def test_ranking_metrics_equal_scikit_learn(ties):
    y, score = _case(1, ties=ties)
    np.testing.assert_allclose(metrics.auroc(y, score), sk.roc_auc_score(y, score, average=None), rtol=1e-12)
    np.testing.assert_allclose(
        metrics.average_precision(y, score), sk.average_precision_score(y, score, average=None), rtol=1e-12
    )
    assert metrics.macro_auroc(y, score) == pytest.approx(sk.roc_auc_score(y, score), rel=1e-12)


def test_decision_metrics_equal_scikit_learn():
    y, score = _case(2)
    called = score > 0.5
    for ours, theirs in ((metrics.f1, sk.f1_score), (metrics.precision, sk.precision_score)):
        np.testing.assert_allclose(ours(y, called), theirs(y, called, average=None), rtol=1e-12)
    np.testing.assert_allclose(metrics.recall(y, called), sk.recall_score(y, called, average=None), rtol=1e-12)
    np.testing.assert_allclose(metrics.specificity(y, called), sk.recall_score(1 - y, ~called, average=None))


def test_weights_equal_scikit_learn_sample_weight():
    y, score = _case(3)
    weights = np.random.default_rng(0).integers(0, 4, (5, len(y)))
    ranked, precise, called = (
        metrics.auroc(y, score, weights),
        metrics.average_precision(y, score, weights),
        metrics.f1(y, score > 0.5, weights),
    )
    assert ranked.shape == precise.shape == called.shape == (5, 4)
    for b, w in enumerate(weights):
        np.testing.assert_allclose(ranked[b], sk.roc_auc_score(y, score, average=None, sample_weight=w))
        np.testing.assert_allclose(precise[b], sk.average_precision_score(y, score, average=None, sample_weight=w))
        np.testing.assert_allclose(called[b], sk.f1_score(y, score > 0.5, average=None, sample_weight=w))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.int8, 12, elements=st.integers(0, 1)),
    arrays(np.float64, 12, elements=st.sampled_from([-1.0, 0.0, 0.5, 2.0])),
)
def test_auroc_is_the_share_of_ordered_pairs(y, score):
    positive, negative = score[y == 1], score[y == 0]
    value = metrics.auroc(y, score)[0]
    if len(positive) == 0 or len(negative) == 0:
        assert np.isnan(value)
    else:
        difference = positive[:, None] - negative[None]
        assert value == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean())


def test_classes_that_cannot_be_judged_are_nan_and_counted():
    y, score = _case(4)
    y[:, 1], y[:, 2] = 0, 1
    values = metrics.auroc(y, score)
    assert np.isnan(values).tolist() == [False, True, True, False]
    assert np.isnan(metrics.average_precision(y, score)).tolist() == [False, True, False, False]
    assert np.isnan(metrics.f1(y, score > 9)).tolist() == [False, True, False, False]
    assert metrics.macro(values) == (pytest.approx(values[[0, 3]].mean()), 2, 4)
    with pytest.warns(metrics.UndefinedClassWarning, match=r"2 of 4 classes.*\[1, 2\]"):
        assert metrics.macro_auroc(y, score) == pytest.approx(values[[0, 3]].mean())
    assert np.isnan(metrics.macro([np.nan]).value)


def test_unknown_labels_do_not_count():
    y, score = _case(5)
    hidden = y.copy()
    hidden[::3, 0] = np.nan
    kept = np.arange(len(y)) % 3 != 0
    for metric, told in (
        (metrics.auroc, score),
        (metrics.average_precision, score),
        (metrics.f1, score > 0.5),
    ):
        values = metric(hidden, told)
        assert values[0] == pytest.approx(metric(y[kept], told[kept])[0])
        np.testing.assert_allclose(values[1:], metric(y, told)[1:])
    assert np.isnan(metrics.auroc(np.full(4, np.nan), np.arange(4.0))).all()


def test_best_f1_threshold_beats_every_other():
    y, score = _case(6, ties=True)
    thresholds = metrics.best_f1_thresholds(y, score)
    reached = metrics.f1(y, score >= thresholds)
    for cut in np.unique(score):
        assert (metrics.f1(y, score >= cut) <= reached + 1e-12).all()


def test_threshold_without_positive_is_the_fallback():
    assert metrics.best_f1_thresholds(np.zeros((5, 1)), np.arange(5.0), fallback=0.3).tolist() == [0.3]


@pytest.mark.parametrize(
    ("y", "score", "match"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), "shape"),
        ([0, 2, 1], [0.1, 0.2, 0.3], "0, 1 and NaN"),
        ([0, 1, 1], [0.1, np.nan, 0.3], "NaN or infinite"),
    ],
)
def test_wrong_input_is_refused(y, score, match):
    with pytest.raises(LabelError, match=match):
        metrics.auroc(y, score)


def test_scores_are_no_decisions():
    with pytest.raises(LabelError, match="thresholds"):
        metrics.f1([0, 1], [0.2, 0.7])


def test_weights_of_another_length_are_refused():
    with pytest.raises(LabelError, match="weights"):
        metrics.auroc([0, 1], [0.2, 0.7], np.ones(3))
