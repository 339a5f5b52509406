"""The recipes of published systems: what they stand for, and that each runs, from scratch and pretrained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_ecg import Archive, load_encoder, prepare, pretrain
from ssl_ecg.data.simulate import SimulatedCorpus
from ssl_ecg.finetuning.run import finetune
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.prediction.predict import predict
from ssl_ecg.recipes import load_recipe
from ssl_ecg.train.heads import Head

SMALL = {
    "resnet34_cpsc": {"widths": [4, 4, 4, 8]},
    "resnet_lstm_ptbxl": {"widths": [8, 4], "hidden": 4, "dense": 8, "metadata_dense": 4, "joint_dense": 8},
    "lead_attention_cinc": {"stem_widths": [4, 4, 4, 8], "width": 8, "heads": 2, "blocks": [1, 1, 1]},
}
TASKS = {"resnet34_cpsc": "cpsc9", "resnet_lstm_ptbxl": "superclass", "lead_attention_cinc": "cinc26"}


@pytest.mark.parametrize(
    ("name", "classes", "parameters"), [("resnet34_cpsc", 9, 16_610_185), ("resnet_lstm_ptbxl", 5, 957_957)]
)
def test_sizes_are_the_published_ones(name: str, classes: int, parameters: int) -> None:
    recipe = load_recipe(f"finetune/{name}")
    encoder = build_encoder(**recipe["encoder"])
    count = sum(p.numel() for module in (encoder, Head(encoder.dim, classes)) for p in module.parameters())
    if name == "resnet_lstm_ptbxl":  # as Keras counts: statistics of the norms, and one bias for each gate
        count += sum(b.numel() for key, b in encoder.named_buffers() if key.endswith(("running_mean", "running_var")))
        count -= 1024
    assert count == parameters


def test_settings_are_the_published_ones() -> None:
    s1, s2, s3 = (load_recipe(f"finetune/{name}") for name in SMALL)
    assert s1["data"]["seconds"] * 500 == 15_000
    assert (s1["train"]["lr"], s1["train"]["batch_size"], s1["loss"]["name"]) == (1e-4, 32, "bce")
    assert s1["train"]["steps"] / s1["train"]["validate_every"] == 40
    assert s2["data"]["seconds"] * 100 == 1000
    assert s2["encoder"]["metadata"]
    assert (s2["loss"]["alpha"], s2["loss"]["gamma"], s2["loss"]["power"]) == (0.434, 2.135, 1.0)
    assert (s2["train"]["lr"], s2["train"]["batch_size"], s2["train"]["patience"]) == (4.67e-4, 64, 7)
    assert s3["data"]["seconds"] * 500 == 8192
    assert s3["views"]["transforms"][0]["sizes"] == [12, 8, 6, 4, 3, 2]
    assert (s3["loss"]["power"], s3["loss"]["negative"], s3["train"]["clip"]) == (0.0, 0.1, 10.0)
    for recipe in (s2, s3):
        assert recipe["train"]["steps"] / recipe["train"]["validate_every"] == 100


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    corpus = SimulatedCorpus(60, seed=0, seconds=4.0, fs=100.0)
    return prepare([corpus], tmp_path_factory.mktemp("data") / "a", band=None, workers=1, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_two_steps_from_scratch_and_from_its_own_pretraining(name: str, archive: Archive, tmp_path: Path) -> None:
    overrides = [f"encoder.{key}={value}" for key, value in SMALL[name].items()]
    shrunk = load_recipe(f"finetune/{name}", overrides)
    length = 6.0 if name != "resnet_lstm_ptbxl" else 3.0  # longer than the records, and shorter
    steps = ["train.steps=2", "train.batch_size=8", "train.validate_every=1", "train.precision=float32"]
    window = [f"data.seconds={length}", "data.test_stride=2"]
    rows = {"train": np.arange(40), "val": np.arange(40, 60)}
    patients = archive.index["patient_id"]
    rows["val"] = rows["val"][~patients.iloc[40:60].isin(set(patients.iloc[:40])).to_numpy()]
    simclr = {
        "encoder": shrunk["encoder"], "method": "simclr", "views": {"transforms": ["gain"]},
        "data": {"seconds": 2, "scale": shrunk["data"]["scale"]},
        "train": {"steps": 1, "batch_size": 8, "precision": "float32"},
    }  # fmt: skip
    checkpoint = pretrain(simclr, archive, tmp_path / "pre", progress=False)
    options = {"task": TASKS[name], "rows": rows, "progress": False, "test_leads": ["I,II"]}
    for start in (None, checkpoint):
        out = tmp_path / ("scratch" if start is None else "tuned")
        changed = [*overrides, *window, *steps]
        if start is not None:
            changed += ["head.start=probe", "train.norms=fixed", "train.mode=layerwise"]
        finetune(f"finetune/{name}", archive, out, checkpoint=start, overrides=changed, **options)
        found = json.loads((out / "metrics.json").read_text())
        assert found["training"]["steps"] == 2
        assert np.isfinite(found["validation"]["macro"]["auroc"])
        assert (found["checkpoint"] is None) == (start is None)
        table = predict(archive, out, progress=False)
        assert np.isfinite(table.filter(like="proba_").to_numpy()).all()
    before, after = load_encoder(checkpoint).state_dict(), load_encoder(tmp_path / "tuned").state_dict()
    assert before.keys() == after.keys()
    moved = [float((before[key].float() - after[key].float()).abs().max()) for key in before]
    assert max(moved) < 1e-2, "two small steps away from the pretrained weights"
    assert torch.isfinite(torch.tensor(moved)).all()
