from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.sampling import grouped_folds, nested_subsets


def _labels(seed=0, n=400):
    rng = np.random.default_rng(seed)
    return (rng.random((n, 5)) < [0.5, 0.3, 0.2, 0.05, 0.01]).astype(float)


def test_subsets_are_nested_seeded_and_of_the_right_size():
    Y = _labels()
    subsets = nested_subsets(Y, [10, 50, 100, 400], seed=3)
    previous = set()
    for size, rows in subsets.items():
        assert len(set(rows.tolist())) == size
        assert previous <= set(rows.tolist())
        previous = set(rows.tolist())
    again = nested_subsets(Y, [100, 10], seed=3)
    assert all((again[size] == subsets[size]).all() for size in again)
    assert (nested_subsets(Y, [100], seed=4)[100] != subsets[100]).any()


def test_every_class_has_a_positive_where_possible():
    Y = _labels()
    Y[:, 4] = 0
    Y[17, 4] = 1
    for seed in range(20):
        rows = nested_subsets(Y, [5], seed=seed)[5]
        assert Y[rows].any(axis=0).all()


def test_unknown_labels_are_no_positives():
    Y = np.zeros((20, 1))
    Y[:, 0] = np.nan
    Y[13, 0] = 1
    assert nested_subsets(Y, [1], seed=0)[1].tolist() == [13]


def test_subsets_keep_the_proportions():
    Y = _labels(1, 2000)
    share = np.array([Y[nested_subsets(Y, [200], seed=s)[200]].mean(axis=0) for s in range(30)])
    random = np.array([Y[np.random.default_rng(s).choice(2000, 200, False)].mean(axis=0) for s in range(30)])
    np.testing.assert_allclose(share.mean(axis=0), Y.mean(axis=0), atol=0.015)
    assert share[:, 0].std() < 0.6 * random[:, 0].std()


@pytest.mark.parametrize("size", [0, 401])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(LabelError, match="400"):
        nested_subsets(_labels(), [size], seed=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(8, 60))
def test_folds_keep_patients_together_and_none_is_empty(seed, n_folds, n):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, max(n // 2, n_folds), n)
    groups[:n_folds] = np.arange(n_folds)
    folds = grouped_folds(rng.random((n, 3)) < 0.3, groups, n_folds=n_folds, seed=seed)
    assert set(folds) == set(range(n_folds))
    assert all(len(set(folds[groups == g])) == 1 for g in np.unique(groups))


def test_folds_balance_rare_labels_better_than_chance():
    Y = _labels(2, 1000)
    groups = np.random.default_rng(0).integers(0, 600, 1000)
    folds = grouped_folds(Y, groups, n_folds=5, seed=0)
    counts = np.array([Y[folds == k].sum(axis=0) for k in range(5)])
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 20
    assert (counts.max(axis=0) - counts.min(axis=0) <= np.maximum(3, 0.15 * counts.mean(axis=0))).all()
    assert counts[:, 4].min() >= 1
    assert (grouped_folds(Y, groups, n_folds=5, seed=0) == folds).all()


def test_shares_are_met():
    Y = _labels(3, 1000)
    folds = grouped_folds(Y, np.arange(1000), shares=(0.7, 0.15, 0.15), seed=1)
    np.testing.assert_allclose(np.bincount(folds) / 1000, (0.7, 0.15, 0.15), atol=0.02)


def test_fewer_patients_than_folds():
    with pytest.raises(LabelError, match="2 patients for 5 folds"):
        grouped_folds(np.ones((6, 1)), [1, 1, 1, 2, 2, 2], n_folds=5, seed=0)
