"""Which records of an archive train, validate and test a classifier: by folds, k-fold, or row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.sampling import draw_seed, grouped_folds, nested_subsets
from ssl_ecg.evaluate.splits import Folds, choose_split
from ssl_ecg.targets import count_labels

if TYPE_CHECKING:
    import pandas as pd

Rows = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class KFold:
    """One of the divisions of k-fold cross-validation.

    The labelled records are dealt to folds by patient, with labels spread in proportion; see `grouped_folds`. The
    folds follow from the records, their labels, `folds` and `seed`, and are the same for every `fold`.

    Attributes
    ----------
    folds : int
        Three or more.
    fold : int
        From 1 on: the one that tests. The next one validates (the first after the last), all others train.
    seed : int
    """

    folds: int
    fold: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 3 or not 1 <= self.fold <= self.folds or self.seed < 0:
            problem = f"fold {self.fold} of {self.folds}, seed {self.seed}"
            raise LabelError("folds", problem, "give three folds or more, one of 1 to that number, a seed of 0 or more")

    @classmethod
    def of(cls, folds: int | None, fold: int | None, seed: int = 0) -> KFold | None:
        """Give the division asked for; None where none is.

        Raises
        ------
        LabelError
            If one of the two numbers is missing, or impossible.
        """
        if folds is None and fold is None:
            return None
        if folds is None:
            raise LabelError("fold", f"{fold}, of how many is not said", "give both numbers")
        if fold is None:
            raise LabelError("folds", f"{folds}, and no fold", "name the one that tests, or call finetune_folds")
        return cls(folds, fold, seed)

    def rows(self, index: pd.DataFrame, targets: NDArray[np.floating], known: NDArray[np.bool_]) -> Rows:
        """Give the rows of each set; parameters are those of `choose_rows`.

        Raises
        ------
        LabelError
            If there are fewer patients than folds.
        """
        labelled = np.flatnonzero(known)
        patients = index["patient_id"].astype(str).to_numpy()[labelled]
        number = 1 + grouped_folds(targets[labelled], patients, n_folds=self.folds, seed=self.seed)
        validating = self.fold % self.folds + 1
        return {
            "train": labelled[(number != self.fold) & (number != validating)],
            "val": labelled[number == validating],
            "test": labelled[number == self.fold],
        }


def choose_rows(
    index: pd.DataFrame,
    targets: NDArray[np.floating],
    known: NDArray[np.bool_],
    folds: Sequence[Folds],
    rows: Mapping[str, Any] | None,
    division: KFold | None = None,
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
    division : KFold, optional
        In place of both.

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
    if division is not None:
        if rows is not None or any(f is not None for f in folds):
            raise LabelError("folds", "stand beside other sets of records", "give one of the two")
        return division.rows(index, targets, known)
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


def few_labels(
    rows: NDArray[np.int64], targets: NDArray[np.floating], labels: int | str | None, draw: int
) -> NDArray[np.int64]:
    """Choose some of the training records, stratified, those of a smaller number among those of a larger.

    Parameters
    ----------
    rows : int64 array
        Training records.
    targets : array (row, class)
    labels : int or str, optional
        How many, or a share such as "10%"; all of them unless given.
    draw : int
        Which choice.

    Raises
    ------
    LabelError
        If there are not so many.
    """
    if labels is None:
        return rows
    wanted = count_labels(labels, len(rows))
    return rows[nested_subsets(targets[rows], [wanted], seed=draw_seed(0, draw))[wanted]]
