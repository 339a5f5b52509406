"""Detectors that are fitted models, their sums and their search at scale, against scikit-learn and plain loops."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.screen.base import canonical_order
from ssl_ecg.screen.detectors import DETECTORS, load_detector
from ssl_ecg.screen.ensemble import EnsembleScreen, rank_share
from ssl_ecg.screen.isolation import IsolationScreen
from ssl_ecg.screen.knn import KNNScreen
from ssl_ecg.screen.mahalanobis import MahalanobisScreen, ledoit_wolf
from ssl_ecg.screen.mixture import MixtureScreen
from ssl_ecg.screen.neighbours import build_index, chosen_search, nearest, search_index
from ssl_ecg.screen.whiten import fit_whitening


def _kinds(n=500, dim=5, kinds=3, seed=0, gap=6.0):
    rng = np.random.default_rng(seed)
    centres = gap * np.random.default_rng(42).normal(size=(kinds, dim))
    kind = rng.integers(0, kinds, n)
    width = np.array([0.5, 1.0, 0.7])[kind % 3][:, None]
    return (centres[kind] + width * rng.normal(size=(n, dim))).astype(np.float32), kind


# ---------------------------------------------------------------- order, blocks, robust projection


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_order_equals_lexsort(levels):
    Z = np.random.default_rng(levels).integers(0, levels, (300, 6)).astype(np.float64)
    Z[::3] = Z[0]  # equal rows stay in the order given
    np.testing.assert_array_equal(canonical_order(Z), np.lexsort(Z.T[::-1]))
    assert canonical_order(Z[:0]).shape == (0,)


def test_blocks_change_nothing(monkeypatch):
    Z, _ = _kinds()
    rows = np.random.default_rng(0).permutation(500)[:400]
    whole = [fit_whitening(Z, 3, rows=rows, suspect=s) for s in (0.0, 0.1)]
    monkeypatch.setattr("ssl_ecg.screen.whiten.BLOCK", 7)
    parts = [fit_whitening(Z, 3, rows=rows, suspect=s) for s in (0.0, 0.1)]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(np.abs(one(Z[rows])), np.abs(other(Z[rows])), rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(other(Z, rows), other(Z[rows]))


def test_few_distant_records_do_not_turn_the_directions():
    rng = np.random.default_rng(0)
    usual = rng.normal(size=(1000, 6)) * [5, 4, 1, 1, 1, 1]
    far = rng.normal(size=(50, 6))
    far[:, 5] += 300
    both = np.vstack([usual, far])
    fitted = [fit_whitening(Z, 2, suspect=share).projection for Z, share in ((both, 0.0), (both, 0.06), (usual, 0.0))]
    plain, robust, true = (np.abs(columns / np.linalg.norm(columns, axis=0)) for columns in fitted)
    assert plain[5, 0] > 0.99  # the first direction is that of the distant records
    np.testing.assert_allclose(robust, true, atol=0.1)


# ---------------------------------------------------------------- Mahalanobis


@pytest.mark.parametrize("shape", [(15, 30), (40, 8), (3000, 6)])
def test_shrinkage_equals_scikit_learn(shape):
    X = np.random.default_rng(0).normal(size=shape) * np.geomspace(1, 4, shape[1]) + 3
    mean, covariance, shrinkage = ledoit_wolf(X)
    expected = LedoitWolf().fit(X)
    np.testing.assert_allclose(mean, expected.location_)
    np.testing.assert_allclose(covariance, expected.covariance_, rtol=1e-9, atol=1e-12)
    assert shrinkage == pytest.approx(expected.shrinkage_)


def test_mahalanobis_equals_scikit_learn():
    Z, _ = _kinds(120, dim=10)
    screen = MahalanobisScreen(n_components=6).fit(Z)
    queries, _ = _kinds(40, dim=10, seed=3)
    expected = LedoitWolf().fit(screen.transform(Z)).mahalanobis(screen.transform(queries))
    np.testing.assert_allclose(screen.anomaly_score(queries) ** 2, expected, rtol=1e-4)
    squared = MahalanobisScreen(n_components=6, squared=True).fit(Z)
    np.testing.assert_allclose(squared.anomaly_score(queries), expected, rtol=1e-4)


# ---------------------------------------------------------------- mixture


@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_mixture_equals_scikit_learn(covariance):
    Z, kind = _kinds()
    screen = MixtureScreen(covariance=covariance).fit(Z)
    assert len(screen.weights_) == 3
    assert adjusted_rand_score(kind, screen.cluster(Z)) > 0.99
    X = screen.transform(Z).astype(np.float64)[canonical_order(Z)]
    settings = {"covariance_type": covariance, "reg_covar": 1e-4, "max_iter": 200, "random_state": 0}
    models = {k: GaussianMixture(k, **settings).fit(X) for k in (1, 2, 3, 4, 6, 8)}
    queries = _kinds(50, seed=4)[0] + 2
    expected = -models[3].score_samples(screen.transform(queries).astype(np.float64))
    np.testing.assert_allclose(screen.anomaly_score(queries), expected, rtol=1e-5, atol=1e-5)
    choice = screen.choice_[0]
    assert (choice.parameter, choice.criterion, choice.chosen) == ("k", "BIC", 3)
    np.testing.assert_allclose(choice.values, [models[k].bic(X) for k in choice.candidates], rtol=1e-6)


def test_outliers_with_a_component_of_their_own_stay_strange():
    Z, _ = _kinds()
    both = np.vstack([Z, np.full((4, 5), 80.0) + np.random.default_rng(0).normal(size=(4, 5))])
    scores = MixtureScreen(k=6).fit_score(both)
    assert set(np.argsort(scores)[-4:]) == {500, 501, 502, 503}


# ---------------------------------------------------------------- isolation forest


def test_isolation_equals_scikit_learn():
    Z, _ = _kinds()
    screen = IsolationScreen(n_trees=30, seed=5).fit(Z)
    X = screen.transform(Z)
    forest = IsolationForest(n_estimators=30, max_samples=256, random_state=5).fit(X[canonical_order(Z)])
    queries = screen.transform(_kinds(200, seed=4)[0] * 1.5)
    np.testing.assert_allclose(screen._score(queries), -forest.score_samples(queries), rtol=1e-12)
    np.testing.assert_allclose(screen.anomaly_score(Z), -forest.score_samples(X), rtol=1e-12)


# ---------------------------------------------------------------- ensemble


def test_ensemble_is_the_mean_of_ranks():
    Z, _ = _kinds()
    names = ["kmeans", "knn", "mahalanobis"]
    options = {"knn": {"k": 3}}
    screen = EnsembleScreen(names, options, n_components=None)
    scores = screen.fit_score(Z)
    ranks = []
    for name in names:
        member = DETECTORS[name]().set_params(**options.get(name, {}))
        ranks.append(rankdata(member.fit_score(screen.transform(Z))) / 500)
    np.testing.assert_allclose(scores, np.mean(ranks, axis=0), atol=1.1 / 500)
    assert [choice.parameter for choice in screen.choice_] == ["kmeans.k"]


def test_clusters_are_those_of_the_first_member_that_has_some():
    Z, kind = _kinds()
    screen = EnsembleScreen(["knn", "gmm", "kmeans"]).fit(Z)
    assert screen.clustered_by_ == "gmm"
    assert adjusted_rand_score(kind, screen.cluster(Z)) > 0.99
    assert (EnsembleScreen(["knn", "mahalanobis"]).fit(Z).cluster(Z) == -1).all()


def test_order_among_the_strangest_is_kept():
    Z, _ = _kinds()
    ray = 10.0 ** np.arange(1, 9)[:, None] * np.ones(5)
    scores = EnsembleScreen(["knn", "mahalanobis"]).fit(Z).anomaly_score(ray)
    assert (np.diff(scores) > 0).all()
    assert 1 < scores[0] < scores[-1] < 2


def test_rank_share_rises_with_the_score():
    reference = np.sort(np.random.default_rng(0).normal(size=50).round(1))
    scores = np.linspace(-4, 9, 300)
    share = rank_share(scores, reference)
    assert (np.diff(share) >= 0).all()
    for value in np.unique(reference)[:-1]:
        expected = np.mean(reference < value) + np.mean(reference == value) / 2
        assert rank_share(np.array([value]), reference)[0] == pytest.approx(expected)
    assert rank_share(np.array([1.0, 2.0]), np.ones(5)).tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("members", "options"),
    [([], None), (["knn", "knn"], None), (["ensemble"], None), (["no"], None), (["knn"], {"kmeans": {"k": 2}})],
)
def test_impossible_ensembles(members, options):
    with pytest.raises(SignalError, match="name each once"):
        EnsembleScreen(members, options).fit(_kinds()[0])


def test_damaged_member_is_refused(tmp_path):
    folder = EnsembleScreen(["kmeans", "isolation"]).fit(_kinds()[0]).save(tmp_path)
    card = json.loads((folder / "detector.json").read_text())
    del card["fitted"]["members_"]["isolation"]["fitted"]
    (folder / "detector.json").write_text(json.dumps(card))
    with pytest.raises(ArchiveError, match="detector"):
        load_detector(folder)


# ---------------------------------------------------------------- neighbours by lists and graph


@pytest.mark.parametrize("search", ["ivf", "hnsw"])
def test_approximate_neighbours_are_nearly_exact(search, tmp_path):
    Z, _ = _kinds(3000, dim=8)
    queries, _ = _kinds(200, dim=8, seed=5)
    exact, found = KNNScreen(search="exact"), KNNScreen(search=search, breadth=48)
    fitted, scores = exact.fit_score(Z), found.fit_score(Z)
    assert np.corrcoef(fitted, scores)[0, 1] > 0.995
    assert (scores >= fitted - 1e-5).all()  # what is missed can only be replaced by something farther away
    assert found.search_ == search
    expected = exact.anomaly_score(queries)
    np.testing.assert_allclose(found.anomaly_score(queries), expected, rtol=0.1)
    loaded = load_detector(found.save(tmp_path / "d"))
    np.testing.assert_array_equal(loaded.anomaly_score(queries), found.anomaly_score(queries))
    assert not hasattr(found, "points_")
    _, rows = nearest(queries, Z, 5)
    _, approximate = search_index(build_index(Z, search, breadth=48), queries, 5)
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(rows, approximate, strict=True)]) > 0.9


def test_too_few_in_the_lists_are_made_up_for():
    Z, _ = _kinds(400)
    index = build_index(Z, "ivf", breadth=1)
    distance, rows = search_index(index, Z[:50], 60)
    assert (rows >= 0).all()
    assert np.isfinite(distance).all()
    assert (np.diff(distance, axis=1) >= 0).all()


def test_queries_are_searched_in_blocks(monkeypatch):
    Z, _ = _kinds(300)
    whole = nearest(Z, Z, 4, own=True)
    monkeypatch.setattr("ssl_ecg.screen.neighbours._BLOCK", 64)
    for one, other in zip(whole, nearest(Z, Z, 4, own=True), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_search_follows_from_size():
    assert [chosen_search("auto", n) for n in (10, 50_000, 50_001)] == ["exact", "exact", "ivf"]
    with pytest.raises(SignalError, match="choose from auto"):
        KNNScreen(search="tree").fit(_kinds()[0])


def test_damaged_index_is_refused(tmp_path):
    folder = KNNScreen(search="ivf").fit(_kinds()[0]).save(tmp_path)
    with np.load(folder / "detector.npz") as stored:
        arrays = dict(stored)
    np.savez(folder / "detector.npz", **{**arrays, "index_": arrays["index_"][:200]})
    with pytest.raises(ArchiveError, match="index is damaged"):
        load_detector(folder)
