"""What is no ECG like those of training: flagged in words, and never answered where there is no signal."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ssl_ecg import Archive, prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.simulate import simulate
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.prediction.predict import predict
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.checkpoint import save_encoder
from ssl_ecg.train.classifier import load_classifier, save_head
from ssl_ecg.train.evaluation import predict_with_embeddings
from ssl_ecg.train.heads import Head
from ssl_ecg.train.reference import load_reference, renew_reference
from ssl_ecg.train.supervised.data import open_windows

ENCODER = {"name": "conv1d", "widths": [8, 16]}
TRAIN, VAL, TEST = np.arange(100), np.arange(100, 140), np.arange(140, 160)
ODD = ("flat", "hum", "noise", "sine", "x10", "/10", "shuffled", "no V3")


def spoilt(kind: str, signal: np.ndarray, fs: float) -> np.ndarray:
    rng, t = np.random.default_rng(3), np.arange(signal.shape[1]) / fs
    kinds = {
        "flat": lambda: 0 * signal,
        "hum": lambda: np.tile(np.sin(2 * np.pi * 50 * t), (12, 1)),
        "noise": lambda: rng.normal(size=signal.shape),
        "sine": lambda: np.tile(np.sin(2 * np.pi * 3 * t), (12, 1)),
        "x10": lambda: 10 * signal,
        "/10": lambda: signal / 10,
        "shuffled": lambda: signal[rng.permutation(12)],
        "no V3": lambda: signal * (np.arange(12) != 8)[:, None],
    }
    return kinds[kind]().astype(np.float32)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    records = [dataclasses.replace(record, patient_id=f"p{k}") for k, record in enumerate(simulate(160, seed=5))]
    return prepare(records, tmp_path_factory.mktemp("data") / "a", workers=1, progress=False)


@pytest.fixture(scope="module")
def run(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier that has learnt nothing; what it says is not asked here."""
    out = tmp_path_factory.mktemp("runs") / "run"
    torch.manual_seed(0)
    encoder = build_encoder(ENCODER["name"], widths=ENCODER["widths"]).eval()
    encoder.preprocessing = Preprocessing(archive.fs, archive.leads, archive.band)
    save_encoder(encoder, out / "encoder", architecture=ENCODER)
    card = {"classes": ["a", "b"], "thresholds": [0.5, 0.5], "windows": {"seconds": 5.0, "stride": 5.0}}
    save_head(Head(encoder.dim, 2), out / "head", arguments={}, card=card)
    renew_reference(out, archive, TRAIN, VAL)
    return out


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    whole = simulate(160, seed=5)[150]
    records = [Record(spoilt(kind, whole.signal, whole.fs), whole.fs, whole.leads, kind) for kind in ODD]
    records.append(Record(whole.signal, whole.fs, whole.leads, "whole"))
    records.append(Record(whole.signal[:2], whole.fs, whole.leads[:2], "limbs"))
    return prepare(records, tmp_path_factory.mktemp("odd") / "a", workers=1, progress=False)


def test_odd_recordings_are_flagged_in_words(run: Path, odd: Archive, archive: Archive) -> None:
    table = predict(odd, run, progress=False).set_index("record_id")
    assert not table.loc["whole", "unlike_training"]
    assert table["why"].drop("whole").notna().all()
    assert table["unlike_training"].drop("whole").all()
    for kind in ("flat", "hum"):
        assert table.loc[kind, "reason"] == table.loc[kind, "why"] == "flat in all leads"
        assert table.loc[kind].filter(like="proba_").isna().all()
        assert pd.isna(table.loc[kind, "distance"])
    answered = table.drop(["flat", "hum"])
    assert answered["reason"].isna().all()
    assert answered.filter(like="proba_").notna().all(axis=None)
    assert (answered["signal_distance"].drop(["whole", "limbs"]) > 1).all()
    assert table.loc["limbs", "why"].startswith("without V1, V2, V3, V4, V5, V6")
    assert table.loc["no V3", "why"].split("; ")[0].endswith("times as far as usual (flat in V3)")
    assert "(correlation of " in table.loc["shuffled", "why"]
    assert table.loc["/10", "why"].startswith("signal ")
    usual = predict(archive, run, progress=False).iloc[VAL]
    assert not usual["unlike_training"].any(), "the largest of 40 is the 99th percentile of 40"
    half = predict(archive, run, quantile=0.5, progress=False).iloc[VAL]
    assert 0.45 <= (half["signal_distance"] > 1).mean() <= 0.55


def test_leads_that_are_not_asked_for_are_not_missed(run: Path, odd: Archive) -> None:
    table = predict(odd, run, leads="I,II", progress=False).set_index("record_id")
    assert pd.isna(table.loc["limbs", "why"])
    assert table.loc["no V3", "signal_distance"] == pytest.approx(table.loc["whole", "signal_distance"])
    assert table.loc["flat", "reason"] == "flat in all leads"


def test_an_ensemble_compares_by_the_mean(run: Path, odd: Archive, archive: Archive, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    renew_reference(other, archive, TRAIN[::2], VAL)
    each = [predict(odd, one, progress=False)["signal_distance"] for one in (run, other)]
    both = predict(odd, [run, other], progress=False)
    np.testing.assert_allclose(both["signal_distance"], (each[0] + each[1]) / 2)


def test_runs_of_before_answer_and_have_no_signal_distance(run: Path, odd: Archive, tmp_path: Path) -> None:
    old = Path(shutil.copytree(run, tmp_path / "old"))
    reference = load_reference(old / "head")
    dataclasses.replace(reference, signal=None).save(old / "head")
    table = predict(odd, old, progress=False).set_index("record_id")
    assert table["signal_distance"].isna().all()
    assert table.loc["flat", "reason"] == table.loc["flat", "why"] == "flat in all leads"
    rest = table.drop(["flat", "hum"])
    assert (rest["unlike_training"] == (rest["distance"] > 1)).all()
    (old / "head" / "reference.safetensors").unlink()
    table = predict(odd, old, progress=False).set_index("record_id")
    assert table["unlike_training"].isna().sum() == len(table) - 2, "known of the flat ones only"


def test_a_reference_is_renewed_as_it_was(run: Path, archive: Archive, tmp_path: Path) -> None:
    old = Path(shutil.copytree(run, tmp_path / "old"))
    before = load_reference(old / "head")
    (old / "head" / "reference.safetensors").unlink()
    again = renew_reference(old, archive, TRAIN, VAL)
    model, _ = load_classifier(old, archive)
    z = predict_with_embeddings(model, open_windows(archive, TEST, 5.0, 5.0))[1]
    np.testing.assert_array_equal(again.distance(z), before.distance(z))
    assert again.threshold() == pytest.approx(before.threshold())
    assert again.signal.leads == STANDARD_LEADS
    assert load_reference(old / "head").signal.train.shape == (100, 202)
