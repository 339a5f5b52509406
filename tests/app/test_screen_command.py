"""Screening from archives: selections, references, reasons, operating points, what is refused, and going on."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg import prepare
from ssl_ecg.app.screen_sources import Selection
from ssl_ecg.cli import run
from ssl_ecg.commands.screening import NAMES, detector_options, write_csv
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.memory import Records
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import SignalError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.reconstruction.reconstruct import reconstruct
from ssl_ecg.screen.detectors import DETECTORS

N = 90
STRANGE = 60
LEAD, START, STOP = 7, 4.0, 5.0  # V2 is where the strange record deviates


@pytest.fixture(autouse=True, scope="module")
def plane() -> Iterator[None]:
    """PCA in place of UMAP, which takes seconds to compile."""
    from ssl_ecg import map as maps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "_umap", lambda sample, plane, *rest: plane)
        yield


def make_records(n: int, seed: int) -> list[Record]:
    rng = np.random.default_rng(seed)
    time = np.arange(600) / 100
    found = []
    for k in range(n):
        beat = np.exp(-0.5 * ((time % 0.8 - 0.4) / 0.03) ** 2)
        signal = (beat * rng.uniform(0.5, 1.5, (12, 1)) + rng.normal(scale=0.02, size=(12, 600))).astype(np.float32)
        codes = ("NORM", "SR") if k % 3 else ("IMI", "NORM")
        found.append(Record(signal, 100, STANDARD_LEADS, f"r{k}", f"p{seed if k > 5 else 0}-{k}", codes=codes))
    return found


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    records = make_records(N, 0)
    records[STRANGE].signal[LEAD, 400:500] += 4 * np.sin(np.arange(100) / 3)
    records.append(Record(np.full((12, 500), np.nan, np.float32), 100, STANDARD_LEADS, "broken", "p"))
    out = tmp_path_factory.mktemp("screen") / "archive"
    prepare([Records(records, folds=5)], out, workers=1, band=None, progress=False)
    return out


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("screen") / "other"
    prepare(make_records(60, 1), out, workers=1, band=None, progress=False)
    return out


@pytest.fixture(scope="module")
def checkpoint(archive: Path, tmp_path_factory) -> Path:
    """A tiny encoder with random weights."""
    import torch

    from ssl_ecg.models.registry import build_encoder
    from ssl_ecg.preprocessing import Preprocessing
    from ssl_ecg.train.checkpoint import save_encoder

    torch.manual_seed(0)
    architecture = {"name": "conv1d", "widths": [8, 16], "n_leads": 12}
    encoder = build_encoder("conv1d", widths=[8, 16], n_leads=12)
    encoder.preprocessing = Preprocessing(band=None, scale="none")
    folder = tmp_path_factory.mktemp("screen") / "checkpoint"
    save_encoder(encoder.eval(), folder, architecture=architecture)
    return folder


def screen(*arguments: object) -> int:
    return run(["screen", *map(str, arguments), "--quiet"])


def test_a_selection_of_the_archive_is_the_reference(
    archive: Path, checkpoint: Path, tmp_path: Path, check, capsys
) -> None:
    out = tmp_path / "out"
    order = (archive, "--checkpoint", checkpoint, "--reference-codes", "first:NORM", "--out", out, "--detector", "knn")
    assert screen(*order, "--set", "k=3", "--csv", "--top", 3) == 0
    said = capsys.readouterr().out
    table = pd.read_parquet(out / "scores.parquet")
    usual = load_embeddings(out / "reference")
    codes = Archive(archive).index["codes"]
    first = [k for k in range(N) if codes[k][0] == "NORM"]
    assert usual.index["row"].tolist() == first
    assert table["row"].tolist() == [k for k in range(N) if k not in first]
    assert table.loc[table["anomaly_score"].idxmax(), "record_id"] == f"r{STRANGE}"
    assert f"r{STRANGE}" in said
    assert "as a whole the screened recordings" in said
    assert json.loads((out / "screen.json").read_text())["reference_selection"] == "with the first code NORM"
    assert json.loads((out / "screen.json").read_text())["params"]["k"] == 3
    text = (out / "report.html").read_text(encoding="utf-8")
    page = check(text)
    assert "Nearest reference recording" in text
    assert "Is the archive like the reference?" in text
    assert "records/broken" in text
    assert {"anomaly-1", "anomaly-2", "anomaly-3"} <= {attrs.get("id") for _, attrs in page.elements}
    ordered = pd.read_csv(out / "scores.csv")["anomaly_score"]
    assert (ordered.diff().dropna() <= 0).all()

    strange = table[table["record_id"] == f"r{STRANGE}"].iloc[0]
    assert STANDARD_LEADS[LEAD] in strange["leads"].split(", ")
    begin, end = map(float, strange["seconds"].split(", ")[0].split("-"))
    assert begin < STOP
    assert end > START
    explained = table["leads"] != ""
    assert explained.sum() == 3
    assert table.loc[explained, "anomaly_score"].min() >= table.loc[~explained, "anomaly_score"].max()


def test_run_again_embeds_nothing(archive: Path, checkpoint: Path, tmp_path: Path, monkeypatch) -> None:
    order = (archive, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--no-reasons")
    assert screen(*order) == 0
    written = (tmp_path / "out" / "embeddings" / "embeddings.npy").stat().st_mtime_ns
    monkeypatch.setattr("ssl_ecg.embedding.run._forward", lambda *given: pytest.fail("embedded again"))
    assert screen(*order, "--detector", "mahalanobis", "--quantile", 0.9) == 0
    assert (tmp_path / "out" / "embeddings" / "embeddings.npy").stat().st_mtime_ns == written
    card = json.loads((tmp_path / "out" / "screen.json").read_text())
    assert (card["detector"], card["operating"]) == ("mahalanobis", {"kind": "quantile", "level": 0.9})
    table = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    expected = table["anomaly_score"] > np.quantile(table["anomaly_score"], 0.9, method="higher")
    assert table["flagged"].tolist() == expected.tolist()
    assert set(table["leads"]) == {""}


def test_another_archive_is_the_reference(
    archive: Path, other: Path, checkpoint: Path, tmp_path: Path, check, capsys
) -> None:
    out = tmp_path / "out"
    order = (archive, "--checkpoint", checkpoint, "--reference", other, "--out", out, "--false-alarms", 0.1)
    assert screen(*order, "--folds", "1-4", "--top", 2) == 0
    table = pd.read_parquet(out / "scores.parquet")
    folds = Archive(archive).index["fold"]
    assert table["row"].tolist() == [k for k in range(N) if folds[k] <= 4]
    assert (table["flagged"] == (table["p_value"] <= 0.1)).all()
    assert len(load_embeddings(out / "embeddings_reference")) == 60
    text = (out / "report.html").read_text(encoding="utf-8")
    check(text)
    assert "false-alarm rate of at most 0.1" in text
    assert "p-value" in text
    assert "Patients with recordings on both sides: " in text


def test_embeddings_with_archive_and_checkpoint(archive: Path, checkpoint: Path, tmp_path: Path, fails) -> None:
    embedded = tmp_path / "embeddings"
    assert run(["embed", str(archive), "--checkpoint", str(checkpoint), "--out", str(embedded), "--quiet"]) == 0
    out = ("--out", tmp_path / "out", "--no-drift", "--top", 1)
    more = ("--archive", archive, "--checkpoint", checkpoint)
    assert screen(embedded, *more, "--reference-folds", "1,2", *out) == 0
    table = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    assert (table["leads"] != "").sum() == 1
    assert not (tmp_path / "out" / "drift.json").exists()
    records = load_embeddings(embedded)
    card = {**records.card, "encoder": "0" * 64}
    Embeddings(records.vectors, records.index, card).save(tmp_path / "foreign")
    assert "another encoder" in fails("screen", tmp_path / "foreign", *more, *out)
    assert "another encoder" in fails("screen", embedded, "--reference", tmp_path / "foreign", *out)
    Embeddings(records.vectors[:, :5], records.index).save(tmp_path / "narrow")
    assert "(5 numbers a record, not 16)" in fails("screen", embedded, "--reference", tmp_path / "narrow", *out)


def test_records_without_embedding_are_listed(archive: Path, tmp_path: Path, capsys) -> None:
    vectors = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    vectors[[3, 50]] = np.nan
    Embeddings(vectors, Archive(archive).index).save(tmp_path / "e")
    assert screen(tmp_path / "e", "--archive", archive, "--out", tmp_path / "out", "--top", 0) == 0
    assert "2 recordings have no finite embedding" in capsys.readouterr().out
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Recordings without a score" in text
    assert '<td class="">r50</td>' in text


@pytest.mark.slow
def test_reasons_by_reconstruction(archive: Path, checkpoint: Path, tmp_path: Path) -> None:
    tiny = ("train.steps=2", "train.batch_size=8", "encoder.widths=[4,8]", "train.monitor_every=100")
    sets = [part for override in tiny for part in ("--set", override)]
    assert (
        run(["pretrain", "autoencoder", "--data", str(archive), "--out", str(tmp_path / "run"), *sets, "--quiet"]) == 0
    )
    out = ("--out", tmp_path / "out", "--top", 2, "--reconstruction", tmp_path / "run")
    assert screen(archive, "--checkpoint", checkpoint, *out) == 0
    strange = pd.read_parquet(tmp_path / "out" / "scores.parquet").iloc[STRANGE]
    assert STANDARD_LEADS[LEAD] in strange["leads"]
    assert "by how badly a piece is reconstructed" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_scores_by_reconstruction(archive: Path, tmp_path: Path, fails) -> None:
    tiny = ("train.steps=2", "train.batch_size=8", "encoder.widths=[4,8]", "train.monitor_every=100")
    sets = [part for override in tiny for part in ("--set", override)]
    autoencoder = tmp_path / "run"
    assert run(["pretrain", "autoencoder", "--data", str(archive), "--out", str(autoencoder), *sets, "--quiet"]) == 0
    asked = ("--checkpoint", autoencoder, "--detector", "reconstruction", "--top", 2, "--out", tmp_path / "out")
    assert screen(archive, *asked, "--quantile", 0.9) == 0
    table = pd.read_parquet(tmp_path / "out" / "scores.parquet")
    score = reconstruct(autoencoder, Archive(archive), table["row"].to_numpy()).score
    np.testing.assert_allclose(table["anomaly_score"], score, rtol=1e-5)
    for k, one in table.iterrows():
        assert one["percentile"] == pytest.approx(100 * sum(other < score[k] for other in score) / len(score))
        assert one["flagged"] == (sum(other < score[k] for other in score) > math.ceil(0.9 * (len(score) - 1)))
    card = json.loads((tmp_path / "out" / "screen.json").read_text())
    assert (card["detector"], card["n_flagged"]) == ("reconstruction", int(table["flagged"].sum()))
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "error of an autoencoder" in page
    assert "by how badly a piece is reconstructed" in page
    embeddings = (tmp_path / "out" / "embeddings", "--detector", "reconstruction", "--out", tmp_path / "other")
    assert "no autoencoder, or no signal" in fails("screen", *embeddings, "--reconstruction", autoencoder)


def test_what_is_refused(archive: Path, checkpoint: Path, tmp_path: Path, fails) -> None:
    out = ("--out", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with_encoder = ("--checkpoint", checkpoint, "--no-reasons", "--quiet")
    assert "no encoder was named; give --checkpoint" in fails("screen", archive, *out)
    assert "no embeddings.npy" in fails("screen", tmp_path / "none", *out)
    assert "unknown detector 'knm'" in fails("screen", archive, *with_encoder, "--detector", "knm", *out)
    assert "no parameter 'kk'" in fails("screen", archive, *with_encoder, "--detector", "knn", "--set", "kk=1", *out)
    assert "is not KEY=VALUE" in fails("screen", archive, *with_encoder, "--set", "k", *out)
    assert "not allowed with" in fails("screen", archive, "--budget", 5, "--quantile", 0.9, *out)
    assert not (tmp_path / "out").exists()
    assert "did you mean 'superclass'" in fails("screen", archive, *with_encoder, "--task", "superclas", *out)
    assert "give 0 to below 1000" in fails("screen", archive, *with_encoder, "--budget", 1000, *out)
    assert "have no p-values" in fails("screen", archive, *with_encoder, "--false-alarms", 0.1, *out)
    assert "none of 90 records is left as reference" in fails(
        "screen", archive, *with_encoder, "--reference-codes", "AFIB", *out
    )
    assert "none of 90 records is left to screen" in fails("screen", archive, *with_encoder, "--folds", 9, *out)
    assert "none of 90 records is left to screen" in fails(
        "screen", archive, *with_encoder, "--reference-codes", "NORM", *out
    )
    assert "no embeddings.npy" in fails("screen", archive, *with_encoder, "--reference", tmp_path / "empty", *out)
    two = prepare(
        [Record(np.ones((2, 500), np.float32), 100, ("II", "V1"), "a")],
        tmp_path / "two",
        leads="II,V1",
        workers=1,
        progress=False,
    )
    assert "the encoder was trained on" in fails("screen", two.path, *with_encoder, *out)


@pytest.fixture
def fails(capsys):
    """Run a command that must fail with one line; give that line."""

    def check(*arguments: object) -> str:
        assert run([str(a) for a in arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("ssl-ecg: error: ")
        return lines[0]

    return check


def test_help_names_every_detector() -> None:
    assert (*DETECTORS, "reconstruction") == NAMES


def test_selections_in_words() -> None:
    assert str(Selection((1, 2, 3, 9), ("NORM",))) == "folds 1-3, 9 with the code NORM"
    assert str(Selection((), ("first:NORM", "SR"))) == "with the first code NORM or the code SR"
    assert not Selection()
    index = pd.DataFrame({"fold": pd.array([1, None, 3], dtype="Int64"), "codes": [(), ("A",), ("A", "B")]})
    assert Selection((1, 3), ()).rows(index).tolist() == [True, False, True]
    assert Selection((), ("first:B", "C")).rows(index).tolist() == [False, False, False]


def test_options_and_csv(tmp_path: Path) -> None:
    assert detector_options(["k=8", "candidates=[2, 3]", "n_components=null"]) == {
        "k": 8, "candidates": [2, 3], "n_components": None,
    }  # fmt: skip
    with pytest.raises(SignalError, match="not valid YAML"):
        detector_options(["k=[1"])
    table = pd.DataFrame({"record_id": ["a", "b"], "anomaly_score": [1.0, 2.0], "nearest": [["x", "y"], []]})
    write_csv(table, tmp_path / "s.csv")
    assert (tmp_path / "s.csv").read_text().splitlines() == ["record_id,anomaly_score,nearest", "b,2.0,", "a,1.0,x y"]
