"""What is particular to each detector, against independent references."""

from __future__ import annotations

import hdbscan
import numpy as np
import pytest
from sklearn.cluster import DBSCAN
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from ssl_ecg.errors import SignalError
from ssl_ecg.screen.density import DensityScreen, knee
from ssl_ecg.screen.kmeans import KMeansScreen
from ssl_ecg.screen.knn import KNNScreen
from ssl_ecg.screen.neighbours import nearest
from ssl_ecg.screen.whiten import fit_whitening


def _blobs(n=600, dim=5, kinds=4, seed=0, gap=5.0):
    rng = np.random.default_rng(seed)
    centres = gap * np.random.default_rng(42).normal(size=(kinds, dim))
    kind = rng.integers(0, kinds, n)
    width = np.array([0.5, 0.7, 1.0, 0.6])[kind % 4][:, None]
    return centres[kind] + width * rng.normal(size=(n, dim)), kind


# ---------------------------------------------------------------- neighbours and whitening


def test_neighbours_equal_scikit_learn():
    rng = np.random.default_rng(0)
    reference, queries = rng.normal(size=(80, 6)), rng.normal(size=(30, 6))
    distance, rows = nearest(queries, reference, 5)
    expected, expected_rows = NearestNeighbors(n_neighbors=5).fit(reference).kneighbors(queries)
    np.testing.assert_allclose(distance, expected, rtol=1e-4)
    assert (rows == expected_rows).all()
    distance, rows = nearest(reference, reference, 3, own=True)
    expected, expected_rows = NearestNeighbors(n_neighbors=3).fit(reference).kneighbors()
    np.testing.assert_allclose(distance, expected, rtol=1e-4)
    assert (rows == expected_rows).all()


def test_own_row_is_left_out_among_equal_vectors():
    points = np.ones((40, 3))
    distance, rows = nearest(points, points, 4, own=True)
    assert distance.shape == rows.shape == (40, 4)
    assert (rows != np.arange(40)[:, None]).all()
    assert np.allclose(distance, 0, atol=1e-3)
    with pytest.raises(SignalError, match="no neighbour"):
        nearest(points[:1], points[:1], 4, own=True)


def test_whitened_embeddings_have_unit_covariance():
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6)) + 7
    white = fit_whitening(Z, 4)(Z)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)


def test_projection_without_whitening_keeps_proportions():
    Z = np.random.default_rng(0).normal(size=(500, 3)) * [9.0, 3.0, 0.1]
    plain = fit_whitening(Z, 2, whiten=False)(Z)
    assert plain.std(axis=0)[0] / plain.std(axis=0)[1] == pytest.approx(3, rel=0.15)
    assert (plain.std(axis=0) ** 2).mean() == pytest.approx(1, rel=1e-3)
    kept = fit_whitening(Z, None)(Z)
    ratio = np.linalg.norm(Z[:5] - Z[5:10], axis=1) / np.linalg.norm(kept[:5] - kept[5:10], axis=1)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


def test_few_records_keep_few_directions():
    Z = np.random.default_rng(0).normal(size=(40, 64))
    assert fit_whitening(Z, 32).projection.shape == (64, 4)


# ---------------------------------------------------------------- K-means


def test_number_of_clusters_is_found():
    Z, kind = _blobs()
    screen = KMeansScreen().fit(Z)
    assert len(screen.centroids_) == 4
    assert adjusted_rand_score(kind, screen.cluster(Z)) > 0.98
    assert 0 < screen.silhouette_ <= 1


def test_score_is_the_distance_in_spreads():
    Z, kind = _blobs(n=4000)
    screen = KMeansScreen(k=4, n_components=None).fit(Z)
    expected = [
        min(np.sqrt((((z - Z[kind == c].mean(axis=0)) / Z[kind == c].std(axis=0)) ** 2).mean()) for c in range(4))
        for z in Z[:50]
    ]
    np.testing.assert_allclose(screen.anomaly_score(Z[:50]), expected, rtol=0.05)


def test_outliers_with_a_centroid_of_their_own_stay_strange():
    Z, _ = _blobs(n=500)
    outliers = np.full((2, 5), 60.0) + np.random.default_rng(0).normal(size=(2, 5))
    both = np.vstack([Z, outliers])
    scores = KMeansScreen(k=6).fit_score(both)
    assert set(np.argsort(scores)[-2:]) == {500, 501}
    assert scores[500] > 3 * np.quantile(scores, 0.98)


def test_impossible_numbers_of_clusters():
    with pytest.raises(SignalError, match="at least one cluster"):
        KMeansScreen(k=0).fit(_blobs()[0])
    with pytest.raises(SignalError, match="20 records, at least 40"):
        KMeansScreen(k=20).fit(_blobs(20)[0])


# ---------------------------------------------------------------- neighbours as a screen


def test_knn_score_equals_scikit_learn():
    Z, _ = _blobs(300)
    queries, _ = _blobs(40, seed=3)
    screen = KNNScreen(k=7)
    fitted = screen.fit_score(Z)
    model = NearestNeighbors(n_neighbors=7).fit(screen.transform(Z))
    np.testing.assert_allclose(fitted, model.kneighbors()[0].mean(axis=1), rtol=1e-4)
    expected = model.kneighbors(screen.transform(queries))[0].mean(axis=1)
    np.testing.assert_allclose(screen.anomaly_score(queries), expected, rtol=1e-4)


def test_large_reference_is_sampled():
    Z, _ = _blobs(800)
    for screen in (KNNScreen(max_fit=200), DensityScreen(max_fit=200), DensityScreen("hdbscan", max_fit=200)):
        scores = screen.fit_score(np.vstack([Z, np.full((1, 5), 50.0)]))
        assert len(screen.points_) <= 200
        assert scores.argmax() == 800


# ---------------------------------------------------------------- DBSCAN


def test_dbscan_equals_scikit_learn():
    Z, kind = _blobs()
    screen = DensityScreen("dbscan", n_components=None).fit(Z)
    reference = DBSCAN(eps=screen.eps_ * (1 + 1e-6), min_samples=10).fit(screen.transform(Z))
    core = reference.core_sample_indices_
    assert len(screen.points_) == len(core)
    assert adjusted_rand_score(reference.labels_[core], screen.cluster(Z)[core]) == 1
    noise = reference.labels_ == -1
    assert (screen.cluster(Z)[noise] == -1).all()
    assert screen.n_clusters_ == reference.labels_.max() + 1 == 4
    assert adjusted_rand_score(kind[~noise], screen.cluster(Z)[~noise]) > 0.98


def test_dbscan_score_is_the_mean_distance_to_core_embeddings():
    Z, _ = _blobs()
    queries = _blobs(20, seed=9)[0] + 4
    screen = DensityScreen("dbscan", min_samples=6).fit(Z)
    distance = np.linalg.norm(screen.transform(queries)[:, None] - screen.points_[None], axis=2)
    expected = np.sort(distance, axis=1)[:, :6].mean(axis=1) / screen.eps_
    np.testing.assert_allclose(screen.anomaly_score(queries), expected, rtol=1e-3)


def test_knee_is_where_the_curve_bends():
    curve = np.concatenate([np.linspace(1, 1.5, 90), np.linspace(1.6, 9, 10)])
    assert knee(curve) == pytest.approx(1.5, abs=0.15)
    assert knee(np.ones(5)) == 1


def test_eps_that_leaves_no_dense_place():
    with pytest.raises(SignalError, match="larger eps"):
        DensityScreen("dbscan", eps=1e-4).fit(_blobs()[0])
    with pytest.raises(SignalError, match="greater than zero"):
        DensityScreen("dbscan", eps=-1.0).fit(_blobs()[0])


@pytest.mark.parametrize(("change", "match"), [({"algorithm": "optics"}, "optics"), ({"min_samples": 1}, "at least 2")])
def test_wrong_arguments(change, match):
    with pytest.raises(SignalError, match=match):
        DensityScreen(**change).fit(_blobs()[0])


# ---------------------------------------------------------------- HDBSCAN


@pytest.mark.parametrize("gap", [5.0, 2.0, 0.0])  # apart, touching, one blob
def test_hdbscan_equals_the_package(gap):
    Z, _ = _blobs(gap=gap)
    rng = np.random.default_rng(1)
    queries = np.vstack([_blobs(80, seed=2, gap=gap)[0], 10 * rng.normal(size=(40, 5))]).astype(np.float32)
    screen = DensityScreen("hdbscan", n_components=None)
    fitted = screen.fit_score(Z)
    order = np.lexsort(Z.T[::-1])  # the tree depends on the order of the records where distances are equal
    X = screen.transform(Z).astype(np.float64)[order]
    reference = hdbscan.HDBSCAN(min_cluster_size=15, min_samples=10, prediction_data=True).fit(X)
    np.testing.assert_allclose(fitted[order], reference.outlier_scores_, atol=1e-9)
    new = screen.transform(queries).astype(np.float64)
    if reference.labels_.max() >= 0:  # without clusters the package says 1 for everything
        expected = np.clip(hdbscan.approximate_predict_scores(reference, new), 0, 1)
        np.testing.assert_allclose(screen.anomaly_score(queries), expected, atol=1e-3)
    assert adjusted_rand_score(reference.labels_, screen.labels_) == 1
    far = screen.cluster(queries)[80:]
    assert (far == -1).mean() > 0.7


def test_hdbscan_gives_fitted_records_their_own_score_again():
    Z, _ = _blobs()
    screen = DensityScreen("hdbscan")
    fitted = screen.fit_score(Z)
    again = screen.anomaly_score(Z)
    assert np.mean(np.abs(again - fitted) < 1e-3) > 0.95
