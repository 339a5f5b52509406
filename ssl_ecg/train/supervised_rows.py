"""Which records of an archive train, validate and test a classifier: by folds, or row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.splits import Folds, choose_split

if TYPE_CHECKING:
    import pandas as pd

Rows = dict[str, NDArray[np.int64]]


def choose_rows(
    index: pd.DataFrame,
    targets: NDArray[np.floating],
    known: NDArray[np.bool_],
    folds: Sequence[Folds],
    rows: Mapping[str, Any] | None,
) -> Rows:
    """Give the labelled records of each set.

    Parameters
    ----------
    index : DataFrame
        Of the archive.
    targets : float32 array (record, class)
    known : bool array (record,)
        Records with a known label.
    folds : (train, val, test)
        As in `choose_split`; with training and validation folds and no test folds, nothing is tested.
    rows : mapping, optional
        Rows as "train", "val" and perhaps "test", in place of folds.

    Returns
    -------
    dict
        "train", "val" and perhaps "test": int64 arrays of rows.

    Raises
    ------
    LabelError
        If a set is empty or sets share a patient.
    """
    train, val, test = folds
    if rows is None and (train is None or val is None or test is not None):
        split = choose_split(index, targets, known, train_folds=train, val_folds=val, test_folds=test)
        return dict(split.sets())
    if rows is not None:
        if not {"train", "val"} <= set(rows) <= {"train", "val", "test"} or any(f is not None for f in folds):
            raise LabelError("rows", f"are {sorted(rows)}", "give train, val and perhaps test, without folds")
        chosen = {name: np.unique(np.asarray(value, np.int64)) for name, value in rows.items()}
        if any(len(value) and not 0 <= value[0] <= value[-1] < len(index) for value in chosen.values()):
            raise LabelError("rows", f"reach beyond the {len(index)} records", "give rows of archive.index")
    else:
        fold = index["fold"].to_numpy(np.float64, na_value=np.nan)
        given = (("train", np.asarray(train)), ("val", np.asarray(val)))
        chosen = {name: np.flatnonzero(np.isin(fold, wanted)) for name, wanted in given}
    chosen = {name: value[known[value]] for name, value in chosen.items()}
    patients: dict[str, str] = {}
    for name, value in chosen.items():
        if not len(value):
            raise LabelError("split", f"no labelled record in the {name} set", "choose other folds or rows")
        for patient in index["patient_id"].iloc[value].astype(str):
            if patients.setdefault(patient, name) != name:
                problem = f"patient {patient} is in both {patients[patient]} and {name}"
                raise LabelError("split", problem, "keep all records of a patient in one set")
    return chosen
