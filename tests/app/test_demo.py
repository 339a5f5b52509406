"""The demo: everything the issue names is there, a second call ends at once, few records do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg import load_embeddings, load_encoder, prepare
from ssl_ecg.app import demo as module
from ssl_ecg.app.demo import demo, find_task, held_out_folds
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError, CorpusError, LabelError, RecipeError
from ssl_ecg.leads import STANDARD_LEADS

TINY = ("train.steps=3", "encoder.widths=[4, 8]", "train.monitor_every=100")
FILES = (
    "metrics.json", "report.html", "demo.json", "run/encoder/encoder.safetensors", "run/encoder/card.json",
    "run/log.csv", "embeddings/embeddings.npy", "embeddings/index.parquet", "baseline/embeddings.npy",
    "screen/scores.parquet", "archive/archive.json", "figures/map.png", "figures/map_score.svg",
    "figures/curves.png", "figures/scores.png",
)  # fmt: skip


def check_folder(out: Path, *, probed: bool, simulated: bool, check) -> dict:
    for name in FILES:
        assert (out / name).stat().st_size > 0, name
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["simulated"] is simulated
    assert (metrics["probe"] is not None) is probed
    assert (out / "probe" / "metrics.json").is_file() is probed
    embeddings = load_embeddings(out / "embeddings")
    assert len(embeddings) == metrics["summary"]["records"] == len(pd.read_parquet(out / "screen" / "scores.parquet"))
    assert load_encoder(out / "run").dim == embeddings.dim
    check((out / "report.html").read_text(encoding="utf-8"))
    assert not [p for p in out.rglob("*") if ".part" in p.name]
    return metrics


@pytest.fixture
def plane(monkeypatch) -> None:
    """PCA in place of UMAP, which takes seconds to compile."""
    from ssl_ecg import map as maps

    monkeypatch.setattr(maps, "_umap", lambda sample, plane, *rest: plane)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> Path:
    """A folder of .npy records without labels."""
    from ssl_ecg.data.simulate import simulate

    folder = tmp_path_factory.mktemp("demo") / "mine"
    folder.mkdir()
    for k, record in enumerate(simulate(14, seed=0, fs=100)):
        np.savez(folder / f"x{k}.npz", signal=record.signal, fs=100, leads=list(STANDARD_LEADS))
    return folder


def test_on_ones_own_recordings(plane, recordings: Path, tmp_path: Path, check, monkeypatch, capsys) -> None:
    out = tmp_path / "demo"
    assert demo(out, data=recordings, overrides=TINY, progress=False) == out
    metrics = check_folder(out, probed=False, simulated=False, check=check)
    assert metrics["summary"]["records"] == 14
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}

    monkeypatch.setattr(module, "_pretrain", lambda *args: pytest.fail("pretrained again"))
    demo(out, data=recordings, overrides=TINY)
    assert "finished before" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == written
    (out / "report.html").unlink()
    with pytest.raises(pytest.fail.Exception):
        demo(out, data=recordings, overrides=TINY, progress=False)


def test_refusals(tmp_path: Path, recordings: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(CorpusError, match="does not exist"):
        demo(out, data=tmp_path / "none", progress=False)
    with pytest.raises(RecipeError, match="did you mean 'steps'"):
        demo(out, overrides=["train.stepps=3"], progress=False)
    assert not out.exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("my own")
    with pytest.raises(ArchiveError, match="not of a demo"):
        demo(tmp_path / "mine", progress=False)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["report.html"]
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(recordings.iterdir())[:4]:
        shutil.copy(path, few)
    with pytest.raises(ArchiveError, match="holds 4 recordings that can be used; give at least 10"):
        demo(out, data=few, progress=False)
    with pytest.raises(LabelError, match="has a code of this task"):
        demo(tmp_path / "task", data=recordings, task="superclass", overrides=TINY, progress=False)
    assert not (tmp_path / "task" / "run").exists()
    with pytest.raises(ArchiveError, match="fewer than a batch of 99"):
        demo(tmp_path / "batch", data=recordings, overrides=[*TINY, "train.batch_size=99"], progress=False)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveError, match="cannot be written"):
        demo(tmp_path / "file" / "demo", data=recordings, progress=False)


def test_what_is_probed_and_held_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [("NORM",), ("IMI",), ("164889003",), ("other",)]

    def archive(name: str, codes: list[int], folds: bool = False):
        records = [
            Record(rng.normal(size=(12, 100)).astype(np.float32), 100, STANDARD_LEADS, f"r{k}", f"p{k}", codes=names[c])
            for k, c in enumerate(codes)
        ]
        from ssl_ecg.data.memory import Records

        source = Records(records, folds=5) if folds else Records(records)
        return prepare([source], tmp_path / name, workers=1, progress=False)

    assert find_task(archive("a", [0, 1] * 30)) == "superclass"
    assert find_task(archive("b", [0, 1] * 20)) is None  # too few
    assert find_task(archive("c", [0] * 80)) is None  # one class only
    assert find_task(archive("d", [3] * 80)) is None
    assert held_out_folds(archive("e", [0] * 20)) == ()
    assert held_out_folds(archive("f", [0] * 60, folds=True)) == (5,)


@pytest.mark.slow
def test_on_simulated_recordings(tmp_path: Path, check) -> None:
    demo(tmp_path / "a", records=120, overrides=TINY, seed=1, progress=False)
    metrics = check_folder(tmp_path / "a", probed=True, simulated=True, check=check)
    assert 0 < metrics["probe"]["linear"]["macro"]["auroc"]["value"] <= 1
    assert "baseline" in metrics["probe"]


@pytest.mark.slow
@pytest.mark.real
def test_on_real_recordings(real_data: Path, tmp_path: Path, check) -> None:
    folder = tmp_path / "cinc2011"
    folder.mkdir()
    for header in sorted((real_data / "cinc2011").glob("*.hea"))[:40]:
        shutil.copy(header, folder)
        shutil.copy(header.with_suffix(".dat"), folder)
    demo(tmp_path / "out", data=folder, overrides=TINY, progress=False)
    metrics = check_folder(tmp_path / "out", probed=False, simulated=False, check=check)
    assert metrics["summary"]["records"] == 40
