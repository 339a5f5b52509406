"""Embedding an archive: the same vectors whatever the batches and interruptions, beside the right records."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from ssl_ecg import load_embeddings, prepare
from ssl_ecg.data.archive import Archive
from ssl_ecg.data.record import Record
from ssl_ecg.embedding.expert import kept_embeddings
from ssl_ecg.embedding.partial import SAVE_EVERY
from ssl_ecg.embedding.run import embed, embed_signal
from ssl_ecg.embedding.vectors import Embeddings
from ssl_ecg.errors import ArchiveError, CheckpointError, SignalError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing

FS = 50
LENGTHS = (500, 500, 317, 500, 1, 317, 9001, 500)


def make_records(n: int = 60) -> list[Record]:
    rng = np.random.default_rng(0)
    records = []
    for k in range(n):
        signal = rng.normal(size=(12, LENGTHS[k % len(LENGTHS)])).astype(np.float32)
        if k % 5 == 3:
            signal[k % 12, 10:20] = np.nan
        records.append(Record(signal, FS, STANDARD_LEADS, f"r{k}", f"p{k // 2}", 40.0 + k, "male", (f"C{k % 3}",)))
    return records


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Archive:
    out = tmp_path_factory.mktemp("embed") / "archive"
    return prepare(make_records(), out, fs=FS, band=None, workers=1, progress=False)


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    torch.manual_seed(0)
    encoder = build_encoder("conv1d", widths=[8, 16]).eval()
    encoder.preprocessing = Preprocessing(FS, STANDARD_LEADS, None, "record", 10)
    return encoder


@pytest.fixture(scope="module")
def whole(encoder: nn.Module, archive: Archive) -> np.ndarray:
    return embed(encoder, archive).vectors


def stopping(encoder: nn.Module, calls: int, error: BaseException) -> nn.Module:
    """Give the same encoder, which the user or the machine stops after a few batches; `.left.calls` counts down."""
    copied = copy.deepcopy(encoder)
    copied.left = left = SimpleNamespace(calls=calls)

    def count(*_: object) -> None:
        left.calls -= 1
        if left.calls < 0:
            raise error

    copied.register_forward_pre_hook(count)
    return copied


def test_every_record_equals_the_slow_way(encoder: nn.Module, archive: Archive, whole: np.ndarray) -> None:
    assert whole.dtype == np.float32
    assert whole.shape == (len(archive), encoder.dim)
    window = 60 * FS
    for row in range(len(archive)):
        signal = torch.nan_to_num(torch.from_numpy(archive.read(row)))
        pieces = torch.split(signal, window, dim=1)
        with torch.no_grad():
            z = [encoder(p[None] / p.square().mean().sqrt())[0].double() for p in pieces]
        expected = sum(v * p.shape[1] for v, p in zip(z, pieces, strict=True)) / signal.shape[1]
        np.testing.assert_allclose(whole[row], expected.numpy(), rtol=2e-4, atol=2e-5)
    assert np.isfinite(whole).all()
    assert max(archive.n_samples) > 3 * window  # there was one that is averaged


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batch_size_changes_nothing(encoder: nn.Module, archive: Archive, whole: np.ndarray, batch_size: int) -> None:
    np.testing.assert_allclose(embed(encoder, archive, batch_size=batch_size).vectors, whole, rtol=1e-4, atol=1e-5)


def test_batch_size_must_be_positive(encoder: nn.Module, archive: Archive, tmp_path: Path) -> None:
    for wrong in (0, -1):
        with pytest.raises(SignalError, match="give 1 or more"):
            embed(encoder, archive, out=tmp_path / "e", batch_size=wrong)
    assert not (tmp_path / "e").exists()


def test_files(encoder: nn.Module, archive: Archive, whole: np.ndarray, tmp_path: Path) -> None:
    embed(encoder, archive, out=tmp_path, card={"checkpoint": "c"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["embeddings.json", "embeddings.npy", "index.parquet"]
    vectors = np.load(tmp_path / "embeddings.npy")
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, whole)
    index = pq.read_table(tmp_path / "index.parquet")
    assert index.column_names == [
        "record_id", "corpus", "patient_id", "fold", "codes", "quality", "age", "sex", "row",
    ]  # fmt: skip
    assert index["record_id"].to_pylist() == [f"r{k}" for k in range(len(archive))]
    assert index["codes"].to_pylist() == [[f"C{k % 3}"] for k in range(len(archive))]
    assert index["row"].to_pylist() == list(range(len(archive)))
    card = json.loads((tmp_path / "embeddings.json").read_text())
    assert (card["checkpoint"], card["archive"]) == ("c", archive.fingerprint)
    opened = load_embeddings(tmp_path, mmap=True)
    assert len(opened) == len(archive)
    assert opened.index["patient_id"].tolist() == archive.index["patient_id"].tolist()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("killed")])
def test_interrupted_equals_whole(
    encoder: nn.Module, archive: Archive, whole: np.ndarray, tmp_path: Path, error: BaseException
) -> None:
    out, calls = tmp_path / "e", SAVE_EVERY + 8
    with pytest.raises(type(error)):
        embed(stopping(encoder, calls, error), archive, out=out, batch_size=1)
    assert not (out / "embeddings.npy").exists()
    assert json.loads((out / "embeddings.part.json").read_text())["done"] >= SAVE_EVERY
    counting = stopping(encoder, 10**9, error)
    resumed = embed(counting, archive, out=out, batch_size=1)
    assert 10**9 - counting.left.calls < embed_calls(archive)
    np.testing.assert_allclose(resumed.vectors, whole, rtol=1e-4, atol=1e-5)
    assert sorted(p.name for p in out.iterdir()) == ["embeddings.json", "embeddings.npy", "index.parquet"]


@pytest.mark.parametrize(("pool", "scale"), [("max", "none"), ("mean", "lead")])
def test_the_same_weights_used_otherwise_are_embedded_anew(
    archive: Archive, tmp_path: Path, pool: str, scale: str
) -> None:
    made = [build_encoder("conv1d", widths=[8, 16], pool=way) for way in ("mean", pool)]
    made[1].load_state_dict(made[0].state_dict())
    for encoder, scaled in zip(made, ("none", scale), strict=True):
        encoder.preprocessing = Preprocessing(FS, STANDARD_LEADS, None, scaled, 10)
    before, after = (np.array(embed(encoder, archive, out=tmp_path).vectors) for encoder in made)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, embed(made[1], archive).vectors, rtol=1e-4, atol=1e-5)


def test_an_archive_is_not_written_over(encoder: nn.Module, archive: Archive, whole: np.ndarray) -> None:
    before = (archive.path / "index.parquet").read_bytes()
    for make in (
        lambda: embed(encoder, archive, out=archive.path),
        lambda: kept_embeddings(archive, archive.path),
        lambda: Embeddings(whole, lambda: archive.index, {}).save(archive.path),
    ):
        with pytest.raises(ArchiveError, match="holds an archive"):
            make()
    assert (archive.path / "index.parquet").read_bytes() == before
    assert not list(archive.path.glob("embeddings*"))


def test_a_folder_is_embedded_into_by_one_process(
    encoder: nn.Module, archive: Archive, whole: np.ndarray, tmp_path: Path, held_elsewhere
) -> None:
    (tmp_path / "e").mkdir()
    with held_elsewhere(tmp_path / "e" / ".lock"), pytest.raises(ArchiveError, match="another process is embedding"):
        embed(encoder, archive, out=tmp_path / "e")
    np.testing.assert_allclose(embed(encoder, archive, out=tmp_path / "e").vectors, whole, rtol=1e-4, atol=1e-5)


def embed_calls(archive: Archive) -> int:
    """Give the number of strips of a whole embedding: long records have several."""
    return int(np.ceil(archive.n_samples / (60 * FS)).sum())


@pytest.fixture
def other(encoder: nn.Module) -> nn.Module:
    """Another encoder, whose embeddings are as long."""
    torch.manual_seed(1)
    other = build_encoder("conv1d", widths=[8, 16]).eval()
    other.preprocessing = encoder.preprocessing
    return other


def test_a_partial_file_of_another_encoder_or_cut_short_is_not_used(
    encoder: nn.Module, other: nn.Module, archive: Archive, whole: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed(stopping(other, 30, KeyboardInterrupt()), archive, out=tmp_path, batch_size=1)
    np.testing.assert_array_equal(embed(encoder, archive, out=tmp_path).vectors, whole)
    with pytest.raises(KeyboardInterrupt):
        embed(stopping(other, 30, KeyboardInterrupt()), archive, out=tmp_path, batch_size=1)
    with open(tmp_path / "embeddings.part", "r+b") as file:
        file.truncate(200)
    np.testing.assert_allclose(
        embed(other, archive, out=tmp_path).vectors, embed(other, archive).vectors, rtol=1e-4, atol=1e-5
    )


def test_vectors_of_another_encoder_killed_in_between_are_not_used(
    encoder: nn.Module, other: nn.Module, archive: Archive, whole: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        embed(stopping(encoder, 5, KeyboardInterrupt()), archive, out=tmp_path, batch_size=1)
    with pytest.raises(RuntimeError):  # as if killed: before its first note
        embed(stopping(other, 12, RuntimeError("killed")), archive, out=tmp_path, batch_size=1)
    found = embed(encoder, archive, out=tmp_path, batch_size=1).vectors
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_what_is_there_already_is_given_back(encoder: nn.Module, archive: Archive, tmp_path: Path) -> None:
    first = embed(encoder, archive, out=tmp_path).vectors.copy()
    never = stopping(encoder, 0, AssertionError("embedded again"))
    np.testing.assert_array_equal(embed(never, archive, out=tmp_path).vectors, first)
    (tmp_path / "embeddings.npy").write_bytes((tmp_path / "embeddings.npy").read_bytes()[:500])
    np.testing.assert_array_equal(embed(encoder, archive, out=tmp_path).vectors, first)  # damaged: done again


@pytest.mark.parametrize(
    ("changed", "remedy"),
    [
        ({"fs": 100.0}, "--fs 100"),
        ({"leads": ("II", "V1")}, "--leads II,V1"),
        ({"band": (0.5, 20.0)}, "--band 0.5 20"),
    ],
)
def test_other_preprocessing_is_refused(
    encoder: nn.Module, archive: Archive, tmp_path: Path, changed: dict, remedy: str
) -> None:
    other = build_encoder("conv1d", widths=[8, 16])
    fields = {"fs": FS, "leads": STANDARD_LEADS, "band": None, "scale": "record", **changed}
    other.preprocessing = Preprocessing(**fields)
    with pytest.raises(CheckpointError, match=remedy):
        embed(other, archive, out=tmp_path / "e")
    assert not (tmp_path / "e").exists()


def test_unwritable(encoder: nn.Module, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "e"):
        with pytest.raises(ArchiveError, match="cannot be written"):
            embed(encoder, archive, out=out)
    assert (tmp_path / "file").read_text() == "x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_an_error(encoder: nn.Module, archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "embeddings.part").symlink_to("/dev/full")
    with pytest.raises(ArchiveError, match="No space left"):
        embed(encoder, archive, out=tmp_path)
    assert not (tmp_path / "embeddings.npy").exists()


def test_nan_counts_as_zero(encoder: nn.Module) -> None:
    signal = np.random.default_rng(0).normal(size=(2, 12, 200)).astype(np.float32)
    signal[0, 3, :50] = 0
    holes = signal.copy()
    holes[0, 3, :50] = np.nan
    np.testing.assert_allclose(embed_signal(encoder, holes), embed_signal(encoder, signal), rtol=1e-5)
