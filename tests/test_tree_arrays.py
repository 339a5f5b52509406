"""Trees as arrays, against scikit-learn's own walk."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from ssl_ecg.errors import ArchiveError
from ssl_ecg.tree_arrays import Trees


def _forest(seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(300, 5))
    y = (X[:, 0] + X[:, 1] ** 2 + 0.5 * rng.normal(size=300) > 1).astype(int) + (X[:, 2] > 1)
    return RandomForestClassifier(12, random_state=0).fit(X, y), X


def test_leaves_and_shares_equal_scikit_learn():
    forest, _ = _forest()
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])
    X = np.random.default_rng(1).normal(size=(500, 5))
    leaves = trees.leaves(X)
    np.testing.assert_array_equal(leaves - trees.roots, forest.apply(X))
    np.testing.assert_allclose(trees.value[leaves].mean(axis=1), forest.predict_proba(X), rtol=1e-12)
    assert len(trees) == 12


def test_values_on_a_threshold_go_the_same_way():
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(400, 3)), 1)  # many ties; float64 thresholds fall between float32 values
    tree = DecisionTreeClassifier(random_state=0).fit(X, rng.integers(0, 2, 400)).tree_
    trees = Trees.from_sklearn([tree])
    on = np.array([[t, t, t] for t in tree.threshold[tree.feature >= 0]])
    for queries in (on, np.nextafter(on, np.inf), np.nextafter(on, -np.inf), on.astype(np.float32)):
        np.testing.assert_array_equal(trees.leaves(queries)[:, 0], tree.apply(queries.astype(np.float32)))


def test_missing_values_go_where_scikit_learn_sends_them():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X[:, 0] > 0.5).astype(int)
    X[rng.random(X.shape) < 0.2] = np.nan
    forest = RandomForestClassifier(8, random_state=0).fit(X, y)
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])
    np.testing.assert_array_equal(trees.leaves(X) - trees.roots, forest.apply(X))


def test_depth_is_the_number_of_edges():
    forest = IsolationForest(n_estimators=5, random_state=0).fit(_forest()[1])
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])
    X = _forest()[1]
    for number, tree in enumerate(forest.estimators_):
        edges = np.asarray(tree.decision_path(X).sum(axis=1)).ravel() - 1
        np.testing.assert_array_equal(trees.depth[trees.leaves(X)[:, number]], edges)


def test_many_records_are_walked_in_blocks(monkeypatch):
    forest, X = _forest()
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])
    whole = trees.leaves(X)
    monkeypatch.setattr("ssl_ecg.tree_arrays._BLOCK", 7)
    np.testing.assert_array_equal(trees.leaves(X), whole)
    assert trees.leaves(X[:0]).shape == (0, 12)


def test_arrays_and_back(tmp_path):
    forest, X = _forest()
    trees = Trees.from_sklearn([tree.tree_ for tree in forest.estimators_])
    np.savez(tmp_path / "t.npz", extra=np.ones(2), **trees.arrays())
    with np.load(tmp_path / "t.npz", allow_pickle=False) as arrays:
        back = Trees.from_arrays(arrays)
    np.testing.assert_array_equal(back.leaves(X), trees.leaves(X))


def test_damaged_arrays_are_refused():
    arrays = Trees.from_sklearn([tree.tree_ for tree in _forest()[0].estimators_]).arrays()
    with pytest.raises(ArchiveError, match="no array left"):
        Trees.from_arrays({name: array for name, array in arrays.items() if name != "left"})
    circle = {**arrays, "left": np.zeros_like(arrays["left"])}
    beyond = {**arrays, "right": arrays["right"] + 10**6}
    for damaged in (circle, beyond, {**arrays, "value": arrays["value"][:3]}, {**arrays, "roots": arrays["roots"][:0]}):
        with pytest.raises(ArchiveError, match="do not make trees"):
            Trees.from_arrays(damaged)
