"""Continuous targets that stand in a column of an archive's index, such as age."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class ColumnTask:
    """A number of each record, read from the index.

    Attributes
    ----------
    name : str
    column : str
        Of the index.
    unit : str
    description : str
    largest : float
        Larger values, and those of zero or less, are not known: archives write 300 for an age that is withheld.

    Examples
    --------
    >>> import pandas as pd
    >>> COLUMN_TASKS["age"].labels_of(pd.DataFrame({"age": [61.0, None, 300.0]}))[0].ravel().tolist()
    [61.0, nan, nan]
    """

    kind: ClassVar[str] = "continuous"
    name: str
    column: str
    unit: str
    description: str
    largest: float

    @property
    def classes(self) -> tuple[str, ...]:
        """The name of the target."""
        return (self.name,)

    def labels_of(self, index: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give the values (record, 1) of an archive's records, NaN where unknown, and which are known.

        Raises
        ------
        LabelError
            If the index has no such column.
        """
        if self.column not in index:
            raise LabelError(f"task {self.name!r}", f"the index has no column {self.column!r}", "prepare it anew")
        found = index[self.column].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
        values = np.where((found > 0) & (found <= self.largest), found, np.nan).astype(np.float32)[:, None]
        return values, np.isfinite(values[:, 0])

    def labels(self, codes: Iterable[object]) -> NoReturn:
        """Refuse codes: they say nothing of the target.

        Raises
        ------
        LabelError
            Always.
        """
        raise LabelError(f"task {self.name!r}", "is a column of the index, not of codes", "use it with an archive")


COLUMN_TASKS: dict[str, ColumnTask] = {
    "age": ColumnTask("age", "age", "years", "Age at the recording.", 120.0),
}
"""Name -> continuous target."""
