from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ssl_ecg.embedding.vectors import COLUMNS, Embeddings, align, load_embeddings
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import write_whole


def _embeddings(n=6):
    index = pd.DataFrame({
        "record_id": [str(k) for k in range(n)], "corpus": "toy",
        "patient_id": [f"toy/{k}" for k in range(n)],
        "fold": pd.array([1, 2, None] * (n // 3), dtype="Int64"), "codes": [["A", "B"], [], ["C"]] * (n // 3),
        "quality": [["flat:V1"], [], []] * (n // 3), "age": [50.0, np.nan, 61.0] * (n // 3),
        "sex": ["male", None, "female"] * (n // 3), "row": np.arange(n) * 2,
    })  # fmt: skip
    return Embeddings(np.arange(n * 4, dtype=np.float32).reshape(n, 4), index, {"checkpoint": "x"})


def test_round_trip(tmp_path):
    embeddings = _embeddings()
    embeddings.save(tmp_path / "e")
    loaded = load_embeddings(tmp_path / "e")
    assert loaded.vectors.dtype == np.float32
    assert (loaded.vectors == embeddings.vectors).all()
    assert list(loaded.index.columns) == list(COLUMNS)
    assert [list(codes) for codes in loaded.index["codes"]] == embeddings.index["codes"].tolist()
    assert loaded.index["fold"].isna().tolist() == embeddings.index["fold"].isna().tolist()
    assert loaded.index["row"].tolist() == [0, 2, 4, 6, 8, 10]
    assert loaded.fingerprint == embeddings.fingerprint == loaded.card["fingerprint"]
    assert loaded.card["checkpoint"] == "x"
    assert sorted(p.name for p in (tmp_path / "e").iterdir()) == [
        "embeddings.json",
        "embeddings.npy",
        "index.parquet",
    ]


def test_index_is_read_at_first_use(tmp_path):
    folder = _embeddings().save(tmp_path / "e")
    loaded = load_embeddings(folder, mmap=True)
    assert isinstance(loaded.vectors, np.memmap)
    (folder / "index.parquet").unlink()
    with pytest.raises(FileNotFoundError):
        _ = loaded.index


def test_fingerprint_tells_values_and_records_apart():
    a, b, c = _embeddings(), _embeddings(), _embeddings()
    b.vectors[3, 2] += 1
    c.index["record_id"] = c.index["record_id"] + "x"
    assert len({a.fingerprint, b.fingerprint, c.fingerprint}) == 3


def test_select_and_align():
    embeddings = _embeddings()
    mask = np.array([True, False, True, False, False, True])
    chosen = embeddings.select(mask)
    assert chosen.index["record_id"].tolist() == ["0", "2", "5"]
    assert (chosen.vectors == embeddings.vectors[mask]).all()
    turned = embeddings.select(np.arange(6)[::-1])
    assert (align(turned, embeddings) == embeddings.vectors).all()
    with pytest.raises(ArchiveError, match="3 records have no embedding"):
        align(chosen, embeddings)


def test_missing_columns_are_filled():
    index = Embeddings(np.zeros((2, 3)), pd.DataFrame({"record_id": ["a", "b"]})).index
    assert set(COLUMNS) <= set(index.columns)
    assert index["patient_id"].tolist() == ["/record-a", "/record-b"]


def test_unknown_patients_are_patients_of_their_own():
    table = pd.DataFrame({"record_id": ["a", "b", "c"], "corpus": "x", "patient_id": ["x/1", None, None]})
    assert Embeddings(np.zeros((3, 2)), table).index["patient_id"].tolist() == ["x/1", "x/record-b", "x/record-c"]


@pytest.mark.parametrize(
    ("vectors", "index", "match"),
    [
        (np.zeros(3), {"record_id": ["a"] * 3}, "shape"),
        (np.zeros((3, 2)), {"record_id": ["a"] * 2}, "3 vectors but 2 rows"),
        (np.zeros((2, 2)), {"name": ["a"] * 2}, "no column record_id"),
    ],
)
def test_what_does_not_fit_is_refused(vectors, index, match):
    with pytest.raises(SignalError, match=match):
        Embeddings(vectors, pd.DataFrame(index))


def test_damaged_folders(tmp_path):
    folder = _embeddings().save(tmp_path / "e")
    good = (folder / "embeddings.npy").read_bytes()
    for damage in (good[:50], b"", b"not an array", good[:-8]):
        (folder / "embeddings.npy").write_bytes(damage)
        with pytest.raises(ArchiveError, match="cannot be read"):
            load_embeddings(folder)
    np.save(folder / "embeddings.npy", np.zeros((5, 4), np.float32))
    with pytest.raises(ArchiveError, match="6 rows"):
        load_embeddings(folder)
    (folder / "embeddings.npy").write_bytes(good)
    (folder / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_embeddings(folder)
    (folder / "index.parquet").unlink()
    with pytest.raises(ArchiveError, match=r"no index\.parquet"):
        load_embeddings(folder)


def test_text_is_refused(tmp_path):
    folder = _embeddings().save(tmp_path / "e")
    np.save(folder / "embeddings.npy", np.full((6, 4), "1.5"))
    with pytest.raises(ArchiveError, match="no numbers"):
        load_embeddings(folder)


def test_pickled_arrays_are_refused(tmp_path):
    folder = _embeddings().save(tmp_path / "e")
    np.save(folder / "embeddings.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ArchiveError, match="cannot be read"):
        load_embeddings(folder)


def test_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(ArchiveError, match="No space left"):
        write_whole(path, fail)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_card_is_plain_json(tmp_path):
    embeddings = Embeddings(np.zeros((1, 2)), pd.DataFrame({"record_id": ["a"]}), {"loss": float("nan")})
    card = json.loads((embeddings.save(tmp_path) / "embeddings.json").read_text())
    assert card["loss"] is None
    assert card["shape"] == [1, 2]
