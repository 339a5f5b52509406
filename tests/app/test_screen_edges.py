"""Reports of screens in unusual cases: nothing is left of earlier ones, and no record stands for itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg import prepare
from ssl_ecg.app import screen_by_error, screening
from ssl_ecg.app.screen_parts import find_anomalies
from ssl_ecg.app.screen_sources import Source
from ssl_ecg.app.screen_words import summarise
from ssl_ecg.app.screening import screen_with_report
from ssl_ecg.commands.screening import said, write_csv
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.screen.folder import score_table
from ssl_ecg.screen.operating import OperatingPoint

CLOUD = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


@pytest.fixture(autouse=True, scope="module")
def plane() -> Iterator[None]:
    """PCA in place of UMAP, which takes seconds to compile."""
    from ssl_ecg import map as maps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "_umap", lambda sample, plane, *rest: plane)
        yield


def embeddings(Z: np.ndarray, corpus: str = "toy") -> Embeddings:
    names = [f"r{k}" for k in range(len(Z))]
    return Embeddings(Z, pd.DataFrame({"record_id": names, "corpus": corpus, "patient_id": names}))


@pytest.mark.parametrize("with_reference", [False, True])
def test_no_record_is_its_own_typical_one(tmp_path: Path, with_reference: bool) -> None:
    rng = np.random.default_rng(1)
    made = [
        Record(rng.normal(size=(12, 300)).astype(np.float32) / 5, 100, STANDARD_LEADS, f"r{k}", f"p{k}")
        for k in range(20)
    ]
    archive = prepare(made, tmp_path / "a", workers=1, progress=False)
    records = Embeddings(CLOUD[:20], archive.index)
    usual = records if with_reference else None
    table = score_table(DETECTORS["knn"](n_components=None), records, usual)
    found = find_anomalies(table, records, archive, 20, usual=usual, usual_archive=archive if usual else None)
    scale = CLOUD[:20].std(axis=0) + 1e-9
    for item in found:
        allowed = [k for k in range(20) if k != item.row and (with_reference or not table["flagged"][k])]
        apart = [np.linalg.norm((CLOUD[k] - CLOUD[item.row]) / scale) for k in allowed]
        assert item.typical is not None
        assert item.typical.record_id == f"r{allowed[int(np.argmin(apart))]}"


def test_equal_recordings_are_screened(tmp_path: Path) -> None:
    embeddings(CLOUD).save(tmp_path / "usual")
    embeddings(np.ones((30, 5), np.float32), "new").save(tmp_path / "equal")
    table = screen_with_report(tmp_path / "equal", tmp_path / "out", reference=tmp_path / "usual")
    assert table["anomaly_score"].nunique() == 1
    assert table["flagged"].sum() == 1, "20 of 1,000, at least one, though all score alike"
    assert "Flagged recordings (1)" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_nothing_is_left_of_an_earlier_screen(tmp_path: Path, monkeypatch) -> None:
    embeddings(CLOUD).save(tmp_path / "e")
    table = screen_with_report(tmp_path / "e", tmp_path / "out", reference=tmp_path / "e")
    write_csv(table, tmp_path / "out" / "scores.csv")
    stale = [tmp_path / "out" / name for name in ("scores.csv", "drift.json", "report.html")]
    assert all(path.is_file() for path in stale)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(screening, "explain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        screen_with_report(tmp_path / "e", tmp_path / "out", detector="knn")
    assert not any(path.is_file() for path in stale)


def test_patients_of_two_corpora_are_not_the_same() -> None:
    here, there = embeddings(CLOUD, "a"), embeddings(CLOUD[:10], "b")
    both = Embeddings(np.vstack([CLOUD, CLOUD[:10]]), pd.concat([here.index, there.index]))
    order = {"reference": None, "reference_selection": None}
    table = pd.DataFrame(index=range(70))
    assert summarise(table, Source(both, Path(), None), None, order).patients == 70
    apart = summarise(table, Source(here, Path(), None), Source(there, Path(), None), order)
    assert not any("both sides" in remark for remark in apart.remarks)
    shared = summarise(table, Source(both, Path(), None), Source(there, Path(), None), order)
    assert any("both sides: 10;" in remark for remark in shared.remarks)


def test_records_without_a_score_are_not_among_the_strangest() -> None:
    table = pd.DataFrame({"record_id": ["a", "b"], "anomaly_score": [np.nan, 1.0], "flagged": False, "leads": ""})
    lines = said(table)
    assert [line.split()[0] for line in lines[1:-1]] == ["b"]
    assert lines[-1].startswith("1 recordings have no finite embedding")


def test_all_of_the_reference_is_the_standard_of_reconstruction_errors(tmp_path: Path, monkeypatch) -> None:
    embeddings(CLOUD).save(tmp_path / "usual")
    embeddings(CLOUD[:20], "new").save(tmp_path / "new")
    errors = {60: np.arange(60.0), 20: np.array([*range(19), 99.0])}
    monkeypatch.setattr(screening, "autoencoder", lambda *_: object())
    monkeypatch.setattr(screen_by_error, "_errors", lambda model, source, progress: errors[len(source.records)])
    table = screen_with_report(
        tmp_path / "new", tmp_path / "out", reference=tmp_path / "usual", detector="reconstruction", reasons=False,
        operating=OperatingPoint("conformal", 0.02),  # needs 49, more than a third of the reference
    )  # fmt: skip
    assert table["p_value"].tolist() == [(1 + 60 - k) / 61 for k in range(19)] + [1 / 61]
    assert table["flagged"].tolist() == [False] * 19 + [True]
    card = json.loads((tmp_path / "out" / "screen.json").read_text())
    assert (card["operating"], card["n_calibration"]) == ({"kind": "conformal", "level": 0.02}, 60)
    assert card["alert_budget_per_1000"] is None
