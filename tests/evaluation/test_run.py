"""Measuring an encoder: the splits, the figures against plain loops, fine-tuning beside it, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

import ssl_ecg.evaluate
from ssl_ecg import Archive, KNNProbe, LinearProbe, embed, load_encoder, prepare, pretrain
from ssl_ecg.cli import run as run_cli
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.identity import weights_fingerprint
from ssl_ecg.errors import ArchiveError, CheckpointError, LabelError, RecipeError
from ssl_ecg.evaluate.folds import drawn_folds
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.references import completeness, find_references
from ssl_ecg.evaluation.run import evaluate
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.recipes import load_recipe

CODES = ("NORM", "IMI", "LVH", "CLBBB", "NDT")
PROTOCOL = {"protocol": {"task": "superclass", "draws": 2, "label_sizes": [20]}}


class Loud(Corpus):
    """Records in which each class has a lead that tends to be loud; nine folds, two records of a patient."""

    licence = "none"

    def __init__(self, name: str = "loud", n: int = 180, folds: int = 9) -> None:
        super().__init__(Path(__file__).parent)
        self.name, self.n, self.n_folds = name, n, folds

    def entries(self) -> Iterator[Entry]:
        for k in range(self.n):
            codes = (CODES[k % 5],) if k % 11 else ("nothing",)
            fold = 1 + (k // 2) % self.n_folds if self.n_folds else None
            yield Entry(f"r{k}", str(k), f"p{k // 2}", fold, 50.0, "male", codes)

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        rng = np.random.default_rng([k, self.n])
        signal = rng.normal(size=(12, 300)).astype(np.float32)
        signal[k % 5] *= 1 + rng.random()
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, codes=entry.codes)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Loud()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def checkpoint(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = {
        "encoder": {"name": "conv1d", "widths": [8, 16]},
        "views": {"crop": 100, "transforms": ["gain"]},
        "method": {"name": "simclr", "hidden_dim": 16, "out_dim": 8},
        "data": {"seconds": 3, "folds": [4, 5, 6, 7, 8, 9]},
        "train": {"steps": 3, "batch_size": 16, "precision": "float32"},
    }
    return pretrain(recipe, archive, tmp_path_factory.mktemp("run") / "run", progress=False)


def energies(strips: np.ndarray) -> np.ndarray:
    """A function as a user may have one: the log of each lead's power."""
    return np.log((strips**2).mean(axis=2))


def test_figures_are_those_of_a_plain_loop(archive: Archive) -> None:
    report = ssl_ecg.evaluate(PROTOCOL, energies, archive, n_resamples=20, progress=False)
    results = report.content["results"]
    assert list(results) == ["encoder"]
    assert report.content["differences"] == {}
    z = np.stack([np.log((archive.read(i) ** 2).mean(axis=1)) for i in range(len(archive))]).astype(np.float32)
    labels, known = archive.labels("superclass")
    fold = archive.index["fold"].to_numpy(int)
    found = {"auroc": [], "average_precision": [], "f1": []}
    for test, val in (([1, 2, 3], 9), ([4, 5, 6], 9), ([7, 8, 9], 6)):
        rows = [known & ~np.isin(fold, [*test, val]), known & (fold == val), known & np.isin(fold, test)]
        probe = LinearProbe().fit(z[rows[0]], labels[rows[0]], z[rows[1]], labels[rows[1]])
        proba, truth = probe.predict_proba(z[rows[2]]).astype(np.float32), labels[rows[2]]
        found["auroc"].append(roc_auc_score(truth, proba))
        found["average_precision"].append(average_precision_score(truth, proba))
        found["f1"].append(f1_score(truth, proba >= probe.thresholds_, average="macro"))
    for name, values in found.items():
        figure = results["encoder"]["linear/all"]["macro"][name]
        assert figure["value"] == pytest.approx(np.mean(values), abs=1e-6)
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert results["encoder"]["linear/20"]["draws"] == 2
    assert set(results["encoder"]) == {"linear/all", "linear/20", "knn/all", "knn/20"}
    assert results["encoder"]["linear/all"]["macro"]["auroc"]["value"] > 0.7


def test_a_checkpoint_is_compared_with_its_untrained_twin(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    report = evaluate(PROTOCOL, checkpoint, archive, tmp_path, n_resamples=20, progress=False)
    content = json.loads((tmp_path / "report.json").read_text())
    assert content == report.content == json.loads(report.to_json())
    results, difference = content["results"], content["differences"]["encoder - untrained"]
    assert set(results) == {"encoder", "untrained"}
    for key, found in difference.items():
        pair = [results[name][key]["macro"]["auroc"]["value"] for name in ("encoder", "untrained")]
        assert found["value"] == pytest.approx(pair[0] - pair[1])
    seen = {name: split["seen_in_pretraining"] for name, split in content["splits"].items()}
    assert seen == {"1-3": [], "4-6": ["loud"], "7-9": ["loud"]}
    text = (tmp_path / "report.txt").read_text()
    assert text == "\n".join(report.lines()) + "\n"
    assert "split 4-6" in text
    assert text.count("pretraining has seen its test records") == 2


def test_the_command_prints_the_report(archive: Archive, checkpoint: Path, tmp_path: Path, capsys) -> None:
    arguments = ["--data", str(archive.path), "--out", str(tmp_path / "a"), "--quiet"]
    assert run_cli(["evaluate", "superclass", str(checkpoint), *arguments, "--set", "protocol.probes=[linear]"]) == 0
    shown = capsys.readouterr().out
    assert "linear, all labels" in shown
    assert "0.911  ECG-JEPA (linear probe, on ptbxl)" in shown
    assert "ECG-JEPA" in (tmp_path / "a" / "report.html").read_text()
    assert (tmp_path / "a" / "figures" / "roc.png").stat().st_size > 1000
    assert run_cli(["evaluate", "superclass", "nowhere:to_be_found", *arguments]) == 2
    assert "cannot be imported" in capsys.readouterr().err
    assert run_cli(["evaluate", "simclr", str(checkpoint), *arguments]) == 2
    assert "is a recipe for pretraining" in capsys.readouterr().err


def with_card(checkpoint: Path, folder: Path, **changes: object) -> Path:
    """A copy of a checkpoint whose card says something else."""
    shutil.copytree(checkpoint / "encoder", folder / "encoder")
    card = json.loads((folder / "encoder" / "card.json").read_text())
    (folder / "encoder" / "card.json").write_text(json.dumps({**card, **changes}))
    return folder


def test_what_was_chosen_and_whose_weights_are_kept(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    arguments = ["--data", str(archive.path), "--out", str(tmp_path), "--quiet", "--baseline", str(checkpoint)]
    settings = ["draws=2", "label_sizes=[20,99,500]", "label_shares=[0.001]", "only=[1-3]"]
    chosen = [part for setting in settings for part in ("--set", f"protocol.{setting}")]
    assert run_cli(["evaluate", "superclass", str(checkpoint), *arguments, *chosen]) == 0
    content = json.loads((tmp_path / "report.json").read_text())
    assert list(content["results"]) == ["encoder", "baseline", "untrained"]
    assert content["differences"]["encoder - baseline"]["linear/all"]["p_value"] == 1
    fold = archive.index["fold"].to_numpy(int)
    labels, known = archive.labels("superclass")
    train, val = known & (fold > 3) & (fold < 9), known & (fold == 9)
    z = embed(load_encoder(checkpoint), archive).vectors
    for kind, probe, name in (("linear", LinearProbe(), "C"), ("knn", KNNProbe(), "k")):
        probe.fit(z[train], labels[train], z[val], labels[val])
        (kept,) = content["results"]["encoder"][f"{kind}/all"]["chosen"]["1-3"]
        assert kept[name] == getattr(probe, f"{name}_")
        assert list(kept["thresholds"].values()) == pytest.approx(probe.thresholds_)
        assert len(content["results"]["encoder"][f"{kind}/20"]["chosen"]["1-3"]) == 2
    assert content["encoder"]["weights"] == weights_fingerprint(load_encoder(checkpoint))
    assert content["models"]["untrained"]["weights"] != content["encoder"]["weights"]
    n = int(train.sum())
    assert content["left_out"] == {
        "0.1%": f"0 of {n} training records", "99": f"no fewer than all {n} training records",
        "500": f"no fewer than all {n} training records",
    }  # fmt: skip
    text = (tmp_path / "report.txt").read_text()
    assert f"left out: 500 labels (no fewer than all {n} training records)" in text
    assert "encoder - baseline: +0.000 [+0.000, +0.000], p = 1.000" in text


def test_encoders_that_learnt_labels_of_test_records_are_refused(
    archive: Archive, checkpoint: Path, tmp_path: Path
) -> None:
    def judged(encoder: object, **options: object):
        protocol = {"protocol": {"probes": ["linear"], **options.pop("protocol", {})}}
        return evaluate(protocol, encoder, archive, n_resamples=5, progress=False, **options)

    supervised = with_card(checkpoint, tmp_path / "a", labels={"task": "superclass", "records": 9})
    match = r"learnt from labels of superclass.*splits? 4-6.*split 7-9; judge it with protocol.only=\[1-3\]"
    for options in ({"encoder": supervised}, {"encoder": energies, "baseline": supervised}):
        with pytest.raises(LabelError, match=match):
            judged(**options)
    clean = judged(supervised, protocol={"only": ["1-3"]})
    assert list(clean.content["splits"]) == ["1-3"]
    known = judged(supervised, protocol={"seen_labels": True})
    text = "\n".join(known.lines())
    assert "TEST RECORDS WERE OR MAY HAVE BEEN LEARNT BEFORE BY encoder" in text
    assert "without labels" not in text


def test_a_fine_tuned_run_is_judged_on_what_it_tested(archive: Archive, checkpoint: Path, tmp_path: Path) -> None:
    recipe = {**load_recipe("finetune/scratch"), "encoder": {"name": "conv1d", "widths": [8, 16]}}
    run = with_card(
        checkpoint, tmp_path / "run", recipe=recipe, finetuned_on={"task": "superclass"}, pretrained_on=None
    )
    index = archive.index
    table = pd.DataFrame({"record_id": index["record_id"], "corpus": index["corpus"], "set": "val"})
    table.loc[index["fold"].isin([1, 2, 3]), "set"] = "test"
    table.to_parquet(run / "predictions.parquet")
    protocol = {"protocol": {"probes": ["linear"]}}
    with pytest.raises(LabelError, match=r"learnt.*protocol.only=\[1-3\]"):
        evaluate(protocol, run, archive, progress=False)
    report = evaluate(protocol, run, archive, overrides=["protocol.only=[1-3]"], n_resamples=5, progress=False)
    assert set(report.content["results"]) == {"encoder", "untrained"}
    assert "encoder has learnt from labels of superclass before" in "\n".join(report.lines())


def test_figures_of_others_stand_beside_their_own_task_only(archive: Archive, tmp_path: Path) -> None:
    own = tmp_path / "superclass.csv"
    rows = [f"r{k},{int(k % 5 == 0)},{int(k % 5 == 1)}" for k in range(180)]
    own.write_text("\n".join(["record_id,NORM,MI", *rows]))
    settings = ["protocol.probes=[linear]", f"protocol.task={own}"]
    report = evaluate("superclass", energies, archive, overrides=settings, n_resamples=5, progress=False)
    assert report.content["references"] == []
    assert "published" not in "\n".join(report.lines())


def test_records_without_a_fold_and_drawn_folds_are_said(tmp_path: Path) -> None:
    mixed = prepare([Loud(), Loud("other", 60, 0)], tmp_path / "a", band=None, workers=1, progress=False)
    protocol = {"protocol": {"probes": ["linear"]}}
    report = evaluate(protocol, energies, mixed, n_resamples=5, progress=False)
    n = sum(k % 11 > 0 for k in range(60))
    assert "\n".join(report.lines()).count(f"; {n} labelled records without a fold in use are left out") == 3
    none = prepare([Loud(folds=0)], tmp_path / "b", band=None, workers=1, progress=False)
    text = "\n".join(evaluate(protocol, energies, none, n_resamples=5, progress=False).lines())
    assert "no folds are published: 9 were drawn by patient with seed 0" in text
    order = json.loads((none.path / "prepare.json").read_text())
    order["sources"][0]["folds"] = 9
    (none.path / "prepare.json").write_text(json.dumps(order))
    assert drawn_folds(none) == {"loud": 9}


@pytest.mark.slow
def test_fine_tuning_stands_beside_training_from_scratch(
    archive: Archive, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = {"protocol": {"probes": ["linear"], "finetune": "finetune/default", "finetune_draws": 1}}
    from ssl_ecg.evaluation import ways as evaluation_ways

    original, runs = evaluation_ways.finetune, []

    def short(recipe, *arguments, overrides, **options):
        runs.append(options["checkpoint"])
        steps = ["train.steps=4", "train.validate_every=2", "data.seconds=2", "data.test_seconds=3"]
        return original(recipe, *arguments, overrides=[*overrides, *steps], **options)

    monkeypatch.setattr(evaluation_ways, "finetune", short)
    report = evaluate(protocol, checkpoint, archive, tmp_path, n_resamples=20, progress=False)
    results = report.content["results"]
    assert runs == [checkpoint, None] * 3
    assert set(results["encoder"]) == {"linear/all", "finetuned/all"}
    assert set(results["scratch"]) == {"finetuned/all"}
    assert "finetuned/all" in report.content["differences"]["encoder - scratch"]
    card = json.loads((tmp_path / "finetuned" / "scratch-1-3-all-0" / "encoder" / "card.json").read_text())
    assert card["architecture"]["widths"] == [8, 16]
    again = evaluate(protocol, checkpoint, archive, tmp_path, n_resamples=20, progress=False)
    assert again.content["results"] == results


@pytest.mark.parametrize("folds", [0, 10, 4])
def test_splits_follow_from_the_folds(folds: int, tmp_path: Path) -> None:
    archive = prepare([Loud(folds=folds)], tmp_path / "a", band=None, workers=1, progress=False)
    labels, known = archive.labels("superclass")
    splits = Protocol().splits(archive.index, labels, known)
    fold, patients = archive.index["fold"], archive.index["patient_id"].to_numpy()
    if folds == 10:
        assert list(splits) == ["folds"]
        assert list(Protocol().splits(archive.index.assign(corpus="ptbxl"), labels, known)) == ["official"]
        assert set(fold.iloc[splits["folds"].test]) == {10}
        assert set(fold.iloc[splits["folds"].val]) == {9}
        return
    assert list(splits) == (["1-2", "3-3", "4-4"] if folds else ["1-3", "4-6", "7-9"])
    tested = np.concatenate([split.test for split in splits.values()])
    assert sorted(tested) == np.flatnonzero(known).tolist()
    for split in splits.values():
        sets = [set(patients[rows]) for rows in split.sets().values()]
        assert sum(len(names) for names in sets) == len(set.union(*sets))


def test_transfer_trains_on_one_corpus_and_tests_on_another(tmp_path: Path) -> None:
    archive = prepare([Loud(), Loud("other", 60, 0)], tmp_path / "a", band=None, workers=1, progress=False)
    protocol = {"protocol": {"train_corpora": ["loud"], "test_corpora": ["other"]}}
    report = evaluate(protocol, energies, archive, n_resamples=5, progress=False)
    split = report.content["splits"]["transfer"]
    assert split["records"]["test"] == sum(k % 11 > 0 for k in range(60))
    assert report.content["results"]["encoder"]["linear/all"]["macro"]["auroc"]["value"] > 0.7
    with pytest.raises(LabelError, match="the archive holds loud, other"):
        evaluate(
            {"protocol": {"train_corpora": ["loud"], "test_corpora": ["ptbxl"]}}, energies, archive, progress=False
        )
    with pytest.raises(LabelError, match=r"all patients of \['loud'\] are in \['loud'\] too"):
        evaluate({"protocol": {"train_corpora": ["loud"], "test_corpora": ["loud"]}}, energies, archive, progress=False)


def test_changes_are_judged_by_the_probe_of_clean_records(archive: Archive) -> None:
    changes = [{"name": "gain", "factor": 1.0}, {"name": "gain", "factor": 5.0}, {"name": "lost_leads", "n": 11}]
    protocol = {"protocol": {"probes": ["linear"], "perturbations": changes}}
    report = evaluate(protocol, energies_or_nothing, archive, n_resamples=10, progress=False)
    found, clean = report.content["robustness"], report.content["results"]["encoder"]["linear/all"]["macro"]["auroc"]
    assert list(found) == ["times 1", "times 5", "without 11 leads"]
    same, louder, lost = (found[name]["encoder"] for name in found)
    assert same["auroc"]["value"] == pytest.approx(clean["value"], abs=2e-3)
    assert same["difference"]["value"] == pytest.approx(0, abs=2e-3)
    assert louder["auroc"]["value"] < clean["value"]
    assert lost["difference"]["value"] < -0.1
    assert "without 11 leads, encoder" in "\n".join(report.lines())
    noisy = Protocol(noise="/nstdb", snr=[6.0, 0.0]).changes()
    assert [change.snr for change in noisy] == [6.0, 0.0] * 3


def test_the_hybrid_probe_sees_the_recording_too(archive: Archive) -> None:
    protocol = {"protocol": {"probes": ["linear", "hybrid"]}}
    report = evaluate(protocol, lambda strips: energies(strips)[:, 6:], archive, n_resamples=5, progress=False)
    linear, hybrid = (report.content["results"]["encoder"][f"{kind}/all"] for kind in ("linear", "hybrid"))
    assert hybrid["macro"]["auroc"]["value"] > linear["macro"]["auroc"]["value"] + 0.1


def energies_or_nothing(strips: np.ndarray) -> np.ndarray:
    return (strips**2).mean(axis=2)


def test_every_shipped_protocol_binds() -> None:
    from ssl_ecg.recipes import list_recipes

    names = [name for name in list_recipes() if name.startswith("evaluate/")]
    assert {"evaluate/superclass", "evaluate/label-efficiency", "evaluate/cpsc9", "evaluate/transfer"} <= set(names)
    for name in names:
        bound = load_recipe(name)
        assert load_recipe(bound) == bound
        protocol = Protocol(**bound["protocol"])
        find_references(protocol.references)
        assert len(protocol.changes()) == len(protocol.perturbations)


def test_what_cannot_be_is_named(archive: Archive, checkpoint: Path) -> None:
    def fails(error: type[Exception], match: str, encoder: object = energies, **protocol: object) -> None:
        with pytest.raises(error, match=match):
            evaluate({"protocol": protocol}, encoder, archive, progress=False)

    fails(RecipeError, "unknown 'nobody'", references=["nobody"])
    fails(RecipeError, "stands alone", train_corpora=["loud"])
    fails(RecipeError, "one draw or more", draws=0)
    fails(RecipeError, "name a probe", probes=[])
    fails(RecipeError, "between 0 and 1", label_shares=[1.5])
    fails(RecipeError, "did you mean 'draws'", drows=3)
    fails(RecipeError, "needs a checkpoint and a folder", finetune="finetune/default")
    fails(LabelError, "no split 'official'.*1-3, 4-6, 7-9", only=["official"])
    with pytest.raises(RecipeError, match=r"not given.*--data"):
        evaluate(PROTOCOL, energies)
    with pytest.raises(RecipeError, match=r"2 folders.*predictions"):
        evaluate(PROTOCOL, [checkpoint, checkpoint], archive)
    fails(RecipeError, "one|embeddings", lambda strips: strips)
    fails(CheckpointError, "nowhere", "nowhere")
    fails(LabelError, "no such task", task="superclas")
    with pytest.raises(ArchiveError, match="cannot be written"):
        evaluate(PROTOCOL, "nowhere", archive, "/proc/report")  # before the encoder is looked for
    with pytest.raises(RecipeError, match="stands beside a protocol"):
        load_recipe({"protocol": {}, "train": {}})


def test_encoder_objects_need_no_card(archive: Archive, checkpoint: Path) -> None:
    encoder = load_encoder(checkpoint)
    del encoder.card
    report = evaluate({"protocol": {"probes": ["linear"]}}, encoder, archive, n_resamples=5, progress=False)
    assert set(report.content["results"]) == {"encoder"}
    z = embed(encoder, archive).vectors
    with torch.no_grad():
        again = evaluate(
            {"protocol": {"probes": ["linear"]}},
            lambda strips: encoder(torch.from_numpy(strips)).numpy(),
            archive,
            n_resamples=5,
            progress=False,
        )
    assert z.shape[1] == encoder.dim
    figures = [r.content["results"]["encoder"]["linear/all"]["macro"]["auroc"]["value"] for r in (report, again)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-3)


def test_completeness_is_said_plainly() -> None:
    assert completeness({"ptbxl": 21_799}) == {"ptbxl": "21,799 records"}
    assert completeness({"ptbxl": 21_798}) == {"ptbxl": "21,798 of 21,799 records"}
