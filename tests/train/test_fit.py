"""Training runs: they learn, resume exactly after kill -9, and refuse what cannot be right."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from ssl_ecg import Archive, load_encoder, prepare, pretrain
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError, CheckpointError, RecipeError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.methods.base import Batch
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.train.monitor import log_curves, read_log
from ssl_ecg.train.state import load_state
from ssl_ecg.train.stream import BatchStream, step_seed

RECIPE = {
    "encoder": {"name": "conv1d", "widths": [8, 16]},
    "views": {"crop": 100, "transforms": [{"name": "gain"}, {"name": "lead_mask", "p": 0.5}]},
    "method": {"name": "simclr", "hidden_dim": 16, "out_dim": 8},
    "data": {"seconds": 2},
    "train": {
        "steps": 12, "batch_size": 8, "log_every": 1, "monitor_every": 4, "checkpoint_every": 5,
        "precision": "float32",
    },
}  # fmt: skip


def recipe(**train: object) -> dict:
    return {**RECIPE, "train": {**RECIPE["train"], **train}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(
            np.cumsum(rng.normal(size=(12, 400)), axis=1).astype(np.float32) * 0.05,
            100.0,
            STANDARD_LEADS,
            f"r{k}",
            patient_id=f"p{k // 2}",
            codes=("NORM",) if k % 2 else ("MI",),
        )
        for k in range(40)
    ]
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", band=None, progress=False)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_state(run / "last.ckpt")["state_dict"]


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def run(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(recipe(), archive, tmp_path_factory.mktemp("run") / "a", progress=False, task="superclass")


def test_gradients_are_clipped_in_every_precision(archive: Archive, tmp_path: Path) -> None:
    def losses(precision: str, clip: float) -> list[float]:
        out = tmp_path / f"{precision}-{clip}"
        settings = recipe(steps=8, lr=3e-3, warmup=0.0, precision=precision, clip=clip)
        pretrain(settings, archive, out, progress=False)
        return [float(row["loss"]) for row in read_log(out / "log.csv")]

    still = losses("float32", 1e-10)  # Adam's epsilon is larger than such gradients
    assert losses("bfloat16", 1e-10) == pytest.approx(still, rel=0.02)
    for precision in ("float32", "bfloat16"):
        moved = losses(precision, 0)
        assert moved[0] == pytest.approx(still[0], rel=0.02)
        assert np.abs(np.subtract(moved, still)).max() > 0.3


def test_a_run_leaves_everything_needed(run: Path, archive: Archive) -> None:
    assert {p.name for p in run.iterdir()} >= {"recipe.yaml", "run.json", "log.csv", "last.ckpt", "encoder"}
    curves = log_curves(run / "log.csv")
    assert curves["step"].tolist() == list(range(1, 13))
    assert np.isfinite(curves["loss"]).all()
    looked = np.isfinite(curves["rank"])
    assert curves["step"][looked].tolist() == [4, 8, 12]
    assert np.isfinite(curves["probe_auroc"][looked]).all()
    assert curves["lr"].argmax() < 3
    assert curves["lr"][-1] < 0.1 * curves["lr"].max()
    encoder = load_encoder(run)
    encoder.preprocessing.check_archive(archive)
    seen = encoder.card["pretrained_on"]
    assert seen["records"] == 40
    assert seen["archive"] == archive.fingerprint


def test_same_seed_same_weights_other_seed_others(run: Path, archive: Archive, tmp_path: Path) -> None:
    assert same(run, pretrain(recipe(), archive, tmp_path / "again", progress=False))
    assert not same(run, pretrain(recipe(seed=1), archive, tmp_path / "other", progress=False))


def test_loader_processes_do_not_matter(run: Path, archive: Archive, tmp_path: Path) -> None:
    assert same(run, pretrain(recipe(workers=2), archive, tmp_path / "w", progress=False))


def test_the_log_of_a_resumed_run_is_that_of_one_that_was_not_stopped(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a state lies between two rows, and a look at the embeddings between the state and the row."""
    settings = recipe(log_every=5, checkpoint_every=3, monitor_every=3)
    whole = pretrain(settings, archive, tmp_path / "whole", progress=False)
    loss, steps = SimCLR.loss, iter(range(8))

    def breaking(self: SimCLR, batch: Batch) -> torch.Tensor:
        if next(steps, None) is None:
            raise MemoryError("in step 9")
        return loss(self, batch)

    monkeypatch.setattr(SimCLR, "loss", breaking)
    with pytest.raises(MemoryError):
        pretrain(settings, archive, tmp_path / "stopped", progress=False)
    assert load_state(tmp_path / "stopped" / "last.ckpt")["global_step"] == 6
    monkeypatch.setattr(SimCLR, "loss", loss)
    resumed = pretrain(settings, archive, tmp_path / "stopped", progress=False)
    timed = ("strips_per_s",)
    ours, theirs = (
        [{name: value for name, value in row.items() if name not in timed} for row in read_log(run / "log.csv")]
        for run in (resumed, whole)
    )
    assert [row["step"] for row in ours] == ["5", "10", "12"]
    assert ours == theirs


def test_a_finished_run_is_not_trained_again(run: Path, archive: Archive) -> None:
    before = (run / "last.ckpt").stat().st_mtime_ns
    pretrain(recipe(), archive, run, progress=False)
    assert (run / "last.ckpt").stat().st_mtime_ns == before


def start(archive: Archive, out: Path, *, seconds_a_step: float = 0.0) -> subprocess.Popen[bytes]:
    """Train in a fresh process, as a user does; slowly enough to be hit in the middle if that is asked for.

    Runs are compared between fresh processes only: what other tests have done in this one may change the rounding.
    """
    code = (
        "import sys, time; from ssl_ecg import pretrain; from ssl_ecg.methods.simclr import SimCLR\n"
        "from tests.train.test_fit import recipe\n"
        "loss = SimCLR.loss\n"
        f"def slow(self, batch):\n    time.sleep({seconds_a_step})\n    return loss(self, batch)\n"
        "SimCLR.loss = slow\n"
        f"pretrain(recipe(), {str(archive.path)!r}, {str(out)!r}, progress=False)\n"
    )
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})


@pytest.fixture(scope="module")
def undisturbed(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a run in a fresh process that nothing has stopped."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert start(archive, out).wait(timeout=240) == 0
    return out


def wait_for_step(out: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        rows = read_log(out / "log.csv")
        if rows and int(rows[-1]["step"]) >= step:
            return
        if process.poll() is not None:
            raise AssertionError("the run ended by itself")
        time.sleep(0.05)
    raise AssertionError("the run did not get so far")


@pytest.mark.slow
def test_resume_after_kill_is_exact(undisturbed: Path, archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    process = start(archive, out, seconds_a_step=0.3)
    wait_for_step(out, 7, process)
    process.kill()
    process.wait()
    assert load_state(out / "last.ckpt")["global_step"] == 5
    assert not (out / "encoder").exists()
    assert start(archive, out).wait(timeout=240) == 0
    assert same(undisturbed, out)
    ours, theirs = log_curves(out / "log.csv"), log_curves(undisturbed / "log.csv")
    assert ours["step"].tolist() == theirs["step"].tolist()
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)
    a, b = load_encoder(undisturbed), load_encoder(out)
    x = torch.randn(2, 12, 200)
    assert torch.equal(a(x), b(x))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_saves_and_resumes_exactly(number: int, undisturbed: Path, archive: Archive, tmp_path: Path) -> None:
    out = tmp_path / "stopped"
    process = start(archive, out, seconds_a_step=0.3)
    wait_for_step(out, 6, process)
    process.send_signal(number)
    assert process.wait(timeout=120) != 0
    assert load_state(out / "last.ckpt")["global_step"] >= 6
    assert start(archive, out).wait(timeout=240) == 0
    assert same(undisturbed, out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_midst_of_a_step_waits_for_its_end(
    number: int, run: Path, archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both signals save; running statistics are not moved twice by a step that is begun again."""
    from ssl_ecg.methods.simclr import SimCLR

    loss, steps = SimCLR.loss, []

    def stopped(self: SimCLR, batch: dict) -> torch.Tensor:
        value = loss(self, batch)
        steps.append(1)
        if len(steps) == 7:
            signal.raise_signal(number)
        return value

    monkeypatch.setattr(SimCLR, "loss", stopped)
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    rarely = recipe(checkpoint_every=1000)
    with pytest.raises(KeyboardInterrupt):
        pretrain(rarely, archive, tmp_path / "run", progress=False)
    assert load_state(tmp_path / "run" / "last.ckpt")["global_step"] == 7
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == before
    pretrain(rarely, archive, tmp_path / "run", progress=False)
    assert len(steps) == 12
    assert same(run, tmp_path / "run")


def test_a_second_stop_does_not_wait(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ssl_ecg.methods.simclr import SimCLR

    loss, steps = SimCLR.loss, []

    def stopped(self: SimCLR, batch: dict) -> torch.Tensor:
        steps.append(1)
        if len(steps) == 7:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("went on")
        return loss(self, batch)

    monkeypatch.setattr(SimCLR, "loss", stopped)
    with pytest.raises(KeyboardInterrupt):
        pretrain(recipe(), archive, tmp_path / "run", progress=False)
    assert load_state(tmp_path / "run" / "last.ckpt")["global_step"] == 5


def test_another_recipe_in_the_same_folder_is_refused(run: Path, archive: Archive) -> None:
    with pytest.raises(CheckpointError, match="another recipe"):
        pretrain(recipe(lr=0.5), archive, run, progress=False)


def test_what_a_recipe_says_about_itself_makes_no_other_run(run: Path, archive: Archive, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "reworded")
    kept = yaml.safe_load((run / "recipe.yaml").read_text())
    (tmp_path / "reworded" / "recipe.yaml").write_text(yaml.safe_dump({**kept, "about": "In other words."}))
    before = (run / "last.ckpt").read_bytes()
    pretrain(recipe(), archive, tmp_path / "reworded", progress=False)
    assert (tmp_path / "reworded" / "last.ckpt").read_bytes() == before


def test_a_recipe_of_an_older_version_lacks_what_has_its_default(run: Path, archive: Archive, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "old")
    kept = yaml.safe_load((run / "recipe.yaml").read_text())
    assert kept["data"].pop("measures") is False
    (tmp_path / "old" / "recipe.yaml").write_text(yaml.safe_dump(kept))
    before = (run / "last.ckpt").read_bytes()
    pretrain(recipe(), archive, tmp_path / "old", progress=False)
    assert (tmp_path / "old" / "last.ckpt").read_bytes() == before
    kept["data"]["seconds"] = 1.5
    (tmp_path / "old" / "recipe.yaml").write_text(yaml.safe_dump(kept))
    with pytest.raises(CheckpointError, match="another recipe"):
        pretrain(recipe(), archive, tmp_path / "old", progress=False)


def test_a_foreign_recipe_is_not_overwritten(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("my own")
    with pytest.raises(CheckpointError, match="not of a run"):
        pretrain(recipe(), archive, tmp_path, progress=False)
    assert (tmp_path / "recipe.yaml").read_text() == "my own"


def test_damaged_state_is_named(archive: Archive, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "damaged"
    out.mkdir()
    for name in ("recipe.yaml", "run.json"):
        (out / name).write_bytes((run / name).read_bytes())
    (out / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="delete it"):
        pretrain(recipe(), archive, out, progress=False)


def test_state_of_another_model_is_refused(archive: Archive, run: Path, tmp_path: Path) -> None:
    from ssl_ecg.pretraining import build_method
    from ssl_ecg.recipes import load_recipe
    from ssl_ecg.train.fit import fit
    from ssl_ecg.train.selection import open_strips

    (tmp_path / "last.ckpt").write_bytes((run / "last.ckpt").read_bytes())
    other = load_recipe({**recipe(), "encoder": {"name": "conv1d", "widths": [8, 24]}})
    for steps in (12, 15):
        method = build_method(other, archive)
        with pytest.raises(CheckpointError, match="another model"):
            fit(method, open_strips(archive, seconds=2), tmp_path, steps=steps, batch_size=8, progress=False)


def test_wrong_values_are_named(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="steps"):
        pretrain(recipe(steps=0), archive, tmp_path / "a", progress=False)
    with pytest.raises(ArchiveError, match="fewer than a batch"):
        pretrain(recipe(batch_size=64), archive, tmp_path / "b", progress=False)
    with pytest.raises(ArchiveError, match="is left to train on"):
        pretrain({**RECIPE, "data": {"corpora": ["none"]}}, archive, tmp_path / "c", progress=False)
    with pytest.raises(RecipeError, match="n_leads"):
        pretrain({**RECIPE, "encoder": {"name": "conv1d", "n_leads": 2}}, archive, tmp_path / "d", progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        pretrain(recipe(), archive, tmp_path / "file" / "x", progress=False)


def test_collapse_is_told(archive: Archive, tmp_path: Path) -> None:
    from ssl_ecg.methods.registry import METHODS
    from ssl_ecg.methods.simclr import SimCLR

    class Collapsing(SimCLR):
        def loss(self, batch):
            return self.encoder(batch["signal"]).square().mean()

    METHODS["collapsing"] = Collapsing
    try:
        broken = {**recipe(lr=0.3, steps=30, weight_decay=0.5), "method": {"name": "collapsing"}}
        with pytest.warns(UserWarning, match="collapsing"):
            pretrain(broken, archive, tmp_path / "run", progress=False)
    finally:
        del METHODS["collapsing"]


def test_loss_that_is_not_finite_stops_the_run(archive: Archive, tmp_path: Path) -> None:
    from ssl_ecg.errors import TrainingError
    from ssl_ecg.methods.registry import METHODS
    from ssl_ecg.methods.simclr import SimCLR

    class Broken(SimCLR):
        def loss(self, batch):
            return super().loss(batch) * float("nan")

    METHODS["broken"] = Broken
    try:
        with pytest.raises(TrainingError, match=r"lower train\.lr"):
            pretrain({**recipe(), "method": {"name": "broken"}}, archive, tmp_path / "run", progress=False)
    finally:
        del METHODS["broken"]


def test_tensorboard_is_optional(archive: Archive, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    out = pretrain(recipe(steps=2, tensorboard=True), archive, tmp_path / "run", progress=False)
    assert list((out / "tensorboard").glob("events*"))


def test_every_pass_sees_every_strip_once(archive: Archive) -> None:
    from ssl_ecg.train.selection import open_strips

    stream = BatchStream(open_strips(archive, seconds=2), batch_size=8, seed=3, steps=20)
    for number in range(3):
        rows = [row for step in range(5) for row in stream.rows(5 * number + step)]
        assert sorted(rows) == list(range(40))
    assert stream.rows(0) != stream.rows(5)
    halves = [BatchStream(stream.strips, batch_size=8, seed=3, steps=20, rank=rank, world=2).rows(7) for rank in (0, 1)]
    assert sorted(halves[0] + halves[1]) == sorted(stream.rows(7))


def test_step_seeds_do_not_repeat() -> None:
    seeds = {step_seed(seed, step, purpose) for seed in range(5) for step in range(200) for purpose in range(3)}
    assert len(seeds) == 5 * 200 * 3
