"""Clusters of blobs, their stability against a loop, cards, files and the command."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.cli import run
from ssl_ecg.clusters.cards import assignments, describe_clusters, representatives
from ssl_ecg.clusters.clustering import METHODS, by_size, cluster
from ssl_ecg.clusters.folder import cluster_folder, order_folder
from ssl_ecg.clusters.stability import measure_stability
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, LabelError, SignalError

SIZES = (90, 60, 30)
CODES = ("NORM", "AMI", "LVH")


def blobs(bad: int = 0, apart: float = 12.0) -> tuple[Embeddings, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.repeat(range(3), SIZES)
    Z = rng.normal(size=(180, 6)) + apart * np.eye(6)[truth]
    order = rng.permutation(180)
    Z, truth = Z[order], truth[order]
    Z[:bad] = np.nan
    index = pd.DataFrame(
        {
            "record_id": [f"r{k}" for k in range(180)],
            "corpus": "toy",
            "patient_id": [f"p{k // 2}" for k in range(180)],
            "codes": [[CODES[t]] for t in truth],
            "age": [40.0 + 10 * t if k % 3 else np.nan for k, t in enumerate(truth)],
            "sex": ["female" if k % 4 else "male" for k in range(180)],
        }
    )
    return Embeddings(Z, index), truth


@pytest.mark.parametrize("method", METHODS)
def test_blobs_are_found_and_stable(method):
    embeddings, truth = blobs(bad=2)
    found = cluster(embeddings, method=method, resamples=5)
    assert found.n_clusters == 3
    assert (found.labels[:2] == -1).all()
    assert np.isnan(found.distance[:2]).all()
    inside = found.labels >= 0
    assert inside.mean() > 0.9
    assert (found.labels[inside] == truth[inside]).all()
    assert found.stability.ari.mean() > 0.9
    assert (found.stability.mean_jaccard > 0.8).all()
    again = cluster(embeddings, method=method, resamples=5)
    np.testing.assert_array_equal(again.labels, found.labels)
    np.testing.assert_array_equal(again.stability.jaccard, found.stability.jaccard)


def test_distance_is_to_the_mean_of_the_cluster():
    embeddings, _ = blobs()
    found = cluster(embeddings, k=3, n_components=None, resamples=0)
    Z = embeddings.vectors.astype(float)
    scale = np.sqrt(((Z - Z.mean(axis=0)) ** 2).mean())
    for k in (0, 7, 100):
        centre = np.mean([Z[j] for j in range(180) if found.labels[j] == found.labels[k]], axis=0)
        assert found.distance[k] == pytest.approx(np.linalg.norm(Z[k] - centre) / scale, rel=1e-4)


def test_one_cloud_is_not_stable_in_five_parts():
    rng = np.random.default_rng(1)
    cloud = Embeddings(rng.normal(size=(200, 6)), pd.DataFrame({"record_id": range(200)}))
    found = cluster(cloud, k=5, resamples=5)
    assert found.n_clusters == 5
    assert found.chosen_by == {}
    assert found.stability.ari.mean() < 0.6
    assert found.stability.mean_jaccard.mean() < 0.7


def test_stability_against_a_loop():
    rng = np.random.default_rng(0)
    labels, patients = rng.integers(-1, 3, 50), np.arange(50) // 2
    answers, asked = [], []

    def fit(rows):
        asked.append(rows)
        answers.append(np.where(np.arange(len(rows)) % 5 == 0, -1, (labels[rows] + (rows > 30)) % 3))
        return answers[-1]

    found = measure_stability(fit, labels, patients, 4, seed=3)
    for b, (rows, again) in enumerate(zip(asked, answers, strict=True)):
        assert 0.4 < len(rows) / 50 < 0.85
        assert set(rows) == {r for r in range(50) if r // 2 in set(rows // 2)}
        for c in range(3):
            mine = {r for r in rows if labels[r] == c}
            others = [{r for r, a in zip(rows, again, strict=True) if a == d} for d in range(3)]
            best = max(len(mine & other) / len(mine | other) for other in others)
            assert found.jaccard[c, b] == pytest.approx(best)
    np.testing.assert_allclose(found.mean_jaccard, found.jaccard.mean(axis=1))


def test_a_sample_without_clusters_counts_as_lost():
    def fit(rows):
        raise SignalError("DensityScreen", "no dense place", "use a larger eps")

    found = measure_stability(fit, np.repeat([0, 1], 20), np.arange(40), 2, seed=0)
    assert (found.jaccard == 0).all()
    assert (found.ari == 0).all()


def test_numbers_by_size():
    assert by_size(np.array([2, 2, 0, -1, 1, 1, 1])).tolist() == [1, 1, 2, -1, 0, 0, 0]
    assert by_size(np.array([-1, -1])).tolist() == [-1, -1]


def test_representatives_are_central_and_of_different_patients():
    embeddings, _ = blobs()
    found = cluster(embeddings, resamples=0)
    table = representatives(embeddings, found, 4)
    whole = assignments(embeddings, found)
    for label in range(3):
        chosen, seen = [], set()
        members = whole[whole["cluster"] == label]
        for k in sorted(members.index, key=lambda k: members["distance"][k]):
            if members["patient_id"][k] not in seen and len(chosen) < 4:
                seen.add(members["patient_id"][k])
                chosen.append(members["record_id"][k])
        part = table[table["cluster"] == label]
        assert part["record_id"].tolist() == chosen
        assert part["rank"].tolist() == [1, 2, 3, 4]
    with pytest.raises(SignalError, match="that were clustered"):
        representatives(embeddings.select(np.arange(5)), found)


def test_cards():
    embeddings, truth = blobs()
    found = cluster(embeddings, resamples=3)
    report = describe_clusters(embeddings, found, task="superclass")
    assert json.loads(json.dumps(report)) == report  # plain types only
    assert [card["size"] for card in report["cards"]] == list(SIZES)
    assert report["agreement"]["first_label"]["ari"] == pytest.approx(1)
    assert report["agreement"]["task"] == "superclass"
    for label, (card, name) in enumerate(zip(report["cards"], ("NORM", "MI", "HYP"), strict=True)):
        best = card["labels"][0]
        assert best["class"] == name
        assert best["lift"] == pytest.approx(180 / SIZES[label])
        assert best["q"] < 1e-9
        ages = [40 + 10 * label for k in range(180) if truth[k] == label and k % 3]
        assert card["age"] == {"n": len(ages), **dict.fromkeys(("median", "low", "high"), 40 + 10 * label)}
        assert sum(card["sex"].values()) == SIZES[label]
        members = found.distance[found.labels == label]
        assert card["spread"] == pytest.approx(np.sqrt(sum(members**2) / len(members)))
        assert card["prototypes"][0]["distance"] == pytest.approx(members.min())
        assert card["jaccard"] > 0.9


def test_cards_without_anything_known():
    bare = Embeddings(blobs()[0].vectors, pd.DataFrame({"record_id": range(180)}))
    report = describe_clusters(bare, cluster(bare, resamples=0))
    assert report["agreement"] is None
    assert report["stability"] is None
    card = report["cards"][0]
    assert (card["labels"], card["age"], card["sex"], card["jaccard"]) == (None, None, None, None)
    assert len({prototype["record_id"] for prototype in card["prototypes"]}) == 3
    with pytest.raises(LabelError, match="quality"):
        describe_clusters(blobs()[0], cluster(bare, resamples=0), task="quality")


def test_impossible_wishes():
    embeddings, _ = blobs()
    for wish in (
        {"method": "ward"}, {"k": 0}, {"k": 3, "method": "hdbscan"}, {"resamples": -1}, {"k": 100},
    ):  # fmt: skip
        with pytest.raises(SignalError):
            cluster(embeddings, **wish)
    with pytest.raises(SignalError, match="at least 20"):
        cluster(embeddings.select(np.arange(15)))


def test_folder_and_command(tmp_path, capsys):
    blobs()[0].save(tmp_path / "e")
    report = cluster_folder(tmp_path / "e", tmp_path / "o", task="superclass", n_representatives=2, resamples=2)
    assert json.loads((tmp_path / "o" / "clusters.json").read_text())["cards"] == report["cards"]
    pd.DataFrame({"record_id": [f"r{k}" for k in range(50)]}).to_csv(tmp_path / "done.csv", index=False)
    rng = np.random.default_rng(0)
    chances = pd.DataFrame({"record_id": [f"r{k}" for k in range(179)], "corpus": "toy", "proba_A": rng.random(179)})
    chances.to_parquet(tmp_path / "p.parquet")
    words = ["cluster", str(tmp_path / "e"), "--out", str(tmp_path / "c"), "--task", "superclass", "--quiet"]
    more = ["--resamples", "2", "--order", "9", "--labelled", str(tmp_path / "done.csv")]
    assert run([*words, *more, "--representatives", "2", "--predictions", str(tmp_path / "p.parquet")]) == 0
    assert json.loads((tmp_path / "c" / "clusters.json").read_text()) == json.loads(
        (tmp_path / "o" / "clusters.json").read_text()
    )
    assert len(pd.read_csv(tmp_path / "c" / "representatives.csv")) == 6
    assert len(pd.read_parquet(tmp_path / "c" / "clusters.parquet")) == 180
    order = pd.read_csv(tmp_path / "c" / "order.csv")
    assert len(order) == 9
    assert not order["record_id"].isin([f"r{k}" for k in range(50)]).any()
    p = dict(zip(chances["record_id"], chances["proba_A"], strict=True))
    for name, unsure in zip(order["record_id"], order["uncertainty"], strict=True):
        if name in p:
            assert unsure == pytest.approx(-p[name] * np.log2(p[name]) - (1 - p[name]) * np.log2(1 - p[name]))
    assert "3 clusters" in capsys.readouterr().out
    assert run([*words, "--predictions", "p.parquet"]) == 2
    assert "give --order" in capsys.readouterr().err


def test_tables_for_the_order(tmp_path):
    blobs()[0].save(tmp_path / "e")
    with pytest.raises(ArchiveError, match="cannot be read"):
        order_folder(tmp_path / "e", tmp_path / "o", 3, labelled=tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("name,x\nr1,0.5\n")
    with pytest.raises(ArchiveError, match="no column record_id"):
        order_folder(tmp_path / "e", tmp_path / "o", 3, labelled=tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("record_id,x\nr1,7.5\n")
    with pytest.raises(ArchiveError, match="no column proba_CLASS"):
        order_folder(tmp_path / "e", tmp_path / "o", 3, predictions=tmp_path / "b.csv")
