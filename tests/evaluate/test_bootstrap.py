from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.bootstrap import bootstrap_intervals, paired_difference, two_sided_p
from ssl_ecg.evaluate.metrics import auroc, f1


def _case(seed=0, n=200, classes=3, patients=120):
    rng = np.random.default_rng(seed)
    y = (rng.random((n, classes)) < 0.4).astype(float)
    return y, y + rng.normal(size=y.shape), rng.integers(0, patients, n)


def _slow_bootstrap(y, score, groups, n_resamples, seed):
    """Draw patients and copy their records, one resample at a time."""
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    out = []
    for _ in range(n_resamples):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        out.append(roc_auc_score(y[rows], score[rows]))
    return np.percentile(out, [2.5, 97.5])


def test_interval_agrees_with_a_slow_bootstrap_over_patients():
    y, score, groups = _case()
    groups = groups // 12  # ten large clusters: taking records one by one would give a narrower interval
    macro, classes = bootstrap_intervals(y, score, groups=groups, n_resamples=2000)
    low, high = _slow_bootstrap(y, score, groups, 500, 1)
    assert macro.value == pytest.approx(roc_auc_score(y, score))
    assert macro.low == pytest.approx(low, abs=0.01)
    assert macro.high == pytest.approx(high, abs=0.01)
    assert (macro.n_patients, macro.n_incomplete) == (10, 0)
    np.testing.assert_allclose([c.value for c in classes], auroc(y, score))


def test_clusters_widen_the_interval():
    y, score, _ = _case(1, n=60)
    many = np.repeat(np.arange(60), 5)
    y, score = y[many], score[many]
    alone, _ = bootstrap_intervals(y, score)
    grouped, _ = bootstrap_intervals(y, score, groups=many)
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_interval_covers_the_truth_at_its_level():
    rng = np.random.default_rng(7)
    truth = 0.7602  # P(N(1, 1) > N(0, 1)) = Phi(1 / sqrt(2))
    hits = 0
    for seed in range(100):
        y = np.repeat([0.0, 1.0], 60)
        macro, _ = bootstrap_intervals(y, y + rng.normal(size=120), n_resamples=200, level=0.9, seed=seed)
        hits += macro.low <= truth <= macro.high
    assert 80 <= hits <= 98


def test_same_seed_same_interval():
    y, score, groups = _case(2)
    first = bootstrap_intervals(y, score, groups=groups, n_resamples=200, seed=5)
    assert first == bootstrap_intervals(y, score, groups=groups, n_resamples=200, seed=5)
    assert first != bootstrap_intervals(y, score, groups=groups, n_resamples=200, seed=6)


def test_paired_difference_is_narrower_than_unpaired_and_finds_a_small_gain():
    y, score, groups = _case(3, n=300)
    worse = score + 0.3 * np.random.default_rng(9).normal(size=score.shape)
    pair = paired_difference(y, score, worse, groups=groups)
    a, b = (bootstrap_intervals(y, s, groups=groups)[0] for s in (score, worse))
    assert pair.value == pytest.approx(a.value - b.value)
    assert pair.high - pair.low < 0.6 * (a.high - a.low + b.high - b.low)
    assert pair.low > 0


def test_difference_of_equal_scorings_is_zero():
    y, score, groups = _case(4)
    pair = paired_difference(y, score, score, groups=groups, n_resamples=100)
    assert (pair.value, pair.low, pair.high) == (0, 0, 0)


def test_parts_are_judged_apart():
    y, score, groups = _case(5)
    part = np.arange(len(y)) % 2
    shifted = score + 100 * part[:, None]  # ranks across parts are meaningless
    macro, _ = bootstrap_intervals(y, shifted, groups=groups, parts=part, n_resamples=50)
    expected = np.mean([roc_auc_score(y[part == p], score[part == p]) for p in (0, 1)])
    assert macro.value == pytest.approx(expected)
    assert macro.low < macro.value < macro.high


def test_draws_are_averaged():
    y, score, groups = _case(6)
    draws = score + np.random.default_rng(1).normal(size=(4, *score.shape))
    macro, _ = bootstrap_intervals(y, draws, groups=groups, n_resamples=50)
    assert macro.value == pytest.approx(np.mean([roc_auc_score(y, d) for d in draws]))
    pair = paired_difference(y, draws, score[None], groups=groups, n_resamples=50)
    assert pair.value == pytest.approx(macro.value - roc_auc_score(y, score))


def test_rare_class_is_counted_when_resamples_miss_it():
    y, score, _ = _case(7, n=60)
    y[:, 0] = 0
    y[3, 0] = 1
    macro, classes = bootstrap_intervals(y, score, n_resamples=300)
    assert 50 < macro.n_incomplete < 160  # one positive of 60 is missed by 1 / e of the resamples
    assert np.isfinite(macro.low)
    y[3, 0] = 0
    macro, classes = bootstrap_intervals(y, score, n_resamples=50)
    assert np.isnan(classes[0].value)
    assert np.isnan(classes[0].low)
    assert macro.value == pytest.approx(auroc(y, score)[1:].mean())


def test_other_metrics_and_blocks(monkeypatch):
    y, score, groups = _case(8)
    whole, _ = bootstrap_intervals(y, score > 0.5, metric=f1, groups=groups, n_resamples=40)
    monkeypatch.setattr("ssl_ecg.evaluate.bootstrap._CELLS_AT_ONCE", 7 * len(y))
    blocks, _ = bootstrap_intervals(y, score > 0.5, metric=f1, groups=groups, n_resamples=40)
    assert whole == blocks


def test_wrong_shapes_are_refused():
    y, score, _ = _case(9)
    with pytest.raises(LabelError, match="same records"):
        bootstrap_intervals(y, score[:-1])
    with pytest.raises(LabelError, match="groups"):
        bootstrap_intervals(y, score, groups=np.zeros(3))
    with pytest.raises(LabelError, match="0 records"):
        bootstrap_intervals(np.zeros((0, 2)), np.zeros((0, 2)))


def test_p_value_equals_a_slow_loop_and_agrees_with_the_interval():
    rng = np.random.default_rng(3)
    for shift in (-0.3, 0.0, 0.1, 2.0):
        draws = [*rng.normal(shift, 0.2, 199), np.nan, 0.0]
        below = above = usable = 0
        for d in draws:
            if d == d:
                usable, below, above = usable + 1, below + (d <= 0), above + (d >= 0)
        expected = min(1, 2 * min((below + 1) / (usable + 1), (above + 1) / (usable + 1)))
        assert two_sided_p(draws) == pytest.approx(expected)
    y, score, groups = _case(3, n=300)
    for noise in (0.1, 0.3, 0.6):
        worse = score + noise * np.random.default_rng(9).normal(size=score.shape)
        pair = paired_difference(y, score, worse, groups=groups, n_resamples=400)
        assert (pair.p_value < 0.05) == (pair.low > 0 or pair.high < 0)
    assert np.isnan(two_sided_p([np.nan]))


def test_p_value_of_a_difference_is_that_of_resampled_patients():
    y, score, groups = _case(13, n=120)
    other = score + 0.5 * np.random.default_rng(2).normal(size=score.shape)
    pair = paired_difference(y, score, other, groups=groups, n_resamples=2000)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng, found = np.random.default_rng(4), []
    for _ in range(300):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        found.append(roc_auc_score(y[rows], score[rows]) - roc_auc_score(y[rows], other[rows]))
    assert pair.p_value == pytest.approx(
        2 * min(np.mean(np.array(found) <= 0), np.mean(np.array(found) >= 0)), abs=0.08
    )


def test_p_values_are_uniform_where_nothing_differs():
    rng, found = np.random.default_rng(11), []
    for seed in range(150):
        y = np.repeat([0.0, 1.0], 40)
        a, b = (y + rng.normal(size=80) for _ in range(2))
        found.append(paired_difference(y, a, b, n_resamples=99, seed=seed).p_value)
    assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.11
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.12)
