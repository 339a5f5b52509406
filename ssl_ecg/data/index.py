"""The index of an archive, read column by column or a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ssl_ecg.data.layout import INDEX
from ssl_ecg.errors import ArchiveError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        ("record_id", pa.string()),
        ("corpus", pa.string()),
        ("patient_id", pa.string()),
        ("fold", pa.int32()),
        ("age", pa.float32()),
        ("sex", pa.string()),
        ("codes", pa.list_(pa.string())),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("source", pa.string()),
        ("fs_source", pa.float64()),
        ("leads_present", pa.uint16()),
        ("quality", pa.list_(pa.string())),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("n_samples", pa.int64()),
        ("scale", pa.float32()),
    ]
)
"""Columns of the index, one row a record."""

NUMBERS = ("shard", "offset", "n_samples", "scale", "leads_present")
"""The columns that reading a record needs."""


def batches(
    archive: Path, columns: Sequence[str] | None = None, *, size: int = 8192, status: str = "ok"
) -> Iterator[pa.RecordBatch]:
    """Go through the rows of one status, a few thousand at a time.

    Raises
    ------
    ArchiveError
        If the index is missing or damaged.
    """
    path = archive / INDEX
    names = SCHEMA.names if columns is None else list(columns)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(size, columns=list(dict.fromkeys([*names, "status"])), use_threads=False):
                yield batch.filter(pc.equal(batch["status"], status)).select(names)
    except (OSError, pa.ArrowException, KeyError) as error:
        raise ArchiveError(str(path), f"is missing or damaged ({error})", "prepare the archive anew") from error


def table(archive: Path, columns: Sequence[str] | None = None, *, status: str = "ok") -> pa.Table:
    """Read columns of the rows of one status."""
    names = SCHEMA.names if columns is None else list(columns)
    schema = pa.schema([SCHEMA.field(name) for name in names])
    return pa.Table.from_batches(list(batches(archive, names, status=status)), schema)


def frame(archive: Path, status: str) -> pd.DataFrame:
    """Read all columns of the rows of one status; `codes` and `quality` hold lists of str."""
    import pandas as pd

    whole = table(archive, status=status)
    integers = {pa.int32(): pd.Int32Dtype()}
    out: pd.DataFrame = whole.drop_columns(["codes", "quality"]).to_pandas(types_mapper=integers.get)
    for name in ("codes", "quality"):
        lists = pd.Series(whole[name].to_pylist(), dtype=object)
        out.insert(whole.column_names.index(name), name, lists)
    return out


def numbers(archive: Path) -> dict[str, NDArray[Any]]:
    """Read `NUMBERS` of the readable records as arrays."""
    parts = [[batch[name].to_numpy() for name in NUMBERS] for batch in batches(archive, NUMBERS)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return dict(zip(NUMBERS, columns, strict=True))


def numbered(archive: Path, column: str) -> NDArray[np.int64]:
    """Give numbers to the values of a text column, in the order in which they appear."""
    values = table(archive, [column])[column].combine_chunks()
    return np.asarray(pc.dictionary_encode(values).indices.to_numpy(zero_copy_only=False), np.int64)
