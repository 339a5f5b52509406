from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from ssl_ecg import map as embedding_map
from ssl_ecg.errors import SignalError
from ssl_ecg.map import project


def _blobs(n=300, dim=10, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    return 6 * np.random.default_rng(5).normal(size=(3, dim))[kind] + rng.normal(size=(n, dim)), kind


def test_pca_equals_scikit_learn_up_to_sign():
    Z, _ = _blobs()
    ours, theirs = project(Z, method="pca"), PCA(2).fit_transform(Z)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_few_records_are_projected_by_pca(n):
    Z = _blobs(n)[0] if n else np.zeros((0, 10))
    picture = project(Z)
    assert picture.shape == (n, 2)
    assert np.isfinite(picture).all()
    np.testing.assert_array_equal(picture, project(Z, method="pca"))


def test_one_dimension():
    picture = project(np.arange(5.0)[:, None], method="pca")
    assert (picture[:, 1] == 0).all()
    assert np.allclose(np.abs(np.diff(picture[:, 0])), 1)


def test_wrong_requests():
    with pytest.raises(SignalError, match="umap, pca"):
        project(np.zeros((3, 2)), method="tsne")
    with pytest.raises(SignalError, match="NaN"):
        project([[np.nan, 1.0]])
    with pytest.raises(SignalError, match="neighbours"):
        project(np.zeros((30, 2)), neighbours=1)


def test_records_outside_the_sample_lie_beside_their_neighbours(monkeypatch):
    Z, kind = _blobs(400)
    monkeypatch.setattr(embedding_map, "_MOST_FOR_UMAP", 100)
    monkeypatch.setattr(embedding_map, "_umap", lambda sample, plane, *rest: plane)  # UMAP itself is slow to start
    picture = project(Z)
    assert picture.shape == (400, 2)
    assert silhouette_score(picture, kind) > 0.5
    np.testing.assert_allclose(picture, project(Z, method="pca"), atol=3.5)
    assert (picture == project(Z)).all()


@pytest.mark.slow
def test_umap_keeps_neighbourhoods_and_repeats():
    Z, kind = _blobs()
    picture = project(Z, seed=3)
    assert picture.shape == (300, 2)
    assert picture.dtype == np.float32
    assert trustworthiness(Z, picture, n_neighbors=15) > 0.8
    assert silhouette_score(picture, kind) > 0.6
    np.testing.assert_array_equal(picture, project(Z, seed=3))
    assert (picture != project(Z, seed=4)).any()


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 12, 20])
def test_umap_of_small_sets_and_equal_records(n):
    Z = np.repeat(_blobs(n // 2)[0], 2, axis=0)
    picture = project(Z)
    assert picture.shape == (len(Z), 2)
    assert np.isfinite(picture).all()
