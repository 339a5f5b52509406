"""Labels in pretraining: of the training records only, a nested choice of them, and said in the card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.memory import Records
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError, LabelError, RecipeError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.pretraining import pretrain
from ssl_ecg.train.checkpoint import read_card
from ssl_ecg.train.selection import open_strips

CODES = (("NORM",), ("IMI",), ("CRBBB", "LVH"), ("unheard of",), ())
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "views": {"crop": 100, "transforms": [{"name": "gain"}]},
    "data": {"seconds": 2, "task": "superclass", "folds": [1, 2, 3], "labelled_share": 0.3},
    "train": {"steps": 3, "batch_size": 8, "precision": "float32"},
}  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(
            np.cumsum(rng.normal(size=(12, 300)), axis=1).astype(np.float32) * 0.05,
            100.0,
            STANDARD_LEADS,
            f"r{k}",
            patient_id=f"p{k}",
            codes=CODES[k % 5],
        )
        for k in range(60)
    ]
    corpus = Records(records, folds=5)
    return prepare(corpus, tmp_path_factory.mktemp("data") / "archive", band=None, progress=False)


def labelled(strips: object) -> set[int]:
    return set(np.flatnonzero(~np.isnan(strips.targets).all(axis=1)).tolist())


def test_targets_are_those_of_the_codes_and_of_the_folds_only(archive: Archive) -> None:
    folds = sorted(archive.index["fold"].unique())[:3]
    strips = open_strips(archive, seconds=2, task="superclass", folds=folds)
    expected = {  # NORM, MI, STTC, CD, HYP
        ("NORM",): [1, 0, 0, 0, 0], ("IMI",): [0, 1, 0, 0, 0], ("CRBBB", "LVH"): [0, 0, 0, 1, 1],
    }  # fmt: skip
    for row in range(60):
        codes, fold = tuple(archive.index["codes"][row]), archive.index["fold"][row]
        target = strips.targets[row]
        if codes in expected and fold in folds:
            assert target.tolist() == expected[codes]
        else:
            assert np.isnan(target).all()
    batch = strips.__getitems__(list(range(len(strips))))
    assert set(batch["row"].tolist()) == set(np.flatnonzero(archive.index["fold"].isin(folds)))
    unknown = np.isnan(strips.targets[batch["row"]])
    assert np.array_equal(~unknown, batch["target_mask"].numpy())


def test_fewer_labels_are_among_more_and_cover_the_classes(archive: Archive) -> None:
    chosen = [
        labelled(open_strips(archive, seconds=2, task="superclass", folds=[1, 2, 3, 4], labels=n, labels_seed=7))
        for n in (3, 6, 12)
    ]
    assert [len(rows) for rows in chosen] == [3, 6, 12]
    assert chosen[0] < chosen[1] < chosen[2]
    assert {tuple(archive.index["codes"][row]) for row in chosen[0]} == set(CODES[:3])
    other = labelled(open_strips(archive, seconds=2, task="superclass", folds=[1, 2, 3, 4], labels=6, labels_seed=8))
    assert other != chosen[1]
    every = open_strips(archive, seconds=2, folds=[1, 2, 3, 4])
    few = open_strips(archive, seconds=2, task="superclass", folds=[1, 2, 3, 4], labels=3)
    assert np.array_equal(every.record_rows, few.record_rows), "the others stay, unlabelled"


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.9])
def test_labelled_records_are_repeated_to_a_share(archive: Archive, share: float) -> None:
    strips = open_strips(
        archive, seconds=2, task="superclass", folds=[1, 2, 3, 4, 5], labels=5, labelled_share=share
    )  # fmt: skip
    rows, counts = np.unique(strips.record_rows, return_counts=True)
    known = np.isin(rows, list(labelled(strips)))
    assert (counts[~known] == 1).all()
    assert counts[known].max() - counts[known].min() <= 1
    there = counts[known].sum() / counts.sum()
    before = known.sum() / len(rows)
    assert there >= share
    assert there == before or there - share < 1 / len(rows)


def test_mistakes_are_named(archive: Archive) -> None:
    with pytest.raises(ArchiveError, match="labels of the test folds must not be trained on"):
        open_strips(archive, seconds=2, task="superclass")
    with pytest.raises(LabelError, match="no such task"):
        open_strips(archive, seconds=2, task="superklass", folds=[1])
    with pytest.raises(LabelError, match=r"none of the \d+ records to train on"):
        open_strips(archive, seconds=2, task="quality", folds=[1])
    with pytest.raises(LabelError, match="cannot take 1000"):
        open_strips(archive, seconds=2, task="superclass", folds=[1], labels=1000)
    with pytest.raises(RecipeError, match=r"data\.task"):
        open_strips(archive, seconds=2, labels=5)
    with pytest.raises(RecipeError, match=r"data\.labelled_share"):
        open_strips(archive, seconds=2, task="superclass", folds=[1], labelled_share=1.0)


@pytest.mark.parametrize("name", ["fixmatch", "supcon"])
def test_card_says_which_labels_were_used(name: str, archive: Archive, tmp_path: Path) -> None:
    recipe = {**RECIPE, "method": {"name": name}, "data": {**RECIPE["data"], "labels": 10}}
    run = pretrain(recipe, archive, tmp_path / "run", progress=False)
    card = read_card(run)
    classes = ["NORM", "MI", "STTC", "CD", "HYP"]
    assert card["labels"] == {"task": "superclass", "classes": classes, "records": 10}
    assert card["pretrained_on"]["records"] == int(archive.index["fold"].isin([1, 2, 3]).sum())


def test_labels_only_where_they_are_used(archive: Archive, tmp_path: Path) -> None:
    simclr = {**RECIPE, "method": {"name": "simclr", "hidden_dim": 16, "out_dim": 8}}
    with pytest.raises(RecipeError, match="learns nothing from labels"):
        pretrain(simclr, archive, tmp_path / "run", progress=False)
    without = {**RECIPE, "method": {"name": "fixmatch"}, "data": {"seconds": 2}}
    with pytest.raises(RecipeError, match="learns from labels"):
        pretrain(without, archive, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    run = pretrain({**simclr, "data": {"seconds": 2}}, archive, tmp_path / "plain", progress=False)
    assert read_card(run)["labels"] is None
