"""What an encoder has learnt from: by its card, by those of its forebears, and by the predictions of its run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.seen import Past, refuse_learnt
from ssl_ecg.evaluate.splits import Split

INDEX = pd.DataFrame(
    {
        "corpus": ["a", "a", "a", "b", "b", "c"],
        "record_id": list("uvwxyz"),
        "fold": pd.array([1, 2, None, None, 1, 3], dtype="Int64"),
    }
)
SPLIT = Split(np.array([], int), np.array([], int), np.arange(6), {})
SEEN = {"pretrained_on": {"corpora": {"a": {"folds": [1]}, "b": {"folds": []}}}}


def digest(*rows: int) -> str:
    return hashlib.sha256(np.array(rows, "<i8").tobytes()).hexdigest()


def labels(past: Past, split: Split = SPLIT, archive: str | None = None) -> str:
    """The names of the test records whose labels were learnt."""
    return "".join(INDEX["record_id"].iloc[split.test][past.labels(INDEX, split, archive)])


def run_of(folder: Path, sets: dict[str, str], **facts: object) -> tuple[dict, Path]:
    """A card of fine-tuning, and beside it the predictions: record -> set."""
    folder.mkdir()
    where = INDEX.set_index("record_id")["corpus"]
    rows = [{"record_id": name, "corpus": where[name], "set": part} for name, part in sets.items()]
    pd.DataFrame(rows).to_parquet(folder / "predictions.parquet")
    return {"finetuned_on": {"task": "mine", **facts}}, folder


def test_signals_are_those_of_corpora_and_folds_and_all_without_a_fold() -> None:
    # fold 1 and no fold of a; all of b, of which no folds are known
    assert Past.of(SEEN).signals(INDEX).tolist() == [True, False, True, True, True, False]
    assert labels(Past.of(SEEN)) == ""
    assert not Past.of(None).signals(INDEX).any()


@pytest.mark.parametrize("name", ["start", "teacher", None])
def test_labels_of_pretraining_are_found_in_forebears_too(name: str | None) -> None:
    learnt = {**SEEN, "labels": {"task": "superclass"}}
    card = learnt if name is None else {name: {"checkpoint": "gone", "start": {"checkpoint": "gone", **learnt}}}
    past = Past.of(card)
    assert labels(past) == "uwxy"
    assert past.tasks() == ["superclass"]


def test_records_that_finetuning_tested_are_clean(tmp_path: Path) -> None:
    card, run = run_of(tmp_path / "run", {"u": "test", "v": "val", "x": "test"})
    past = Past.of(card, run)
    assert labels(past) == "vwy"  # nothing of c was validated or tested: foreign
    assert labels(Past.of(card, run / "encoder")) == "uvwxyz"  # no checkpoint there, and so no run
    assert past.tasks() == ["mine"]
    assert labels(past.before_finetuning()) == ""


def test_without_predictions_only_the_same_split_is_clean() -> None:
    split = Split(np.array([0, 1]), np.array([2]), np.array([3, 4]), {})
    for rows, clean in (
        ({"train": digest(0), "val": digest(2), "test": digest(3, 4)}, True),  # few labels, same test records
        ({"train": digest(0, 1), "val": digest(2)}, True),
        ({"train": digest(0, 3), "val": digest(2)}, False),
        ({}, False),
    ):
        past = Past.of({"finetuned_on": {"task": "mine", "archive": "f", "rows": rows}})
        assert labels(past, split, "f") == ("" if clean else "xy")
        assert labels(past, split, "another") == "xy"


def test_corpora_and_folds_of_a_card_say_what_was_used(tmp_path: Path) -> None:
    corpora = {"a": {"records": 2, "folds": [1]}, "b": {"records": 1, "folds": [1], "drawn_folds": 5}}
    facts = {"archive": "f", "corpora": corpora, "rows": {}}
    alone = Past.of({"finetuned_on": {"task": "mine", **facts}})
    assert labels(alone, archive="f") == "uwxy"  # fold 1 of both, and what has no fold; not fold 2 of a, nothing of c
    other = corpora | {"b": {"records": 1, "folds": [2], "drawn_folds": 5}}
    drawn = Past.of({"finetuned_on": {"task": "mine", "archive": "f", "corpora": other}})
    assert labels(drawn, archive="f") == "uwx"
    assert labels(drawn, archive="another") == "uwxy"  # its fold 2 of b is another one there
    past = Past.of(*run_of(tmp_path / "run", {"u": "test", "w": "val", "y": "test"}, **facts))
    assert labels(past, archive="f") == "wx"
    assert past.finetuned() == {"a": {"records": 2, "folds": [1]}, "b": {"records": 1, "folds": [1]}}
    assert past.before_finetuning().finetuned() == Past.of(SEEN).finetuned() == {}


def test_what_a_finetuned_encoder_began_with_is_read(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first = {"format": 1, **SEEN, "labels": {"task": "superclass"}}
    (tmp_path / "first" / "card.json").write_text(json.dumps(first))
    card, run = run_of(tmp_path / "run", dict.fromkeys("uvwxyz", "test"))
    card["checkpoint"] = str(tmp_path / "first")
    past = Past.of(card, run)
    assert labels(past) == labels(past.before_finetuning()) == "uwxy"
    assert past.unknown == ()
    card["checkpoint"] = str(tmp_path / "gone")
    assert Past.of(card, run).unknown == (str(tmp_path / "gone"),)


def test_refusal_names_what_is_clean() -> None:
    refuse_learnt("run", {"1-3": (0, 9)}, ["mine"], ["1-3"])
    with pytest.raises(
        LabelError, match=r"run: has learnt.* 4 of 9 in the split 4-6; .*only=\[1-3\].*seen_labels=true"
    ):
        refuse_learnt("run", {"1-3": (0, 9), "4-6": (4, 9)}, ["mine"], ["1-3"])
    with pytest.raises(LabelError, match="on other records"):
        refuse_learnt("run", {"4-6": (4, 9)}, ["mine"], [])
