"""Stored predictions of fine-tuned runs: figures against scikit-learn and loops, ensembles, rotations, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk

import ssl_ecg
from ssl_ecg import prepare
from ssl_ecg.app import evaluation_report
from ssl_ecg.cli import run as run_cli
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.identity import weights_fingerprint
from ssl_ecg.errors import ArchiveError, CheckpointError, LabelError, RecipeError
from ssl_ecg.evaluation.run import evaluate
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.checkpoint import load_encoder, save_encoder
from ssl_ecg.train.classifier import save_head
from ssl_ecg.train.heads import Head

CLASSES = ("NORM", "MI", "STTC", "CD", "HYP")
N = 240


def truth_of(names: np.ndarray) -> np.ndarray:
    """Labels that follow from a record's number; 1 of 40 is unknown."""
    labels = np.random.default_rng(0).random((4 * N, 5)) < 0.3
    found = labels[names].astype(float)
    found[names % 40 == 7, 0] = np.nan
    return found


def make_run(
    folder: Path,
    seed: int,
    test: range = range(N),
    *,
    strength: float = 1.0,
    facts: dict | None = None,
    card: dict | None = None,
    drop: tuple[str, ...] = (),
) -> Path:
    """Leave what a fine-tuning leaves, of made-up answers; test records are named by number, two of a patient."""
    rng = np.random.default_rng(seed)
    tables = []
    for name, rows in (("val", np.arange(3 * N, 3 * N + 60)), ("test", rng.permutation(np.array(test, int)))):
        y = truth_of(rows)
        proba = 1 / (1 + np.exp(-strength * (2 * np.nan_to_num(y) - 1) - rng.normal(size=y.shape)))
        index = {"record_id": [f"r{k}" for k in rows], "corpus": "ptbxl", "patient_id": [f"p{k // 2}" for k in rows]}
        blocks = {f"{kind}_{c}": b[:, k] for kind, b in (("true", y), ("proba", proba)) for k, c in enumerate(CLASSES)}
        tables.append(
            pd.DataFrame({**index, "fold": 1 + rows % 3 + 3 * (rows // N), "row": rows, "set": name, **blocks})
        )
    table = pd.concat(tables, ignore_index=True).sort_values("row", ignore_index=True)
    folder.mkdir(parents=True)
    table.drop(columns=list(drop)).to_parquet(folder / "predictions.parquet")
    thresholds = dict(zip(CLASSES, [0.5, 0.4, 0.6, 0.5, None], strict=True))
    about = {"archive": "a", "task": "superclass", "classes": CLASSES, "thresholds": thresholds, "labels": None}
    counts = {"records": {"train": 100, "val": 60, "test": len(test)}}
    (folder / "metrics.json").write_text(json.dumps({**about, **counts, **(facts or {})}))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = build_encoder("conv1d", widths=[4, 4])
    encoder.preprocessing = Preprocessing(100.0, STANDARD_LEADS, None, "none", 3.0)
    finetuned = {"finetuned_on": {"task": "superclass", "rows": {}}, **(card or {})}
    save_encoder(encoder, folder / "encoder", architecture={"name": "conv1d", "widths": [4, 4]}, card=finetuned)
    head = {"classes": CLASSES, "task": "superclass", "thresholds": [0.5] * 5, "windows": {}}
    save_head(Head(4, 5), folder / "head", arguments={}, card=head)
    return folder


def stored(run: Path, part: str = "test") -> tuple[np.ndarray, np.ndarray]:
    """Truth and probabilities in the order of the records' names."""
    table = pd.read_parquet(run / "predictions.parquet")
    table = table[table["set"] == part].sort_values("row")
    return tuple(table[[f"{kind}_{c}" for c in CLASSES]].to_numpy() for kind in ("true", "proba"))


def by_class(metric, truth: np.ndarray, said: np.ndarray) -> float:
    known = [np.isfinite(column) for column in truth.T]
    return float(np.mean([metric(truth[rows, k], said[rows, k]) for k, rows in enumerate(known)]))


def judged(*arguments, **options):
    return evaluate("predictions", *arguments, n_resamples=30, progress=False, **options).content


def test_figures_of_a_run_are_those_of_scikit_learn(tmp_path: Path) -> None:
    run, other = make_run(tmp_path / "a", 1), make_run(tmp_path / "b", 2, strength=0.5)
    content = ssl_ecg.evaluate("predictions", run, baseline=other, n_resamples=30).content
    assert list(content["results"]) == ["run", "baseline"]
    found = content["results"]["run"]["finetuned"]
    truth, proba = stored(run)
    called = (proba >= [0.5, 0.4, 0.6, 0.5, np.inf]).astype(float)
    macro = {name: value["value"] for name, value in found["macro"].items()}
    assert macro["auroc"] == pytest.approx(by_class(sk.roc_auc_score, truth, proba), abs=1e-6)
    assert macro["average_precision"] == pytest.approx(by_class(sk.average_precision_score, truth, proba), abs=1e-6)
    assert macro["f1"] == pytest.approx(by_class(sk.f1_score, truth, called))
    wrong = (called != truth) & np.isfinite(truth)
    assert macro["hamming_loss"] == pytest.approx(wrong.sum() / np.isfinite(truth).sum())
    assert macro["subset_accuracy"] == pytest.approx(1 - wrong.any(axis=1).mean())
    assert found["macro"]["precision"]["n_classes"] == 4  # nothing is called HYP
    for k, table in enumerate(found["confusion"]):
        known = np.isfinite(truth[:, k])
        assert table == sk.confusion_matrix(truth[known, k], called[known, k], labels=[0, 1]).tolist()
    assert found["chosen"]["1-3"] == [{"thresholds": dict(zip(CLASSES, [0.5, 0.4, 0.6, 0.5, None], strict=True))}]
    pair = content["differences"]["run - baseline"]["finetuned"]
    assert pair["value"] == pytest.approx(macro["auroc"] - by_class(sk.roc_auc_score, *stored(other)), abs=1e-6)
    assert 0 < pair["low"] < pair["value"] < pair["high"]
    assert pair["p_value"] == pytest.approx(2 / 31)
    assert found["macro"]["auroc"]["n_patients"] == N // 2
    weights = content["models"]["run"]["runs"][0]["weights"]
    assert weights == weights_fingerprint(load_encoder(run)) != weights_fingerprint(load_encoder(other))
    assert {r["task"] for r in content["references"]} == {"superclass"}


def test_f2_is_that_of_the_benchmark(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 3)
    truth, proba = stored(run)
    called = proba >= [0.5, 0.4, 0.6, 0.5, np.inf]
    values = []
    for k in range(5):
        tp = fp = fn = 0.0
        for y, said in zip(truth, called, strict=True):
            weight = 1 / max(np.nansum(y), 1)
            tp += weight * (y[k] == 1 and said[k])
            fp += weight * (y[k] == 0 and said[k])
            fn += weight * (y[k] == 1 and not said[k])
        values.append((5 * tp / (5 * tp + fp + 4 * fn), tp / (tp + fp + 2 * fn)))
    macro = judged(run)["results"]["run"]["finetuned"]["macro"]
    assert (macro["f2"]["value"], macro["g2"]["value"]) == pytest.approx(tuple(np.mean(values, axis=0)))


def test_seeds_answer_together_and_rotations_are_splits(tmp_path: Path) -> None:
    for part in range(2):
        for seed in range(2):
            make_run(tmp_path / f"part-{part}" / f"seed-{seed}", 10 * part + seed, range(part * N, part * N + N))
    content = judged([tmp_path / "part-0", tmp_path / "part-1"])
    assert list(content["splits"]) == ["1-3", "4-6"]
    results = content["results"]["run"]
    assert [results[way]["draws"] for way in ("ensemble", "finetuned")] == [1, 2]
    alone, together, thresholds = [], [], []
    for part in range(2):
        runs = [tmp_path / f"part-{part}" / f"seed-{seed}" for seed in range(2)]
        truth, mean = stored(runs[0])[0], np.mean([stored(run)[1] for run in runs], axis=0)
        alone.append(np.mean([by_class(sk.roc_auc_score, truth, stored(run)[1]) for run in runs]))
        together.append(by_class(sk.roc_auc_score, truth, mean))
        val, said = stored(runs[0], "val")[0], np.mean([stored(run, "val")[1] for run in runs], axis=0)
        best = [
            max(sk.f1_score(y[np.isfinite(y)], (p >= cut)[np.isfinite(y)]) for cut in p)
            for y, p in zip(val.T, said.T, strict=True)
        ]
        chosen = list(results["ensemble"]["chosen"].values())[part][0]["thresholds"]
        thresholds.append((best, [
            sk.f1_score(y[np.isfinite(y)], (p >= chosen[c])[np.isfinite(y)])
            for y, p, c in zip(val.T, said.T, CLASSES, strict=True)
        ]))  # fmt: skip
    assert results["finetuned"]["macro"]["auroc"]["value"] == pytest.approx(np.mean(alone), abs=1e-6)
    assert results["ensemble"]["macro"]["auroc"]["value"] == pytest.approx(np.mean(together), abs=1e-6)
    for best, reached in thresholds:
        assert reached == pytest.approx(best)  # the thresholds of the mean are the best on validation


def test_decisions_that_a_run_has_stored_are_its_own(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 4)
    table = pd.read_parquet(run / "predictions.parquet")
    largest = table[[f"proba_{c}" for c in CLASSES]].to_numpy().argmax(axis=1)
    decided = {f"decision_{c}": largest == k for k, c in enumerate(CLASSES)}
    table.assign(**decided).to_parquet(run / "predictions.parquet")
    found = judged(run)["results"]["run"]["finetuned"]
    truth, proba = stored(run)
    called = proba.argmax(axis=1)[:, None] == np.arange(5)
    assert found["macro"]["f1"]["value"] == pytest.approx(by_class(sk.f1_score, truth, called))


def test_what_its_checkpoint_had_seen_is_said_and_learnt_labels_are_refused(tmp_path: Path) -> None:
    seen = {"pretrained_on": {"corpora": {"ptbxl": {"records": 9, "folds": [2]}}}}
    assert judged(make_run(tmp_path / "a", 1, card=seen))["splits"]["1-3"]["seen_in_pretraining"] == ["ptbxl"]
    teacher = {"teacher": {**seen, "labels": {"task": "superclass"}, "checkpoint": "gone"}}
    run = make_run(tmp_path / "b", 1, card=teacher)
    with pytest.raises(LabelError, match=f"has learnt from labels of superclass.* {N // 3} of {N} in the split 1-3"):
        judged(run)
    report = evaluate("predictions", run, overrides=["protocol.seen_labels=true"], n_resamples=5)
    assert f"THE LABELS OF {N // 3} OF ITS {N} TEST RECORDS WERE OR MAY HAVE BEEN LEARNT" in "\n".join(report.lines())


def test_the_command_writes_text_page_and_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(evaluation_report, "save_figure", lambda figure, path: drawn.append(path.name))
    run, other = (str(make_run(tmp_path / name, seed)) for name, seed in (("a", 1), ("b", 2)))
    out = tmp_path / "out"
    assert run_cli(["evaluate", "predictions", run, "--baseline", other, "--out", str(out), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "run - baseline: " in shown
    assert ", p = " in shown
    assert " over 4 of 5 classes" in shown
    assert "0.740  residual network with BiLSTM (supervised)" in shown
    assert "not said without its archive" in shown
    page = (out / "report.html").read_text()
    assert "over 4 of 5 classes" in page
    assert "challenge" not in json.loads((out / "report.json").read_text())["results"]["run"]["finetuned"]["macro"]
    assert drawn == ["roc", "precision_recall", "reliability", "confusion"]


def test_patients_come_from_the_archive_where_they_are_not_stored(tmp_path: Path) -> None:
    signal = np.random.default_rng(0).normal(size=(12, 300)).astype(np.float32)
    records = [Record(signal, 100.0, STANDARD_LEADS, f"r{k}", f"p{k // 4}") for k in range(N)]
    archive = prepare(records, tmp_path / "archive", band=None, workers=1, progress=False)
    facts = {"archive": archive.fingerprint}
    run = make_run(tmp_path / "a", 1, facts=facts, drop=("patient_id",))
    with pytest.raises(CheckpointError, match=r"whose its test records are.*--data"):
        judged(run)
    table = pd.read_parquet(run / "predictions.parquet")
    table.assign(corpus=archive.index["corpus"].iloc[0]).to_parquet(run / "predictions.parquet")
    content = judged(run, archive)
    assert content["results"]["run"]["finetuned"]["macro"]["auroc"]["n_patients"] == N // 4
    assert content["archive"]["part"] is False
    with pytest.raises(ArchiveError, match="is not the archive"):
        judged(make_run(tmp_path / "b", 1), archive)


def test_what_cannot_be_judged_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", 1)

    def fails(error: type[Exception], match: str, *runs: object, **options: object) -> None:
        with pytest.raises(error, match=match):
            judged(list(runs) if len(runs) > 1 else runs[0], **options)

    fails(RecipeError, "judged of run folders", np.mean)
    fails(CheckpointError, "holds no classifier", tmp_path)
    fails(CheckpointError, "named twice", run, run)
    fails(CheckpointError, "some of the test records", run, make_run(tmp_path / "b", 1, range(N // 2)))
    fails(
        CheckpointError, "not tested with the test records", run, baseline=make_run(tmp_path / "c", 1, range(N, 2 * N))
    )
    fails(CheckpointError, "as many runs", run, make_run(tmp_path / "d", 2), tmp_path / "c")
    fails(LabelError, "has no test records", make_run(tmp_path / "e", 1, range(0)))
    fails(LabelError, "predicts numbers", make_run(tmp_path / "f", 1, facts={"kind": "continuous"}))
    fails(CheckpointError, "another task", run, make_run(tmp_path / "g", 1, range(N, 2 * N), facts={"task": "x"}))
    other = make_run(tmp_path / "h", 1)
    table = pd.read_parquet(other / "predictions.parquet")
    table.assign(true_MI=1 - table["true_MI"]).to_parquet(other / "predictions.parquet")
    fails(CheckpointError, "other labels of the same records", run, baseline=other)
    shutil.copy(run / "metrics.json", other / "predictions.parquet")
    fails(CheckpointError, "holds no whole metrics.json", other)
