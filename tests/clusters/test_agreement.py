"""Indices of agreement against scikit-learn, enrichment and false discovery against loops."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from sklearn import metrics

from ssl_ecg.clusters.agreement import adjusted_rand, enrichment, label_agreement, mutual_information, purity


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("groups", "n"), [(2, 30), (7, 200), (30, 60)])
def test_indices_are_those_of_scikit_learn(seed, groups, n):
    rng = np.random.default_rng(seed)
    a = rng.integers(-1, groups, n)
    b = np.where(rng.random(n) < 0.5, a * 3, rng.integers(0, 5, n))
    assert adjusted_rand(a, b) == pytest.approx(metrics.adjusted_rand_score(a, b))
    assert mutual_information(a, b) == pytest.approx(metrics.normalized_mutual_info_score(a, b))
    commonest = sum(max(np.sum((a == x) & (b == y)) for y in np.unique(b)) for x in np.unique(a))
    assert purity(a, b) == pytest.approx(commonest / n)


def test_extremes():
    same, other = np.array([0, 0, 1, 1, 2]), np.array([4, 4, 9, 9, 1])
    assert (adjusted_rand(same, other), purity(same, other)) == (1.0, 1.0)
    assert mutual_information(same, other) == pytest.approx(1)
    one = np.zeros(5, int)
    assert (adjusted_rand(one, one), mutual_information(one, one)) == (1.0, 1.0)
    assert adjusted_rand(one, same) == pytest.approx(metrics.adjusted_rand_score(one, same))
    assert adjusted_rand(np.array([3]), np.array([1])) == 1.0


def random_labels(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(-1, 4, 60), (rng.random((60, 3)) < [0.5, 0.2, 0.03]).astype(np.float32)


def test_agreement_is_of_first_labels_and_of_each_class():
    clusters, labels = random_labels()
    report = label_agreement(clusters, labels, ("A", "B", "C"))
    groups, first = [], []
    for cluster, row in zip(clusters, labels, strict=True):
        named = [c for c in range(3) if row[c]]
        if named:
            groups.append(cluster)
            first.append(named[0])
    assert report["n_with_label"] == len(first)
    assert report["n_with_several"] == sum(row.sum() > 1 for row in labels)
    assert report["first_label"]["ari"] == pytest.approx(metrics.adjusted_rand_score(groups, first))
    assert report["first_label"]["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(groups, first))
    assert report["first_label"]["purity_by_chance"] == pytest.approx(max(map(first.count, range(3))) / len(first))
    assert 0 < report["first_label"]["nmi_by_chance"] < 0.2
    for c, name in enumerate("ABC"):
        entry = report["classes"][name]
        f1 = [metrics.f1_score(labels[:, c], clusters == label) for label in range(4)]
        assert entry["best_f1"] == pytest.approx(max(f1))
        assert f1[entry["best_cluster"]] == max(f1)
        assert entry["nmi"] == pytest.approx(metrics.normalized_mutual_info_score(clusters, labels[:, c]))


def test_records_without_any_label():
    report = label_agreement(np.array([0, 0, 1]), np.zeros((3, 2)), ("A", "B"))
    assert "first_label" not in report
    assert report["classes"]["A"] == {
        "n": 0,
        "nmi": 0.0,
        "best_cluster": -1,
        "best_f1": 0.0,
    }


def test_enrichment_against_counting():
    clusters, labels = random_labels(1)
    found = enrichment(clusters, labels, ("A", "B", "C"))
    assert sorted(found) == [0, 1, 2, 3]
    values = []
    for label, entries in found.items():
        assert [e["lift"] for e in entries] == sorted((e["lift"] for e in entries), reverse=True)
        for entry in entries:
            c, size = "ABC".index(entry["class"]), int(sum(clusters == label))
            total = int(labels[:, c].sum())
            n = sum(1 for k in range(60) if clusters[k] == label and labels[k, c])
            tail = sum(comb(total, m) * comb(60 - total, size - m) for m in range(n, min(size, total) + 1))
            assert entry["n"] == n
            assert entry["share"] == pytest.approx(n / size)
            assert entry["lift"] == pytest.approx(n / size / (total / 60))
            assert entry["p"] == pytest.approx(tail / comb(60, size))
            values.append((entry["p"], entry["q"]))
    for p, q in values:  # the smallest level at which Benjamini and Hochberg's procedure rejects
        ranked = sorted(value for value, _ in values)
        levels = [value * len(ranked) / (k + 1) for k, value in enumerate(ranked) if value >= p]
        assert q == pytest.approx(min(1.0, *levels))
