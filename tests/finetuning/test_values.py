"""Continuous targets: the ridge probe, fine-tuning, its figures and intervals, and predictions in the target's unit."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.preprocessing import StandardScaler

from ssl_ecg import Archive, prepare
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import CheckpointError, LabelError, RecipeError
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.finetuning.seeds import finetune_seeds
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.prediction.predict import predict
from ssl_ecg.probing.folder import probe_folder, run_probe
from ssl_ecg.probing.ridge import RidgeProbe
from ssl_ecg.readings.values import conformal_width
from ssl_ecg.targets import find_targets
from ssl_ecg.tasks.columns import COLUMN_TASKS
from ssl_ecg.tasks.table import table_task
from ssl_ecg.train.losses.classes import LOSSES, Huber
from ssl_ecg.train.monitor import read_log

FOLDS = {"train_folds": [1, 2], "val_folds": 3, "test_folds": 4}
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "head": {"start": "random"},
    "loss": {"name": "huber", "delta": 1.5},
    "data": {"seconds": 2, "scale": "none"},
    "train": {"steps": 60, "batch_size": 16, "validate_every": 15, "lr": 1e-2, "precision": "float32"},
}

# ---------------------------------------------------------------- the probe


def case(n: int = 240, dim: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = (rng.normal(size=(n, dim)) * np.arange(1, dim + 1) + 3).astype(np.float32)
    y = np.stack([60 + 8 * (z[:, 0] - 3) + rng.normal(size=n), 0.1 * rng.normal(size=n)], axis=1)
    y[::7, 0] = np.nan
    return z, y


def test_ridge_is_that_of_scikit_learn_and_its_strength_the_best_on_validation() -> None:
    z, y = case()
    probe = RidgeProbe().fit(z[:100], y[:100], z[100:170], y[100:170])
    scaler = StandardScaler().fit(z[:100].astype(float))
    for k in range(2):
        known, val = np.isfinite(y[:100, k]), 100 + np.flatnonzero(np.isfinite(y[100:170, k]))
        best, quality = None, -math.inf
        for penalty in probe.penalties:
            model = Ridge(alpha=penalty).fit(scaler.transform(z[:100])[known], y[:100, k][known])
            found = r2_score(y[val, k], model.predict(scaler.transform(z[val])))
            assert probe.validation_[k][penalty] == pytest.approx(found, abs=1e-6)
            if found > quality:
                best, quality = model, found
        np.testing.assert_allclose(probe.predict(z[170:])[:, k], best.predict(scaler.transform(z[170:])), atol=1e-4)


def test_without_validation_patients_are_kept_together() -> None:
    z, y = case(80)
    twice, patients = np.concatenate([z, z]), np.tile(np.arange(80), 2)
    noise = np.random.default_rng(1).normal(size=80)
    probe = RidgeProbe().fit(twice, np.concatenate([noise, noise]), groups=patients)
    assert probe.penalty_[0] == max(probe.penalties)
    assert RidgeProbe().fit(z, y).predict(z).shape == (80, 2)
    for wrong, match in ((z[:3], "one row of targets"), (z, "give both or none")):
        with pytest.raises(LabelError, match=match):
            RidgeProbe().fit(wrong, y, z if len(wrong) == 80 else None)
    with pytest.raises(LabelError, match="known of 1 records"):
        RidgeProbe().fit(z, np.where(np.arange(80) == 3, 1.0, np.nan))
    with pytest.raises(LabelError, match="not numbers"):
        RidgeProbe().fit(z, np.array(["old"] * 80))
    with pytest.raises(LabelError, match="0 embeddings for 0 rows of targets"):
        RidgeProbe().fit(z[:0], y[:0])


def embeddings(n: int = 240) -> Embeddings:
    z, y = case(n)
    age = np.where(np.isfinite(y[:, 0]), y[:, 0], 300.0)
    index = pd.DataFrame({
        "record_id": [f"r{k}" for k in range(n)], "corpus": "toy", "patient_id": [f"p{k // 2}" for k in range(n)],
        "fold": pd.array(np.arange(n) // 2 % 4 + 1, dtype="Int64"), "codes": [["NORM"]] * n, "age": age,
    })  # fmt: skip
    return Embeddings(z, index)


def test_probe_of_age_and_of_a_table_report_what_scikit_learn_finds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ssl_ecg.cli import run as command

    own = embeddings()
    truth = own.index[["record_id", "age"]].assign(age=lambda t: t["age"].where(t["age"] < 200))
    truth.to_csv(tmp_path / "mine.csv", index=False)
    found = run_probe(own, "age", n_resamples=50, label_sizes=[20], draws=2)
    table = run_probe(own, tmp_path / "mine.csv", n_resamples=50)
    assert (found["kind"], found["unit"], found["classes"]) == ("continuous", "years", ["age"])
    assert table["task"] == "mine"
    known = own.index["age"].to_numpy() < 200
    fold, z, y = own.index["fold"].to_numpy(int), own.vectors, own.index["age"].to_numpy()
    train, val, test = (np.flatnonzero(known & np.isin(fold, folds)) for folds in ([1, 2], [3], [4]))
    said = RidgeProbe().fit(z[train], y[train], z[val], y[val]).predict(z[test])[:, 0]
    for one in (found["ridge"], table["ridge"]):
        assert one["macro"]["r2"]["value"] == pytest.approx(r2_score(y[test], said), abs=1e-5)
        error = one["per_class"]["age"]["mean_absolute_error"]
        assert error["value"] == pytest.approx(mean_absolute_error(y[test], said), abs=1e-5)
        assert error["low"] < error["value"] < error["high"]
    assert found["counts"]["train"]["mean"]["age"] == pytest.approx(statistics.mean(y[train]))
    assert len(found["label_efficiency"][0]["ridge"]["draws"]) == 2
    assert found["counts"]["without_known_labels"] == (~known).sum()
    worse = Embeddings(own.vectors[:, 1:], own.index)
    pair = run_probe(own, "age", baseline=worse, n_resamples=50)
    gain = pair["ridge"]["macro"]["r2"]["value"] - pair["baseline"]["ridge"]["macro"]["r2"]["value"]
    assert pair["difference"]["ridge"]["value"] == pytest.approx(gain)
    own.save(tmp_path / "e")
    probe_folder(tmp_path / "e", "age", tmp_path / "p", n_resamples=10)
    line = ["probe", tmp_path / "e", "--task", "age", "--out", tmp_path / "q", "--labels", "20", "--baseline"]
    assert command([str(word) for word in [*line, tmp_path / "e", "--draws", "2"]]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(" ridge probe of age: R2 0.9")
    assert "years" in printed[0]
    assert printed[3].startswith("  with 20 labels: R2")
    assert {"true_age", "ridge_age"} <= set(pd.read_parquet(tmp_path / "p" / "predictions.parquet").columns)


def test_targets_and_their_fingerprint() -> None:
    own = embeddings(40)
    first = find_targets("age", own.index)
    assert first.strata.sum(axis=1).tolist() == first.known.astype(float).tolist()
    assert np.ptp(first.strata.sum(axis=0)) <= 1
    changed = own.index.assign(age=own.index["age"] + (np.arange(40) == 3))
    assert find_targets("age", changed).fingerprint != first.fingerprint
    assert find_targets("age", own.index).fingerprint == first.fingerprint
    with pytest.raises(LabelError, match="no column 'age'"):
        find_targets("age", own.index.drop(columns="age"))
    with pytest.raises(LabelError, match="not of codes"):
        COLUMN_TASKS["age"].labels([["NORM"]])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (list(range(30)), "continuous"),
        ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "continuous"),
        ([*range(30), None], "continuous"),
        ([0, 1, None], "multilabel"),
        ([0, 0.5, 1], ""),
        (list(range(10)), ""),
    ],
)
def test_a_table_of_measurements_is_known_by_its_numbers(values: list, kind: str) -> None:
    table = pd.DataFrame({"record_id": [f"r{k}" for k in range(len(values))], "x": values})
    if kind:
        assert table_task(table).kind == kind
    else:
        with pytest.raises(LabelError, match="say with table_task"):
            table_task(table)


# ---------------------------------------------------------------- fine-tuning


@pytest.mark.parametrize(("name", "delta"), [("mse", math.inf), ("huber", 0.7)])
def test_losses_are_the_formula_over_known_values(name: str, delta: float) -> None:
    rng = np.random.default_rng(0)
    said, truth, known = rng.normal(size=(6, 2)) * 2, rng.normal(size=(6, 2)), rng.random((6, 2)) < 0.7
    total, count = 0.0, 0
    for i in range(6):
        for k in range(2):
            error = abs(said[i, k] - truth[i, k])
            if known[i, k]:
                count += 1
                small = error**2 if name == "mse" else error**2 / 2
                total += small if error <= delta else delta * (error - delta / 2)
    loss = LOSSES[name]() if name == "mse" else Huber(delta=delta)
    given = (torch.tensor(a, dtype=torch.float32) for a in (said, truth))
    assert float(loss(*given, torch.tensor(known))) == pytest.approx(total / count, rel=1e-5)
    with pytest.raises(RecipeError, match="above zero"):
        Huber(delta=0)


def test_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    within = []
    for _ in range(400):
        error = rng.normal(size=(40, 1))
        within.append(abs(error[0, 0]) <= conformal_width(error[1:], np.zeros((39, 1)))[0])
    assert abs(np.mean(within) - 0.9) < 0.045


class Aged(Corpus):
    """Records of 2.5 s that are the louder, the older the patient; every ninth without an age."""

    name = "aged"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def entries(self) -> Iterator[Entry]:
        for k in range(160):
            yield Entry(f"r{k}", str(k), f"p{k}", 1 + k % 4, None if k % 9 == 0 else age_of(k), "male", ("NORM",))

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.random.default_rng(k).normal(size=(12, 250)).astype(np.float32) * age_of(k) / 40
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, entry.age, entry.sex)


def age_of(k: int) -> float:
    return float(20 + np.random.default_rng([7, k]).integers(0, 60))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Aged()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def runs(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    return finetune_seeds(RECIPE, archive, out, [0, 1], **FOLDS, task="age", test_leads=["I"], progress=False)


def test_figures_are_those_of_scikit_learn(runs: Path, archive: Archive) -> None:
    run = runs / "seed-0"
    found, table = json.loads((run / "metrics.json").read_text()), pd.read_parquet(run / "predictions.parquet")
    ages = archive.index["age"].to_numpy(float)
    for name, key in (("val", "validation"), ("test", "test")):
        part = table[table["set"] == name]
        np.testing.assert_array_equal(part["true_age"], ages[part["row"]])
        assert found[key]["macro"]["r2"] == pytest.approx(r2_score(part["true_age"], part["value_age"]))
        error = mean_absolute_error(part["true_age"], part["value_age"])
        assert found[key]["macro"]["mean_absolute_error"] == pytest.approx(error)
    assert found["test"]["macro"]["r2"] > 0.5
    val = table[table["set"] == "val"]
    errors = sorted(abs(val["true_age"] - val["value_age"]))
    width = errors[math.ceil(0.9 * (len(errors) + 1)) - 1]
    assert found["interval"]["half_width"]["age"] == pytest.approx(width)
    rows = read_log(run / "log.csv")
    assert max(float(row["val_r2"]) for row in rows) == pytest.approx(found["training"]["best_r2"], rel=1e-5)
    assert found["training"]["best_r2"] == pytest.approx(found["validation"]["macro"]["r2"], abs=1e-5)
    train = np.flatnonzero((archive.index["fold"].to_numpy(int) <= 2) & np.isfinite(ages))
    assert found["centre"] == [pytest.approx(ages[train].mean())]
    assert (found["kind"], found["unit"]) == ("continuous", "years")


def test_predictions_are_in_the_unit_with_an_interval(runs: Path, archive: Archive, tmp_path: Path) -> None:
    run = runs / "seed-0"
    stored = pd.read_parquet(run / "predictions.parquet")
    table = predict(archive, run, tmp_path / "a.parquet", progress=False)
    assert list(table.columns) == [
        "record_id", "corpus", "value_age", "low_age", "high_age",
        "unlike_training", "distance", "signal_distance", "why", "reason",
    ]  # fmt: skip
    np.testing.assert_allclose(table["value_age"].to_numpy()[stored["row"]], stored["value_age"], atol=1e-4)
    width = json.loads((run / "head" / "card.json").read_text())["half_width"][0]
    np.testing.assert_allclose(table["high_age"] - table["value_age"], width)
    np.testing.assert_allclose(table["value_age"] - table["low_age"], width)
    one = predict(archive, run, leads="I", progress=False)
    reduced = pd.read_parquet(run / "predictions-I.parquet")
    np.testing.assert_allclose(one["value_age"].to_numpy()[reduced["row"]], reduced["value_age"], atol=1e-4)
    assert abs(float((one["high_age"] - one["value_age"]).iloc[0]) - width) > 1e-3
    both = predict(archive, runs, progress=False)
    other = predict(archive, runs / "seed-1", progress=False)
    np.testing.assert_allclose(both["value_age"], (table["value_age"] + other["value_age"]) / 2)
    mean = pd.read_parquet(runs / "predictions.parquet").query("set == 'val'")
    errors = sorted(abs(mean["true_age"] - mean["value_age"]))
    wanted = errors[math.ceil(0.9 * (len(errors) + 1)) - 1]
    np.testing.assert_allclose(both["high_age"] - both["value_age"], wanted)
    metrics = json.loads((runs / "metrics.json").read_text())
    assert metrics["interval"]["half_width"]["age"] == pytest.approx(wanted)
    assert metrics["test"]["ensemble"]["macro"]["r2"] > 0.5


def test_a_table_starts_from_its_ridge_probe_and_is_watched(
    archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ssl_ecg.cli import run as command

    table = archive.index[["record_id", "age"]].dropna().assign(other=lambda t: 100 - t["age"] ** 2 / 50)
    table.to_csv(tmp_path / "mine.csv", index=False)
    line = ["finetune", "finetune/regression", "--data", archive.path, "--out", tmp_path / "a", "--quiet"]
    line += ["--task", tmp_path / "mine.csv", "--train-folds", "1-2", "--val-folds", "3", "--test-folds", "4"]
    line += ["--set", "train.steps=1", "--set", "encoder.widths=[4,8]", "--set", "data.test_seconds=2.5"]
    assert command([str(word) for word in line]) == 0
    assert "test: mean R2 0." in capsys.readouterr().out
    found = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert found["classes"] == ["age", "other"]
    assert found["training"]["start_r2"] > 0.7
    line = ["predict", archive.path, "--checkpoint", tmp_path / "a", "--out", tmp_path / "a.csv", "--quiet"]
    assert command([str(word) for word in line]) == 0
    assert "age: median" in capsys.readouterr().out
    # the same table with another content is another run
    table.assign(age=table["age"] + (table["record_id"] == "r1")).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(CheckpointError, match="other records"):
        finetune(
            "finetune/regression", archive, tmp_path / "a", task=str(tmp_path / "mine.csv"), **FOLDS, progress=False,
            overrides=["train.steps=1", "encoder.widths=[4,8]", "data.test_seconds=2.5"],
        )  # fmt: skip


def test_what_cannot_be_is_named(archive: Archive, runs: Path, tmp_path: Path) -> None:
    def fails(error: type[Exception], match: str, recipe: dict, **more: object) -> None:
        with pytest.raises(error, match=match):
            finetune(recipe, archive, tmp_path / "x", **{**FOLDS, "task": "age", **more}, progress=False)

    fails(RecipeError, "set loss.name=huber", {**RECIPE, "loss": "bce"})
    fails(RecipeError, "set loss.name=bce", RECIPE, task="superclass")
    fails(RecipeError, "is for classes", {**RECIPE, "forest": True})
    fails(RecipeError, "tells the head the age", {**RECIPE, "head": {"start": "random", "metadata": True}})
    same = table_task(
        pd.DataFrame({"record_id": archive.index["record_id"], "x": 3.5}), kind="continuous", name="constant"
    )
    fails(LabelError, "does not vary", RECIPE, task=same)
    assert not (tmp_path / "x").exists()
