"""Measurements as targets: those of expert features on the training records alone, and the run that uses them."""

from __future__ import annotations

import json
import pickle
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from ssl_ecg import Archive, prepare, pretrain, simulate
from ssl_ecg.errors import ArchiveError, RecipeError, TrainingError
from ssl_ecg.features.expert import expert_embeddings, expert_parts
from ssl_ecg.features.kept import kept_vectors
from ssl_ecg.features.table import TableFile
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.train.measures import ScaledTargets, measure_targets, robust_scales
from ssl_ecg.train.selection import open_strips
from ssl_ecg.train.taught import teacher_targets

RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "views": {"crop": 100, "transforms": ["gain"]},
    "method": {"name": "guided", "hidden_dim": 16, "out_dim": 8, "guide_dim": 8},
    "data": {"seconds": 4, "measures": True},
    "train": {"steps": 2, "batch_size": 8, "precision": "float32"},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    records = simulate(16, seed=0, seconds=4, fs=100)
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", workers=1, progress=False)


def test_targets_are_robust_scores_over_the_training_records(archive: Archive) -> None:
    rows = np.array([0, 2, 3, 5, 8, 9, 9, 11])
    targets = np.asarray(measure_targets(archive, rows))
    values = expert_embeddings(archive, impute=False).vectors[np.unique(rows)].astype(float)
    outside = np.setdiff1d(np.arange(16), rows)
    assert np.isnan(targets[outside]).all()
    judged = 0
    for k in range(values.shape[1]):
        known = values[np.isfinite(values[:, k]), k]
        low, middle, high = np.quantile(known, [0.25, 0.5, 0.75]) if len(known) >= 3 else (0, 0, 0)
        if high <= low:
            assert np.isnan(targets[:, k]).all()
            continue
        judged += 1
        expected = np.clip((values[:, k] - middle) / ((high - low) / 1.349), -4, 4)
        np.testing.assert_allclose(targets[np.unique(rows), k], expected, atol=1e-4)
    assert judged > 600


def test_they_are_read_from_the_file_when_a_batch_needs_them(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers are those of targets in memory; what a process holds does not grow with the table."""
    rows = np.array([0, 2, 3, 5, 8, 9, 9, 11])
    kept, whole = measure_targets(archive, rows, folder=tmp_path), np.asarray(measure_targets(archive, rows))
    assert kept.shape == whole.shape == (16, kept.table.shape[1])
    for wanted in (np.array([3, 3, 1, 11]), np.arange(16), slice(2, 6)):
        np.testing.assert_array_equal(kept[wanted], whole[wanted])
    np.testing.assert_array_equal(kept[5], whole[5])
    monkeypatch.setattr("ssl_ecg.train.measures._AT_ONCE", 2**18)
    monkeypatch.setattr("ssl_ecg.features.table._AT_ONCE", 2**18)
    content = np.random.default_rng(0).normal(size=(4000, kept.shape[1])).astype(np.float32)
    np.save(tmp_path / "large.npy", content)
    tracemalloc.start()
    table = TableFile(tmp_path / "large.npy")
    many = ScaledTargets(table, np.arange(4000), *robust_scales(table))
    batch = many[np.arange(5, 4000, 100)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < content.nbytes / 8
    assert len(pickle.dumps(many)) < content.nbytes / 100, "as loader processes get it"
    low, middle, high = np.quantile(content.astype(float), [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(batch, ((content - middle) / (high - low) * 1.349)[5::100], rtol=1e-5, atol=1e-6)


def test_strips_carry_them(archive: Archive) -> None:
    strips = open_strips(archive, seconds=4, measures=True)
    batch = strips.__getitems__([1, 4])
    assert batch["target"].shape == batch["target_mask"].shape
    np.testing.assert_array_equal(
        batch["target"][0][batch["target_mask"][0]], strips.targets[1][~np.isnan(strips.targets[1])]
    )


def test_a_run_with_measures(archive: Archive, tmp_path: Path) -> None:
    run = pretrain(RECIPE, archive, tmp_path / "run", progress=False)
    card = json.loads((run / "encoder" / "card.json").read_text())
    assert card["recipe"]["data"]["measures"] is True
    assert card["labels"] is None
    assert random_encoder(run / "recipe.yaml", archive).dim == 16


def test_a_part_may_learn_from_measures(archive: Archive, tmp_path: Path) -> None:
    parts = [RECIPE["method"], {"name": "vicreg", "hidden_dim": 8, "out_dim": 8, "weight": 0.1}]
    recipe = {**RECIPE, "method": {"name": "combined", "parts": parts}}
    run = pretrain(recipe, archive, tmp_path / "run", progress=False)
    assert (run / "encoder" / "card.json").is_file()
    with pytest.raises(RecipeError, match="'combined' learns from measurements"):
        pretrain({**recipe, "data": {"seconds": 4}}, archive, tmp_path / "x", progress=False)


def test_measures_and_method_must_fit(archive: Archive, tmp_path: Path) -> None:
    def fails(match: str, **changes: dict) -> None:
        with pytest.raises(RecipeError, match=match):
            pretrain({**RECIPE, **changes}, archive, tmp_path / "x", progress=False)

    fails("learns from measurements", data={"seconds": 4})
    fails("learns nothing from it", method={"name": "simclr"})
    fails("learns nothing from labels", data={"seconds": 4, "measures": True, "task": "superclass"})


def test_features_are_measured_after_the_checks_and_once(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cheap mistakes are found first; a run that goes on, and other processes, read what was kept."""
    asked = []

    def counted(*arguments: object, **options: object) -> Iterator[np.ndarray]:
        asked.append(1)
        return expert_parts(*arguments, **options)

    monkeypatch.setattr("ssl_ecg.features.kept.expert_parts", counted)
    with pytest.raises(ArchiveError, match="fewer than a batch of 99"):
        pretrain(RECIPE, archive, tmp_path / "run", overrides=["train.batch_size=99"], progress=False)
    assert not (tmp_path / "run").exists()
    assert not asked
    run = pretrain(RECIPE, archive, tmp_path / "run", progress=False)
    pretrain(RECIPE, archive, run, progress=False)
    assert len(asked) == 1
    waited = open_strips(archive, seconds=4, measures=True, measuring="wait", folder=run)
    assert len(asked) == 1
    np.testing.assert_array_equal(waited.targets, open_strips(archive, seconds=4, measures=True).targets)
    (file,) = run.glob("features-*.npy")
    fewer = kept_vectors(archive, np.arange(3), run)
    np.testing.assert_array_equal(fewer, np.load(file)[:3])
    assert len(asked) == 2, "other records have a file of their own"
    reduced = kept_vectors(archive, np.arange(3), run, leads=("I", "II"))
    assert np.isnan(reduced).sum() > 3 * 500
    assert len(list(run.glob("features-*.npy"))) == 3


def test_others_wait_for_the_file(archive: Archive, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(kept_vectors, archive, np.arange(4), tmp_path, compute=False)
        made = kept_vectors(archive, np.arange(4), tmp_path)
        np.testing.assert_array_equal(waiting.result(timeout=60), made)


def test_an_interrupted_measurement_goes_on(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_ecg.features.expert._PART", 3)
    begun = []

    def stopped(*arguments: object, start: int, **options: object) -> Iterator[np.ndarray]:
        begun.append(start)
        for number, values in enumerate(expert_parts(*arguments, start=start, **options)):
            if not start and number == 2:
                raise KeyboardInterrupt
            yield values

    monkeypatch.setattr("ssl_ecg.features.kept.expert_parts", stopped)
    with pytest.raises(KeyboardInterrupt):
        kept_vectors(archive, np.arange(16), tmp_path)
    made = kept_vectors(archive, np.arange(16), tmp_path)
    assert begun == [0, 6]
    np.testing.assert_array_equal(made, expert_embeddings(archive, impute=False).vectors)


@pytest.mark.parametrize("what", ["measures", "teacher"])
def test_others_hear_of_a_failure(what: str, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        time.sleep(0.5)
        raise ArchiveError("disk", "is full", "free some")

    monkeypatch.setattr("ssl_ecg.features.kept.expert_parts", fails)
    monkeypatch.setattr("ssl_ecg.train.taught.load_encoder", fails)
    make = measure_targets if what == "measures" else partial(teacher_targets, teacher="nobody")
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(make, archive, np.arange(4), folder=tmp_path, compute=False)
        with pytest.raises(ArchiveError, match="is full"):
            make(archive, np.arange(4), folder=tmp_path)
        with pytest.raises(TrainingError, match=r"was not made by the process that was to .*disk: is full"):
            waiting.result(timeout=60)
