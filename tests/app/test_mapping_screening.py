"""The picture of `ssl-ecg map` and the report of `ssl-ecg screen`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ssl_ecg import prepare
from ssl_ecg.app.mapping import draw_map, label_colours, order_of
from ssl_ecg.app.screen_parts import find_anomalies, find_quality
from ssl_ecg.app.screening import screen_with_report
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.vectors import Embeddings, load_embeddings
from ssl_ecg.errors import ArchiveError, LabelError, SignalError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.screen.detectors import DETECTORS
from ssl_ecg.screen.folder import score_table

N = 40
STRANGE = 17


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(
            rng.normal(size=(12, 500)).astype(np.float32) / 5, 100, STANDARD_LEADS, f"r{k}", f"p{k}",
            codes=("NORM",) if k % 2 else ("IMI",),
        )
        for k in range(N)
    ]  # fmt: skip
    broken = Record(np.full((12, 500), np.nan, np.float32), 100, STANDARD_LEADS, "broken", "p")
    out = tmp_path_factory.mktemp("screening") / "archive"
    return prepare([*records, broken], out, workers=1, progress=False)


@pytest.fixture(scope="module")
def folder(archive: Archive, tmp_path_factory) -> Path:
    vectors = np.random.default_rng(1).normal(size=(len(archive), 4)).astype(np.float32)
    vectors[STRANGE] = 30
    return Embeddings(vectors, archive.index).save(tmp_path_factory.mktemp("screening") / "embeddings")


@pytest.fixture(autouse=True, scope="module")
def plane() -> Iterator[None]:
    """PCA in place of UMAP, which takes seconds to compile."""
    from ssl_ecg import map as maps

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps, "_umap", lambda sample, plane, *rest: plane)
        yield


@pytest.fixture(scope="module")
def scores(folder: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("screening") / "screen"
    screen_with_report(folder, out)
    return out


def test_without_archive_the_report_says_how_to_draw(scores: Path) -> None:
    text = (scores / "report.html").read_text(encoding="utf-8")
    assert "Give --archive" in text
    table = pd.read_parquet(scores / "scores.parquet")
    assert len(table) == N
    assert {"record_id", "anomaly_score"} <= set(table.columns)
    assert table["anomaly_score"].idxmax() == STRANGE
    assert table.loc[table["flagged"], "record_id"].tolist() == [f"r{STRANGE}"]


@pytest.mark.parametrize("detector", ["kmeans", "dbscan", "hdbscan", "knn"])
def test_with_archive_the_strangest_are_drawn(
    folder: Path, archive: Archive, tmp_path: Path, check, detector: str
) -> None:
    table = screen_with_report(folder, tmp_path, detector=detector, archive=archive.path, top=1)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    check(text)
    assert f"r{STRANGE}" in text
    assert "Give --archive" not in text
    assert table["anomaly_score"].to_numpy()[STRANGE] == table["anomaly_score"].max()


@pytest.mark.parametrize("top", [-1, 0, 3, 10_000])
def test_number_of_anomalies(folder: Path, scores: Path, archive: Archive, top: int) -> None:
    table, records = pd.read_parquet(scores / "scores.parquet"), load_embeddings(folder)
    found = find_anomalies(table, records, archive, top)
    assert len(found) == min(max(top, 0), len(archive))
    if found:
        first = found[0]
        assert first.row == STRANGE
        np.testing.assert_array_equal(first.recording.signal, archive.read(STRANGE))
        others = np.delete(np.arange(N), STRANGE)
        spread = records.vectors.std(axis=0) + 1e-9
        distances = np.linalg.norm((records.vectors[others] - records.vectors[STRANGE]) / spread, axis=1)
        assert first.typical.record_id == f"r{others[distances.argmin()]}"
        assert first.distance == pytest.approx(distances.min(), rel=1e-4)


def test_records_of_two_corpora_may_share_an_id(folder: Path, archive: Archive) -> None:
    records = load_embeddings(folder)
    shared = [f"{k % 5}" if k < 10 else f"r{k}" for k in range(N)]
    index = records.index.assign(record_id=shared, corpus=["a"] * 5 + ["b"] * (N - 5))
    records = Embeddings(records.vectors, index)
    table = score_table(DETECTORS["knn"](), records, n_nearest=N - 1)
    (first, *_) = find_anomalies(table, records, archive, 1)
    names = [*(f"a/{k}" for k in range(5)), *(f"b/{k}" for k in range(5)), *shared[10:]]
    expected = {name: ("NORM",) if k % 2 else ("IMI",) for k, name in enumerate(names) if k != STRANGE}
    assert dict(first.neighbours) == expected


def test_a_record_without_score_is_no_anomaly(folder: Path, archive: Archive, tmp_path: Path) -> None:
    records = load_embeddings(folder)
    vectors = records.vectors.copy()
    vectors[3] = np.nan
    Embeddings(vectors, records.index).save(tmp_path / "e")
    screen_with_report(tmp_path / "e", tmp_path / "s")
    table = pd.read_parquet(tmp_path / "s" / "scores.parquet")
    found = find_anomalies(table, load_embeddings(tmp_path / "e"), archive, 100)
    assert 3 not in [anomaly.row for anomaly in found]
    assert all(np.isfinite(anomaly.distance) for anomaly in found)


def test_quality_lists_the_records_that_failed(archive: Archive) -> None:
    assert [name for name, _ in find_quality(archive).quarantined] == ["records/broken"]


def test_screening_refuses(folder: Path, archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="unknown detector"):
        screen_with_report(folder, tmp_path / "s", detector="kmean")
    records = load_embeddings(folder)
    turned = records.index.iloc[::-1].drop(columns="row")
    other = Embeddings(records.vectors, turned).save(tmp_path / "e")
    with pytest.raises(ArchiveError, match="does not hold the records"):
        screen_with_report(other, tmp_path / "s", archive=archive.path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveError, match="cannot be written"):
        screen_with_report(folder, tmp_path / "file" / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("codes.png", {}),
        ("task.svg", {"task": "superclass"}),
        ("scores.png", {"scores": True}),
        ("clusters.png", {"scores": True, "colour": "cluster"}),
        ("label.png", {"scores": True, "colour": "label"}),
    ],
)
def test_pictures(folder: Path, scores: Path, tmp_path: Path, name: str, arguments: dict) -> None:
    if "scores" in arguments:
        arguments = {**arguments, "scores": scores if name == "clusters.png" else scores / "scores.parquet"}
    picture = draw_map(folder, tmp_path / name, method="pca", **arguments)
    assert picture == tmp_path / name
    assert [p.name for p in tmp_path.iterdir()] == [name]
    start = picture.read_bytes()[:300]
    assert start.startswith(b"\x89PNG") if name.endswith("png") else b"<svg" in picture.read_bytes()


def test_maps_refuse(folder: Path, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "map.png"
    for arguments, error, hint in [
        ({"colour": "score"}, LabelError, "needs scores"),
        ({"task": "superclas"}, LabelError, "did you mean"),
        ({"task": "quality"}, LabelError, f"none of {N} records has a code"),
        ({"scores": tmp_path / "none.parquet"}, ArchiveError, "cannot be read"),
        ({"scores": folder / "index.parquet"}, ArchiveError, "cannot be read"),
        ({"scores": folder / "embeddings.npy"}, ArchiveError, "cannot be read"),
    ]:
        with pytest.raises(error, match=hint):
            draw_map(folder, out, method="pca", **arguments)
    with pytest.raises(ArchiveError, match=r"\.png nor \.svg"):
        draw_map(folder, tmp_path / "map.jpg")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArchiveError, match="cannot be written"):
        draw_map(folder, tmp_path / "file" / "map.png", method="pca")
    records = load_embeddings(folder)
    shorter = records.select(np.arange(N - 1)).save(tmp_path / "shorter")
    with pytest.raises(ArchiveError, match=f"has {N} rows for {N - 1}"):
        draw_map(shorter, out, scores=scores, method="pca")
    turned = records.select(np.arange(N)[::-1]).save(tmp_path / "turned")
    with pytest.raises(ArchiveError, match="scores of other records"):
        draw_map(turned, out, scores=scores, method="pca")
    assert not out.exists()


def test_labels_of_the_records(folder: Path) -> None:
    records = load_embeddings(folder)
    assert label_colours(records, None)["labels"][:2] == [("IMI",), ("NORM",)]
    by_task = label_colours(records, "superclass")
    assert by_task["labels"][:2] == [("MI",), ("NORM",)]
    assert by_task["order"][-1] == "NORM"
    assert order_of(("NORM", "MI", "HYP")) == ("MI", "HYP", "NORM")
