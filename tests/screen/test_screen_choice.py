"""What the data choose, and the tables they leave."""

from __future__ import annotations

import json
from itertools import combinations

import hdbscan
import numpy as np
import pytest
from hdbscan.validity import validity_index
from sklearn.metrics import adjusted_rand_score, silhouette_score

from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.screen.base import canonical_order
from ssl_ecg.screen.choice import Choice, best_choice, load_choices
from ssl_ecg.screen.density import DensityScreen
from ssl_ecg.screen.detectors import load_detector
from ssl_ecg.screen.kmeans import KMeansScreen
from ssl_ecg.screen.selection import dbcv, stability


def _kinds(n=300, dim=3, kinds=3, seed=0):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, kinds, n)
    return 8 * np.random.default_rng(42).normal(size=(kinds, dim))[kind] + rng.normal(size=(n, dim)), kind


def test_silhouettes_of_all_candidates_are_kept(tmp_path):
    Z, _ = _kinds()
    screen = KMeansScreen(candidates=(2, 3, 5, 200)).fit(Z)
    (choice,) = screen.choice_
    assert (choice.parameter, choice.criterion, choice.best, choice.chosen) == ("k", "silhouette", "highest", 3)
    assert choice.candidates == (2, 3, 5)  # two hundred clusters are too many for 300 records
    three = silhouette_score(screen.transform(Z), screen.cluster(Z))
    assert choice.values[1] == pytest.approx(three, abs=0.01) == pytest.approx(screen.silhouette_, abs=0.01)
    folder = screen.save(tmp_path)
    assert load_detector(folder).choice_ == [choice]
    KMeansScreen(k=3).fit(Z).save(tmp_path)
    assert not (tmp_path / "choice.json").exists()


@pytest.mark.parametrize("algorithm", ["dbscan", "hdbscan"])
@pytest.mark.parametrize("criterion", ["dbcv", "stability"])
def test_density_settings_are_chosen(algorithm, criterion):
    Z, kind = _kinds()
    options = {"min_samples": None, "min_cluster_size": None, "criterion": criterion}
    screen = DensityScreen(algorithm, n_components=None, **options).fit(Z)
    second = "eps" if algorithm == "dbscan" else "min_cluster_size"
    choices = {choice.parameter: choice for choice in screen.choice_}
    assert set(choices) == {"min_samples", second}
    choice = choices["min_samples"]
    assert choice.chosen == screen.min_samples_ == choice.candidates[int(np.nanargmax(choice.values))]
    clustered = screen.cluster(Z) >= 0
    assert clustered.mean() > 0.6
    assert adjusted_rand_score(kind[clustered], screen.cluster(Z)[clustered]) > 0.95


def test_validity_equals_the_package():
    Z, _ = _kinds()
    screen = DensityScreen("hdbscan", n_components=None, min_cluster_size=None).fit(Z)
    X = screen.transform(Z).astype(np.float64)[canonical_order(Z)]
    for size, value in zip(screen.choice_[0].candidates, screen.choice_[0].values, strict=True):
        labels = hdbscan.HDBSCAN(min_cluster_size=int(size), min_samples=10).fit_predict(X)
        assert value == pytest.approx(validity_index(X, labels), abs=1e-6)
    assert np.isnan(dbcv(X, np.zeros(300, np.int64)))
    assert np.isnan(dbcv(X, np.full(300, -1)))


def test_stability_is_the_mean_agreement_of_samples():
    X = _kinds()[0].astype(np.float32)
    drawn = []

    def cluster(sample):
        labels = (sample[:, 0] > np.median(sample[:, 0])).astype(np.int64)
        drawn.append((sample, labels))
        return labels

    value = stability(cluster, X, draws=3, seed=4)
    agreements = []
    for (one, first), (other, second) in combinations(drawn, 2):
        place = {tuple(row): k for k, row in enumerate(other.tolist())}
        pairs = [(first[k], second[place[tuple(row)]]) for k, row in enumerate(one.tolist()) if tuple(row) in place]
        agreements.append(adjusted_rand_score(*zip(*pairs, strict=True)))
    assert len(drawn[0][0]) == 240
    assert value == pytest.approx(np.mean(agreements))
    assert np.isnan(stability(lambda sample: np.zeros(len(sample), np.int64), X))


def test_eps_is_taken_where_the_curve_bends():
    screen = DensityScreen("dbscan").fit(_kinds()[0])
    (choice,) = screen.choice_
    assert (choice.parameter, choice.best) == ("eps", "knee")
    assert choice.chosen == screen.eps_
    assert screen.eps_ in choice.candidates
    assert (np.diff(choice.candidates) >= 0).all()
    assert choice.values[-1] == 1


def test_nothing_measured_leaves_what_is_usual():
    choice = best_choice("k", "silhouette", "highest", [2, 3], [np.nan, np.nan], 7)
    assert choice.chosen == 7
    Z = np.random.default_rng(0).normal(size=(200, 3))
    screen = DensityScreen("hdbscan", min_cluster_size=None, n_components=None).fit(Z)
    assert screen.min_cluster_size_ in (*screen.choice_[0].candidates, 15)
    with pytest.raises(SignalError, match="unknown criterion 'gap'"):
        DensityScreen("dbscan", criterion="gap").fit(Z)


def test_damaged_table_is_refused(tmp_path):
    assert load_choices(tmp_path) == []
    entry = {"parameter": "k", "criterion": "x", "best": "highest", "candidates": [2], "values": [None], "chosen": 2}
    (tmp_path / "choice.json").write_text(json.dumps({"choices": [entry]}))
    (found,) = load_choices(tmp_path)
    assert isinstance(found, Choice)
    assert np.isnan(found.values[0])
    for change in ({"best": "most"}, {"values": []}, {"more": 1}):
        (tmp_path / "choice.json").write_text(json.dumps({"choices": [{**entry, **change}]}))
        with pytest.raises(ArchiveError, match=r"choice\.json"):
            load_choices(tmp_path)
