"""What is to be learnt of an archive's records: classes or numbers, from codes, a column of the index or a table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
Kind = Literal["classes", "continuous"]
_BINS = 4


@dataclass(frozen=True)
class Targets:
    """The targets of an archive's records.

    Attributes
    ----------
    name : str
        Of the task.
    classes : tuple of str
        Names of the columns of `values`.
    values : float64 array (record, class)
        1 and 0, or numbers; of classes, what stands for records that are not `known` means nothing.
    known : bool array (record,)
    kind : {"classes", "continuous"}
    unit : str
        Of numbers, where it is known.
    exclusive : bool
        Whether a record has one class and no other.
    """

    name: str
    classes: tuple[str, ...]
    values: FloatArray
    known: NDArray[np.bool_]
    kind: Kind
    unit: str = ""
    exclusive: bool = False

    @property
    def strata(self) -> FloatArray:
        """Give classes by which records are shared out evenly (record, stratum): of numbers, their quarters.

        Examples
        --------
        >>> ages = np.array([[20.0], [40.0], [60.0], [80.0]])
        >>> Targets("age", ("age",), ages, np.full(4, True), "continuous").strata.argmax(axis=1).tolist()
        [0, 1, 2, 3]
        """
        return self.values if self.kind == "classes" else np.hstack([_quarters(column) for column in self.values.T])

    @property
    def fingerprint(self) -> str:
        """Give a number that differs where the labels of any record do."""
        told = np.where(self.known[:, None], self.values, np.nan).astype("<f8")
        digest = hashlib.sha256("\0".join((self.kind, *self.classes)).encode())
        digest.update(np.where(np.isnan(told), np.float64("nan"), told).tobytes())
        return digest.hexdigest()


def find_targets(task: str | Any, index: pd.DataFrame) -> Targets:
    """Find the targets of a task.

    Parameters
    ----------
    task : str or task
        Name of a label system or of a column ("age"), a ``.csv`` file for `table_task`, or an object with ``name``,
        ``classes`` and ``labels_of(index)`` or ``labels(codes)``, which is a matter of numbers if its ``kind`` is
        "continuous", and of one class a record if it is "multiclass". What a file holds can be said behind its name,
        as ``"my.csv:kind=multiclass,columns=rhythm"``; see `ssl_ecg.tasks.table_names.named_table`.
    index : DataFrame
        Of an archive or of embeddings.

    Raises
    ------
    LabelError
        If the task is unknown, or no record has a known label.
    """
    if isinstance(task, str | Path):
        task = _named(str(task))
    found, certain = task.labels_of(index) if hasattr(task, "labels_of") else task.labels(index["codes"])
    values: FloatArray = np.asarray(found, dtype=np.float64)
    known: NDArray[np.bool_] = np.asarray(certain, dtype=bool)
    if not known.any():
        problem = f"none of {len(known)} records has a code of this task or a known label"
        raise LabelError(task.name, problem, "choose a task that fits the codes of the corpus")
    told = getattr(task, "kind", "multilabel")
    kind: Kind = "continuous" if told == "continuous" else "classes"
    unit = str(getattr(task, "unit", ""))
    return Targets(str(task.name), tuple(task.classes), values, known, kind, unit, exclusive=told == "multiclass")


def _named(task: str) -> Any:
    from ssl_ecg.tasks import get_task
    from ssl_ecg.tasks.columns import COLUMN_TASKS
    from ssl_ecg.tasks.table_names import is_table, named_table

    if is_table(task):
        return named_table(task)
    return COLUMN_TASKS[task] if task in COLUMN_TASKS else get_task(task)


def _quarters(column: FloatArray) -> FloatArray:
    """Say in which quarter of the known values each lies (record, quarter); unknown ones in none."""
    known = np.isfinite(column)
    edges = np.quantile(column[known], np.arange(1, _BINS) / _BINS) if known.any() else np.zeros(_BINS - 1)
    place = np.searchsorted(edges, np.where(known, column, 0.0), side="left")
    return np.asarray((place[:, None] == np.arange(_BINS)) & known[:, None], np.float64)


def count_labels(labels: int | str, there: int) -> int:
    """Give a number of labelled records that is written as such or as a share of those that are there.

    Raises
    ------
    LabelError
        If it is neither.

    Examples
    --------
    >>> count_labels(50, 1170), count_labels("10%", 1170), count_labels("0.01 %", 1170)
    (50, 117, 1)
    """
    text = str(labels).strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
        number = int(text) if share is None else max(1, round(share * there))
    except ValueError:
        share, number = None, 0
    if number < 1 or (share is not None and not 0 < share <= 1):
        raise LabelError("labels", f"are {labels!r}", "give a whole number from 1 on, or a share such as 10%")
    return number
