"""K-fold cross-validation, and shares of the labels: who is where, and what is said of records that were held out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from ssl_ecg import Archive, finetune, finetune_folds, predict, prepare
from ssl_ecg.cli import run as command
from ssl_ecg.data.corpora.base import Corpus, Entry
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import CheckpointError, LabelError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning
from ssl_ecg.evaluate.sampling import nested_subsets
from ssl_ecg.evaluation.run import evaluate
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.prediction.members import find_members
from ssl_ecg.probing.folder import run_probe
from ssl_ecg.train.supervised.rows import KFold

CODES = ("NORM", "NORM", "IMI", "LVH")
CLASSES = ["NORM", "MI", "STTC", "CD", "HYP"]
RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "head": {},
    "data": {"seconds": 2, "scale": "record"},
    "train": {"steps": 3, "batch_size": 16, "validate_every": 3, "lr": 1e-2, "precision": "float32"},
}


class Loud(Corpus):
    """Records of 2 s of patients with three of them, without folds; the first six unlabelled."""

    name = "loud"
    licence = "none"

    def __init__(self) -> None:
        super().__init__(Path(__file__).parent)

    def entries(self) -> Iterator[Entry]:
        for k in range(90):
            codes = (CODES[k % 4],) if k >= 6 else ("nothing",)
            yield Entry(f"r{k}", str(k), f"p{k // 3}", None, 40.0 + k % 4 + k / 100, None, codes)

    def read(self, entry: Entry) -> Record:
        k = int(entry.location)
        signal = np.random.default_rng(k).normal(size=(12, 200)).astype(np.float32)
        signal[k % 4] *= 2
        return Record(signal, 100.0, STANDARD_LEADS, entry.record_id, entry.patient_id, entry.age, codes=entry.codes)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return prepare([Loud()], tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def runs(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "a"
    return finetune_folds(RECIPE, archive, out, 3, fold_seed=5, test_leads=["I"], progress=False)


def read(path: Path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("n", [3, 5, 10])
def test_every_record_tests_once_and_patients_stay_together(archive: Archive, n: int) -> None:
    labels, known = archive.labels("superclass")
    index, held_out = archive.index, []
    sets = [KFold(n, k, seed=2).rows(index, labels, known) for k in range(1, n + 1)]
    for k, rows in enumerate(sets):
        assert sorted(np.concatenate(list(rows.values()))) == np.flatnonzero(known).tolist()
        patients = [set(index["patient_id"].iloc[part]) for part in rows.values()]
        assert sum(map(len, patients)) == len(set.union(*patients))
        np.testing.assert_array_equal(rows["val"], sets[(k + 1) % n]["test"])
        held_out += rows["test"].tolist()
        share = labels[rows["test"]].sum(axis=0) / labels[known].sum(axis=0).clip(min=1)
        assert np.abs(share[[0, 1, 4]] - 1 / n).max() < 0.12
    assert sorted(held_out) == np.flatnonzero(known).tolist()
    other = KFold(n, 1, seed=3).rows(index, labels, known)
    assert other["test"].tolist() != sets[0]["test"].tolist()


def test_folds_that_cannot_be(archive: Archive, runs: Path, tmp_path: Path) -> None:
    def fails(match: str, **more: object) -> None:
        with pytest.raises(LabelError, match=match):
            finetune(RECIPE, archive, tmp_path / "x", **more, progress=False)

    fails("three folds or more", folds=2, fold=1)
    fails("one of 1 to that number", folds=4, fold=5)
    fails("seed of 0", folds=4, fold=1, fold_seed=-1)
    fails("call finetune_folds", folds=4)
    fails("give both", fold=4)
    fails("beside other sets", folds=4, fold=1, val_folds=3)
    fails("patients for 80 folds", folds=80, fold=1)
    with pytest.raises(LabelError, match="3 or more"):
        finetune_folds(RECIPE, archive, tmp_path / "x", 2, progress=False)
    with pytest.raises(CheckpointError, match="another kind of run"):
        finetune_folds(RECIPE, archive, runs / "fold-1", 3, progress=False)
    with pytest.raises(CheckpointError, match="other records"):
        finetune_folds(RECIPE, archive, runs, 4, fold_seed=5, progress=False)
    assert not (tmp_path / "x").exists()


def test_what_is_said_of_records_that_were_held_out(runs: Path, archive: Archive) -> None:
    labels, known = archive.labels("superclass")
    found = read(runs / "metrics.json")
    for leads in ("", "-I"):
        table = pd.read_parquet(runs / f"predictions{leads}.parquet")
        assert sorted(table["row"]) == np.flatnonzero(known).tolist()
        truth, proba = (table[[f"{kind}_{c}" for c in CLASSES]].to_numpy(float) for kind in ("true", "proba"))
        np.testing.assert_array_equal(truth, labels[table["row"]])
        decided, macro = np.zeros(proba.shape, bool), []
        for k in (1, 2, 3):
            one = read(runs / f"fold-{k}" / "metrics.json")
            assert one["division"] == {"folds": 3, "fold": k, "seed": 5}
            rows = KFold(3, k, 5).rows(archive.index, labels, known)["test"]
            mine = (table["test_fold"] == k).to_numpy()
            assert sorted(table["row"][mine]) == rows.tolist()
            one = one["reduced_leads"]["I"] if leads else one
            chosen = [one["thresholds"][c] for c in CLASSES]
            decided[mine] = proba[mine] >= chosen
            macro.append(one["test"]["macro"]["auroc"])
        assert (table[[f"decision_{c}" for c in CLASSES]].to_numpy(bool) == decided).all()
        told = (found["reduced_leads"]["I"] if leads else found)["test"]
        assert told["mean"]["auroc"] == pytest.approx(np.mean(macro))
        assert told["spread"]["auroc"] == pytest.approx(np.std(macro, ddof=1))
        judged = [0, 1, 4]
        wanted = {"auroc": [roc_auc_score(truth[:, k], proba[:, k]) for k in judged]}
        wanted["f1"] = [f1_score(truth[:, k], decided[:, k]) for k in judged]
        for name, values in wanted.items():
            assert told["pooled"]["macro"][name] == pytest.approx(np.mean(values))
        assert told["pooled"]["records"] == known.sum()
    assert found["division"] == {"folds": 3, "seed": 5}


def test_the_folder_goes_on_and_is_a_classifier(runs: Path, archive: Archive) -> None:
    before = [(runs / f"fold-{k}" / "last.ckpt").stat().st_mtime_ns for k in (1, 2, 3)]
    finetune_folds(RECIPE, archive, runs, 3, fold_seed=5, test_leads=["I"], progress=False)
    assert [(runs / f"fold-{k}" / "last.ckpt").stat().st_mtime_ns for k in (1, 2, 3)] == before
    each = [predict(archive, runs / f"fold-{k}", progress=False).filter(like="proba_") for k in (1, 2, 3)]
    together = predict(archive, runs, progress=False).filter(like="proba_")
    np.testing.assert_allclose(together, np.mean(each, axis=0), atol=1e-9)
    judged = evaluate("predictions", runs, progress=False, n_resamples=5).content
    assert list(judged["splits"]) == ["fold-1", "fold-2", "fold-3"]


def test_classes_that_cannot_be_learnt_are_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.warns(UndefinedClassWarning) as told:
        finetune(RECIPE, archive, tmp_path / "a", folds=3, fold=1, progress=False)
    labels, known = archive.labels("superclass")
    train = KFold(3, 1, 0).rows(archive.index, labels, known)["train"]
    never = [name for name, positive in zip(CLASSES, labels[train].any(axis=0), strict=True) if not positive]
    assert never
    said = [str(one.message) for one in told if "cannot be learnt" in str(one.message)]
    missing = f"has no positive among the {len(train)} training records: it cannot be learnt"
    assert said == [f"{name} {missing}" for name in never]


def test_numbers_have_the_interval_of_their_fold_and_seeds_are_averaged(archive: Archive, tmp_path: Path) -> None:
    options = {"task": "age", "overrides": ["loss.name=huber"], "progress": False}
    out = finetune_folds(RECIPE, archive, tmp_path / "a", 3, seeds=[0, 1], **options)
    table, told = pd.read_parquet(out / "predictions.parquet"), read(out / "metrics.json")
    within = []
    for row in table.itertuples():
        width = read(out / f"fold-{row.test_fold}" / "metrics.json")["interval"]["half_width"]["age"]
        within.append(abs(row.true_age - row.value_age) <= (np.inf if width is None else width))
    assert told["test"]["pooled"]["macro"]["coverage"] == pytest.approx(np.mean(within))
    assert len(table) == 90
    assert told["seeds"] == [0, 1]
    members = [str(path.relative_to(out)) for path in find_members(out)]
    assert members == [f"fold-{k}/seed-{s}" for k in (1, 2, 3) for s in (0, 1)]


def test_command(archive: Archive, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(json.dumps(RECIPE))
    line = ["finetune", tmp_path / "r.yaml", "--data", archive.path, "--quiet", "--folds", "3", "--labels", "50%"]
    assert command([str(word) for word in [*line, "--out", tmp_path / "one", "--fold", "2"]]) == 0
    assert command([str(word) for word in [*line, "--out", tmp_path / "all"]]) == 0
    out = capsys.readouterr().out.splitlines()
    one, every = read(tmp_path / "one" / "metrics.json"), read(tmp_path / "all" / "metrics.json")
    assert f"AUROC {one['test']['macro']['auroc']:.3f}" in out[1]
    pooled = f"{every['test']['pooled']['macro']['auroc']:.3f}"
    assert out[3].startswith(f"      test: pooled macro AUROC {pooled}")
    assert "(84 records); one fold AUROC" in out[3]
    assert read(tmp_path / "all" / "fold-2" / "metrics.json")["rows"] == one["rows"]
    assert one["labels"] == "50%"
    for wrong in ("0", "0%", "120%", "x%", "1.5"):
        assert command([str(word) for word in [*line[:-1], wrong, "--out", tmp_path / "w"]]) != 0
    assert "a share such as 10%" in capsys.readouterr().err


def test_a_share_of_the_labels_is_the_nested_choice_of_that_number(archive: Archive, tmp_path: Path) -> None:
    options = {"folds": 3, "fold": 1, "progress": False}
    runs = {few: finetune(RECIPE, archive, tmp_path / few, labels=few, draw=2, **options) for few in ("25%", "50 %")}
    labels, known = archive.labels("superclass")
    sets = KFold(3, 1).rows(archive.index, labels, known)
    train = sets["train"]
    sizes = {few: round(share * len(train)) for few, share in (("25%", 0.25), ("50 %", 0.5))}
    chosen = nested_subsets(labels[train], list(sizes.values()), seed=2000)
    for few, size in sizes.items():
        found = read(runs[few] / "metrics.json")
        assert found["records"]["train"] == size
        rows = {**sets, "train": train[chosen[size]]}
        other = finetune(RECIPE, archive, tmp_path / f"{size}", rows=rows, progress=False)
        assert read(other / "metrics.json")["rows"]["train"] == found["rows"]["train"]


def test_the_probe_takes_shares_too(archive: Archive) -> None:
    z = np.random.default_rng(0).normal(size=(90, 4)).astype(np.float32)
    own = Embeddings(z, archive.index)
    found = run_probe(own, "superclass", label_sizes=["40%"], draws=2, n_resamples=20, knn=False)
    n = round(0.4 * found["counts"]["train"]["records"])
    same = run_probe(own, "superclass", label_sizes=[n], draws=2, n_resamples=20, knn=False)
    assert found["label_efficiency"][0]["n_labels"] == n
    assert found["label_efficiency"] == same["label_efficiency"]
