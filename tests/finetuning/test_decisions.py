"""From probabilities to decisions: thresholds by three rules, and one class of several, in all that uses them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from ssl_ecg import Archive, finetune, finetune_seeds, predict, prepare
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import LabelError, RecipeError
from ssl_ecg.evaluate.challenge import challenge_score
from ssl_ecg.evaluate.metrics import best_f1_thresholds
from ssl_ecg.evaluate.thresholds import sensitivity_thresholds
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.readings.cards import read_card
from ssl_ecg.readings.classes import ClassReading, ExclusiveReading, ThresholdRule
from ssl_ecg.targets import find_targets
from ssl_ecg.tasks import get_task
from ssl_ecg.train.classifier import load_classifier
from ssl_ecg.train.losses.exclusive import CrossEntropy

CODES = ("NORM", "IMI", "LVH", "CLBBB")
FOLDS = {"train_folds": [1, 2], "val_folds": 3, "test_folds": 4}
KINDS = ["b-even", "a-odd", "c-last"]


class Loud(Corpus):
    """Records of 2.5 s in which each class has its own lead that is loud, in four folds."""

    name = "loud"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def entries(self) -> Iterator[Entry]:
        for k in range(96):
            yield Entry(f"r{k}", str(k), f"p{k}", 1 + (k // 12) % 4, None, None, (CODES[k % 4],))

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.random.default_rng(k).normal(size=(12, 250)).astype(np.float32)
        signal[k % 3] *= 1.6
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, codes=entry.codes)


def recipe(**head: object) -> dict:
    return {
        "encoder": {"name": "conv1d", "widths": [8, 16]},
        "head": head,
        "data": {"seconds": 2, "test_seconds": 2, "test_stride": 0.5, "scale": "record"},
        "train": {"steps": 30, "batch_size": 16, "validate_every": 15, "lr": 1e-2, "precision": "float32"},
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Loud()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of three classes for each record, and the same as a number; the first two are unknown."""
    path = tmp_path_factory.mktemp("table") / "mine.csv"
    rows = pd.DataFrame({
        "record_id": [f"r{k}" for k in range(96)], "kind": [KINDS[k % 3] for k in range(96)],
        "number": [k % 3 for k in range(96)], "score": [1 + k % 10 for k in range(96)],
    })  # fmt: skip
    rows.loc[:1, "kind"] = None
    rows.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def runs(archive: Archive, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    task = f"{table}:kind=multiclass,columns=kind"
    out = tmp_path_factory.mktemp("runs") / "a"
    return finetune_seeds(recipe(), archive, out, [0, 1], task=task, test_leads=["I,II"], **FOLDS, progress=False)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def columns(frame: pd.DataFrame, kind: str, classes: list[str]) -> np.ndarray:
    return frame[[f"{kind}_{c}" for c in classes]].to_numpy(float)


# ---------------------------------------------------------------- one class of several

CLASSES = sorted(KINDS)


def test_cross_entropy_is_the_formula_over_records_with_a_known_class() -> None:
    rng = np.random.default_rng(0)
    logits, place, known = rng.normal(size=(9, 3)) * 3, rng.integers(0, 3, 9), rng.random(9) < 0.7
    target = np.eye(3)[place]
    for smoothing, power in ((0.0, 0.0), (0.2, 0.0), (0.0, 0.5)):
        loss = CrossEntropy(smoothing=smoothing, power=power)
        loss.set_priors(torch.tensor([2.0, 9.0, 4.0]), torch.tensor([8.0, 1.0, 4.0]))
        total, weight = 0.0, {0.0: [1, 1, 1], 0.5: [2.0, 1 / 3, 1.0]}[power]
        for i in np.flatnonzero(known):
            odds = [math.exp(x) for x in logits[i]]
            for k in range(3):
                wanted = (1 - smoothing) * (place[i] == k) + smoothing / 3
                total -= wanted * math.log(odds[k] / sum(odds)) * weight[place[i]]
        mask = torch.from_numpy(np.repeat(known[:, None], 3, axis=1))
        found = loss(torch.tensor(logits), torch.tensor(np.where(known[:, None], target, np.nan)), mask)
        assert float(found) == pytest.approx(total / known.sum(), rel=1e-5)
    own = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(place))
    every = torch.ones(9, 3, dtype=torch.bool)
    assert float(CrossEntropy()(torch.tensor(logits), torch.tensor(target), every)) == pytest.approx(float(own))
    for wrong in ({"smoothing": 1.0}, {"largest": 0.5}):
        with pytest.raises(RecipeError):
            CrossEntropy(**wrong)


def test_one_temperature_is_the_one_of_least_log_loss() -> None:
    rng = np.random.default_rng(1)
    place = rng.integers(0, 3, 200)
    logits = 3 * rng.normal(size=(200, 3)) + 2 * np.eye(3)[place]
    proba = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = np.eye(3)[place]
    truth[:5] = np.nan
    reading = ExclusiveReading.fit("abc", "temperature", truth, proba)

    def loss(temperature: float) -> float:
        total = 0.0
        for row, k in zip(logits[5:], place[5:], strict=True):
            odds = [math.exp(x / temperature) for x in row]
            total -= math.log(odds[k] / sum(odds))
        return total / 195

    grid = np.exp(np.linspace(-1, 3, 400))
    assert reading.temperature == pytest.approx(min(grid, key=loss), rel=0.02)
    assert reading.temperature > 1.2
    odds = np.exp(logits / reading.temperature)
    np.testing.assert_allclose(reading.answer(proba), odds / odds.sum(axis=1, keepdims=True), atol=1e-5)
    assert (reading.answer(proba).argmax(axis=1) == proba.argmax(axis=1)).all()
    for few in ((truth[:14], proba[:14]), (np.tile([1.0, 0, 0], (50, 1)), proba[:50])):
        assert ExclusiveReading.fit("abc", "temperature", *few).temperature is None
    again = read_card({"kind": "multiclass", "classes": "abc", **reading.card()})
    assert again == reading
    decided = reading.decide(np.array([[0.4, 0.4, 0.2], [0.1, 0.2, 0.7], [np.nan] * 3]))
    assert decided.tolist() == [[True, False, False], [False, False, True], [False] * 3]
    with pytest.raises(LabelError, match="temperature 0"):
        read_card({"kind": "multiclass", "classes": "abc", "temperature": 0})


def test_a_record_has_one_class_in_runs_and_ensembles(runs: Path, archive: Archive) -> None:
    place = np.array([CLASSES.index(KINDS[k % 3]) for k in range(96)])
    for run in (runs / "seed-0", runs / "seed-1", runs):
        found = read(run / "metrics.json")
        assert (found["kind"], found["classes"]) == ("multiclass", CLASSES)
        for leads in ("", "-I-II"):
            told = pd.read_parquet(run / f"predictions{leads}.parquet")
            told = told[told["set"] == "test"]
            proba, decided = columns(told, "proba", CLASSES), columns(told, "decision", CLASSES)
            np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-9)
            assert decided.sum(axis=1).tolist() == [1] * len(told)
            assert (decided.argmax(axis=1) == proba.argmax(axis=1)).all()
            truth = place[told["row"]]
            np.testing.assert_array_equal(columns(told, "true", CLASSES), np.eye(3)[truth])
            one = found if not leads else found["reduced_leads"]["I,II"]
            one = one["test"]["ensemble"] if run == runs else one["test"]
            assert one["accuracy"] == pytest.approx(accuracy_score(truth, proba.argmax(axis=1)))
            assert one["macro"]["f1"] == pytest.approx(f1_score(np.eye(3)[truth], decided, average="macro"))
            assert one["macro"]["auroc"] == pytest.approx(roc_auc_score(truth, proba, multi_class="ovr"))
    both = [pd.read_parquet(runs / f"seed-{k}" / "predictions.parquet") for k in (0, 1)]
    mean = np.mean([columns(one, "proba", CLASSES) for one in both], axis=0)
    np.testing.assert_allclose(columns(pd.read_parquet(runs / "predictions.parquet"), "proba", CLASSES), mean)
    assert read(runs / "seed-0" / "metrics.json")["test"]["accuracy"] > 0.6
    assert "loss:\n  name: cross_entropy" in (runs / "seed-0" / "recipe.yaml").read_text()
    assert isinstance(load_classifier(runs / "seed-0")[0].criterion, CrossEntropy)


def test_predict_answers_with_one_class(runs: Path, archive: Archive) -> None:
    whole = pd.read_parquet(runs / "predictions.parquet").set_index("row")
    for classifier, known in ((runs, whole), (runs / "seed-0", None)):
        said = predict(archive, classifier, progress=False)
        proba, decided = columns(said, "proba", CLASSES), columns(said, "decision", CLASSES)
        np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-9)
        assert (decided.argmax(axis=1) == proba.argmax(axis=1)).all()
        assert (decided.sum(axis=1) == 1).all()
        if known is not None:
            np.testing.assert_allclose(proba[known.index], columns(known, "proba", CLASSES), atol=1e-6)


def test_the_run_is_known_again(runs: Path, archive: Archive, table: Path) -> None:
    before = (runs / "seed-0" / "last.ckpt").stat().st_mtime_ns
    options = {"task": f"{table}:columns=kind", "overrides": ["train.seed=0"], "test_leads": ["I,II"], **FOLDS}
    finetune(recipe(), archive, runs / "seed-0", **options, progress=False)
    assert (runs / "seed-0" / "last.ckpt").stat().st_mtime_ns == before


def test_averaged_windows_are_averaged_softmaxes(runs: Path, archive: Archive) -> None:
    model, card = load_classifier(runs / "seed-0", archive)
    table = pd.read_parquet(runs / "seed-0" / "predictions.parquet")
    row = int(table["row"].iloc[0])
    signal, total = archive.read(row), np.zeros(3)
    for start in (0, 50):
        window = signal[:, start : start + 200]
        window = window / np.sqrt((window**2).mean())
        with torch.no_grad():
            logits = model.head(model.encoder(torch.from_numpy(window[None])))[0].double().numpy()
        total += np.exp(logits) / np.exp(logits).sum()
    odds = (total / 2) ** (1 / (card["temperature"] or 1.0))
    np.testing.assert_allclose(columns(table.iloc[:1], "proba", CLASSES)[0], odds / odds.sum(), atol=1e-6)


@pytest.mark.slow
def test_a_forest_beside_the_network_answers_with_one_class_too(archive: Archive, table: Path, tmp_path: Path) -> None:
    options = {"task": f"{table}:columns=kind", "overrides": ["forest.n_trees=8", "train.steps=2"], **FOLDS}
    out = finetune(recipe(), archive, tmp_path / "a", **options, progress=False)
    stored = pd.read_parquet(out / "predictions.parquet").set_index("row")
    for kind in ("proba", "network", "forest"):
        np.testing.assert_allclose(columns(stored, kind, CLASSES).sum(axis=1), 1)
    said = predict(archive, out, progress=False)
    np.testing.assert_allclose(
        columns(said, "proba", CLASSES)[stored.index], columns(stored, "proba", CLASSES), atol=1e-6
    )
    assert (columns(said, "decision", CLASSES).sum(axis=1) == 1).all()


def test_other_losses_and_settings_are_refused(archive: Archive, table: Path, tmp_path: Path) -> None:
    several, one = "superclass", f"{table}:kind=multiclass,columns=number"

    def fails(match: str, task: str, overrides: list[str], **head: object) -> None:
        with pytest.raises(RecipeError, match=match):
            finetune(recipe(**head), archive, tmp_path / "x", task=task, overrides=overrides, **FOLDS, progress=False)

    fails("--set loss.name=cross_entropy", one, ["loss.name=focal"])
    fails("not for the classes, of which", one, ["loss.name=huber"])
    fails("--set loss.name=bce", several, ["loss.name=cross_entropy"])
    fails("calibration=temperature", one, [], calibration="isotonic")
    fails("the largest decides", one, [], thresholds="sensitivity")
    fails("challenge score of cinc26", several, [], thresholds="evolved")
    fails("sensitivity", several, [], thresholds="sensitivity", sensitivity=0)
    fails("head", several, [], thresholds="best")
    assert not (tmp_path / "x").exists()
    assert find_targets(one, archive.index).classes == ("0", "1", "2")


def test_what_a_table_holds_is_said_behind_its_name(archive: Archive, table: Path, tmp_path: Path) -> None:
    def found(more: str) -> tuple[tuple[str, ...], str, bool]:
        targets = find_targets(f"{table}:{more}", archive.index)
        return targets.classes, targets.kind, targets.exclusive

    assert found("kind=continuous,columns=score") == (("score",), "continuous", False)
    assert found("kind=continuous, columns = score , number") == (("score", "number"), "continuous", False)
    assert found("columns=kind") == (tuple(CLASSES), "classes", True)
    assert found("columns=number,id=record_id,kind=multiclass")[0] == ("0", "1", "2")
    assert find_targets(f"{table}:columns=kind,name=mine too", archive.index).name == "mine too"
    strange = tmp_path / "a.csv:kind=continuous.csv"
    strange.write_text(table.read_text())
    with pytest.raises(LabelError, match="say with table_task"):
        find_targets(str(strange), archive.index)
    for wrong in ("sort=multiclass", "kind=", "kind=multiclass,kind=continuous", "score", "kind=multiclass,score"):
        with pytest.raises(LabelError, match="is no new one of kind, columns, id, name"):
            find_targets(f"{table}:{wrong}", archive.index)
    with pytest.raises(LabelError, match="no kind 'multi'"):
        find_targets(f"{table}:kind=multi,columns=number", archive.index)


# ---------------------------------------------------------------- thresholds


def test_thresholds_are_those_of_the_rule() -> None:
    rng = np.random.default_rng(2)
    truth = (rng.random((60, 3)) < 0.3).astype(float)
    proba = np.clip(0.3 * truth + 0.5 * rng.random((60, 3)), 0, 1)
    truth[rng.random((60, 3)) < 0.1] = np.nan
    for level in (0.5, 0.9, 1.0):
        chosen = ThresholdRule("sensitivity", level).choose(truth, proba)
        for k in range(3):
            positive = proba[truth[:, k] == 1, k]
            assert (positive >= chosen[k]).mean() >= level
            higher = [cut for cut in positive if cut > chosen[k] and (positive >= cut).mean() >= level]
            assert len({*higher} - {min(positive[positive >= chosen[k]])}) == 0, "there is no higher one"
    np.testing.assert_array_equal(ThresholdRule().choose(truth, proba), best_f1_thresholds(truth, proba))


@pytest.mark.slow
def test_evolution_gains_challenge_score() -> None:
    rng = np.random.default_rng(2)
    wide = (rng.random((40, 26)) < 0.15).astype(float)
    scores = np.clip(0.2 * wide + 0.8 * rng.random((40, 26)), 0, 1)
    scored = [challenge_score(wide, scores >= ThresholdRule(rule).choose(wide, scores)) for rule in ("evolved", "f1")]
    assert scored[0] > scored[1]


def test_where_the_challenge_score_is_undefined_it_is_the_best_f1() -> None:
    rng = np.random.default_rng(2)
    normal, scores = np.zeros((40, 26)), rng.random((40, 26))
    normal[:, get_task("cinc26").classes.index("NSR")] = 1
    found = ThresholdRule("evolved").choose(normal, scores)
    np.testing.assert_array_equal(found, best_f1_thresholds(normal, scores))


def test_old_cards_have_thresholds_of_the_best_f1() -> None:
    old = {"classes": ["a"], "thresholds": [0.3], "calibration": None}
    reading = read_card(old)
    assert isinstance(reading, ClassReading)
    assert reading.rule == ThresholdRule("f1")
    rule = ThresholdRule("sensitivity", 0.8)
    again = read_card({"classes": ["a"], **ClassReading(("a",), None, np.array([0.3]), rule).card()})
    assert again.rule == rule


def test_sensitivity_is_chosen_stored_and_used(archive: Archive, tmp_path: Path) -> None:
    classes = ["NORM", "MI", "STTC", "CD", "HYP"]
    changed = ["head.thresholds=sensitivity", "head.sensitivity=0.8", "train.steps=3"]
    options = {**FOLDS, "overrides": changed, "progress": False}
    runs = finetune_seeds(recipe(), archive, tmp_path / "runs", [0, 1], **options)
    for run in (runs / "seed-0", runs):
        table, found = pd.read_parquet(run / "predictions.parquet"), read(run / "metrics.json")
        val = table[table["set"] == "val"]
        truth, proba = columns(val, "true", classes), columns(val, "proba", classes)
        chosen = sensitivity_thresholds(truth, proba, sensitivity=0.8)
        np.testing.assert_allclose([found["thresholds"][c] for c in classes], chosen)
        assert found["thresholds_by"] == {"rule": "sensitivity", "sensitivity": 0.8}
        np.testing.assert_array_equal(columns(table, "decision", classes), columns(table, "proba", classes) >= chosen)
        told = found["validation"]["ensemble"] if run == runs else found["validation"]
        for c in ("NORM", "MI", "CD", "HYP"):
            assert told["per_class"][c]["recall"] >= 0.8
        said = predict(archive, run, progress=False)
        np.testing.assert_array_equal(columns(said, "decision", classes), columns(said, "proba", classes) >= chosen)
    card = read(runs / "seed-0" / "head" / "card.json")
    assert card["thresholds_by"] == {"rule": "sensitivity", "sensitivity": 0.8}
    assert card["head"]["thresholds"] == "sensitivity"
