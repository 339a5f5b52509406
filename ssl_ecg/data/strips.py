"""Windows of an archive as a torch data set."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import INVALID
from ssl_ecg.data.partners import PatientRecords, paired_starts, starts_beside
from ssl_ecg.errors import ArchiveError

CROPS = ("random", "center", "grid")
Partner = Literal["none", "window", "patient"]


class Targets(Protocol):
    """What `Strips` needs of targets: an array (record, target), or what reads its rows when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(record, target)."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any: ...

    def __array__(self) -> NDArray[Any]: ...


class Strips(Dataset[dict[str, Tensor]]):
    """Windows of fixed length, one of each record or all of them.

    Samples that are missing are zero, records shorter than a strip are followed by zeros. A whole batch is
    filled at once by `__getitems__`, which a DataLoader calls by itself; give it ``collate_fn=identity``.

    Parameters
    ----------
    archive : Archive
    seconds : float
        Length of a strip [s].
    rows : sequence of int, optional
        The records to use (rows of ``archive.index``); all of them unless given.
    crop : {"random", "center", "grid"}
        Where a record is cut: anew at each access, drawn from torch's generator (which is another one in each
        worker and epoch); in the middle; or everywhere, each window being an item. A grid's last window ends
        with the record.
    stride : float, optional
        Distance between the windows of a grid [s]; the length of a strip unless given.
    dtype : torch.dtype
        Of the signal.
    targets : float32 array (row, target), optional
        Labels or values for every row of ``archive.index``; NaN where one is unknown. Or what is indexed like one and
        reads them then, see `Targets`.
    partner : {"none", "window", "patient"}
        Also read a second strip for each: the window right before or after it, as far away as there is room where
        the record does not hold two; or a window of another record of the patient, at random among those used, and
        the window beside it where there is none.

    Attributes
    ----------
    record_rows : int64 array (item,)
        Row of the archive that each item comes from.
    starts : int64 array (item,) or None
        Where each item begins [samples]; None where it is drawn.

    Raises
    ------
    ArchiveError
        If the length, crop, stride, partner, a row or the shape of the targets is impossible.

    Examples
    --------
    >>> import tempfile
    >>> from ssl_ecg.data.prepare import prepare
    >>> from ssl_ecg.data.record import Record
    >>> record = Record(np.ones((2, 1200), np.float32), 100, ("V1", "V2"), "a1")
    >>> archive = prepare([record], tempfile.mkdtemp() + "/a", leads="V1,V2", band=None, progress=False)
    >>> strips = Strips(archive, 5, crop="grid")
    >>> len(strips), strips.starts.tolist(), strips[0]["signal"].shape
    (3, [0, 500, 700], torch.Size([2, 500]))
    """

    def __init__(
        self,
        archive: Archive,
        seconds: float,
        *,
        rows: Sequence[int] | NDArray[np.integer] | None = None,
        crop: str = "random",
        stride: float | None = None,
        dtype: torch.dtype = torch.float32,
        targets: Targets | None = None,
        partner: Partner = "none",
    ) -> None:
        where = str(archive.path)
        self.archive, self.seconds, self.crop, self.dtype = archive, seconds, crop, dtype
        stride = seconds if stride is None else stride
        if not (0.5 <= seconds * archive.fs < np.inf and 0.5 <= stride * archive.fs < np.inf):
            problem = f"strips of {seconds} s every {stride} s"
            raise ArchiveError(where, problem, f"give both in seconds, at least {1 / archive.fs:g}")
        self.length, step = max(1, round(seconds * archive.fs)), max(1, round(stride * archive.fs))
        if crop not in CROPS:
            raise ArchiveError(where, f"unknown crop {crop!r}", f"choose from {', '.join(CROPS)}")
        if partner not in get_args(Partner):
            raise ArchiveError(where, f"unknown partner {partner!r}", f"choose from {', '.join(get_args(Partner))}")
        self.record_rows = np.arange(len(archive)) if rows is None else np.array(rows, np.int64).reshape(-1)
        if targets is not None and (len(targets.shape) != 2 or len(targets) != len(archive)):
            problem = f"targets of shape {targets.shape} for {len(archive)} records"
            raise ArchiveError(where, problem, "give (record, target), one row for each row of archive.index")
        self.targets = targets
        if ((self.record_rows < 0) | (self.record_rows >= len(archive))).any():
            raise ArchiveError(where, f"has no such rows, only {len(archive)}", "give rows of archive.index")
        self.partner: Partner = partner
        self._records = PatientRecords(self.record_rows, archive.patients) if partner == "patient" else None
        self.starts: NDArray[np.int64] | None = None
        room = np.maximum(archive.n_samples[self.record_rows] - self.length, 0)
        if crop == "center":
            self.starts = room // 2
        elif crop == "grid":
            n_windows = -(-room // step) + 1
            first = np.repeat(np.cumsum(n_windows) - n_windows, n_windows)
            self.record_rows = np.repeat(self.record_rows, n_windows)
            starts = (np.arange(len(self.record_rows)) - first) * step
            self.starts = np.minimum(starts, np.repeat(room, n_windows))

    def __len__(self) -> int:
        return len(self.record_rows)

    def __getitem__(self, item: int) -> dict[str, Tensor]:
        if not -len(self) <= item < len(self):
            raise IndexError(f"strip {item} of {len(self)}")
        return {name: value[0] for name, value in self.__getitems__([item]).items()}

    def __getitems__(self, items: Sequence[int]) -> dict[str, Tensor]:
        """Give a whole batch.

        Returns
        -------
        dict
            "signal" (batch, lead, time) [mV]; "lead_mask" bool (batch, lead); and int64 (batch,): "row" of
            the archive, "patient" (number of the patient, see `Archive.patients`), "start" and "length" of what
            was recorded, before any padding with zeros [samples]. With targets also "target" float32
            (batch, target), zero where it is unknown, and "target_mask" bool (batch, target), true where known.
            With a partner also "partner" (batch, lead, time) [mV], "partner_mask" bool (batch, lead), and int64
            (batch,) "partner_row", "partner_start" and "partner_length".
        """
        archive = self.archive
        chosen = np.asarray(items, np.int64)
        rows = self.record_rows[chosen]
        starts = self.starts[chosen] if self.starts is not None else self._drawn(archive.n_samples[rows])
        signal, sizes = self._read(rows, starts)
        batch = {
            "signal": signal,
            "lead_mask": torch.from_numpy(archive.lead_masks[rows]),
            "length": sizes,
            "row": torch.from_numpy(rows),
            "patient": torch.from_numpy(archive.patients[rows]),
            "start": torch.from_numpy(starts),
        }
        if self.targets is not None:
            chosen_targets = torch.from_numpy(self.targets[rows])
            batch["target_mask"] = ~torch.isnan(chosen_targets)
            batch["target"] = torch.nan_to_num(chosen_targets)
        if self.partner != "none":
            rows, starts = self._partners(rows, starts)
            batch["partner"], batch["partner_length"] = self._read(rows, starts)
            batch["partner_mask"] = torch.from_numpy(archive.lead_masks[rows])
            batch["partner_row"], batch["partner_start"] = torch.from_numpy(rows), torch.from_numpy(starts)
        return batch

    def pairing_within(self, items: Sequence[int] | NDArray[np.integer]) -> Strips:
        """Give the same strips, whose partners of the same patient are drawn from the records of some items only."""
        if self._records is None:
            return self
        same = copy.copy(self)
        same._records = PatientRecords(self.record_rows[np.asarray(items)], self.archive.patients)
        return same

    def _read(self, rows: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Read windows and give them with their lengths before the padding."""
        archive, length = self.archive, self.length
        signal = np.empty((len(rows), len(archive.leads), length), np.float32)
        sizes = np.minimum(archive.n_samples[rows], length)
        scales = archive.scales[rows]
        for k, (row, start, size) in enumerate(zip(rows.tolist(), starts.tolist(), sizes.tolist(), strict=True)):
            steps = archive.steps(row, start, size)
            strip = signal[k]
            if size < length:
                strip[:, size:] = 0.0
                strip = strip[:, :size]
            np.multiply(steps, scales[k], out=strip)
            if steps.min() == INVALID:
                strip[steps == INVALID] = 0.0
        return torch.from_numpy(signal).to(self.dtype), torch.from_numpy(sizes)

    def _drawn(self, n_samples: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.partner != "none":
            return paired_starts(n_samples, self.length, _uniform(2, len(n_samples)))
        room = np.maximum(n_samples - self.length, 0)
        where = _uniform(len(n_samples))
        return np.asarray(np.minimum(where * (room + 1), room), np.int64)

    def _partners(
        self, rows: NDArray[np.int64], starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw the record and the start of each strip's partner."""
        side, which, where = _uniform(3, len(rows))
        beside = starts_beside(starts, self.archive.n_samples[rows], self.length, side)
        if self._records is None:
            return rows, beside
        others = self._records.others(rows, which)
        room = np.maximum(self.archive.n_samples[others] - self.length, 0)
        anywhere = np.minimum(where * (room + 1), room).astype(np.int64)
        return others, np.where(others == rows, beside, anywhere)


def _uniform(*shape: int) -> NDArray[np.float64]:
    """Draw from [0, 1) with torch's generator."""
    drawn: NDArray[np.float64] = torch.rand(shape, dtype=torch.float64).numpy()
    return drawn


def identity(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave a batch as it is: the ``collate_fn`` for `Strips`."""
    return batch
