"""Expert features and their classifiers from the command line, against scikit-learn by hand."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from ssl_ecg import Archive, prepare
from ssl_ecg.cli import run as command
from ssl_ecg.data.simulate import simulate
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.metrics import best_f1_thresholds
from ssl_ecg.features import kept
from ssl_ecg.features.expert import expert_features, feature_names
from ssl_ecg.probing.folder import run_probe

LEADS = ("I", "II", "V2")


def folds(n: int) -> pd.DataFrame:
    fold = np.arange(n) % 4 + 1
    return pd.DataFrame({"record_id": [f"r{k}" for k in range(n)], "patient_id": [f"p{k}" for k in range(n)]}).assign(
        fold=fold, corpus="c", codes=[("NORM",) if k % 3 else ("IMI",) for k in range(n)]
    )


def test_forest_beside_the_probes_is_scikit_learn_on_filled_features() -> None:
    rng, index = np.random.default_rng(0), folds(160)
    sick = np.array([codes[0] == "IMI" for codes in index["codes"]])
    x = rng.normal(size=(160, 6)) + sick[:, None] * [1.5, 0, 0, 0, 0, 0]
    x[rng.random(x.shape) < 0.1] = np.nan
    metrics = run_probe(Embeddings(x, index), "superclass", also=["forest", "logistic"], n_resamples=20)
    fold = index["fold"].to_numpy()
    train, val, test = fold <= 2, fold == 3, fold == 4
    filled = x.astype(np.float32)
    for k in range(6):
        middle = np.median(filled[train & ~np.isnan(x[:, k]), k])
        filled[np.isnan(x[:, k]), k] = middle
    forest = RandomForestClassifier(300, max_depth=10, random_state=0).fit(filled[train], sick[train])
    proba = forest.predict_proba(filled)[:, 1]
    found = metrics["forest"]["per_class"]["MI"]
    assert found["auroc"]["value"] == pytest.approx(roc_auc_score(sick[test], proba[test]), abs=0.02)
    threshold = best_f1_thresholds(sick[val, None].astype(float), proba[val, None])[0]
    assert found["threshold"] == pytest.approx(threshold, abs=0.1)
    macro = {name: metrics[name]["macro"]["auroc"]["value"] for name in ("linear", "logistic", "forest")}
    assert macro["logistic"] == pytest.approx(macro["linear"], abs=0.01)
    assert metrics["linear"].keys() - metrics["forest"].keys() == {"C"}


def test_what_cannot_be_is_named() -> None:
    index = folds(160).assign(age=50.0)
    x = np.random.default_rng(0).normal(size=(160, 4))
    with pytest.raises(LabelError, match="no classifier oak"):
        run_probe(Embeddings(x, index), "superclass", also=["oak"])
    with pytest.raises(LabelError, match="continuous"):
        run_probe(Embeddings(x, index), "age", also=["forest"])


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        dataclasses.replace(record, patient_id=f"p{k}") for k, record in enumerate(simulate(60, seed=2, seconds=5))
    ]
    archive = prepare(records, tmp_path / "archive", leads=LEADS, workers=1, progress=False)
    line = ["embed", archive.path, "--expert", "--out", tmp_path / "expert", "--quiet"]
    assert command([str(word) for word in line]) == 0
    assert capsys.readouterr().out.endswith(f"{len(feature_names(LEADS))} expert features of 60 records\n")
    found = load_embeddings(tmp_path / "expert")
    np.testing.assert_array_equal(found.vectors[7], expert_features(archive.read(7), archive.fs, archive.leads)[1])
    line = ["probe", tmp_path / "expert", "--task", "superclass", "--out", tmp_path / "probe"]
    assert command([str(word) for word in [*line, "--no-knn", "--also", "logistic"]]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [row.split(":")[0].strip() for row in out[:2]] == ["linear probe", "logistic probe"]
    metrics = json.loads((tmp_path / "probe" / "metrics.json").read_text())
    assert metrics["logistic"]["macro"]["auroc"]["value"] > 0.6
    table = pd.read_parquet(tmp_path / "probe" / "predictions.parquet")
    assert "logistic_NORM" in table


def test_expert_features_go_on_where_they_were_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare(simulate(6, seed=0, seconds=10, fs=100), tmp_path / "a", workers=1, progress=False)
    line = ["embed", str(tmp_path / "a"), "--expert", "--quiet", "--out"]
    assert command([*line, str(tmp_path / "whole")]) == 0
    parts, started = kept.expert_parts, []

    def stopping(*args: object, start: int = 0, **options: object) -> Iterator[np.ndarray]:
        started.append(start)
        for number, rows in enumerate(parts(*args, start=start, **options)):
            yield rows[:2]
            if len(started) == 1 and number == 0:
                raise KeyboardInterrupt
            yield rows[2:]

    monkeypatch.setattr(kept, "expert_parts", stopping)
    assert command([*line, str(tmp_path / "b")]) == 130
    assert command([*line, str(tmp_path / "b")]) == 0
    assert command([*line, str(tmp_path / "b")]) == 0  # is there already
    assert started == [0, 2]
    whole, resumed = load_embeddings(tmp_path / "whole"), load_embeddings(tmp_path / "b")
    np.testing.assert_array_equal(resumed.vectors, whole.vectors)
    assert resumed.card["features"] == list(feature_names(Archive(tmp_path / "a").leads))
    assert not list((tmp_path / "b").glob("features*"))
