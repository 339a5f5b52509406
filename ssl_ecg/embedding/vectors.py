"""Embeddings of records with the table that says which record each row is; a folder of plain files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.layout import refuse_archive
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import write_json, write_whole

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("record_id", "corpus", "patient_id", "fold", "codes", "quality", "age", "sex", "row")
_VECTORS, _INDEX, _CARD = "embeddings.npy", "index.parquet", "embeddings.json"


class Embeddings:
    """One vector a record, with its index.

    Parameters
    ----------
    vectors : array (record, dim)
        Kept as float32.
    index : DataFrame or callable giving one
        A row for each vector, in the same order, with ``record_id``. A callable is called at first use.
    card : dict, optional
        Where the embeddings come from (checkpoint, archive fingerprint, settings), kept as JSON.

    Raises
    ------
    SignalError
        If the vectors are not 2-D or the index has another number of rows.

    Examples
    --------
    >>> import pandas as pd
    >>> embeddings = Embeddings(np.zeros((2, 8)), pd.DataFrame({"record_id": ["a", "b"]}))
    >>> len(embeddings), embeddings.dim, embeddings.index["row"].tolist()
    (2, 8, [0, 1])
    """

    def __init__(
        self,
        vectors: NDArray[np.floating],
        index: pd.DataFrame | Callable[[], pd.DataFrame],
        card: dict[str, Any] | None = None,
    ) -> None:
        if np.ndim(vectors) != 2:
            raise SignalError("embeddings", f"shape {np.shape(vectors)}", "give them as (record, dim)")
        self.vectors: NDArray[np.float32] = np.asanyarray(vectors, dtype=np.float32)
        self.card = dict(card or {})
        self._load = index if callable(index) else lambda: index
        self._index = None if callable(index) else _complete(index, len(self.vectors))

    def __len__(self) -> int:
        return len(self.vectors)

    def __repr__(self) -> str:
        return f"Embeddings({len(self)} records, dim {self.dim})"

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return int(self.vectors.shape[1])

    @property
    def index(self) -> pd.DataFrame:
        """Table with one row a vector: record_id, corpus, patient_id, fold, codes, quality, age, sex, row."""
        if self._index is None:
            self._index = _complete(self._load(), len(self.vectors))
        return self._index

    @property
    def fingerprint(self) -> str:
        """SHA-256 over shape, values and record ids."""
        digest = hashlib.sha256(str(self.vectors.shape).encode())
        for start in range(0, len(self), 65536):
            digest.update(np.ascontiguousarray(self.vectors[start : start + 65536]).tobytes())
        digest.update("\0".join(self.index["record_id"].astype(str)).encode())
        return digest.hexdigest()

    def select(self, rows: NDArray[Any]) -> Embeddings:
        """Give the embeddings of some rows (numbers or mask)."""
        array = np.asarray(rows)
        numbers = np.flatnonzero(array) if array.dtype == bool else array
        return Embeddings(self.vectors[numbers], self.index.iloc[numbers], self.card)

    def save(self, folder: str | Path) -> Path:
        """Write ``embeddings.npy``, ``index.parquet`` and ``embeddings.json``, each whole or not at all.

        Raises
        ------
        ArchiveError
            If the folder cannot be written or holds an archive.
        """
        folder = Path(folder)
        refuse_archive(folder)
        card = {**self.card, "format": 1, "shape": self.vectors.shape, "fingerprint": self.fingerprint}
        write_whole(folder / _VECTORS, lambda file: np.save(file, self.vectors, allow_pickle=False))
        write_whole(folder / _INDEX, lambda file: self.index.to_parquet(file, index=False))
        write_json(folder / _CARD, card)
        return folder


def load_embeddings(folder: str | Path, *, mmap: bool = False) -> Embeddings:
    """Open a folder written by ``Embeddings.save`` or ``ssl-ecg embed``; the index is read at first use.

    Parameters
    ----------
    folder : path
    mmap : bool
        Leave the vectors on disk, for archives larger than memory.

    Raises
    ------
    ArchiveError
        If a file is missing, damaged, or the two do not belong together.
    """
    import pandas as pd
    import pyarrow.parquet

    folder = Path(folder)
    for name in (_VECTORS, _INDEX):
        if not (folder / name).is_file():
            raise ArchiveError(str(folder), f"no {name}", "give a folder written by ssl-ecg embed")
    try:
        vectors = np.load(folder / _VECTORS, mmap_mode="r" if mmap else None, allow_pickle=False)
        rows = pyarrow.parquet.read_metadata(folder / _INDEX).num_rows
        card = json.loads((folder / _CARD).read_text()) if (folder / _CARD).is_file() else {}
        if not isinstance(card, dict):
            raise ValueError(f"{_CARD} is no mapping")
    except (OSError, ValueError, EOFError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise ArchiveError(str(folder), f"cannot be read ({error})", "embed the archive again") from error
    if not np.issubdtype(vectors.dtype, np.floating):
        raise ArchiveError(str(folder), f"{_VECTORS} holds {vectors.dtype}, no numbers", "embed the archive again")
    if vectors.ndim != 2 or rows != len(vectors):
        problem = f"{_VECTORS} has shape {vectors.shape}, {_INDEX} {rows} rows"
        raise ArchiveError(str(folder), problem, "embed the archive again")
    return Embeddings(vectors, lambda: pd.read_parquet(folder / _INDEX), card)


def align(other: Embeddings, reference: Embeddings) -> NDArray[np.float32]:
    """Give the vectors of ``other`` in the order of the records of ``reference``.

    Raises
    ------
    ArchiveError
        If a record is missing or there twice.
    """
    keys = [list(zip(e.index["corpus"], e.index["record_id"], strict=True)) for e in (other, reference)]
    place = {key: row for row, key in enumerate(keys[0])}
    missing = [key for key in keys[1] if key not in place]
    if missing or len(place) < len(keys[0]):
        problem = f"{len(missing)} records have no embedding, {len(keys[0]) - len(place)} have two"
        raise ArchiveError("baseline", problem, "embed the same archive with both encoders")
    return other.vectors[[place[key] for key in keys[1]]]


def _complete(index: pd.DataFrame, n: int) -> pd.DataFrame:
    """Check the number of rows and add the columns that are missing, empty."""
    import pandas as pd

    if len(index) != n:
        raise SignalError("embeddings", f"{n} vectors but {len(index)} rows in the index", "embed the archive again")
    if "record_id" not in index:
        raise SignalError("embeddings", "the index has no column record_id", "give every vector its record's name")
    empty: dict[str, Any] = {
        "corpus": "",
        "patient_id": None,
        "fold": pd.array([None] * n, dtype="Int64"),
        "codes": [[] for _ in range(n)],
        "quality": [[] for _ in range(n)],
        "age": np.nan,
        "sex": None,
        "row": np.arange(n),
    }
    missing = {name: value for name, value in empty.items() if name not in index}
    complete = index.assign(**missing).reset_index(drop=True)
    unnamed = complete["patient_id"].isna()
    if unnamed.any():  # an unknown patient is a patient of its own
        own = complete["corpus"].astype(str) + "/record-" + complete["record_id"].astype(str)
        complete["patient_id"] = complete["patient_id"].mask(unnamed, own)
    return complete
