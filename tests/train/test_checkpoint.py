from __future__ import annotations

import json

import pytest
import torch

import ssl_ecg
from ssl_ecg.errors import CheckpointError
from ssl_ecg.models.conv1d import Conv1DEncoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.checkpoint import (
    find_checkpoint,
    load_encoder,
    read_card,
    released_checkpoints,
    save_encoder,
)

ARCHITECTURE = {"name": "conv1d", "widths": [8, 16]}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    encoder = Conv1DEncoder(widths=(8, 16))
    encoder.preprocessing = Preprocessing(fs=250, band=None, scale="lead", seconds=5)
    return save_encoder(encoder.eval(), tmp_path / "run" / "encoder", architecture=ARCHITECTURE, card={"note": "é"})


def change_card(folder, **changes) -> None:
    card = json.loads((folder / "card.json").read_text())
    card.update(changes)
    (folder / "card.json").write_text(json.dumps(card))


def test_preprocessing_comes_back(saved) -> None:
    encoder = load_encoder(saved)
    assert encoder.preprocessing == Preprocessing(fs=250, band=None, scale="lead", seconds=5)
    assert encoder.card["note"] == "é"
    assert encoder.card["parameters"] == sum(p.numel() for p in encoder.parameters())


def test_run_folder_card_file_and_name_are_found(saved) -> None:
    assert find_checkpoint(saved.parent) == find_checkpoint(saved) == find_checkpoint(saved / "card.json")
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        find_checkpoint("never-released")


def test_folder_without_checkpoint(tmp_path) -> None:
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        load_encoder(tmp_path)


def test_later_version_is_refused(saved) -> None:
    change_card(saved, format=99)
    with pytest.raises(CheckpointError, match="upgrade"):
        load_encoder(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": {"name": "conv1d", "widths": [8, 24]}},
        {"architecture": {"name": "resnet9000"}},
        {"architecture": {"name": "conv1d", "wide": 3}},
        {"architecture": None},
        {"preprocessing": {"fs": 100}},
    ],
)
def test_card_that_does_not_fit(saved, changes) -> None:
    change_card(saved, **changes)
    with pytest.raises(CheckpointError):
        load_encoder(saved)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\x80\x04pickle", b'{"a": 1}'])
def test_damaged_files(saved, content) -> None:
    weights = saved / "encoder.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(content)
    with pytest.raises(CheckpointError):
        load_encoder(saved)
    weights.write_bytes(whole[:-10])
    with pytest.raises(CheckpointError):
        load_encoder(saved)
    weights.write_bytes(whole)
    (saved / "card.json").write_bytes(content)
    with pytest.raises(CheckpointError):
        load_encoder(saved)


def test_unwritable_folder(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        save_encoder(Conv1DEncoder(widths=(8, 16)), tmp_path / "file" / "c", architecture=ARCHITECTURE)


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ({"fs": 500.0}, "--fs 250"),
        ({"leads": ("I", "II")}, "--leads I,II,III"),
        ({"band": (0.5, 40.0)}, "--band none"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_a_remedy(saved, wrong, remedy) -> None:
    preprocessing = load_encoder(saved).preprocessing
    fits = {"fs": 250.0, "leads": ssl_ecg.leads.STANDARD_LEADS, "band": None, "where": "archive"}
    preprocessing.check(**fits)
    with pytest.raises(CheckpointError, match=remedy):
        preprocessing.check(**{**fits, **wrong})


def test_released_checkpoints_load_and_embed() -> None:
    for name in released_checkpoints():
        encoder = load_encoder(name)
        samples = round(encoder.preprocessing.fs * encoder.preprocessing.seconds)
        z = encoder(torch.zeros(1, encoder.n_leads, samples))
        assert z.shape == (1, encoder.dim)
        assert torch.isfinite(z).all()
        assert {"pretrained_on", "recipe", "licence"} <= set(read_card(name))
