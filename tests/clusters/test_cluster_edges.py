"""Clusters and orders where patients are few, share names across corpora, or tables do not fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.clusters import clustering
from ssl_ecg.clusters.clustering import cluster
from ssl_ecg.clusters.folder import cluster_folder, order_folder
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, LabelError

CLOUD = np.random.default_rng(0).normal(size=(40, 4))


@pytest.mark.parametrize("method", ["kmeans", "gmm"])
def test_a_sample_with_fewer_records_than_clusters_counts_as_lost(method):
    patients = ["many"] * 36 + ["few"] * 4  # a sample may hold the second alone
    embeddings = Embeddings(CLOUD, pd.DataFrame({"record_id": range(40), "corpus": "toy", "patient_id": patients}))
    found = cluster(embeddings, method=method, k=6, resamples=8)
    assert found.stability is not None
    assert found.stability.ari.shape == (8,)
    assert found.stability.ari.min() == 0


def test_patients_of_two_corpora_are_not_the_same():
    index = pd.DataFrame({"record_id": range(40), "corpus": ["a", "b"] * 20, "patient_id": np.arange(40) // 4})
    embeddings = Embeddings(CLOUD, index)
    numbers = clustering._patients(embeddings, np.arange(40))
    keys = list(zip(index["corpus"], index["patient_id"], strict=True))
    assert [[a == b for b in keys] for a in keys] == [[a == b for b in numbers] for a in numbers]


def test_names_in_tables_are_text(tmp_path):
    names = [f"{k:03d}" for k in range(40)]
    Embeddings(CLOUD, pd.DataFrame({"record_id": names, "corpus": "toy"})).save(tmp_path / "e")
    (tmp_path / "labelled.csv").write_text("record_id\n" + "\n".join(names[:30]) + "\n")
    order = order_folder(tmp_path / "e", tmp_path / "o", 40, labelled=tmp_path / "labelled.csv")
    assert sorted(order["record_id"]) == names[30:]


def test_the_task_is_looked_at_before_the_long_work(tmp_path, monkeypatch):
    Embeddings(CLOUD, pd.DataFrame({"record_id": [f"{k}" for k in range(40)], "codes": [["NORM"]] * 40})).save(tmp_path)
    monkeypatch.setattr("ssl_ecg.clusters.folder.cluster", lambda *_, **__: pytest.fail("clustered"))
    with pytest.raises(LabelError, match="did you mean 'superclass'"):
        cluster_folder(tmp_path, tmp_path / "o", task="superclas")


@pytest.mark.parametrize(("kind", "more"), [("labelled", ""), ("predictions", ",0.5")])
def test_an_id_of_two_corpora_needs_the_corpus(tmp_path, kind, more):
    ids = [*(f"{k}" for k in range(30)), *(f"{k}" for k in range(10))]
    index = pd.DataFrame({"record_id": ids, "corpus": ["a"] * 30 + ["b"] * 10, "patient_id": range(40)})
    Embeddings(CLOUD, index).save(tmp_path / "e")
    head = "record_id" + ",proba_A" * bool(more)
    (tmp_path / "open.csv").write_text(f"{head}\n3{more}\n20{more}\n")
    with pytest.raises(ArchiveError, match=r"1 of its ids belong to several records, such as '3'.*corpus"):
        order_folder(tmp_path / "e", tmp_path / "o", 3, **{kind: tmp_path / "open.csv"})
    (tmp_path / "sure.csv").write_text(f"{head},corpus\n3{more},b\n20{more},a\n")
    order = order_folder(tmp_path / "e", tmp_path / "o", 40, **{kind: tmp_path / "sure.csv"})
    named = set(zip(order["corpus"], order["record_id"], strict=True))
    assert ("a", "3") in named
    assert (("b", "3") in named) == (kind == "predictions")


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("labelled", "record_id\nelse\n", "names no record"),
        ("predictions", "record_id,proba_A\nelse,0.5\n", "names no record"),
        ("predictions", "record_id,proba_A\n000,much\n", "no number"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, kind, text, said):
    Embeddings(CLOUD, pd.DataFrame({"record_id": [f"{k:03d}" for k in range(40)]})).save(tmp_path / "e")
    (tmp_path / "table.csv").write_text(text)
    with pytest.raises(ArchiveError, match=said):
        order_folder(tmp_path / "e", tmp_path / "o", 3, **{kind: tmp_path / "table.csv"})
