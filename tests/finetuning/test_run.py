"""Fine-tuning as a user has it: what it leaves, resumes, chooses on validation alone, and refuses."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

from ssl_ecg import Archive, LinearProbe, embed, load_encoder, prepare, pretrain
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CheckpointError, LabelError, RecipeError, SignalError
from ssl_ecg.evaluate.metrics import best_f1_thresholds, macro_auroc
from ssl_ecg.evaluate.sampling import nested_subsets
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.classifier import load_classifier
from ssl_ecg.train.evaluation import predict_proba
from ssl_ecg.train.monitor import read_log
from ssl_ecg.train.state import load_state

ENCODER = {"name": "conv1d", "widths": [8, 16]}
CODES = ("NORM", "IMI", "LVH", "CLBBB", "NDT")
FOLDS = {"train_folds": [1, 2], "val_folds": 3}


def recipe(head: dict | None = None, loss: str = "bce", **train: object) -> dict:
    settings = {
        "steps": 12, "batch_size": 16, "validate_every": 4, "checkpoint_every": 5, "precision": "float32", "ema": 0.9,
    }  # fmt: skip
    return {
        "encoder": ENCODER,
        "views": {"transforms": [{"name": "gain"}, {"name": "lead_mask", "p": 0.5}]},
        "head": {"dropout": 0.1, **(head or {})},
        "loss": loss,
        "data": {"seconds": 2, "scale": "record"},
        "train": {**settings, **train},
    }


class Loud(Corpus):
    """Records of 3.5 s in which each class has its own lead that is loud, in four folds; the first six unlabelled."""

    name = "loud"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def entries(self) -> Iterator[Entry]:
        for k in range(120):
            codes = (CODES[k % 5],) if k >= 6 else ("nothing",)
            age = 50.0 + k % 5 if k % 3 else None
            yield Entry(f"r{k}", str(k), f"p{k // 2}", 1 + (k // 2) % 4, age, "male", codes)

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.random.default_rng(k).normal(size=(12, 350)).astype(np.float32)
        signal[k % 5] *= 2.5
        return Record(
            signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, entry.age, entry.sex, entry.codes
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Loud()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def checkpoint(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    simclr = {
        "encoder": ENCODER, "method": {"name": "simclr", "hidden_dim": 16, "out_dim": 8}, "views": {"crop": 100},
        "data": {"seconds": 2, "scale": "record"}, "train": {"steps": 3, "batch_size": 16, "precision": "float32"},
    }  # fmt: skip
    return pretrain(simclr, archive, tmp_path_factory.mktemp("pre") / "run", progress=False)


@pytest.fixture(scope="module")
def run(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "a"
    return finetune(recipe(lr=1e-2, steps=60), archive, out, **FOLDS, test_folds=4, progress=False)


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_a_run_leaves_a_classifier_and_its_figures(run: Path, archive: Archive) -> None:
    assert {p.name for p in run.iterdir()} >= {"recipe.yaml", "run.json", "log.csv", "last.ckpt", "encoder", "head"}
    found, table = metrics(run), pd.read_parquet(run / "predictions.parquet")
    classes = ["NORM", "MI", "STTC", "CD", "HYP"]
    card = json.loads((run / "head" / "card.json").read_text())
    assert found["classes"] == card["classes"] == classes
    assert found["test"]["macro"]["auroc"] > 0.8
    labels, known = archive.labels("superclass")
    fold = archive.index["fold"].to_numpy(int)
    for name, key, number in (("val", "validation", 3), ("test", "test", 4)):
        part = table[table["set"] == name]
        np.testing.assert_array_equal(part["row"], np.flatnonzero(known & (fold == number)))
        truth, proba = (part[[f"{kind}_{c}" for c in classes]].to_numpy() for kind in ("true", "proba"))
        np.testing.assert_array_equal(truth, labels[part["row"]])
        assert found[key]["macro"]["auroc"] == pytest.approx(macro_auroc(truth, proba))
        if name == "val":
            np.testing.assert_allclose(card["thresholds"], best_f1_thresholds(truth, proba))
            assert found["training"]["best_auroc"] == pytest.approx(macro_auroc(truth, proba))
    rows = read_log(run / "log.csv")
    assert [int(row["step"]) for row in rows] == list(range(0, 61, 4))
    assert max(float(row["val_auroc"]) for row in rows) == pytest.approx(found["training"]["best_auroc"], rel=1e-5)


def test_the_cards_say_what_the_model_was_fine_tuned_on(run: Path, archive: Archive) -> None:
    fold = archive.index["fold"].to_numpy(int)[archive.labels("superclass")[1]]
    train, val = (int(np.isin(fold, chosen).sum()) for chosen in ([1, 2], [3]))
    for part in ("encoder", "head"):
        used = json.loads((run / part / "card.json").read_text())["finetuned_on"]
        assert used["corpora"] == {
            "loud": {
                "records": train + val,
                "folds": [1, 2, 3],
                "train": {"records": train, "folds": [1, 2]},
                "val": {"records": val, "folds": [3]},
            }
        }
        assert (used["records"], used["chosen_from"]) == ({"train": train, "val": val}, train)
        assert (used["archive"], used["labels"]) == (archive.fingerprint, None)
        assert len(used["targets"]) == 64
    assert metrics(run)["records"] == {"train": train, "val": val, "test": int((fold == 4).sum())}


def test_gradients_are_clipped_in_every_precision(archive: Archive, tmp_path: Path) -> None:
    def losses(precision: str, clip: float) -> list[float]:
        out = tmp_path / f"{precision}-{clip}"
        settings = recipe(lr=1e-2, steps=8, validate_every=2, precision=precision, clip=clip)
        finetune(settings, archive, out, **FOLDS, progress=False)
        return [float(row["loss"]) for row in read_log(out / "log.csv")[1:]]

    still = losses("float32", 1e-10)  # Adam's epsilon is larger than such gradients
    assert losses("bfloat16", 1e-10) == pytest.approx(still, rel=0.02)
    for precision in ("float32", "bfloat16"):
        assert np.abs(np.subtract(losses(precision, 0), still)).max() > 0.05


def test_a_classifier_can_be_loaded_and_says_the_same(run: Path, archive: Archive) -> None:
    model, card = load_classifier(run, archive)
    table = pd.read_parquet(run / "predictions.parquet")
    from ssl_ecg.train.supervised.data import open_labelled

    rows, targets = table["row"].to_numpy(), np.zeros((len(archive), 5), np.float32)
    windows = card["windows"]
    data = open_labelled(archive, targets, rows, seconds=windows["seconds"], test_stride=windows["stride"])
    proba = predict_proba(model, data.windows(rows))
    np.testing.assert_allclose(proba, table[[f"proba_{c}" for c in card["classes"]]].to_numpy(), atol=1e-6)
    assert embed(load_encoder(run), archive).dim == 16


def test_thresholds_and_weights_ignore_the_test_records(run: Path, archive: Archive, tmp_path: Path) -> None:
    again = finetune(recipe(lr=1e-2, steps=60), archive, tmp_path / "a", **FOLDS, progress=False)
    assert "test" not in metrics(again)
    assert metrics(again)["thresholds"] == metrics(run)["thresholds"]
    assert same(run, again)


def weights(run: Path) -> dict[str, torch.Tensor]:
    files = (run / "encoder" / "encoder.safetensors", run / "head" / "head.safetensors")
    return {f"{file.stem}.{name}": value for file in files for name, value in load_file(file).items()}


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_frozen_leaves_the_encoder_bit_identical(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    options = recipe(mode="frozen", lr=1e-2, blend=True, weight_decay=0.1)
    out = finetune(options, archive, tmp_path / "a", checkpoint=checkpoint, **FOLDS, progress=False)
    before = load_file(checkpoint / "encoder" / "encoder.safetensors")
    after = load_file(out / "encoder" / "encoder.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert metrics(out)["training"]["best_step"] > 0


def test_probe_start_is_the_linear_probe(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    options = recipe(head={"start": "probe", "dropout": 0.0}, mode="frozen", lr=0.0, steps=1)
    options["data"] = {"seconds": 3.5}
    out = finetune(options, archive, tmp_path / "a", checkpoint=checkpoint, **FOLDS, test_folds=4, progress=False)
    z = embed(load_encoder(checkpoint), archive).vectors
    labels, known = archive.labels("superclass")
    fold = archive.index["fold"].to_numpy(int)
    train, val, test = (np.flatnonzero(known & np.isin(fold, folds)) for folds in ([1, 2], [3], [4]))
    probe = LinearProbe().fit(z[train], labels[train], z[val], labels[val])
    table = pd.read_parquet(out / "predictions.parquet")
    proba = table[table["set"] == "test"].filter(like="proba_").to_numpy()
    np.testing.assert_allclose(proba, probe.predict_proba(z[test]), atol=1e-5)
    assert json.loads((out / "encoder" / "card.json").read_text())["preprocessing"]["scale"] == "record"


@pytest.mark.parametrize(
    ("mode", "loss", "more"),
    [
        ("linear_then_full", "weighted_bce", {"norms": "fixed", "blend": True, "linear_share": 0.5}),
        ("layerwise", "focal", {"schedule": "plateau", "plateau_patience": 0}),
        ("full", "asymmetric", {"patience": 1, "lr": 0.0, "ema": 0.0}),
    ],
)
def test_modes_and_losses(archive: Archive, checkpoint: Path, tmp_path: Path, mode, loss, more) -> None:
    options = recipe(head={"metadata": True, "hidden": 4}, loss=loss, mode=mode, **more)
    out = finetune(options, archive, tmp_path / "a", checkpoint=checkpoint, **FOLDS, progress=False)
    found, rows = metrics(out), read_log(out / "log.csv")
    assert np.isfinite([float(row["val_auroc"]) for row in rows]).all()
    steps = [int(row["step"]) for row in rows]
    assert steps == ([0, 4] if mode == "full" else [0, 4, 8, 12])
    if mode == "full":
        before = (out / "last.ckpt").stat().st_mtime_ns
        finetune(options, archive, out, checkpoint=checkpoint, **FOLDS, progress=False)
        assert (out / "last.ckpt").stat().st_mtime_ns == before
    assert found["training"]["steps"] == steps[-1]


def test_few_labels_are_the_nested_choice_of_the_probe(archive: Archive, tmp_path: Path) -> None:
    out = finetune(recipe(steps=2), archive, tmp_path / "a", **FOLDS, labels=10, draw=3, progress=False)
    labels, known = archive.labels("superclass")
    train = np.flatnonzero(known & np.isin(archive.index["fold"].to_numpy(int), [1, 2]))
    train = train[nested_subsets(labels[train], [10], seed=3000)[10]]
    rows = {"train": train, "val": np.flatnonzero(archive.index["fold"].to_numpy(int) == 3)}
    other = finetune(recipe(steps=2), archive, tmp_path / "b", rows=rows, progress=False)
    assert same(out, other)
    assert metrics(out)["records"]["train"] == 10
    assert metrics(out)["chosen_from"] == int((known & np.isin(archive.index["fold"].to_numpy(int), [1, 2])).sum())


def test_other_runs_and_records_in_the_same_folder_are_refused(run: Path, archive: Archive, checkpoint: Path) -> None:
    options = recipe(lr=1e-2, steps=60)
    with pytest.raises(CheckpointError, match="another recipe"):
        finetune(recipe(lr=1e-2, steps=61), archive, run, **FOLDS, test_folds=4, progress=False)
    with pytest.raises(CheckpointError, match="other records"):
        finetune(options, archive, run, **FOLDS, test_folds=4, labels=12, progress=False)
    before = (run / "last.ckpt").stat().st_mtime_ns
    finetune(options, archive, run, **FOLDS, test_folds=4, progress=False)
    assert (run / "last.ckpt").stat().st_mtime_ns == before


def test_a_run_of_an_older_version_has_not_noted_its_labels(run: Path, archive: Archive, tmp_path: Path) -> None:
    older = Path(shutil.copytree(run, tmp_path / "older"))
    note = json.loads((older / "run.json").read_text())
    assert len(note.pop("targets")) == 64
    (older / "run.json").write_text(json.dumps(note))
    finetune(recipe(lr=1e-2, steps=60), archive, older, **FOLDS, test_folds=4, progress=False)
    assert same(run, older)
    del note["facts"]
    (older / "run.json").write_text(json.dumps(note))
    with pytest.raises(CheckpointError, match="gone or damaged"):
        finetune(recipe(lr=1e-2, steps=60), archive, older, **FOLDS, test_folds=4, progress=False)


def test_what_cannot_be_is_named(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    def fails(error: type[Exception], match: str, options: dict | str = "", **more: object) -> None:
        with pytest.raises(error, match=match):
            finetune(options or recipe(), archive, tmp_path / "x", **{**FOLDS, **more}, progress=False)

    fails(LabelError, "has a code of this task", task="cinc26")
    fails(LabelError, "no such task", task="superclas")
    fails(LabelError, "no labelled record in the val set", val_folds=7)
    fails(LabelError, "without folds", rows={"train": [7], "val": [9]})
    fails(LabelError, "is in both", train_folds=None, val_folds=None, rows={"train": [6, 8], "val": [7]})
    fails(LabelError, "reach beyond", train_folds=None, val_folds=None, rows={"train": [6, 800], "val": [9]})
    fails(LabelError, "cannot take 99", labels=99)
    fails(RecipeError, "for pretraining", "simclr")
    fails(RecipeError, "linear", recipe(head={"start": "probe", "hidden": 3}))
    fails(RecipeError, "n_leads", {**recipe(), "encoder": {**ENCODER, "n_leads": 2}})
    fails(RecipeError, "beside a head", {**recipe(), "method": "simclr"})
    fails(RecipeError, "did you mean 'focal'", recipe(loss="focall"))
    fails(RecipeError, "did you mean 'encoder_lr'", recipe(encoder_rl=3))
    fails(CheckpointError, "no such checkpoint", checkpoint=tmp_path / "nothing")
    for override in ("encoder.pool=max", "encoder.name=s4", "data.scale=lead"):
        fails(RecipeError, "of the encoder of a checkpoint", checkpoint=checkpoint, overrides=[override])
    # as in the checkpoint's card
    repeated = ["encoder.widths=[8, 16]", "encoder.last_gamma=1", "data.scale=record", "forest=true"]
    fails(LabelError, "cannot take 99", checkpoint=checkpoint, overrides=repeated, labels=99)
    other = prepare(
        [Record(np.ones((2, 500), np.float32), 50.0, ("I", "II"), "a")], tmp_path / "b", fs=50, leads="I,II",
        band=None, progress=False,
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="50 Hz"):
        load_classifier(finetune(recipe(steps=1), archive, tmp_path / "r", **FOLDS, progress=False), other)
    with pytest.raises(CheckpointError, match="no head"):
        load_classifier(checkpoint)
    assert not (tmp_path / "x").exists()


def test_recipes_for_fine_tuning_are_shipped() -> None:
    assert load_recipe("finetune/default")["head"]["start"] == "probe"
    assert load_recipe("finetune/scratch")["train"]["norms"] == "batch"


def start(archive: Archive, out: Path, *, seconds_a_step: float = 0.0) -> subprocess.Popen[bytes]:
    """Train in a fresh process, as a user does; slowly enough to be hit in the middle if that is asked for."""
    code = (
        "import time; from ssl_ecg.finetuning.run import finetune\n"
        "from ssl_ecg.train.supervised.model import Supervised\n"
        "from tests.finetuning.test_run import FOLDS, recipe\n"
        "loss = Supervised.loss\n"
        f"def slow(self, batch):\n    time.sleep({seconds_a_step})\n    return loss(self, batch)\n"
        "Supervised.loss = slow\n"
        f"options = recipe(schedule='plateau', plateau_patience=0, lr=1e-2)\n"
        f"finetune(options, {str(archive.path)!r}, {str(out)!r}, **FOLDS, progress=False)\n"
    )
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGINT])
def test_resume_is_exact(archive: Archive, tmp_path: Path, way: signal.Signals) -> None:
    whole, out = tmp_path / "whole", tmp_path / "stopped"
    assert start(archive, whole).wait(timeout=240) == 0
    process = start(archive, out, seconds_a_step=0.5)
    deadline = time.monotonic() + 240
    while not any(int(row["step"]) >= 8 for row in read_log(out / "log.csv")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(way)
    assert process.wait(timeout=120) != 0
    step = load_state(out / "last.ckpt")["global_step"]
    assert step == 5 if way == signal.SIGKILL else 8 <= step < 12
    assert not (out / "encoder").exists()
    assert start(archive, out).wait(timeout=240) == 0
    assert same(whole, out)
    states = [load_state(path / "last.ckpt")["state_dict"] for path in (whole, out)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    logs = [read_log(path / "log.csv") for path in (whole, out)]
    for first, second in zip(*logs, strict=True):
        assert {**first, "seconds": ""} == {**second, "seconds": ""}


def test_command(archive: Archive, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ssl_ecg.cli import run as command

    line = ["finetune", "finetune/default", "--data", archive.path, "--out", tmp_path / "a", "--checkpoint", checkpoint]
    line += ["--train-folds", "1-2", "--val-folds", "3", "--test-folds", "4", "--labels", "20", "--quiet"]
    line += ["--set", "train.steps=2", "--set", "views.crop=100", "--set", "views.transforms=[]"]
    assert command([str(word) for word in line]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [row.split(":")[0].strip() for row in out[:2]] == ["validation", "test"]
    assert out[-1] == str(tmp_path / "a" / "metrics.json")
    found = metrics(tmp_path / "a")
    assert f"{found['test']['macro']['auroc']:.3f}" in out[1]
    assert found["records"]["train"] == 20
    assert found["checkpoint"] == str(checkpoint)


def test_a_run_folder_is_of_one_process_and_of_one_kind(archive: Archive, tmp_path: Path, held_elsewhere) -> None:
    out = tmp_path / "a"
    out.mkdir()
    with held_elsewhere(out / ".lock"), pytest.raises(CheckpointError, match="another process is at work"):
        finetune(recipe(), archive, out, **FOLDS, progress=False)
    assert [path.name for path in out.iterdir()] == [".lock"]  # of the process that was killed
    finetune(recipe(), archive, out / "seed-0", **FOLDS, progress=False)
    with pytest.raises(CheckpointError, match="several seeds or folds"):
        finetune(recipe(), archive, out, **FOLDS, progress=False)


def test_leads_of_the_checkpoint_are_shown_unless_others_are_named(archive: Archive, tmp_path: Path) -> None:
    options = {"encoder": ENCODER, "method": {"name": "autoencoder"}, "data": {"seconds": 3, "leads": ["V1", "II"]}}
    start = pretrain({**options, "train": {"steps": 2, "batch_size": 8}}, archive, tmp_path / "start", progress=False)
    found = {}
    for name, leads in (("same", None), ("one", ["V1"]), ("all", list(STANDARD_LEADS))):
        changed = recipe()
        changed["data"]["leads"] = leads
        out = finetune(changed, archive, tmp_path / name, checkpoint=start, **FOLDS, progress=False)
        found[name] = (load_classifier(out)[1]["windows"]["leads"], load_encoder(out).preprocessing.shown)
    assert found["same"] == (["II", "V1"], ("II", "V1"))
    assert found["one"] == (["V1"], ("V1",))
    assert found["all"] == (list(STANDARD_LEADS), None)
    with pytest.raises(SignalError, match="V6 not among II, V1"):
        finetune(recipe(), archive, tmp_path / "x", checkpoint=start, test_leads=["V6"], **FOLDS, progress=False)


def test_what_is_kept_is_the_best_on_average_over_lead_sets(archive: Archive, tmp_path: Path) -> None:
    options = recipe(lr=1e-2)
    options["data"]["val_leads"] = ["all", "v1, II", "I"]
    out = finetune(options, archive, tmp_path / "a", **FOLDS, test_leads=["II,V1", "I"], progress=False)
    figures = []
    for name in ("", "-II-V1", "-I"):
        table = pd.read_parquet(out / f"predictions{name}.parquet")
        truth, proba = (
            table[[f"{kind}_{c}" for c in ("NORM", "MI", "STTC", "CD", "HYP")]] for kind in ("true", "proba")
        )
        figures.append(np.mean([roc_auc_score(y, p) for y, p in zip(truth.T.values, proba.T.values, strict=True)]))
    assert metrics(out)["training"]["best_auroc"] == pytest.approx(np.mean(figures))
    rows = read_log(out / "log.csv")
    assert max(float(row["val_auroc"]) for row in rows) == pytest.approx(np.mean(figures), rel=1e-5)
    for wrong, leads in ((["V7"], None), (["V1"], ["I", "II"])):
        options["data"] |= {"val_leads": wrong, "leads": leads}
        with pytest.raises(SignalError, match="V"):
            finetune(options, archive, tmp_path / "x", **FOLDS, progress=False)
