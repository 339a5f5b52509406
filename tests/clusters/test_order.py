"""Orders for labelling against brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.clusters.order import binary_entropy, labelling_order
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import SignalError


def cloud(n: int = 70, seed: int = 0) -> Embeddings:
    rng = np.random.default_rng(seed)
    names = [f"r{k}" for k in range(n)]
    return Embeddings(rng.normal(size=(n, 5)) ** 3, pd.DataFrame({"record_id": names}))


def scaled(embeddings: Embeddings) -> np.ndarray:
    Z = embeddings.vectors.astype(float)
    return (Z - Z.mean(axis=0)) / np.sqrt(((Z - Z.mean(axis=0)) ** 2).mean())


def far(X: np.ndarray, row: int, chosen: list[int]) -> float:
    return min(float(np.sqrt(((X[row] - X[other]) ** 2).sum())) for other in chosen)


def slow_kcenter(X, n, labelled, weight) -> list[int]:
    chosen = list(labelled)
    while len(chosen) < n + len(labelled):
        rest = [k for k in range(len(X)) if k not in chosen]
        chosen.append(max(rest, key=lambda k: far(X, k, chosen) * weight[k]))
    return chosen[len(labelled) :]


def slow_facility(X, n, labelled, weight) -> list[int]:
    most = max(np.linalg.norm(a - b) for a in X for b in X)
    chosen = list(labelled)

    def cost(rows):
        return np.mean([far(X, k, rows) if rows else most for k in range(len(X))])

    while len(chosen) < n + len(labelled):
        rest = [k for k in range(len(X)) if k not in chosen]
        now = cost(chosen)
        chosen.append(max(rest, key=lambda k: (now - cost([*chosen, k])) * weight[k]))
    return chosen[len(labelled) :]


@pytest.mark.parametrize("coverage", ["kcenter", "facility"])
@pytest.mark.parametrize("labelled", [None, [3, 11, 60]])
@pytest.mark.parametrize("unsure", [None, 0.6])
def test_brute_force(coverage, labelled, unsure):
    embeddings = cloud()
    X = scaled(embeddings)
    options, weight = {}, np.ones(70)
    if unsure is not None:
        chances = np.random.default_rng(1).random((70, 2))
        entropy = [np.mean([-p * np.log2(p) - (1 - p) * np.log2(1 - p) for p in row]) for row in chances]
        weight = 1 - unsure + unsure * np.array(entropy)
        options = {"probabilities": chances, "unsure": unsure}
    found = labelling_order(embeddings, 8, labelled=labelled, coverage=coverage, n_components=None, **options)
    rows = found["row"].tolist()
    if coverage == "kcenter":
        if labelled is None:  # the first is central
            first = min(range(70), key=lambda k: np.linalg.norm(X[k]) / weight[k])
            assert rows[0] == first
            assert rows[1:] == slow_kcenter(X, 7, [first], weight)
        else:
            assert rows == slow_kcenter(X, 8, labelled, weight)
    else:
        assert rows == slow_facility(X, 8, labelled or [], weight)
    assert found["rank"].tolist() == list(range(1, 9))
    assert found["record_id"].tolist() == [f"r{k}" for k in rows]


@pytest.mark.parametrize("coverage", ["kcenter", "facility"])
def test_small_groups_are_covered(coverage):
    truth = np.repeat(range(4), [100, 50, 10, 5])
    Z = np.random.default_rng(0).normal(size=(165, 6)) + 30 * np.eye(6)[truth]
    embeddings = Embeddings(Z, pd.DataFrame({"record_id": range(165)}))
    assert sorted(truth[labelling_order(embeddings, 4, coverage=coverage)["row"]]) == [0, 1, 2, 3]
    rest = labelling_order(embeddings, 2, labelled=np.isin(np.arange(165), [0, 120]), coverage=coverage)
    assert sorted(truth[rest["row"]]) == [2, 3]


def test_more_than_there_are_and_what_is_not_finite():
    embeddings = cloud(40)
    embeddings.vectors[5] = np.nan
    for coverage in ("kcenter", "facility"):
        order = labelling_order(embeddings, 100, labelled=[0, 1], coverage=coverage)
        assert sorted(order["row"]) == [k for k in range(40) if k not in (0, 1, 5)]
        none = labelling_order(embeddings, 3, labelled=np.ones(40, bool), coverage=coverage)
        assert len(none) == 0


def test_many_records_are_sampled_and_the_order_is_the_same_again():
    rng = np.random.default_rng(0)
    embeddings = Embeddings(rng.normal(size=(5000, 8)), pd.DataFrame({"record_id": range(5000)}))
    first, second = (labelling_order(embeddings, 5, seed=3) for _ in range(2))
    assert first.equals(second)
    assert first["row"].is_unique
    assert (np.diff(first["gain"]) <= 1e-12).all()


def test_entropy():
    chances = [[0.5, 0.1], [1.0, 0.0], [0.25, np.nan], [np.nan, np.nan]]
    bits = [(1 + 0.4689956) / 2, 0.0, 0.8112781]
    np.testing.assert_allclose(binary_entropy(chances), [*bits, np.mean(bits)], rtol=1e-6)


def test_impossible_wishes():
    embeddings = cloud(30)
    for wish in (
        {"n": 0}, {"unsure": 2.0}, {"coverage": "all"}, {"labelled": [30]}, {"labelled": np.ones(5, bool)},
        {"probabilities": np.ones((5, 2))}, {"probabilities": np.full((30, 2), 2.0)}, {"probabilities": np.ones(30)},
    ):  # fmt: skip
        with pytest.raises(SignalError):
            labelling_order(embeddings, **{"n": 5, **wish})
