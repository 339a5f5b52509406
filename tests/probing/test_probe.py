from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, LabelError, SignalError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning, auroc, f1
from ssl_ecg.probing.folder import KNNProbe, LinearProbe, probe_folder, run_probe

PROBES = [LinearProbe, KNNProbe]


def _case(n=300, dim=16, classes=3, seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, dim)).astype(np.float32)
    Y = (Z[:, :classes] + noise * rng.normal(size=(n, classes)) > 0.3).astype(float)
    return Z, Y


# ---------------------------------------------------------------- the estimators


@pytest.mark.parametrize("make", PROBES)
def test_scikit_learn_contract(make):
    Z, Y = _case()
    probe = make(**({"n_folds": 3} if make is LinearProbe else {"temperature": 0.2}))
    copy = clone(probe)
    assert copy is not probe
    assert copy.get_params() == probe.get_params()
    pipeline = make_pipeline(StandardScaler(), probe).fit(Z, Y)
    assert pipeline.predict_proba(Z).shape == Y.shape
    with pytest.raises(SignalError, match="no parameter 'depth'"):
        probe.set_params(depth=3)


@pytest.mark.parametrize("make", PROBES)
def test_probabilities_and_decisions(make):
    Z, Y = _case()
    probe = make().fit(Z[:150], Y[:150], Z[150:220], Y[150:220])
    proba = probe.predict_proba(Z[220:])
    assert proba.shape == (80, 3)
    assert (proba >= 0).all()
    assert (proba <= 1).all()
    assert (probe.predict(Z[220:]) == (proba >= probe.thresholds_)).all()
    assert roc_auc_score(Y[220:], proba) > 0.7


@pytest.mark.parametrize("make", PROBES)
def test_input_is_left_alone_and_results_repeat(make):
    Z, Y = _case()
    before = Z.copy(), Y.copy()
    first = make().fit(Z, Y).predict_proba(Z)
    assert (make().fit(Z, Y).predict_proba(Z) == first).all()
    assert (before[0] == Z).all()
    assert (before[1] == Y).all()


def test_linear_probe_equals_scikit_learn_at_its_strength():
    Z, Y = _case()
    Z = Z * 7 + 2
    probe = LinearProbe().fit(Z[:200], Y[:200], Z[200:], Y[200:])
    scaler = StandardScaler().fit(Z[:200])
    for k in range(3):
        reference = LogisticRegression(C=probe.C_, tol=1e-8, max_iter=5000).fit(scaler.transform(Z[:200]), Y[:200, k])
        expected = reference.predict_proba(scaler.transform(Z[200:]))[:, 1]
        np.testing.assert_allclose(probe.predict_proba(Z[200:])[:, k], expected, atol=1e-4)


def test_strength_is_the_best_on_validation():
    Z, Y = _case(n=120, dim=100, noise=2.0)
    probe = LinearProbe().fit(Z[:60], Y[:60], Z[60:], Y[60:])
    alone = {
        c: np.mean(auroc(Y[60:], LinearProbe(strengths=[c]).fit(Z[:60], Y[:60], Z[60:], Y[60:]).predict_proba(Z[60:])))
        for c in probe.strengths
    }
    assert max(alone, key=alone.get) == probe.C_
    for c, value in probe.validation_.items():
        assert value == pytest.approx(alone[c], abs=2e-3)


def test_cross_validation_keeps_patients_together():
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(60), 4)
    label = rng.integers(0, 2, 60)[patient].astype(float)  # nothing to learn but who the patient is
    Z = rng.normal(size=(60, 40))[patient] + 0.05 * rng.normal(size=(240, 40))
    for make in PROBES:
        apart = make().fit(Z, label, groups=patient).validation_
        mixed = make().fit(Z, label).validation_
        assert max(mixed.values()) > 0.95
        assert max(apart.values()) < 0.75


def test_knn_equals_a_slow_vote():
    Z, Y = _case(n=60, dim=5)
    Y[::7, 0] = np.nan
    probe = KNNProbe(ks=[7], temperature=0.1).fit(Z[:40], Y[:40], Z[40:], Y[40:])
    mean, deviation = Z[:40].mean(axis=0), Z[:40].std(axis=0)
    prior = (np.nansum(Y[:40], axis=0) + 0.5) / (np.isfinite(Y[:40]).sum(axis=0) + 1)
    for row in range(40, 60):
        q, others = (Z[row] - mean) / deviation, (Z[:40] - mean) / deviation
        cosine = [float(q @ z / np.linalg.norm(q) / np.linalg.norm(z)) for z in others]
        best = np.argsort(cosine)[::-1][:7]
        for k in range(3):
            votes = [(np.exp((cosine[i] - cosine[best[0]]) / 0.1), Y[i, k]) for i in best if np.isfinite(Y[i, k])]
            expected = (sum(w * y for w, y in votes) + 0.1 * prior[k]) / (sum(w for w, _ in votes) + 0.1)
            assert probe.predict_proba(Z[[row]])[0, k] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("make", PROBES)
def test_unknown_labels_are_masked(make):
    Z, Y = _case(n=400, dim=6, noise=0.5)
    hidden = Y.copy()
    hidden[np.random.default_rng(0).random(Y.shape) < 0.3] = np.nan
    probe = make().fit(Z[:200], hidden[:200], Z[200:300], hidden[200:300])
    assert roc_auc_score(Y[300:], probe.predict_proba(Z[300:])) > 0.7


@pytest.mark.parametrize("make", PROBES)
def test_class_without_positive_gets_its_prior_with_a_warning(make):
    Z, Y = _case()
    Y[:200, 1] = 0
    with pytest.warns(UndefinedClassWarning, match=r"classes \[1\]"):
        probe = make().fit(Z[:200], Y[:200], Z[200:], Y[200:])
    assert probe.degenerate_ == (1,)
    proba = probe.predict_proba(Z)
    np.testing.assert_allclose(proba[:, 1], 0.5 / 201)
    assert roc_auc_score(Y[200:, 0], proba[200:, 0]) > 0.7


@pytest.mark.parametrize("make", PROBES)
def test_validation_that_judges_nothing_is_reported(make):
    Z, Y = _case()
    with pytest.warns(UndefinedClassWarning, match="no class can be judged"):
        probe = make().fit(Z, Y, Z[:4], np.zeros((4, 3)))
    assert probe.thresholds_.tolist() == [0.5] * 3
    assert probe.validation_ == {}


@pytest.mark.parametrize("make", PROBES)
@pytest.mark.parametrize(
    ("Z", "Y", "error", "match"),
    [
        (np.full((4, 2), np.nan), np.ones((4, 1)), SignalError, "NaN or infinite"),
        (np.zeros((4, 2)), np.ones((3, 1)), LabelError, "4 embeddings for 3"),
        (np.zeros(4), np.ones((4, 1)), SignalError, r"\(record, dim\)"),
        (np.zeros((4, 2)), np.full((4, 1), 2), LabelError, "0, 1 and NaN"),
        (np.zeros((4, 2)), [["a"], ["b"], ["c"], ["d"]], LabelError, "not numbers"),
        (np.zeros((0, 2)), np.ones((0, 1)), LabelError, "0 embeddings"),
    ],
)
def test_wrong_input(make, Z, Y, error, match):
    with pytest.raises(error, match=match):
        make().fit(Z, Y)


@pytest.mark.parametrize("make", PROBES)
def test_wrong_use(make):
    Z, Y = _case()
    with pytest.raises(SignalError, match="not fitted"):
        make().predict_proba(Z)
    with pytest.raises(LabelError, match="only one of"):
        make().fit(Z, Y, Z)
    with pytest.raises(SignalError, match="5 dimensions, 16 were fitted"):
        make().fit(Z, Y).predict_proba(Z[:, :5])


def test_constant_and_huge_features_do_no_harm():
    Z, Y = _case()
    wide = np.hstack([Z, np.full((300, 1), 1e6), 1e-8 * Z[:, :1], np.zeros((300, 1))])
    a = LinearProbe().fit(Z, Y, Z, Y).predict_proba(Z)
    b = LinearProbe().fit(wide, Y, wide, Y).predict_proba(wide)
    assert np.abs(a - b).max() < 0.05


# ---------------------------------------------------------------- a folder of embeddings


class TwoFindings:
    name = "two"
    classes = ("A", "B")

    def labels(self, codes):
        listed = [set(record) for record in codes]
        Y = np.array([[c in record for c in self.classes] for record in listed], dtype=np.float32)
        return Y, np.array([bool(record) for record in listed])


def _embeddings(n=400, dim=8, signal=1.5, seed=0, folds=True):
    rng = np.random.default_rng(1)  # the records are the same whatever the encoder
    patient = np.sort(rng.integers(0, n // 2, n))
    A, B = rng.random(n) < 0.4, rng.random(n) < 0.3
    codes = [["A"] * bool(a) + ["B"] * bool(b) + ["other"] for a, b in zip(A, B, strict=True)]
    codes[5] = []
    Z = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    Z[:, 0] += signal * A
    Z[:, 1] += signal * B
    index = pd.DataFrame({
        "record_id": [f"r{k}" for k in range(n)], "corpus": "toy",
        "patient_id": [f"toy/{p}" for p in patient], "codes": codes,
        "fold": pd.array(patient % 10 + 1 if folds else [None] * n, dtype="Int64"),
    })  # fmt: skip
    return Embeddings(Z, index)


def test_run_probe_reports_what_scikit_learn_finds():
    embeddings = _embeddings()
    metrics = run_probe(embeddings, TwoFindings(), n_resamples=50)
    fold = embeddings.index["fold"].to_numpy()
    Y, known = TwoFindings().labels(embeddings.index["codes"])
    train, val, test = (known & mask for mask in (fold <= 8, fold == 9, fold == 10))
    Z = embeddings.vectors
    probe = LinearProbe().fit(Z[train], Y[train], Z[val], Y[val])
    proba = probe.predict_proba(Z[test])
    linear = metrics["linear"]
    assert linear["macro"]["auroc"]["value"] == pytest.approx(roc_auc_score(Y[test], proba))
    assert linear["macro"]["f1"]["value"] == pytest.approx(f1(Y[test], proba >= probe.thresholds_).mean())
    assert [linear["per_class"][c]["n_positive"] for c in "AB"] == Y[test].sum(axis=0).tolist()
    assert linear["C"] == probe.C_
    for brief in (
        linear["macro"]["auroc"],
        linear["per_class"]["A"]["auroc"],
        metrics["knn"]["macro"]["auroc"],
    ):
        assert brief["low"] <= brief["value"] <= brief["high"]
    assert metrics["counts"]["train"]["records"] == train.sum()
    assert metrics["counts"]["without_known_labels"] == 1
    assert metrics["split"] == {"by": "folds", "train": list(range(1, 9)), "val": [9], "test": [10]}


def test_baseline_and_label_efficiency():
    good, poor = _embeddings(seed=2), _embeddings(signal=0.2, seed=3)
    order = np.random.default_rng(0).permutation(len(poor))  # rows of the baseline may come in another order
    shuffled = poor.select(order)
    metrics = run_probe(
        good, TwoFindings(), baseline=shuffled, label_sizes=[20, 60], draws=3, knn=False, n_resamples=100
    )
    same = run_probe(good, TwoFindings(), baseline=poor, knn=False, n_resamples=100)
    assert metrics["difference"] == same["difference"]
    assert metrics["difference"]["linear"]["low"] > 0.05
    assert "knn" not in metrics
    first, second = metrics["label_efficiency"]
    assert (first["n_labels"], second["n_labels"]) == (20, 60)
    assert len(first["linear"]["draws"]) == len(set(first["linear"]["draws"])) == 3
    assert first["linear"]["macro_auroc"]["value"] == pytest.approx(np.mean(first["linear"]["draws"]))
    gain = first["linear"]["macro_auroc"]["value"] - first["baseline"]["macro_auroc"]["value"]
    assert first["difference"]["value"] == pytest.approx(gain)


def test_folder_is_written_whole_and_repeats(tmp_path):
    _embeddings().save(tmp_path / "e")
    first = probe_folder(tmp_path / "e", TwoFindings(), tmp_path / "a", n_labels=30, draws=2, n_resamples=50)
    probe_folder(tmp_path / "e", TwoFindings(), tmp_path / "b", n_labels=30, draws=2, n_resamples=50)
    text = (tmp_path / "a" / "metrics.json").read_text()
    assert text == (tmp_path / "b" / "metrics.json").read_text()
    stored = json.loads(text)
    assert stored["fingerprint"] == _embeddings().fingerprint
    assert stored["linear"]["macro"]["auroc"]["value"] == first["linear"]["macro"]["auroc"]["value"]
    table = pd.read_parquet(tmp_path / "a" / "predictions.parquet")
    assert len(table) == stored["counts"]["test"]["records"]
    value = roc_auc_score(table[["true_A", "true_B"]], table[["linear_A", "linear_B"]])
    assert value == pytest.approx(stored["linear"]["macro"]["auroc"]["value"])
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["metrics.json", "predictions.parquet"]


def test_without_folds_patients_are_split(tmp_path):
    metrics = run_probe(_embeddings(folds=False), TwoFindings(), n_resamples=20, knn=False)
    assert metrics["split"]["by"] == "patients"
    assert metrics["linear"]["macro"]["auroc"]["value"] > 0.75


def test_class_absent_from_the_test_records_is_null_in_json(tmp_path):
    embeddings = _embeddings()
    fold = embeddings.index["fold"].to_numpy()
    embeddings.index["codes"] = [
        [c for c in codes if not (c == "B" and f == 10)]
        for codes, f in zip(embeddings.index["codes"], fold, strict=True)
    ]
    embeddings.save(tmp_path / "e")
    probe_folder(tmp_path / "e", TwoFindings(), tmp_path / "o", n_resamples=20, knn=False)
    stored = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert stored["linear"]["per_class"]["B"]["auroc"]["value"] is None
    assert stored["linear"]["macro"]["auroc"]["n_classes_judged"] == 1


def test_wrong_requests(tmp_path):
    embeddings = _embeddings()
    with pytest.raises(LabelError, match="no such task"):
        run_probe(embeddings, "superclas")
    with pytest.raises(LabelError, match="none of 400 records"):
        run_probe(embeddings, "superclass")
    with pytest.raises(LabelError, match="cannot take 4000"):
        run_probe(embeddings, TwoFindings(), label_sizes=[4000], knn=False, n_resamples=2)
    with pytest.raises(LabelError, match="0 draws"):
        run_probe(embeddings, TwoFindings(), label_sizes=[50], draws=0)
    with pytest.raises(LabelError, match="seed -1"):
        run_probe(embeddings, TwoFindings(), seed=-1)
    with pytest.raises(LabelError, match=r"in the val set \(folds \[77\]\)"):
        run_probe(embeddings, TwoFindings(), val_folds=77)
    with pytest.raises(ArchiveError, match="1 records have no embedding"):
        run_probe(embeddings, TwoFindings(), baseline=embeddings.select(np.arange(399)), knn=False)
    with pytest.raises(ArchiveError, match=r"no embeddings\.npy"):
        probe_folder(tmp_path, TwoFindings(), tmp_path / "o")
    embeddings.save(tmp_path / "e")
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ArchiveError, match="cannot be written"):
        probe_folder(tmp_path / "e", TwoFindings(), tmp_path / "taken", knn=False, n_resamples=2)
    assert sorted(os.listdir(tmp_path)) == ["e", "taken"]
