"""Which records train, validate and test: by the corpus's folds, or by patients where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import LabelError
from ssl_ecg.evaluate.sampling import grouped_folds

if TYPE_CHECKING:
    import pandas as pd

IntArray = NDArray[np.int64]
Folds = Sequence[int] | int | None
_SHARES = (0.7, 0.15, 0.15)


@dataclass(frozen=True, slots=True)
class Split:
    """Row numbers of training, validation and test records, without a common patient.

    Attributes
    ----------
    train, val, test : int64 array
    how : dict
        "folds" with the fold numbers of each set, or "patients" with shares and seed.
    n_without_fold : int
        Labelled records left out because they belong to no fold in use.
    """

    train: IntArray
    val: IntArray
    test: IntArray
    how: dict[str, Any]
    n_without_fold: int = 0

    def sets(self) -> dict[str, IntArray]:
        """Give the three sets by name."""
        return {"train": self.train, "val": self.val, "test": self.test}


def choose_split(
    index: pd.DataFrame,
    labels: ArrayLike,
    usable: NDArray[np.bool_],
    *,
    train_folds: Folds = None,
    val_folds: Folds = None,
    test_folds: Folds = None,
    seed: int = 0,
) -> Split:
    """Split the usable records.

    Folds not given follow from the index: the last one tests, the one before it validates, all others train
    (for PTB-XL 10, 9 and 1-8). Without three folds in the index, patients are split 70 : 15 : 15 with
    balanced labels.

    Parameters
    ----------
    index : DataFrame
        With ``fold`` and ``patient_id``.
    labels : array (record, class)
    usable : bool array (record,)
        Records with known labels.
    train_folds, val_folds, test_folds : int or sequence of int, optional
    seed : int
        Of the split by patients.

    Raises
    ------
    LabelError
        If a set is empty, a fold serves twice, or two sets share a patient.

    Examples
    --------
    >>> import pandas as pd
    >>> index = pd.DataFrame({"fold": [1, 2, 3, 3], "patient_id": list("abcd")})
    >>> split = choose_split(index, np.ones((4, 1)), np.array([True, True, True, False]))
    >>> split.train.tolist(), split.val.tolist(), split.test.tolist()
    ([0], [1], [2])
    """
    patients = index["patient_id"].astype(str).to_numpy()
    folds = np.asarray(index["fold"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan))
    given = (train_folds, val_folds, test_folds)
    available = sorted(int(fold) for fold in np.unique(folds[usable & np.isfinite(folds)]))
    if len(available) >= 3 or any(g is not None for g in given):
        names = _fold_names(given, available)
        rows = {name: np.flatnonzero(usable & np.isin(folds, names[name])) for name in names}
        how: dict[str, Any] = {"by": "folds", **names}
    else:
        rows = _by_patients(np.asarray(labels), usable, patients, seed)
        how = {"by": "patients", "shares": list(_SHARES), "seed": seed}
    for name, chosen in rows.items():
        if not len(chosen):
            where = f"folds {how[name]}" if how["by"] == "folds" else "too few patients to split"
            problem = f"no labelled record in the {name} set ({where})"
            raise LabelError("split", problem, f"folds with labelled records: {available}")
    _refuse_shared_patients(rows, patients)
    left = int(usable.sum()) - sum(len(chosen) for chosen in rows.values())
    return Split(rows["train"], rows["val"], rows["test"], how, left)


def _fold_names(given: Sequence[Folds], available: list[int]) -> dict[str, list[int]]:
    """Complete the folds of each set: what is not given comes from the end of those still free."""
    train, val, test = (
        None if g is None else [int(fold) for fold in np.atleast_1d(np.asarray(g, dtype=np.int64))] for g in given
    )

    def free() -> list[int]:
        return [fold for fold in available if all(fold not in (used or []) for used in (train, val, test))]

    test = free()[-1:] if test is None else test
    val = free()[-1:] if val is None else val
    train = free() if train is None else train
    chosen = [*train, *val, *test]
    twice = sorted({fold for fold in chosen if chosen.count(fold) > 1})
    if twice:
        raise LabelError("split", f"folds {twice} serve in two sets", "give each fold once")
    return {"train": train, "val": val, "test": test}


def _by_patients(
    labels: NDArray[Any], usable: NDArray[np.bool_], patients: NDArray[Any], seed: int
) -> dict[str, IntArray]:
    rows = np.flatnonzero(usable)
    fold = grouped_folds(labels[rows], patients[rows], shares=_SHARES, seed=seed)
    return {name: rows[fold == k] for k, name in enumerate(("train", "val", "test"))}


def _refuse_shared_patients(rows: dict[str, IntArray], patients: NDArray[Any]) -> None:
    sets = {name: set(patients[chosen]) for name, chosen in rows.items()}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        common = sets[a] & sets[b]
        if common:
            problem = f"{len(common)} patients are in both {a} and {b}, such as {min(common)}"
            raise LabelError("split", problem, "use folds that keep a patient's records together")
