"""Thresholds against exhaustive search over the cuts that there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate import decisions, metrics
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.thresholds import evolved_thresholds, sensitivity_thresholds


def _case(seed, n=60, classes=3):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < 0.35).astype(float)
    score = np.round(1 / (1 + np.exp(-(2 * y - 2 + rng.normal(size=y.shape)))), 1)
    return y, score


@pytest.mark.parametrize("target", [0.3, 0.7, 0.9, 1.0])
def test_sensitivity_is_reached_with_the_best_specificity(target):
    y, score = _case(1)
    y[::7, 0] = np.nan
    cuts = sensitivity_thresholds(y, score, sensitivity=target)
    called = score >= cuts
    assert (metrics.recall(y, called) >= target).all()
    expected = decisions.specificity_at_sensitivity(y, score, sensitivity=target)
    np.testing.assert_allclose(metrics.specificity(y, called), expected)
    for k, cut in enumerate(cuts):  # no higher cut finds as many
        higher = [t for t in np.unique(score[:, k]) if t > cut and (score[y[:, k] == 1, k] >= t).mean() >= target]
        assert all((score[:, k] >= t).sum() == called[:, k].sum() for t in higher)


def test_nine_of_ten_are_enough_for_ninety_percent():
    cut = sensitivity_thresholds(np.ones(10), np.arange(10.0), sensitivity=0.9)
    assert cut.tolist() == [0.5]


def test_class_without_positive_has_the_fallback():
    y, score = _case(2)
    y[:, 1], y[:, 2] = 0, np.nan
    for found in (
        sensitivity_thresholds(y, score, fallback=0.3),
        evolved_thresholds(y, score, metric=metrics.f1, fallback=0.3, generations=3),
    ):
        assert found[1:].tolist() == [0.3, 0.3]
    assert evolved_thresholds(y, score, metric=decisions.hamming_loss, generations=1)[1] == 0.5


def test_evolution_finds_the_best_of_all_cuts():
    y, score = _case(3)
    y[:5, 1] = np.nan
    rewards = np.array([[1, 0.5, 0], [0.5, 1, 0.3], [0, 0.3, 1]])

    def metric(truth, called):
        return challenge_score(truth, called, rewards=rewards, normal=0)

    found = evolved_thresholds(y, score, metric=metric, seed=1)
    grid = [np.append(np.unique(score[:, k]), 2.0) for k in range(3)]
    best = max(float(metric(y, score >= np.array(cut))[0]) for cut in itertools.product(*grid))
    assert float(metric(y, score >= found)[0]) == pytest.approx(best)
    assert best > float(metric(y, score >= metrics.best_f1_thresholds(y, score))[0]) + 0.01
    np.testing.assert_array_equal(found, evolved_thresholds(y, score, metric=metric, seed=1))


def test_evolution_never_ends_below_its_start():
    y, score = _case(4, n=200)
    found = evolved_thresholds(y, score, metric=metrics.f1, generations=1, population=1)
    best = metrics.f1(y, score >= metrics.best_f1_thresholds(y, score)).mean()
    assert metrics.f1(y, score >= found).mean() == pytest.approx(best)


def test_wrong_input_is_refused():
    with pytest.raises(LabelError, match="sensitivity"):
        sensitivity_thresholds([0, 1], [0.1, 0.2], sensitivity=0)
    with pytest.raises(LabelError, match="undefined"):
        evolved_thresholds(np.zeros((4, 1)), np.arange(4.0), metric=metrics.f1)
    with pytest.raises(LabelError, match="cinc26"):
        evolved_thresholds([[0, 1], [1, 0]], [[0.1, 0.2], [0.3, 0.4]])
