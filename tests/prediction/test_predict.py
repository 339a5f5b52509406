"""Predictions against loops over records and windows; what cannot be read; ensembles, seeds, fewer leads."""

from __future__ import annotations

import functools
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from ssl_ecg import Archive, prepare
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.errors import ArchiveError, CheckpointError, CorpusError, RecipeError, SignalError
from ssl_ecg.evaluate.metrics import auroc, best_f1_thresholds
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.finetuning.seeds import finetune_seeds
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.prediction import predict as predicting
from ssl_ecg.prediction.members import Member, find_members
from ssl_ecg.prediction.predict import _Answers, predict
from ssl_ecg.train.checkpoint import load_encoder, released_checkpoints
from ssl_ecg.train.classifier import load_classifier
from ssl_ecg.train.evaluation import predict_proba
from ssl_ecg.train.reference import load_reference, make_reference
from ssl_ecg.train.supervised.data import open_labelled, open_windows, read_metadata

CODES = ("NORM", "IMI", "LVH", "CLBBB", "NDT")
CLASSES = ["NORM", "MI", "STTC", "CD", "HYP"]
FOLDS = {"train_folds": [1, 2], "val_folds": 3, "test_folds": 4}
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "head": {"metadata": True},
    "views": {"transforms": ["lead_sets"]},
    "data": {"seconds": 2, "test_seconds": 2.5, "test_stride": 1, "scale": "record"},
    "train": {"steps": 40, "batch_size": 16, "validate_every": 20, "lr": 1e-2, "precision": "float32"},
}


class Loud(Corpus):
    """Records of 1.5 to 4.5 s in which each class has its own lead that is loud, in four folds."""

    name = "loud"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def entries(self) -> Iterator[Entry]:
        for k in range(240):
            yield Entry(f"r{k}", str(k), f"p{k}", 1 + (k // 5) % 4, 50.0 + k % 7, "male", (CODES[k % 5],))

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.random.default_rng(k).normal(size=(12, 150 + 100 * (k % 4))).astype(np.float32)
        signal[k % 5] *= 1.5
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, entry.age, entry.sex)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Loud()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def runs(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    options = {**FOLDS, "test_leads": ["ii, I"], "progress": False}
    return finetune_seeds(RECIPE, archive, out, [0, 3], **options)


def card_of(run: Path) -> dict:
    return json.loads((run / "head" / "card.json").read_text())


@functools.cache
def loaded(run: Path) -> tuple[torch.nn.Module, dict]:
    return load_classifier(run)


def slow_answer(run: Path, archive: Archive, row: int, leads: tuple[str, ...] = ()) -> tuple[list[float], np.ndarray]:
    """One record, window by window: calibrated probabilities and mean embedding."""
    model, card = loaded(run)
    signal = np.nan_to_num(archive.read(row))
    if leads:
        card = {**card, **card["reduced_leads"].get(",".join(leads), {})}
        signal = np.stack([x if name in leads else 0 * x for name, x in zip(archive.leads, signal, strict=True)])
    length = signal.shape[1]
    starts = [0] if length <= 250 else [*range(0, length - 250, 100), length - 250]
    metadata = torch.from_numpy(read_metadata(archive)[row : row + 1])
    probabilities, embeddings = [], []
    for start in starts:
        window = signal[:, start : start + 250]
        present = np.abs(window).max(axis=1) > 0
        window = window / math.sqrt((window[present] ** 2).mean())
        with torch.no_grad():
            z = model.encoder(torch.from_numpy(window[None]))
            probabilities.append(torch.sigmoid(model.head(z, metadata))[0].double().numpy())
        embeddings.append(z[0].numpy())
    proba = []
    for p, temperature in zip(np.mean(probabilities, axis=0), card["calibration"]["curves"], strict=True):
        t = 1.0 if temperature is None else temperature
        proba.append(1 / (1 + math.exp(-math.log(p / (1 - p)) / t)))
    return proba, np.mean(embeddings, axis=0)


def slow_distances(run: Path, archive: Archive, rows: list[int], leads: tuple[str, ...] = ()) -> list[float]:
    """Mean distance to the ten nearest training records in whitened space, in units of the largest usual one."""
    fold = archive.index["fold"].to_numpy(int)
    train = np.stack([slow_answer(run, archive, int(row))[1] for row in np.flatnonzero(fold <= 2)]).astype(float)
    n = min(16, len(train) // 10)
    values, vectors = np.linalg.eigh(np.cov(train.T, bias=True))
    largest = np.argsort(-values)[:n]

    def distance(row: int) -> float:
        z = slow_answer(run, archive, row, leads)[1].astype(float)
        each = ((train - z) @ vectors[:, largest]) / np.sqrt(values[largest])
        return float(np.sort(np.linalg.norm(each, axis=1))[:10].mean())

    usual = sorted(distance(int(row)) for row in np.flatnonzero(fold == 3))
    return [distance(row) / usual[math.ceil(0.99 * (len(usual) - 1))] for row in rows]


def test_one_classifier_is_the_loop_over_records_and_windows(runs: Path, archive: Archive, tmp_path: Path) -> None:
    run = runs / "seed-0"
    assert any(t is not None and abs(t - 1) > 0.01 for t in card_of(run)["calibration"]["curves"])
    table = predict(archive, run, tmp_path / "a.csv", progress=False)
    assert list(table.columns) == [
        "record_id", "corpus", *(f"proba_{c}" for c in CLASSES), *(f"decision_{c}" for c in CLASSES),
        "unlike_training", "distance", "signal_distance", "why", "reason",
    ]  # fmt: skip
    assert table["record_id"].tolist() == [f"r{k}" for k in range(240)]
    rows = [0, 1, 2, 3, 77, 239]
    proba = table.filter(like="proba_").to_numpy()
    np.testing.assert_allclose(proba[rows], [slow_answer(run, archive, row)[0] for row in rows], atol=1e-5)
    thresholds = card_of(run)["thresholds"]
    np.testing.assert_array_equal(table.filter(like="decision_").to_numpy(bool), proba >= thresholds)
    wanted = slow_distances(run, archive, rows)
    np.testing.assert_allclose(table["distance"].iloc[rows], wanted, rtol=5e-3)  # float16 has 11 bits
    far = (table["distance"] > 1) | (table["signal_distance"] > 1)
    assert (table["unlike_training"] == far).all()
    assert (table["why"].notna() == far).all()
    val = table[archive.index["fold"].to_numpy(int) == 3]
    assert val["unlike_training"].sum() == 0, "the largest of 60 is the 99th percentile of 60"
    assert predict(archive, run, quantile=0.5, progress=False)["unlike_training"].sum() > 60
    again = pd.read_csv(tmp_path / "a.csv")
    np.testing.assert_allclose(again.filter(like="proba_").to_numpy(), proba)
    stored = pd.read_parquet(run / "predictions.parquet")
    np.testing.assert_allclose(stored.filter(like="proba_").to_numpy(), proba[stored["row"]], atol=1e-6)


def test_thresholds_are_those_of_calibrated_validation_probabilities(runs: Path) -> None:
    for run in (runs / "seed-0", runs / "seed-3"):
        for leads, name in (("", "predictions.parquet"), ("I,II", "predictions-I-II.parquet")):
            card = card_of(run)
            card = card["reduced_leads"][leads] if leads else card
            table = pd.read_parquet(run / name)
            val = table[table["set"] == "val"]
            truth, proba, raw = (val[[f"{k}_{c}" for c in CLASSES]].to_numpy(float) for k in ("true", "proba", "raw"))
            np.testing.assert_allclose(card["thresholds"], best_f1_thresholds(truth, proba))
            losses = [-(truth * np.log(p) + (1 - truth) * np.log(1 - p)).mean(axis=0) for p in (proba, raw)]
            assert (losses[0] <= losses[1] + 1e-9).all(), "each temperature is the best on validation"


def test_fewer_leads(runs: Path, archive: Archive) -> None:
    run, rows = runs / "seed-0", [0, 1, 6, 88]
    table = predict(archive, run, leads="II,I", progress=False)
    wanted = [slow_answer(run, archive, row, ("I", "II"))[0] for row in rows]
    proba = table.filter(like="proba_").to_numpy()
    np.testing.assert_allclose(proba[rows], wanted, atol=1e-5)
    reduced = card_of(run)["reduced_leads"]["I,II"]
    np.testing.assert_array_equal(table.filter(like="decision_").to_numpy(bool), proba >= reduced["thresholds"])
    np.testing.assert_allclose(
        table["distance"].iloc[rows], slow_distances(run, archive, rows, ("I", "II")), rtol=5e-3
    )  # fmt: skip
    test = archive.index["fold"].to_numpy(int) == 4
    labels, _ = archive.labels("superclass")
    found = json.loads((run / "metrics.json").read_text())["reduced_leads"]["I,II"]["test"]
    assert found["macro"]["auroc"] == pytest.approx(auroc(labels[test], proba[test]).mean())
    assert auroc(labels[test], proba[test])[2:].max() < 0.8 < auroc(labels[test], proba[test])[:2].min()
    other = predict(archive, run, leads=["V1"], progress=False)  # not tried: thresholds of all leads
    np.testing.assert_array_equal(
        other.filter(like="decision_").to_numpy(bool),
        other.filter(like="proba_").to_numpy() >= card_of(run)["thresholds"],
    )
    for leads, hint in (("I,I", "twice"), ("X9", "unknown lead")):
        with pytest.raises(SignalError, match=hint):
            predict(archive, run, leads=leads, progress=False)


def test_a_classifier_of_one_lead_is_never_shown_another(archive: Archive, tmp_path: Path) -> None:
    run, rows = tmp_path / "run", [0, 1, 6, 88]
    finetune(RECIPE, archive, run, **FOLDS, overrides=["data.leads=[II]", "train.steps=4"], progress=False)
    table = predict(archive, run, progress=False)
    proba = table.filter(like="proba_").to_numpy()
    wanted = [slow_answer(run, archive, row, ("II",))[0] for row in rows]
    np.testing.assert_allclose(proba[rows], wanted, atol=1e-5)
    stored = pd.read_parquet(run / "predictions.parquet")
    np.testing.assert_allclose(stored.filter(like="proba_").to_numpy(), proba[stored["row"]], atol=1e-6)
    with pytest.raises(SignalError, match="unknown lead"):
        finetune(RECIPE, archive, tmp_path / "other", **FOLDS, overrides=["data.leads=[X9]"], progress=False)


def test_a_recording_without_the_leads_of_its_classifier_has_no_answer(archive: Archive, tmp_path: Path) -> None:
    run = tmp_path / "run"
    finetune(RECIPE, archive, run, **FOLDS, overrides=["data.leads=[V1]", "train.steps=4"], progress=False)
    np.save(tmp_path / "limbs.npy", np.random.default_rng(0).normal(size=(2, 400)))
    options = {"fs": 100, "leads": "I,II"}
    (row,) = predict(tmp_path / "limbs.npy", run, options=options, progress=False).to_dict("records")
    assert row["reason"] == "has none of the leads of the classifier"
    assert np.isnan([value for name, value in row.items() if name.startswith("proba_")]).all()


def test_an_ensemble_averages_its_members(runs: Path, archive: Archive) -> None:
    each = [predict(archive, runs / f"seed-{seed}", progress=False) for seed in (0, 3)]
    table = predict(archive, runs, progress=False)
    pd.testing.assert_frame_equal(table, predict(archive, [runs / "seed-0", runs / "seed-3"], progress=False))
    columns = [f"proba_{c}" for c in CLASSES] + ["distance"]
    np.testing.assert_allclose(table[columns], (each[0][columns] + each[1][columns]) / 2)
    proba, fold = table[columns[:5]].to_numpy(), archive.index["fold"].to_numpy(int)
    labels, _ = archive.labels("superclass")
    thresholds = best_f1_thresholds(labels[fold == 3], proba[fold == 3])
    np.testing.assert_array_equal(table.filter(like="decision_").to_numpy(bool), proba >= thresholds)
    every = predict(archive, runs, leads=STANDARD_LEADS, progress=False)  # all by name: as if none were named
    pd.testing.assert_frame_equal(every, table)
    other = predict(archive, runs, leads="V1", progress=False)  # not tried: thresholds of all leads
    decided = other.filter(like="proba_").to_numpy() >= thresholds
    np.testing.assert_array_equal(other.filter(like="decision_").to_numpy(bool), decided)
    metrics = json.loads((runs / "metrics.json").read_text())
    assert list(metrics["thresholds"].values()) == pytest.approx(thresholds.tolist())
    single = [json.loads((runs / f"seed-{seed}" / "metrics.json").read_text()) for seed in (0, 3)]
    for part, number in (("validation", 3), ("test", 4)):
        values = [one[part]["macro"]["auroc"] for one in single]
        assert metrics[part]["mean"]["auroc"] == pytest.approx(sum(values) / 2)
        assert metrics[part]["spread"]["auroc"] == pytest.approx(abs(values[0] - values[1]) / math.sqrt(2))
        wanted = auroc(labels[fold == number], proba[fold == number]).mean()
        assert metrics[part]["ensemble"]["macro"]["auroc"] == pytest.approx(wanted)
    assert metrics["reduced_leads"]["I,II"]["test"]["ensemble"]["records"] == 60


def test_an_interrupted_series_of_seeds_goes_on(runs: Path, archive: Archive) -> None:
    options = {**FOLDS, "test_leads": ["I,II"], "progress": False}
    before = {path: path.stat().st_mtime_ns for path in runs.glob("seed-*/last.ckpt")}
    metrics = json.loads((runs / "metrics.json").read_text())
    (runs / "metrics.json").unlink()
    finetune_seeds(RECIPE, archive, runs, [0, 3], **options)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert json.loads((runs / "metrics.json").read_text()) == metrics
    weights = [load_file(runs / f"seed-{seed}" / "head" / "head.safetensors")["last.weight"] for seed in (0, 3)]
    assert not np.array_equal(*weights)
    for seeds in ([], [1, 1], [-1]):
        with pytest.raises(RecipeError, match="seeds"):
            finetune_seeds(RECIPE, archive, runs, seeds, **options)
    with pytest.raises(CheckpointError, match="one seed"):
        finetune_seeds(RECIPE, archive, runs / "seed-0", [0], **options)


def test_a_folder_answers_with_the_runs_that_its_figures_are_of(runs: Path, tmp_path: Path, archive: Archive) -> None:
    out = Path(shutil.copytree(runs, tmp_path / "o"))
    shutil.copytree(out / "seed-3", out / "seed-10")  # of an earlier call with more seeds
    assert find_members(out) == [out / "seed-0", out / "seed-3"]
    (out / "metrics.json").write_text("{")
    assert find_members(out) == [out / "seed-0", out / "seed-3", out / "seed-10"]
    (out / "seed-0").rename(out / "fold-1")
    with pytest.raises(CheckpointError, match="several folds"):
        finetune_seeds(RECIPE, archive, out, [3], **FOLDS, progress=False)


def write_arrays(folder: Path, archive: Archive, rows: list[int]) -> None:
    folder.mkdir()
    for row in rows:
        np.save(folder / f"a{row}.npy", archive.read(row))


def test_a_folder_of_recordings_and_a_single_one(runs: Path, archive: Archive, tmp_path: Path) -> None:
    write_arrays(tmp_path / "in", archive, [3, 7])
    (tmp_path / "in" / "broken.npy").write_bytes(b"no array")
    np.save(tmp_path / "in" / "empty.npy", np.zeros((12, 0), np.float32))
    options = {"fs": 100.0, "leads": ",".join(STANDARD_LEADS)}
    table = predict(tmp_path / "in", runs, tmp_path / "a.parquet", options=options, workers=1, progress=False)
    assert table["record_id"].tolist() == ["a3", "a7", "broken", "empty"]
    assert table["reason"].notna().tolist() == [False, False, True, True]
    answers = table.drop(columns=["record_id", "corpus", "reason"])
    assert answers.iloc[2:].isna().all(axis=None)
    stored = pd.read_parquet(tmp_path / "a.parquet")
    words = ["why", "reason"]
    pd.testing.assert_frame_equal(stored.drop(columns=words), table.drop(columns=words), check_dtype=False)
    assert stored[words].fillna("").equals(table[words].fillna("").astype(stored[words].dtypes))
    same = predict(f"folder:{tmp_path / 'in'}", runs, options=options, workers=1, progress=False)
    pd.testing.assert_frame_equal(table, same)
    one = predict(tmp_path / "in" / "a7.npy", runs, options=options, progress=False)
    pd.testing.assert_frame_equal(one[answers.columns], answers.iloc[[1]].reset_index(drop=True))
    broken = predict(tmp_path / "in" / "broken.npy", runs, options=options, progress=False)
    assert broken["record_id"].tolist() == ["broken"]
    assert broken["reason"].item()
    assert broken.dtypes.equals(table.dtypes)
    # age and sex are not in these files, and an archive of other form is refused
    prepared = predict(archive, runs, progress=False)
    assert not np.allclose(prepared["proba_MI"].iloc[[3, 7]], table["proba_MI"].iloc[:2], atol=1e-9)


def test_an_interrupted_prediction_goes_on(
    runs: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_arrays(tmp_path / "in", archive, [3, 7, 9])
    (tmp_path / "in" / "broken.npy").write_bytes(b"no array")
    np.save(tmp_path / "in" / "flat.npy", np.zeros((12, 500), np.float32))
    given = {"options": {"fs": 100.0, "leads": ",".join(STANDARD_LEADS)}, "workers": 1, "progress": False}
    whole = predict(tmp_path / "in", runs, **given)
    monkeypatch.setattr(predicting, "_AT_ONCE", 1)
    answer, asked = Member.answer, []

    def counted(self: Member, archive: Archive, rows: np.ndarray, *rest: object) -> object:
        asked.append(int(rows[0]))
        if len(asked) == 3:  # each of two members is asked
            raise KeyboardInterrupt
        return answer(self, archive, rows, *rest)

    monkeypatch.setattr(Member, "answer", counted)
    out, left = tmp_path / "a.csv", tmp_path / ".a.csv.unfinished"
    with pytest.raises(KeyboardInterrupt):
        predict(tmp_path / "in", runs, out, **given)
    assert sorted(path.name for path in left.iterdir()) == ["answers", "archive"]
    resumed = predict(tmp_path / "in", runs, out, **given)
    assert asked == [0, 0, 1, 1, 1, 2, 2]
    pd.testing.assert_frame_equal(resumed, whole)
    assert not left.exists()


def test_what_an_interrupted_prediction_left_is_not_taken_for_another(
    runs: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held_elsewhere
) -> None:
    write_arrays(tmp_path / "in", archive, [3])
    given = {"options": {"fs": 100.0, "leads": ",".join(STANDARD_LEADS)}, "workers": 1, "progress": False}
    out = tmp_path / "a.csv"

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    for changed in ({"leads": "I,II"}, {"quantile": 0.5}, {"more": True}):
        with monkeypatch.context() as change:
            change.setattr(predicting, "_write", stopped)
            with pytest.raises(KeyboardInterrupt):
                predict(tmp_path / "in", runs, out, **given)
        if changed.pop("more", False):
            np.save(tmp_path / "in" / "more.npy", archive.read(7))
        pd.testing.assert_frame_equal(
            predict(tmp_path / "in", runs, out, **given, **changed), predict(tmp_path / "in", runs, **given, **changed)
        )
    (tmp_path / ".a.csv.unfinished").mkdir()
    with held_elsewhere(tmp_path / ".a.csv.unfinished" / ".lock"), pytest.raises(ArchiveError, match="another process"):
        predict(tmp_path / "in", runs, out, **given)


def test_other_rates_and_lead_orders_are_brought_into_form(runs: Path, tmp_path: Path) -> None:
    time = np.arange(0, 4, 1 / 250)
    signal = np.stack([np.sin(2 * np.pi * (1 + k) * time) for k in range(3)]).astype(np.float32)
    np.save(tmp_path / "fast.npy", signal)
    np.save(tmp_path / "turned.npy", signal[::-1])
    fast = predict(tmp_path / "fast.npy", runs, options={"fs": 250, "leads": "V1,V2,II"}, progress=False)
    turned = predict(tmp_path / "turned.npy", runs, options={"fs": 250, "leads": "II,V2,V1"}, progress=False)
    columns = [f"proba_{c}" for c in CLASSES]
    np.testing.assert_allclose(fast[columns], turned[columns], atol=1e-6)
    known = predict(tmp_path / "fast.npy", runs, options={"fs": 250, "leads": "V1,V2,II"}, leads="I", progress=False)
    assert known["reason"].tolist() == ["has none of the leads I"]
    assert known[columns].isna().all(axis=None)


def test_what_cannot_be_is_named(runs: Path, archive: Archive, tmp_path: Path) -> None:
    run = runs / "seed-0"

    def fails(error: type[Exception], match: str, *given: object, **options: object) -> None:
        with pytest.raises(error, match=match):
            predict(*given, progress=False, **options)

    fails(ArchiveError, "neither a .csv nor a .parquet", archive, run, tmp_path / "a.txt")
    (tmp_path / "file").write_text("x")
    for place in (
        tmp_path / "file" / "a.csv",
        tmp_path / "file" / "b" / "a.csv",
    ):  # before any work, so before the source
        fails(ArchiveError, "cannot be written", tmp_path / "nothing", run, place)
    (tmp_path / "folder.csv").mkdir()
    fails(ArchiveError, "cannot be written", tmp_path / "nothing", run, tmp_path / "folder.csv")
    fails(CorpusError, "does not exist", tmp_path / "nothing", run, tmp_path / "new" / "a.csv")
    assert not (tmp_path / "new").exists()
    fails(CorpusError, "does not exist", tmp_path / "nothing", run)
    fails(CorpusError, "no readable recordings", tmp_path, run)
    fails(ArchiveError, "leave the options out", archive.path, run, options={"fs": 100})
    fails(SignalError, "quantile", archive, run, quantile=0)
    fails(CheckpointError, "none is named", archive, [])
    fails(CheckpointError, "holds no classifier", archive, tmp_path)
    other = Path(shutil.copytree(run, tmp_path / "o"))
    card = card_of(other)
    (other / "head" / "card.json").write_text(json.dumps({**card, "classes": card["classes"][::-1]}))
    fails(CheckpointError, "of one task", archive, [run, other])
    (other / "head" / "card.json").write_text("{")
    fails(CheckpointError, "damaged", archive, other)
    (other / "head" / "card.json").write_text(json.dumps(card))
    (other / "head" / "reference.safetensors").write_bytes(b"nothing")
    fails(CheckpointError, "reference.safetensors", archive, other)
    wrong = prepare([Loud()], tmp_path / "w", band=None, fs=50, workers=1, progress=False)
    fails(CheckpointError, "50 Hz", wrong, run)


def test_classifiers_without_calibration_and_reference_stay_usable(
    runs: Path, archive: Archive, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(runs / "seed-0", tmp_path / "old"))
    (old / "head" / "reference.safetensors").unlink()
    card = card_of(old)
    card = {k: v for k, v in card.items() if k not in ("calibration", "reduced_leads", "unlike_training")}
    del card["head"]["calibration"]
    (old / "head" / "card.json").write_text(json.dumps(card))
    table = predict(archive, old, progress=False)
    assert table["unlike_training"].isna().all()
    model, card = load_classifier(old, archive)
    windows = open_windows(archive, np.arange(240), 2.5, 1.0)
    np.testing.assert_allclose(table.filter(like="proba_").to_numpy(), predict_proba(model, windows), atol=1e-6)
    assert predict(archive, [old, runs / "seed-3"], progress=False)["unlike_training"].isna().all()


@pytest.mark.parametrize(("kind", "keeps"), [("none", True), ("isotonic", False)])
def test_other_calibrations(archive: Archive, tmp_path: Path, kind: str, keeps: bool) -> None:
    recipe = {**RECIPE, "head": {"calibration": kind}, "train": {**RECIPE["train"], "steps": 5}}
    run = finetune(recipe, archive, tmp_path / "a", **FOLDS, progress=False)
    table = pd.read_parquet(run / "predictions.parquet")
    same = [table[f"proba_{c}"].equals(table[f"raw_{c}"]) for c in CLASSES]
    assert all(same) if keeps else not all(same)
    stored = predict(archive, run, progress=False).filter(like="proba_").to_numpy()[table["row"]]
    np.testing.assert_allclose(stored, table[[f"proba_{c}" for c in CLASSES]].to_numpy(), atol=1e-6)


def test_reference_is_the_same_when_read_again_and_none_where_it_says_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train, val, new = (rng.normal(size=(n, 8)) * np.arange(1, 9) for n in (300, 100, 20))
    reference = make_reference(train, {"": val, "I": val * 3})
    reference.save(tmp_path)
    again = load_reference(tmp_path)
    np.testing.assert_array_equal(again.distance(new), reference.distance(new))
    assert again.threshold() == pytest.approx(reference.threshold())
    assert again.threshold(leads="I") > 2 * again.threshold(leads="V1") == 2 * again.threshold()
    assert again.points.dtype == np.float16
    assert (again.distance(new + 40) > again.threshold()).all()
    assert (again.distance(new) <= again.threshold()).mean() > 0.8
    assert load_reference(tmp_path / "nowhere") is None
    assert make_reference(train[:10], {"": val}) is None
    assert make_reference(np.ones((50, 8)), {"": val}) is None
    assert make_reference(np.full((50, 8), np.nan), {"": val}) is None


def test_command(runs: Path, archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ssl_ecg.cli import run as command

    line = ["predict", archive.path, "--checkpoint", runs / "seed-0", "--checkpoint", runs / "seed-3"]
    line += ["--out", tmp_path / "a.csv", "--leads", "I,II", "--quiet"]
    assert command([str(word) for word in line]) == 0
    captured = capsys.readouterr()
    out = captured.out.splitlines()
    table = pd.read_csv(tmp_path / "a.csv")
    assert [row.split(":")[0].strip() for row in out[:5]] == CLASSES
    assert out[1].endswith(f"{int(table['decision_MI'].sum())} of 240 recordings")
    assert out[-1] == str(tmp_path / "a.csv")
    assert "it/s" not in captured.err
    line = ["finetune", "finetune/scratch", "--data", archive.path, "--out", tmp_path / "r", "--seeds", "1", "2"]
    line += ["--train-folds", "1", "--val-folds", "3", "--test-folds", "4", "--test-leads", "I", "--quiet"]
    line += ["--set", "train.steps=1", "--set", "encoder.widths=[4,8]", "--set", "data.test_seconds=3"]
    assert command([str(word) for word in line]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [row.split(":")[0].strip() for row in out[:4]] == ["validation", "test", "validation I", "test I"]
    assert "ensemble macro AUROC" in out[1]
    assert load_encoder(tmp_path / "r" / "seed-2").dim == 8


def test_labels_and_windows_open_as_before(archive: Archive) -> None:
    targets = np.zeros((240, 2), np.float32)
    data = open_labelled(archive, targets, np.arange(10), seconds=2)
    assert data.windows([3], ["I", "V6"])[0]["lead_mask"].nonzero().flatten().tolist() == [0, 11]
    whole, some = data.windows([3])[0]["signal"], data.windows([3], ["V6"])[0]["signal"]
    assert torch.equal(whole[11], some[11])
    assert not some[:11].any()


def test_a_released_classifier_answers_by_its_name(tmp_path: Path) -> None:
    released = [name for name, folder in released_checkpoints().items() if (folder / "head").is_dir()]
    assert released
    records = simulate(6, fs=250, seed=3)
    folder = tmp_path / "records"
    folder.mkdir()
    for record in records:
        np.savez(folder / f"{record.record_id}.npz", signal=record.signal, fs=record.fs, leads=list(record.leads))
    for name in released:
        table = predict(folder, name, progress=False)
        card = card_of(released_checkpoints()[name])
        found = table[[f"proba_{label}" for label in card["classes"]]].to_numpy(float)
        assert found.shape == (6, len(card["classes"]))
        assert ((found > 0) & (found < 1)).all()
        assert card["finetuned_on"]["corpora"]["ptbxl"]["folds"] == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        again = load_encoder(name)
        assert again.card["name"] == name
    with pytest.raises(CheckpointError, match=f"released name.*{released[0]}"):
        predict(folder, "conv1d-small", progress=False)


def test_columns_of_many_classes_are_joined_at_once() -> None:
    """Else pandas warns of a fragmented table, which fails here."""
    answers = _Answers(2, 71, np.array([None, "cut short"], object))
    answers.found[0] = np.arange(71) / 71
    names = [f"{kind}_{k}" for kind in ("prob", "decision") for k in range(71)]
    reading = SimpleNamespace(
        columns=lambda found, there: dict(zip(names, np.hstack([found, found > 0.5]).T, strict=True))
    )
    archive = SimpleNamespace(index=pd.DataFrame({"record_id": ["a", "b"], "corpus": "own", "fold": 1}))
    table = answers.table(archive, SimpleNamespace(reading=reading, with_forest=False))
    after = ["unlike_training", "distance", "signal_distance", "why", "reason"]
    assert list(table.columns) == ["record_id", "corpus", *names, *after]
    assert table["prob_70"].tolist() == pytest.approx([70 / 71, np.nan], nan_ok=True)
    assert table["reason"].fillna("").tolist() == ["", "cut short"]
