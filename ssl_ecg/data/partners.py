"""Which second strip goes with a strip: the window beside it, or one of another record of the patient."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64


def paired_starts(
    n_samples: Int64[np.ndarray, " item"], length: int, draw: Float64[np.ndarray, "2 item"]
) -> Int64[np.ndarray, " item"]:
    """Draw where to cut records, so that a window beside it fits where the record holds two.

    Of shorter records it is the window at their start or end, so that the other overlaps as little as can be.

    Parameters
    ----------
    n_samples : int64 array (item,)
        Of the records.
    length : int
        Of a window [samples].
    draw : float64 array (2, item)
        From [0, 1).

    Examples
    --------
    >>> paired_starts(np.array([1000, 1000, 700]), 500, np.array([[0.3, 0.3, 0.3], [0.1, 0.9, 0.9]])).tolist()
    [0, 500, 200]
    """
    room = np.maximum(n_samples - length, 0)
    left = np.maximum(n_samples - 2 * length, 0)
    first = np.minimum(draw[0] * (left + 1), left).astype(np.int64)
    return np.asarray(np.where(draw[1] < 0.5, first, np.minimum(first + length, room)), np.int64)


def starts_beside(
    starts: Int64[np.ndarray, " item"],
    n_samples: Int64[np.ndarray, " item"],
    length: int,
    draw: Float64[np.ndarray, " item"],
) -> Int64[np.ndarray, " item"]:
    """Give the starts of windows right before or after others, or as far from them as the record lets them be.

    Examples
    --------
    >>> starts_beside(np.array([500, 500, 100]), np.array([1500, 1000, 700]), 500, np.array([0.9, 0.9, 0.9])).tolist()
    [1000, 0, 200]
    """
    room = np.maximum(n_samples - length, 0)
    before, after = starts >= length, starts + length <= room
    farthest = np.where(2 * starts > room, 0, room)
    beside = np.where(after & ((draw >= 0.5) | ~before), starts + length, starts - length)
    return np.asarray(np.where(before | after, beside, farthest), np.int64)


class PatientRecords:
    """The records of every patient among those used.

    Parameters
    ----------
    rows : int64 array (record,)
        Rows of the archive that are used; those given twice count once.
    patients : int64 array (archive,)
        Number of the patient of every row of the archive.

    Examples
    --------
    >>> records = PatientRecords(np.array([0, 2, 3]), np.array([5, 5, 5, 6]))
    >>> records.others(np.array([0, 2, 3]), np.array([0.7, 0.7, 0.7])).tolist()  # 1 is not used, 3 is alone
    [2, 0, 3]
    """

    def __init__(self, rows: Int64[np.ndarray, " record"], patients: Int64[np.ndarray, " archive"]) -> None:
        used = np.unique(rows)
        self.order = used[np.argsort(patients[used], kind="stable")]
        _, first, counts = np.unique(patients[self.order], return_index=True, return_counts=True)
        self.used = used
        place = np.empty(len(used), np.int64)  # of each used row in the order
        place[np.searchsorted(used, self.order)] = np.arange(len(used))
        group = np.repeat(np.arange(len(first)), counts)[place]
        self.first, self.count, self.own = first[group], counts[group], place - first[group]

    def others(
        self, rows: Int64[np.ndarray, " item"], draw: Float64[np.ndarray, " item"]
    ) -> Int64[np.ndarray, " item"]:
        """Draw another record of the patient of each row; the row itself where there is none."""
        at = np.searchsorted(self.used, rows)
        others = self.count[at] - 1
        chosen = np.minimum((draw * others).astype(np.int64), np.maximum(others - 1, 0))
        chosen += (chosen >= self.own[at]) & (others > 0)
        return np.asarray(self.order[self.first[at] + chosen], np.int64)
