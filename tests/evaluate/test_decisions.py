"""Metrics of decisions against scikit-learn and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate import decisions
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals

BY_CLASS = (decisions.accuracy, decisions.fbeta, decisions.gbeta)
BY_RECORD = (decisions.subset_accuracy, decisions.hamming_loss)


def _case(seed, n=90, classes=4):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < rng.uniform(0.15, 0.6, classes)).astype(float)
    score = np.round(1 / (1 + np.exp(-(2 * y - 1 + rng.normal(size=y.shape)))), 2)
    return y, score


def _hidden(y, seed=0, share=0.2):
    return np.where(np.random.default_rng(seed).random(y.shape) < share, np.nan, y)


def test_decisions_equal_scikit_learn():
    y, score = _case(1)
    called = (score >= 0.5).astype(int)
    np.testing.assert_array_equal(decisions.confusion(y, called), sk.multilabel_confusion_matrix(y, called))
    np.testing.assert_allclose(decisions.fbeta(y, called), sk.fbeta_score(y, called, beta=2, average=None))
    np.testing.assert_allclose(decisions.gbeta(y, called, beta=1), sk.jaccard_score(y, called, average=None))
    expected = [sk.accuracy_score(y[:, k], called[:, k]) for k in range(4)]
    np.testing.assert_allclose(decisions.accuracy(y, called), expected)
    assert decisions.subset_accuracy(y, called) == pytest.approx(sk.accuracy_score(y, called))
    assert decisions.hamming_loss(y, called) == pytest.approx(sk.hamming_loss(y, called))


def test_weights_equal_repeated_records():
    y, score = _case(2)
    y, called = _hidden(y), score >= 0.5
    weights = np.random.default_rng(0).integers(0, 4, (3, len(y)))
    metrics = [(m, called) for m in (*BY_CLASS, *BY_RECORD)] + [
        (decisions.fmax, score),
        (decisions.specificity_at_sensitivity, score),
        (decisions.confusion, called),
        (lambda *a: decisions.fbeta(*a, shared=True), called),
    ]
    for metric, given in metrics:
        many = metric(y, given, weights)
        assert len(many) == 3
        for row, w in zip(many, weights, strict=True):
            repeated = np.repeat(np.arange(len(y)), w)
            np.testing.assert_allclose(row, metric(y[repeated], given[repeated]), rtol=1e-12)
            np.testing.assert_allclose(row, metric(y, given, w), rtol=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_beta_measures_equal_a_loop(shared):
    y, score = _case(3)
    y[:5] = 0  # records without any class
    y, called = _hidden(y), (score >= 0.4).astype(int)
    for k in range(y.shape[1]):
        tp = fp = fn = 0.0
        for i in range(len(y)):
            weight = 1 / max(sum(v == 1 for v in y[i]), 1) if shared else 1.0
            tp += weight * (y[i, k] == 1 and called[i, k] == 1)
            fp += weight * (y[i, k] == 0 and called[i, k] == 1)
            fn += weight * (y[i, k] == 1 and called[i, k] == 0)
        assert decisions.fbeta(y, called, shared=shared)[k] == pytest.approx(5 * tp / (5 * tp + fp + 4 * fn))
        assert decisions.gbeta(y, called, shared=shared)[k] == pytest.approx(tp / (tp + fp + 2 * fn))


@pytest.mark.parametrize("hide", [False, True])
def test_fmax_equals_a_loop_over_records(hide):
    y, score = _case(4, n=40)
    y[:3] = 0
    y = _hidden(y) if hide else y
    best = 0.0
    for cut in np.linspace(0, 1, 101):
        precisions, recalls = [], []
        for truth, given in zip(y, score, strict=True):
            called = {k for k in range(4) if given[k] >= cut and not np.isnan(truth[k])}
            there = {k for k in range(4) if truth[k] == 1}
            if called:
                precisions.append(len(called & there) / len(called))
            if there:
                recalls.append(len(called & there) / len(there))
        if precisions and np.mean(precisions) + np.mean(recalls) > 0:
            p, r = np.mean(precisions), np.mean(recalls)
            best = max(best, 2 * p * r / (p + r))
    assert decisions.fmax(y, score) == pytest.approx(best)
    assert np.isnan(decisions.fmax(np.zeros((4, 2)), score[:4, :2])).all()


@pytest.mark.parametrize("target", [0.5, 0.8, 0.9, 1.0])
def test_specificity_is_the_best_that_reaches_the_sensitivity(target):
    y, score = _case(5)
    y = _hidden(y)
    for k, value in enumerate(decisions.specificity_at_sensitivity(y, score, sensitivity=target)):
        positive, negative = score[y[:, k] == 1, k], score[y[:, k] == 0, k]
        reached = [t for t in score[:, k] if (positive >= t).mean() >= target]
        assert value == pytest.approx(max((negative < t).mean() for t in reached))


def test_unknown_labels_do_not_count():
    y, score = _case(6)
    called = (score >= 0.5).astype(int)
    hidden = _hidden(y)
    known = ~np.isnan(hidden)
    for metric in BY_CLASS:
        for k, value in enumerate(metric(hidden, called)):
            rows = known[:, k]
            assert value == pytest.approx(metric(y[rows, k], called[rows, k])[0])
    assert decisions.hamming_loss(hidden, called) == pytest.approx((y != called)[known].mean())
    right = [(row[~np.isnan(row)] == given[~np.isnan(row)]).all() for row, given in zip(hidden, called, strict=True)]
    assert decisions.subset_accuracy(hidden, called) == pytest.approx(np.mean(right))
    hidden[:10] = np.nan
    assert decisions.subset_accuracy(hidden, called) == pytest.approx(np.mean(right[10:]))


def test_classes_that_cannot_be_judged_are_nan():
    y, score = _case(7)
    y[:, 1], y[:, 2], y[:, 3] = 0, 1, np.nan
    called = score >= 0.5
    for metric, expected in (
        (decisions.accuracy, [False, True, True, True]),
        (decisions.fbeta, [False, True, False, True]),
        (decisions.gbeta, [False, True, False, True]),
    ):
        assert np.isnan(metric(y, called)).tolist() == expected
    assert np.isnan(decisions.specificity_at_sensitivity(y, score)).tolist() == [False, True, True, True]
    for metric in BY_RECORD:
        assert np.isnan(metric(np.full((3, 2), np.nan), np.zeros((3, 2)))).tolist() == [True]


def test_metrics_by_record_have_intervals():
    y, score = _case(8)
    macro, columns = bootstrap_intervals(y, score >= 0.5, metric=decisions.subset_accuracy, n_resamples=100)
    assert macro.low < macro.value < macro.high
    assert len(columns) == 1
    assert columns[0].value == macro.value


def test_wrong_input_is_refused():
    for metric in (*BY_CLASS, *BY_RECORD, decisions.confusion):
        with pytest.raises(LabelError, match="thresholds"):
            metric([0, 1], [0.2, 0.7])
    for target in (0, 1.5, float("nan")):
        with pytest.raises(LabelError, match="sensitivity"):
            decisions.specificity_at_sensitivity([0, 1], [0.2, 0.7], sensitivity=target)
