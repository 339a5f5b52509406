"""What stands beside an encoder on request: expert features with classifiers, and training from scratch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score, roc_auc_score

from ssl_ecg import Archive, prepare
from ssl_ecg.app.evaluation_report import efficiency
from ssl_ecg.cli import run as run_cli
from ssl_ecg.data.record import Record
from ssl_ecg.errors import RecipeError
from ssl_ecg.evaluate.protocol import Protocol
from ssl_ecg.evaluate.sampling import draw_seed, nested_subsets
from ssl_ecg.evaluation.expert import ExpertBaselines
from ssl_ecg.evaluation.run import evaluate
from ssl_ecg.features.baselines import BASELINES, ForestBaseline
from ssl_ecg.features.expert import expert_vectors
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.recipes import dump_recipe, load_recipe

N, CLASSES = 120, ("fast", "tall")


class SmallForest(ForestBaseline):
    """A forest of few trees."""

    def __init__(self, n_trees: int = 15, max_depth: int = 10, seed: int = 0) -> None:
        super().__init__(n_trees, max_depth, seed)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Beats that are fast in some and tall in others, in noise; two records of a patient."""
    records = []
    for k in range(N):
        rng = np.random.default_rng(k)
        signal = rng.normal(scale=0.4, size=(12, 300))
        signal[:, rng.integers(20) :: 50 if k % 2 else 70] += 1.5 if k % 3 else 1.1
        records.append(Record(signal.astype(np.float32), 100.0, STANDARD_LEADS, f"r{k}", f"p{k // 2}"))
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def protocol(tmp_path_factory: pytest.TempPathFactory) -> dict:
    table = tmp_path_factory.mktemp("labels") / "mine.csv"
    rows = [f"r{k},{k % 2},{int(k % 3 > 0)}" for k in range(N)]
    table.write_text("\n".join(["record_id,fast,tall", *rows]))
    return {"task": str(table), "probes": ["linear"], "only": ["1-3"], "draws": 2, "label_sizes": [30]}


def peaks(strips: np.ndarray) -> np.ndarray:
    return np.sort(strips, axis=2)[:, :4, -8:].mean(axis=2)


def judged(archive: Archive, protocol: dict, out: Path | None = None, **options: object):
    options = {"n_resamples": 30, "progress": False, **options}
    return evaluate({"protocol": protocol}, peaks, archive, out, **options)


def plain_forest(x: np.ndarray, y: np.ndarray, train: np.ndarray, val: np.ndarray, test: np.ndarray):
    """Probabilities of the test records and their decisions, class by class with scikit-learn."""
    median = np.nan_to_num(np.nanmedian(x[train], axis=0))
    x = np.where(np.isnan(x), median, x)
    spread = x[train].std(axis=0)
    z = np.clip((x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1), -10, 10)
    said, decided = [], []
    for k in range(y.shape[1]):
        forest = RandomForestClassifier(15, max_depth=10, random_state=0).fit(z[train], y[train, k])
        proba, on_val = forest.predict_proba(z[test])[:, 1], forest.predict_proba(z[val])[:, 1]
        levels = sorted(set(on_val), reverse=True)
        best = int(np.argmax([f1_score(y[val, k], on_val >= level) for level in levels]))
        said.append(proba)
        decided.append(proba >= np.mean(levels[best : best + 2]))  # half-way to the next lower answer
    return np.stack(said, axis=1), np.stack(decided, axis=1)


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_classifiers_on_expert_features_are_those_of_a_plain_loop(
    archive: Archive, protocol: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BASELINES, "forest", SmallForest)
    report = judged(archive, {**protocol, "also": ["forest"]}, tmp_path)
    found = report.content["results"]["expert features"]
    assert list(found) == ["forest/all", "forest/30"]
    order = archive.index["record_id"].str[1:].astype(int).to_numpy()
    y = np.stack([order % 2, order % 3 > 0], axis=1).astype(float)
    split = Protocol(**protocol).splits(archive.index, y, np.ones(N, bool))["1-3"]
    x = expert_vectors(archive, np.arange(N)).astype(float)
    proba, decided = plain_forest(x, y, split.train, split.val, split.test)
    truth, macro = y[split.test], found["forest/all"]["macro"]
    assert macro["auroc"]["value"] == pytest.approx(roc_auc_score(truth, proba), abs=1e-6)
    assert macro["f1"]["value"] == pytest.approx(f1_score(truth, decided, average="macro"))
    few = []
    for draw in range(2):
        rows = split.train[nested_subsets(y[split.train], [30], seed=draw_seed(0, draw))[30]]
        few.append(roc_auc_score(truth, plain_forest(x, y, rows, split.val, split.test)[0]))
    assert found["forest/30"]["by_split"]["1-3"] == pytest.approx(few, abs=1e-6)
    differences = report.content["differences"]["encoder - expert features"]
    for size in ("all", "30"):
        own, theirs = (
            report.content["results"][model][f"{way}/{size}"]["macro"]["auroc"]["value"]
            for model, way in (("encoder", "linear"), ("expert features", "forest"))
        )
        gain = differences[f"forest/{size}"]
        assert (gain["value"], gain["way"]) == (pytest.approx(own - theirs), f"linear/{size}")
        assert gain["low"] <= gain["value"] <= gain["high"]
    assert "encoder (linear) - expert features: " in "\n".join(report.lines())
    assert set(efficiency(report.content)) == {"encoder, linear", "expert features, forest"}


def test_answers_are_kept_for_an_evaluation_that_goes_on(
    archive: Archive, protocol: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {**protocol, "also": ["logistic"]}
    fitted: list[str] = []
    original = ExpertBaselines._fit

    def interrupted(self, kind, sets):
        if len(fitted) == 2:
            raise KeyboardInterrupt
        fitted.append(kind)
        return original(self, kind, sets)

    monkeypatch.setattr(ExpertBaselines, "_fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        judged(archive, asked, tmp_path)
    kept = sorted((tmp_path / "expert").glob("logistic-*.npz"))
    assert len(kept) == 2
    kept[0].write_bytes(kept[0].read_bytes()[:99])  # damaged: fitted again
    monkeypatch.setattr(ExpertBaselines, "_fit", lambda *a: fitted.append("again") or original(*a))
    after = judged(archive, asked, tmp_path).content["results"]
    assert fitted.count("again") == 2
    monkeypatch.setattr(ExpertBaselines, "_fit", original)
    assert after == judged(archive, asked).content["results"]


@pytest.mark.slow
def test_training_from_scratch_stands_beside_any_encoder(archive: Archive, protocol: dict, tmp_path: Path) -> None:
    steps = ["train.steps=2", "train.validate_every=1", "data.seconds=2", "data.test_seconds=3"]
    recipe = load_recipe("finetune/scratch", [*steps, "encoder.widths=[4, 8]", "encoder.stem_kernels=[5]"])
    (tmp_path / "mine.yaml").write_text(dump_recipe(recipe))
    asked = {**protocol, "scratch": str(tmp_path / "mine.yaml"), "finetune_draws": 1}
    content = judged(archive, asked, tmp_path / "out").content
    assert set(content["results"]["encoder"]) == {"linear/all", "linear/30"}
    assert set(content["results"]["scratch"]) == {"finetuned/all", "finetuned/30"}
    assert len(list((tmp_path / "out" / "finetuned").glob("scratch-1-3-*/encoder"))) == 2
    gain = content["differences"]["encoder - scratch"]["finetuned/30"]
    assert gain["way"] == "linear/30"
    own, theirs = (
        content["results"][model][key]["by_split"]["1-3"][0]  # the draw that both have
        for model, key in (("encoder", "linear/30"), ("scratch", "finetuned/30"))
    )
    assert gain["value"] == pytest.approx(own - theirs)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/finetuned/*/last.ckpt")}
    assert judged(archive, asked, tmp_path / "out").content["results"] == content["results"]
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/finetuned/*/last.ckpt")}


def test_the_command_asks_for_baselines(
    archive: Archive, protocol: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def note(*_: object, overrides: list[str], **__: object) -> None:
        asked.append(tuple(overrides))
        raise RecipeError("asked", "enough", "stop")

    monkeypatch.setattr("ssl_ecg.evaluation.run.evaluate", note)
    line = ["evaluate", "label-efficiency", "c", "--data", "a", "--out", str(tmp_path), "--quiet"]
    for more in ([], ["--also", "forest", "mlp", "--scratch", "--set", "protocol.draws=3"]):
        assert run_cli([*line, *more]) == 2
    words = ("protocol.also=[forest, mlp]", "protocol.scratch=finetune/scratch", "protocol.draws=3")
    assert asked == [(), words]
    bound = load_recipe("label-efficiency", words)["protocol"]
    assert (bound["also"], bound["scratch"], bound["draws"]) == (["forest", "mlp"], "finetune/scratch", 3)
    usual = load_recipe("label-efficiency")["protocol"]
    assert not usual.get("also")
    assert not usual.get("scratch")
    assert run_cli([*line, "--also", "boost"]) == 2
    assert len(asked) == 2


def test_what_cannot_be_is_named(archive: Archive, protocol: dict) -> None:
    for match, more in (
        ("no classifier 'boost'.*logistic, forest", {"also": ["boost"]}),
        ("needs a folder", {"scratch": "finetune/scratch"}),
        ("only read", {"judges": "predictions", "also": ["forest"]}),
    ):
        with pytest.raises(RecipeError, match=match):
            judged(archive, {**protocol, **more})
    assert json.dumps(judged(archive, protocol).content["differences"]) == "{}"
