"""The labelled strips of a fine-tuning run: random crops to train on, whole or averaged windows to test on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import LabelError
from ssl_ecg.preprocessing import Scale
from ssl_ecg.signal import QualityFlag
from ssl_ecg.train.reduced_leads import ReducedStrips, choose_leads, with_leads


@dataclass(frozen=True)
class LabelledData:
    """Strips of labelled records.

    Attributes
    ----------
    archive : Archive
    targets : float32 array (row, target)
        NaN where unknown.
    train : Strips
        Random crops.
    test_seconds, test_stride : float
        Windows of records to be classified, and the distance between them [s].
    leads : tuple of str, optional
        The only leads that the model is ever shown; all if there are none here.
    val_leads : tuple of (tuple of str)
        Lead sets with which it is validated while it is trained; those above if there are none here.
    """

    archive: Archive
    targets: NDArray[np.float32]
    train: Strips
    test_seconds: float
    test_stride: float
    leads: tuple[str, ...] | None = None
    val_leads: tuple[tuple[str, ...], ...] = ()

    def windows(self, rows: Sequence[int] | NDArray[np.integer], leads: Sequence[str] | None = None) -> Strips:
        """Open the windows of records, to be averaged; with some leads only, if they are named."""
        shown, of = self.leads if leads is None else leads, self.targets
        return open_windows(self.archive, rows, self.test_seconds, self.test_stride, leads=shown, targets=of)


def open_windows(
    archive: Archive,
    rows: Sequence[int] | NDArray[np.integer],
    seconds: float,
    stride: float,
    *,
    leads: Sequence[str] | None = None,
    targets: NDArray[np.float32] | None = None,
) -> Strips:
    """Open all windows of records, to be averaged.

    Parameters
    ----------
    archive : Archive
    rows : sequence of int
        Records, in the order in which they shall come.
    seconds, stride : float
        Length of the windows and distance between them [s].
    leads : sequence of str, optional
        Leads that are kept; the others are zero and count as absent.
    targets : float32 array (row, target), optional
    """
    if leads is None:
        return Strips(archive, seconds, rows=rows, crop="grid", stride=stride, targets=targets)
    return ReducedStrips(archive, seconds, leads=leads, rows=rows, crop="grid", stride=stride, targets=targets)


def open_labelled(
    archive: Archive,
    targets: NDArray[np.float32],
    rows: NDArray[np.int64],
    *,
    seconds: float = 10.0,
    test_seconds: float | None = None,
    test_stride: float | None = None,
    scale: Scale = "none",
    exclude_quality: Sequence[QualityFlag] = ("nan", "amplitude"),
    leads: Sequence[str] | None = None,
    val_leads: Sequence[str] | None = None,
) -> LabelledData:
    """Open the strips of a fine-tuning run.

    Parameters
    ----------
    archive : Archive
    targets : float32 array (row, target)
        Labels of every row of the archive; NaN where unknown.
    rows : int64 array
        Training records.
    seconds : float
        Length of a training strip [s]; longer records give a random crop each time.
    test_seconds : float, optional
        Length of the windows over which a record's probabilities are averaged [s]; as in training unless given.
    test_stride : float, optional
        Distance between the windows [s]; half a window unless given.
    scale : {"none", "record", "lead"}
        How strips are scaled, where an encoder is trained from scratch; see `Preprocessing`. That of a checkpoint
        comes with it.
    exclude_quality : sequence of str
        Leave out training records with any of these quality flags. Validation and test records all count.
    leads : sequence of str, optional
        Train, validate and test with these leads only, as a device would record them: the others are zero and count
        as absent, also when the classifier predicts. Records that have none of them are not trained on. All leads
        unless given.
    val_leads : sequence of str, optional
        Lead sets such as "I,II,V2", or "all": what is chosen on validation while training goes on, as the weights that
        are kept, is chosen by the mean of the figures with each of them, so that dropping leads in training can gain
        something. A record that has none of the leads of a set is left out of it. The figures of the finished model,
        thresholds and calibration are with all leads, and with those of `test_leads`.

    Raises
    ------
    LabelError
        If no training record is left.
    SignalError
        If a lead is not in the archive, or not among `leads`.
    """
    shown = None if leads is None else choose_leads(leads, archive.leads)
    rows = rows[with_leads(archive, shown)[rows]]
    bad = set(exclude_quality)
    quality = archive.index["quality"].iloc[rows]
    kept = rows[[bad.isdisjoint(flag.split(":")[0] for flag in flags) for flags in quality]]
    if not len(kept):
        problem = f"none of {len(rows)} labelled training records is left"
        raise LabelError("data.exclude_quality", problem, "loosen it, or prepare other records")
    window = seconds if test_seconds is None else test_seconds
    stride = window / 2 if test_stride is None else test_stride
    train = (
        Strips(archive, seconds, rows=kept, targets=targets)
        if shown is None
        else ReducedStrips(archive, seconds, leads=shown, rows=kept, targets=targets)
    )
    there = shown or archive.leads
    sets = tuple(there if one == "all" else choose_leads(one, there) for one in val_leads or ())
    return LabelledData(archive, targets, train, window, stride, shown, sets)


def read_metadata(archive: Archive) -> NDArray[np.float32]:
    """Give age [years] and sex (1 male, 0 female) of every record, NaN where missing; float32 (record, 2)."""
    table = archive.table(["age", "sex"]).to_pandas()
    sex = table["sex"].map({"male": 1.0, "female": 0.0})
    columns = [table["age"].to_numpy(np.float32, na_value=np.nan), sex.to_numpy(np.float32, na_value=np.nan)]
    return np.stack(columns, axis=1)
