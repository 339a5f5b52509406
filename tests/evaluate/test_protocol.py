"""Numbers of labels by name, published figures, and what a report says in words."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.data.corpora.catalogue import CORPORA
from ssl_ecg.evaluate.judge import Judge, Scored
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.references import METRICS, WHOLE, comparable, find_references
from ssl_ecg.evaluate.report import said_of_split, seen_in_words
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.tasks import TASKS, get_task


def test_every_number_of_labels_has_its_own_name() -> None:
    shares, wanted = [0.001, 0.004, 0.01, 0.012, 0.005], [5000, 100, 1]
    plan = Protocol(label_shares=shares, label_sizes=wanted)
    sizes, left = plan.sizes(5000), plan.left_out(5000)
    assert sizes == {"0.1%": 5, "0.4%": 20, "1%": 50, "1.2%": 60, "0.5%": 25, "100": 100}
    assert set(left) == {"5000", "1"}
    for n in (300, 1223):
        assert len(plan.sizes(n)) + len(plan.left_out(n)) == len(shares) + len(wanted)
        assert all(size == round(float(name[:-1]) / 100 * n) for name, size in plan.sizes(n).items() if "%" in name)


def test_folds_are_official_only_if_they_are_ptbxls() -> None:
    n = 60
    index = pd.DataFrame({"fold": 1 + np.arange(n) % 10, "patient_id": np.arange(n).astype(str), "corpus": "ptbxl"})
    labels, known = np.ones((n, 1)), np.ones(n, bool)
    assert list(Protocol().splits(index, labels, known)) == ["official"]
    assert list(Protocol().splits(index.assign(corpus="code15"), labels, known)) == ["folds"]
    nine = index[index["fold"] < 10].reset_index(drop=True)
    assert list(Protocol(split="folds").splits(nine, labels[: len(nine)], known[: len(nine)])) == ["folds"]
    none = index.assign(fold=pd.array([None] * n, dtype="Int64"))
    (first, *_) = Protocol(seed=3).splits(none, labels, known).values()
    said = said_of_split({"how": first.how, "without_fold": 2})
    assert said[0] == "no folds are published: 9 were drawn by patient with seed 3"
    assert said[1] == "2 labelled records without a fold in use are left out"
    assert list(Protocol(only=["4-6"]).splits(none, labels, known)) == ["4-6"]


def test_published_figures_are_of_known_tasks_and_metrics() -> None:
    names = {
        "superclass-supervised",
        "superclass-linear",
        "ptbxl71-supervised",
        "cpsc9-supervised",
        "cinc26-supervised",
    }
    found = find_references(sorted(names))
    for reference in found:
        assert reference.task in TASKS
        assert reference.metric in METRICS
        assert 0 < reference.value < 1
    classes = get_task("superclass").classes
    assert {r.task for r in comparable(found, "superclass", classes)} == {"superclass"}
    assert comparable(found, "tables/superclass.csv", classes) == []
    assert comparable(found, "superclass", classes[:4]) == []
    assert [
        r.value for r in comparable(found, "cinc26", get_task("cinc26").classes) if r.metric == "challenge_score"
    ] == [0.58]
    assert set(WHOLE) <= set(CORPORA)


def test_a_mean_says_over_how_many_classes_it_is() -> None:
    rng = np.random.default_rng(0)
    truth, proba = (rng.random((80, 4)) < 0.4).astype(float), rng.random((1, 80, 4))
    truth[:, 1] = 0
    truth[:40, 2] = 0  # judged in the second split only
    splits = {
        name: Split(np.zeros(0, int), np.zeros(0, int), rows, {})
        for name, rows in (("a", np.arange(40)), ("b", np.arange(40, 80)))
    }
    judge = Judge(splits, truth, np.arange(80).astype(str), list("wxyz"), n_resamples=5)
    called = proba > 0.5
    called[:, :, 3] = False
    scored = Scored([proba[:, :40], proba[:, 40:]], [called[:, :40], called[:, 40:]])
    macro = judge.table(scored, whole=True)["macro"]
    assert (macro["auroc"]["n_classes"], macro["f1"]["n_classes"], macro["specificity"]["n_classes"]) == (3, 3, 4)
    assert macro["precision"]["n_classes"] == 3  # z is never called, x wrongly
    assert "n_classes" not in macro["hamming_loss"]
    assert judge.table(scored, whole=False)["macro"]["auroc"]["n_classes"] == 3


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        ({"signals": [], "labels": 0}, []),
        ({"signals": ["a"], "labels": 0}, ["pretraining has seen its test records, without labels"]),
        (
            {"signals": ["a"], "labels": 3},
            ["THE LABELS OF 3 OF ITS 9 TEST RECORDS WERE OR MAY HAVE BEEN LEARNT BEFORE BY encoder"],
        ),
        (
            {"signals": ["a"], "labels": 0, "finetuned": ["a", "b"]},
            [
                "encoder was fine-tuned on other records of a, b",
                "pretraining has seen its test records, without labels",
            ],
        ),
    ],
)
def test_labels_are_never_called_unseen(seen: dict, said: list[str]) -> None:
    assert seen_in_words({"records": {"test": 9}, "seen": {"encoder": seen}}) == said
