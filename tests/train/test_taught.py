"""A teacher's embeddings as targets, few leads in pretraining, and pretraining that goes on from a checkpoint."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from ssl_ecg import Archive, embed, prepare, pretrain, simulate
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CheckpointError, RecipeError, SignalError
from ssl_ecg.methods.simclr import SimCLR
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.checkpoint import load_encoder
from ssl_ecg.train.selection import open_strips
from ssl_ecg.train.taught import teacher_targets

ENCODER = {"name": "conv1d", "widths": [8, 16]}
RECIPE = {
    "encoder": ENCODER,
    "views": {"crop": 100, "transforms": ["gain"]},
    "method": {"name": "distillation", "hidden_dim": 8},
    "data": {"seconds": 4, "leads": ["II"]},
    "train": {"steps": 3, "batch_size": 8, "precision": "float32", "lr": 1e-3},
}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    records = simulate(16, seed=0, seconds=4, fs=100)
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", workers=1, progress=False)


@pytest.fixture(scope="module")
def teacher(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = {**RECIPE, "method": {"name": "simclr", "hidden_dim": 8, "out_dim": 4}, "data": {"seconds": 4}}
    return pretrain(recipe, archive, tmp_path_factory.mktemp("runs") / "teacher", progress=False)


def taught(teacher: Path) -> list[str]:
    return [f"data.teacher={teacher}"]


def test_targets_are_the_embeddings_of_all_leads(archive: Archive, teacher: Path) -> None:
    rows = np.array([1, 4, 4, 7, 9, 15])
    targets = teacher_targets(archive, rows, teacher)
    encoder = load_encoder(teacher)
    with torch.no_grad():
        z = np.stack([encoder(torch.from_numpy(archive.read(int(k))[None]))[0].numpy() for k in np.unique(rows)])
    wanted = (z - z.mean(axis=0)) / z.std(axis=0)
    np.testing.assert_allclose(targets[np.unique(rows)], wanted, atol=1e-3)
    assert np.isnan(targets[np.setdiff1d(np.arange(16), rows)]).all()


def test_a_student_is_shown_its_leads_only(archive: Archive, teacher: Path) -> None:
    strips = open_strips(archive, seconds=4, leads=["II", "V2"], teacher=str(teacher))
    batch, whole = strips.__getitems__([3, 5]), open_strips(archive, seconds=4).__getitems__([3, 5])
    kept = [archive.leads.index(lead) for lead in ("II", "V2")]
    others = np.setdiff1d(np.arange(12), kept)
    assert not batch["signal"][:, others].any()
    assert not batch["lead_mask"][:, others].any()
    assert batch["lead_mask"][:, kept].all()
    torch.testing.assert_close(batch["signal"][:, kept], whole["signal"][:, kept])
    assert batch["target_mask"].all()
    with pytest.raises(SignalError, match="V9"):
        open_strips(archive, seconds=4, leads=["V9"])


def test_a_run_begins_with_the_teacher_and_says_what_it_comes_from(
    archive: Archive, teacher: Path, tmp_path: Path
) -> None:
    options = {"checkpoint": teacher, "overrides": taught(teacher), "progress": False}
    at_rest = {**options, "overrides": [*taught(teacher), "train.lr=1e-9"]}
    still = pretrain(RECIPE, archive, tmp_path / "still", **at_rest)
    weights, before = load_encoder(still).state_dict(), load_encoder(teacher).state_dict()
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            torch.testing.assert_close(weights[name], value, atol=1e-6, rtol=1e-4)
    run = pretrain(RECIPE, archive, tmp_path / "run", **options)
    card = json.loads((run / "encoder" / "card.json").read_text())
    assert card["teacher"]["pretrained_on"]["records"] == card["start"]["pretrained_on"]["records"] == 16
    assert card["architecture"] == load_encoder(teacher).card["architecture"]
    assert (run / "teacher" / "embeddings.npy").is_file()
    assert embed(load_encoder(run), archive).vectors.shape == (16, 16)
    with pytest.raises(CheckpointError, match="another archive or encoder"):
        pretrain(RECIPE, archive, run, overrides=taught(teacher), progress=False)


@pytest.mark.parametrize("partner", ["window", "patient"])
def test_partners_show_the_same_leads(archive: Archive, partner: str) -> None:
    batch = open_strips(archive, seconds=2, leads=["II"], partner=partner).__getitems__([0, 3])
    for strips, mask in (("signal", "lead_mask"), ("partner", "partner_mask")):
        assert batch[strips].any(dim=2).tolist() == batch[mask].tolist() == [[k == 1 for k in range(12)]] * 2


def test_an_encoder_out_of_a_checkpoint_is_trained_as_another(
    archive: Archive, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its batch normalisation follows the batches: in evaluation mode it would be trained beside old statistics."""
    loss, modes = SimCLR.loss, []

    def watched(self: SimCLR, batch: dict) -> torch.Tensor:
        modes.append({part.training for part in self.modules()})
        return loss(self, batch)

    monkeypatch.setattr(SimCLR, "loss", watched)
    recipe = {**RECIPE, "method": {"name": "simclr"}, "data": {"seconds": 4}}
    pretrain(recipe, archive, tmp_path / "run", checkpoint=teacher, progress=False)
    assert modes == [{True}] * 3


def test_what_was_not_shown_counts_as_absent_ever_after(archive: Archive, teacher: Path, tmp_path: Path) -> None:
    recipe = {**RECIPE, "method": {"name": "simclr"}, "data": {"seconds": 2, "leads": ["V2", "II"]}}
    run = pretrain(recipe, archive, tmp_path / "run", checkpoint=teacher, progress=False)
    encoder = load_encoder(run)
    assert (encoder.preprocessing.shown, encoder.preprocessing.seconds) == (("II", "V2"), 2)
    kept = np.array([lead in ("II", "V2") for lead in archive.leads])
    with torch.no_grad():
        wanted = encoder(torch.from_numpy(archive.read(5) * kept[:, None])[None])[0].numpy()
    np.testing.assert_allclose(embed(encoder, archive).vectors[5], wanted, rtol=1e-4, atol=1e-6)
    again = pretrain({**recipe, "data": {"seconds": 4}}, archive, tmp_path / "again", checkpoint=run, progress=False)
    assert load_encoder(again).preprocessing.shown == ("II", "V2")
    assert load_recipe(again / "recipe.yaml")["data"]["leads"] == ["II", "V2"]
    everything = {"seconds": 4, "leads": list(archive.leads)}
    whole = pretrain({**recipe, "data": everything}, archive, tmp_path / "whole", checkpoint=run, progress=False)
    assert load_encoder(whole).preprocessing.shown is None


def test_records_without_a_shown_lead_are_counted(archive: Archive, teacher: Path) -> None:
    records = [Record(archive.read(k)[:6], 100.0, archive.leads[:6], f"limbs{k}") for k in range(3)]
    encoder = load_encoder(teacher)
    encoder.preprocessing = replace(encoder.preprocessing, shown=("V1",))
    with TemporaryDirectory() as folder:
        limbs = prepare(records, Path(folder) / "limbs", workers=1, progress=False)
        with pytest.warns(UserWarning, match="3 records have none of V1"):
            embed(encoder, limbs)


def test_layers_that_are_not_learnt_are_named(archive: Archive, tmp_path: Path) -> None:
    small = {"name": "resnet_lstm", "widths": [8, 8], "hidden": 8, "dense": 8}
    recipe = {**RECIPE, "encoder": small, "data": {"seconds": 4}}
    masked = {**recipe, "method": {"name": "autoencoder", "corruption": "mask", "patch": 20}}
    with pytest.warns(UserWarning, match="does not reach attention, dense of the encoder"):
        pretrain({**masked, "views": None}, archive, tmp_path / "masked", progress=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*does not reach")
        pretrain({**recipe, "method": {"name": "simclr"}}, archive, tmp_path / "simclr", progress=False)


def test_the_encoder_of_the_recipe_gives_way(archive: Archive, teacher: Path, tmp_path: Path) -> None:
    recipe = {**RECIPE, "encoder": {"name": "conv1d", "widths": [4, 4, 4]}, "method": {"name": "simclr"}}
    run = pretrain(recipe, archive, tmp_path / "run", checkpoint=teacher, progress=False)
    assert load_encoder(run).dim == 16
    assert "widths:\n  - 8\n  - 16" in (run / "recipe.yaml").read_text()


def test_what_does_not_fit_is_named(archive: Archive, teacher: Path, tmp_path: Path) -> None:
    def fails(error: type[Exception], match: str, *overrides: str, **changes: object) -> None:
        with pytest.raises(error, match=match):
            pretrain({**RECIPE, **changes}, archive, tmp_path / "x", overrides=overrides, progress=False)
        assert not (tmp_path / "x").exists()

    fails(RecipeError, "measurements or a teacher")
    fails(RecipeError, "learns nothing from it", *taught(teacher), method={"name": "simclr"})
    fails(RecipeError, "stands beside data.teacher", *taught(teacher), "data.measures=true")
    fails(CheckpointError, "no such checkpoint", "data.teacher=nobody")
    narrow = prepare(simulate(9, seed=0, seconds=4, fs=50), tmp_path / "n", fs=50, band=None, progress=False)
    with pytest.raises(CheckpointError, match="Hz"):
        pretrain(RECIPE, narrow, tmp_path / "y", overrides=taught(teacher), progress=False)
