"""The challenge score against loops over the published definition."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.tasks import get_task
from ssl_ecg.tasks.cinc2021 import challenge_weights

NSR = get_task("cinc26").classes.index("NSR")


def _case(seed, n=60):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 26)) < 0.06).astype(float)
    y[rng.random(n) < 0.3, NSR] = 1
    called = np.where(rng.random(y.shape) < 0.1, 1 - y, y)
    return y, called


def _slow(y, called, rewards, normal):
    def s(given):
        total = 0.0
        for truth, row in zip(y, given, strict=True):
            known = [j for j in range(len(truth)) if not np.isnan(truth[j])]
            there = [j for j in known if truth[j] == 1]
            told = [k for k in known if row[k] == 1]
            either = len(set(there) | set(told))
            for j in there:
                for k in told:
                    total += rewards[j][k] / max(either, 1)
        return total

    nothing = np.zeros_like(called)
    nothing[:, normal] = 1
    return (s(called) - s(nothing)) / (s(y) - s(nothing))


@pytest.mark.parametrize("hide", [False, True])
def test_score_equals_a_loop(hide):
    y, called = _case(1)
    y[:4] = 0
    if hide:
        y[np.random.default_rng(0).random(y.shape) < 0.15] = np.nan
    expected = _slow(y, called, challenge_weights(), NSR)
    assert 0 < expected < 1
    assert challenge_score(y, called) == pytest.approx(expected)


def test_rewards_need_not_be_symmetric():
    y, called = _case(2)
    y, called, rewards = y[:, :4], called[:, :4], np.random.default_rng(0).random((4, 4)) + 2 * np.eye(4)
    y[np.arange(len(y)), np.arange(len(y)) % 4] = 1
    assert challenge_score(y, called, rewards=rewards, normal=2) == pytest.approx(_slow(y, called, rewards, 2))


def test_right_is_one_and_normal_everywhere_is_zero():
    y, called = _case(3)
    always = np.zeros_like(y)
    always[:, NSR] = 1
    assert challenge_score(y, y) == pytest.approx(1)
    assert challenge_score(y, always) == pytest.approx(0)
    assert challenge_score(y, np.zeros_like(y))[0] < 0
    assert np.isnan(challenge_score(always, called)).all()


def test_weights_equal_repeated_records():
    y, called = _case(4)
    weights = np.random.default_rng(0).integers(0, 3, (3, len(y)))
    many = challenge_score(y, called, weights)
    assert many.shape == (3, 1)
    for row, w in zip(many, weights, strict=True):
        repeated = np.repeat(np.arange(len(y)), w)
        np.testing.assert_allclose(row, challenge_score(y[repeated], called[repeated]))
    macro, _ = bootstrap_intervals(y, called, metric=challenge_score, n_resamples=50)
    assert macro.low < macro.value < macro.high


def test_wrong_classes_are_refused():
    with pytest.raises(LabelError, match="cinc26"):
        challenge_score([[1, 0]], [[1, 0]])
    with pytest.raises(LabelError, match="sinus rhythm"):
        challenge_score([[1, 0]], [[1, 0]], rewards=np.eye(2))
    with pytest.raises(LabelError, match="thresholds"):
        challenge_score(np.zeros((1, 26)), np.full((1, 26), 0.3))
