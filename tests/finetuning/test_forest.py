"""The forest beside a network: against scikit-learn's own, as figures, on disk, and in predictions."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from ssl_ecg import Archive, prepare, simulate
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CheckpointError, RecipeError, SignalError
from ssl_ecg.evaluate.metrics import best_f1_thresholds, macro_auroc
from ssl_ecg.features.baselines import ForestBaseline
from ssl_ecg.features.expert import expert_embeddings, expert_features
from ssl_ecg.features.forest import StoredForest, load_forest
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.finetuning.seeds import finetune_seeds
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.prediction.predict import predict
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.checkpoint import load_encoder

CLASSES = ["NORM", "MI", "STTC", "CD", "HYP"]
FOLDS = {"train_folds": [1, 2], "val_folds": 3, "test_folds": 4}
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "head": {"calibration": "temperature"},
    "data": {"seconds": 2, "test_seconds": 2.5, "test_stride": 1},
    "train": {"steps": 4, "batch_size": 16, "validate_every": 2, "lr": 1e-2, "precision": "float32"},
    "forest": {"n_trees": 12, "max_depth": 4},
}


class Beats(Corpus):
    """Simulated records of 2.5 s, half of them normal; the last two are too short for features."""

    name = "beats"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)
        kinds = ["NORM", "LBBB"]
        self.made = [simulate(40, seed=k, seconds=2.5, fs=100, findings=[code]) for k, code in enumerate(kinds)]

    def entries(self) -> Iterator[Entry]:
        for k in range(80):
            yield Entry(f"r{k}", str(k), f"p{k}", 1 + (k // 2) % 4, None, None, (("NORM", "CLBBB")[k % 2],))

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.asarray(self.made[k % 2][k // 2].signal, np.float32)
        signal = signal[:, :70] if k in (78, 79) else signal
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, codes=entry.codes)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Beats()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def runs(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    return finetune_seeds(RECIPE, archive, out, [0, 1], **FOLDS, test_leads=["I,II"], progress=False)


def test_seeds_draw_forests_of_their_own(runs: Path, archive: Archive, tmp_path: Path) -> None:
    def seeds(out: Path) -> list[int]:
        return [load_recipe(out / f"seed-{seed}" / "recipe.yaml")["forest"]["seed"] for seed in (0, 1)]

    assert seeds(runs) == [0, 1]
    fixed = ["train.steps=1", "forest.n_trees=2", "forest.seed=7"]
    assert seeds(finetune_seeds(RECIPE, archive, tmp_path / "a", [0, 1], **FOLDS, overrides=fixed)) == [7, 7]


def odds(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


def test_stored_trees_say_what_the_forest_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 6)), rng.random((150, 4)) < 0.4
    y = y.astype(float)
    x[::7, 2], y[::5, 1], y[:, 3] = np.nan, np.nan, 0
    with pytest.warns(UserWarning, match="no positive"):
        fitted = ForestBaseline(8, 5, seed=1).fit(x, y)
    stored = StoredForest.of(fitted)
    stored.save(tmp_path)
    again = load_forest(tmp_path, 4)
    np.testing.assert_allclose(again.predict_proba(x), fitted.predict_proba(x), atol=1e-12)
    np.testing.assert_array_equal(again.predict_proba(x), stored.predict_proba(x))
    assert stored.predict_proba(x[:0]).shape == (0, 4)
    for n_classes in (3, 5):
        with pytest.raises(CheckpointError, match="missing or damaged"):
            load_forest(tmp_path, n_classes)
    (tmp_path / "forest.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="missing or damaged"):
        load_forest(tmp_path, 4)


def test_it_is_the_forest_of_features_beside_the_first_embedding(runs: Path, archive: Archive) -> None:
    """Everything anew with scikit-learn: features record by record, the encoder before training, one forest a class."""
    table = pd.read_parquet(runs / "seed-0" / "predictions.parquet")
    labels, _ = archive.labels("superclass")
    fold = archive.index["fold"].to_numpy(int)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = Conv1DEncoder(widths=(8, 16)).eval()
    encoder = load_encoder(runs / "seed-0" / "forest" / "encoder")
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in drawn.state_dict().items())
    with torch.no_grad():
        z = np.concatenate([drawn(torch.from_numpy(archive.read(k)[None])).numpy() for k in range(80)]).astype(float)
    f = expert_embeddings(archive, impute=False).vectors.astype(float)
    train = np.flatnonzero(fold <= 2)
    x = np.hstack([f, z])
    middle = np.array([np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in x[train].T])
    x = np.where(np.isfinite(x), x, middle.astype(np.float32)).astype(np.float32).astype(float)
    deviation = x[train].std(axis=0)
    flat = deviation <= 1e-7 * np.abs(x[train].mean(axis=0)) + 1e-30
    x = np.clip((x - x[train].mean(axis=0)) / np.where(flat, 1, deviation), -10, 10)
    rows, some = table["row"].to_numpy(), table["row"].to_numpy() < 78
    raw = table[[f"raw_{c}" for c in CLASSES]].to_numpy()
    for k in (0, 3):
        forest = RandomForestClassifier(12, max_depth=4, random_state=0).fit(x[train], labels[train, k].astype(int))
        told = forest.predict_proba(x[rows])[:, 1]
        assert macro_auroc(labels[rows[some], k : k + 1], told[some, None]) > 0.9
        network = odds_of_network(runs / "seed-0", archive, rows, k)
        wanted = [1 / (1 + math.exp(-(a + odds(b)) / 2)) for a, b in zip(network, told, strict=True)]
        np.testing.assert_allclose(raw[some, k], np.array(wanted)[some], atol=2e-3)


def odds_of_network(run: Path, archive: Archive, rows: np.ndarray, k: int) -> list[float]:
    from ssl_ecg.train.classifier import load_classifier
    from ssl_ecg.train.evaluation import predict_proba
    from ssl_ecg.train.supervised.data import open_windows

    model, card = load_classifier(run, archive)
    windows = open_windows(archive, rows, card["windows"]["seconds"], card["windows"]["stride"])
    return [odds(p) for p in predict_proba(model, windows)[:, k]]


def test_figures_of_each_and_of_both(runs: Path) -> None:
    run = runs / "seed-0"
    found, table = json.loads((run / "metrics.json").read_text()), pd.read_parquet(run / "predictions.parquet")
    parts = {"proba": found, "network": found["parts"]["network"], "forest": found["parts"]["forest"]}
    for prefix, figures in parts.items():
        for name, key in (("val", "validation"), ("test", "test")):
            part = table[table["set"] == name]
            truth, proba = (part[[f"{kind}_{c}" for c in CLASSES]].to_numpy(float) for kind in ("true", prefix))
            assert figures[key]["macro"]["auroc"] == pytest.approx(macro_auroc(truth, proba))
    head, forest = (json.loads((run / part / "card.json").read_text()) for part in ("head", "forest"))
    assert head["thresholds"] == pytest.approx(list(found["parts"]["network"]["thresholds"].values()), nan_ok=True)
    assert forest["thresholds"] == pytest.approx(list(found["thresholds"].values()), nan_ok=True)
    val = table[(table["set"] == "val") & (table["row"] < 78)]
    truth, proba = (val[[f"{kind}_{c}" for c in CLASSES]].to_numpy(float) for kind in ("true", "proba"))
    wanted = best_f1_thresholds(truth, proba)
    np.testing.assert_allclose([math.inf if t is None else t for t in forest["thresholds"]], wanted)
    assert set(forest["reduced_leads"]) == set(found["reduced_leads"]) == {"I,II"}
    assert "parts" in found["reduced_leads"]["I,II"]


def test_predictions_are_those_of_the_run(runs: Path, archive: Archive, tmp_path: Path) -> None:
    run = runs / "seed-0"
    columns = [f"proba_{c}" for c in CLASSES]
    for leads, name in ((None, "predictions.parquet"), ("I,II", "predictions-I-II.parquet")):
        table, stored = predict(archive, run, leads=leads, progress=False), pd.read_parquet(run / name)
        np.testing.assert_allclose(table[columns].to_numpy()[stored["row"]], stored[columns].to_numpy(), atol=1e-6)
    table = predict(archive, run, tmp_path / "a.csv", progress=False)
    assert table["note"].notna().to_numpy().nonzero()[0].tolist() == [78, 79]
    assert table["reason"].isna().all()
    network = Path(shutil.copytree(run, tmp_path / "network"))
    shutil.rmtree(network / "forest")
    alone = predict(archive, network, progress=False)
    assert "note" not in alone
    np.testing.assert_allclose(alone[columns].iloc[78:], table[columns].iloc[78:], atol=1e-9)
    assert not np.allclose(alone[columns].iloc[:78], table[columns].iloc[:78], atol=1e-3)
    decisions = [f"decision_{c}" for c in CLASSES]
    pd.testing.assert_frame_equal(alone[decisions].iloc[78:], table[decisions].iloc[78:])
    card = json.loads((run / "forest" / "card.json").read_text())
    thresholds = [math.inf if t is None else t for t in card["thresholds"]]
    wanted = table[columns].to_numpy()[:78] >= thresholds
    np.testing.assert_array_equal(table[decisions].to_numpy(bool)[:78], wanted)


def test_a_forest_of_few_leads(archive: Archive, tmp_path: Path) -> None:
    """It sees the features of these leads only, when it is fitted and when it is asked."""
    forest = {"n_trees": 12, "embedding": "none"}
    recipe = {**RECIPE, "data": {**RECIPE["data"], "leads": ["I", "II"]}, "forest": forest}
    run = finetune(recipe, archive, tmp_path / "a", **FOLDS, test_leads=["II"], progress=False)
    labels, _ = archive.labels("superclass")
    train = np.flatnonzero(archive.index["fold"].to_numpy(int) <= 2)
    shown = np.isin(archive.leads, ["I", "II"])[:, None]
    names = expert_features(archive.read(0), 100.0, archive.leads)[0]
    f = np.full((80, len(names)), np.nan)
    for k in range(78):
        f[k] = expert_features(np.where(shown, archive.read(k), np.float32(0)), 100.0, archive.leads)[1]
    assert not any(np.isfinite(f[:, k]).any() for k, name in enumerate(names) if name.startswith(("V", "aV", "III/")))
    with pytest.warns(UserWarning, match="no positive"):
        fitted = ForestBaseline(12, 10, 0).fit(f[train], labels[train])
    stored = pd.read_parquet(run / "predictions.parquet")
    columns = [f"proba_{c}" for c in CLASSES]
    told = load_forest(run / "forest", len(CLASSES)).predict_proba(f[stored["row"]])
    np.testing.assert_allclose(told, fitted.predict_proba(f[stored["row"]]), atol=1e-6)
    order = np.argsort(told[:, 0], kind="stable")
    assert (np.diff(stored["forest_NORM"].to_numpy()[order][stored["row"].to_numpy()[order] < 78]) >= 0).all()
    for leads, name in ((None, "predictions.parquet"), ("II", "predictions-II.parquet")):
        table, said = predict(archive, run, leads=leads, progress=False), pd.read_parquet(run / name)
        np.testing.assert_allclose(table[columns].to_numpy()[said["row"]], said[columns].to_numpy(), atol=1e-6)
    with pytest.raises(SignalError, match="V1 not among I, II"):
        predict(archive, run, leads="V1", progress=False)
    with pytest.raises(SignalError, match="V1 not among I, II"):
        finetune(recipe, archive, tmp_path / "b", **FOLDS, test_leads=["V1"], progress=False)


def test_classifiers_of_other_leads_do_not_answer_together(runs: Path, archive: Archive, tmp_path: Path) -> None:
    recipe = {**RECIPE, "data": {**RECIPE["data"], "leads": ["II"]}, "forest": False}
    run = finetune(recipe, archive, tmp_path / "a", **FOLDS, progress=False)
    with pytest.raises(CheckpointError, match="was trained with II"):
        predict(archive, [runs / "seed-0", run], progress=False)


def test_one_recording_and_a_folder(runs: Path, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for row in (3, 78):
        np.save(tmp_path / "in" / f"a{row}.npy", archive.read(row))
    signal = archive.read(5).copy()
    signal[6:] = 0  # six leads are absent
    np.save(tmp_path / "in" / "b.npy", signal)
    options = {"fs": 100.0, "leads": ",".join(STANDARD_LEADS)}
    columns = [f"proba_{c}" for c in CLASSES]
    prepared = predict(archive, runs, progress=False)
    table = predict(tmp_path / "in", runs, options=options, workers=1, progress=False)
    np.testing.assert_allclose(table[columns].iloc[:2], prepared[columns].iloc[[3, 78]], atol=1e-3)
    assert table["note"].isna().tolist() == [True, False, True]
    one = predict(tmp_path / "in" / "b.npy", runs, options=options, progress=False)
    np.testing.assert_allclose(one[columns], table[columns].iloc[[2]], atol=1e-6)
    values = expert_features(signal, 100.0, STANDARD_LEADS)[1]
    assert 0.3 < np.isfinite(values).mean() < 0.7


def test_features_are_computed_once(runs: Path, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs / "seed-0"
    before = json.loads((run / "metrics.json").read_text())
    files = sorted(run.glob("features-*.npy"))
    assert len(files) == 2

    def never(*arguments: object, **options: object) -> None:
        raise AssertionError

    monkeypatch.setattr("ssl_ecg.features.kept.expert_parts", never)
    recipe = {**RECIPE, "train": {**RECIPE["train"], "seed": 0}}
    finetune(recipe, archive, run, **FOLDS, test_leads=["I,II"], progress=False)
    after = json.loads((run / "metrics.json").read_text())
    assert {**before, "training": 0} == {**after, "training": 0}
    files[0].write_bytes(b"damaged")
    with pytest.raises(AssertionError):
        finetune(recipe, archive, run, **FOLDS, test_leads=["I,II"], progress=False)


def test_ensembles_have_thresholds_of_their_own(runs: Path, archive: Archive) -> None:
    table = predict(archive, runs, progress=False)
    each = [predict(archive, runs / f"seed-{seed}", progress=False) for seed in (0, 1)]
    columns = [f"proba_{c}" for c in CLASSES]
    np.testing.assert_allclose(table[columns], (each[0][columns] + each[1][columns]) / 2, atol=1e-9)
    stored = pd.read_parquet(runs / "predictions.parquet")
    val = stored[stored["set"] == "val"]
    truth = val[[f"true_{c}" for c in CLASSES]].to_numpy(float)
    for prefix, rows in (("proba", slice(0, 78)), ("network", slice(78, 80))):
        thresholds = best_f1_thresholds(truth, val[[f"{prefix}_{c}" for c in CLASSES]].to_numpy(float))
        decisions = table[[f"decision_{c}" for c in CLASSES]].to_numpy(bool)[rows]
        np.testing.assert_array_equal(decisions, table[columns].to_numpy()[rows] >= thresholds)


@pytest.mark.parametrize("embedding", ["end", "none"])
def test_other_embeddings(archive: Archive, tmp_path: Path, embedding: str) -> None:
    recipe = {**RECIPE, "forest": {"n_trees": 3, "max_depth": 2, "embedding": embedding}}
    run = finetune(recipe, archive, tmp_path / "a", **FOLDS, progress=False)
    columns, stored = [f"proba_{c}" for c in CLASSES], pd.read_parquet(run / "predictions.parquet")
    table = predict(archive, run, progress=False)
    np.testing.assert_allclose(table[columns].to_numpy()[stored["row"]], stored[columns].to_numpy(), atol=1e-6)
    assert not (run / "forest" / "encoder").exists()


def test_what_cannot_be_is_named(runs: Path, archive: Archive, tmp_path: Path) -> None:
    for change, match in (({"n_trees": 0}, "give 1 or more"), ({"trees": 3}, "n_trees"), (3, "not a mapping")):
        with pytest.raises(RecipeError, match=match):
            finetune({**RECIPE, "forest": change}, archive, tmp_path / "x", **FOLDS, progress=False)
    other = Path(shutil.copytree(runs / "seed-0", tmp_path / "o"))
    card = json.loads((other / "forest" / "card.json").read_text())
    for change, match in (
        ({"features": card["features"][:-1]}, "this version does not compute"),
        ({"classes": CLASSES[::-1]}, "not the forest of this run"),
        ({"embedding": "some"}, "damaged"),
    ):
        (other / "forest" / "card.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(CheckpointError, match=match):
            predict(archive, other, progress=False)


def test_command(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ssl_ecg.cli import run as command

    line = ["finetune", "finetune/scratch", "--data", archive.path, "--out", tmp_path / "a", "--forest", "--quiet"]
    line += ["--train-folds", "1-2", "--val-folds", "3", "--set", "train.steps=1", "--set", "forest.n_trees=3"]
    line += ["--set", "encoder.widths=[4,8]", "--set", "data.test_seconds=2.5"]
    assert command([str(word) for word in line]) == 0
    assert "parts" in json.loads((tmp_path / "a" / "metrics.json").read_text())
    line = ["predict", archive.path, "--checkpoint", tmp_path / "a", "--out", tmp_path / "a.csv", "--quiet"]
    assert command([str(word) for word in line]) == 0
    assert "2 answered by the network alone" in capsys.readouterr().out
