"""An archive whose recordings are changed as they are read."""

from __future__ import annotations

import hashlib
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import INVALID
from ssl_ecg.errors import ArchiveError
from ssl_ecg.evaluate.perturbations import Perturbation, Recorded

_LARGEST = 32767
_KEPT = 4  # records that are kept, so that several windows of one cost one change


class PerturbedArchive(Archive):
    """A view of an archive through a change; see `perturbed`.

    Attributes
    ----------
    base : Archive
    perturbation : Perturbation
    seed : int
    """

    def __init__(self, base: Archive, perturbation: Perturbation, seed: int = 0) -> None:
        super().__init__(base.path)
        self.base, self.perturbation, self.seed = base, perturbation, seed
        whole = "\0".join((base.fingerprint, perturbation.label, str(seed)))
        self.fingerprint = hashlib.sha256(whole.encode()).hexdigest()
        self._keep()

    def __repr__(self) -> str:
        return f"PerturbedArchive({self.base!r}, {self.perturbation.label!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != "_changed"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._keep()

    def steps(self, i: int, start: int, length: int) -> NDArray[np.int16]:
        """Read samples of the changed record as an archive stores them; (lead, length)."""
        self.base.steps(i, start, length)[:0]  # refuses what lies outside
        return self._changed(int(i))[:, start : start + length]

    @cached_property
    def _numbers(self) -> dict[str, NDArray[Any]]:
        """Those of the base, with coarser steps and with the leads that are there after the change."""
        numbers = dict(self.base._numbers)
        numbers["scale"] = numbers["scale"] * np.float32(self.perturbation.grows)
        kept = [~self.perturbation.lost(self._recorded(i), record_generator(self.seed, i)) for i in range(len(self))]
        bits = (np.array(kept) << np.arange(len(self.leads))).sum(axis=-1)
        numbers["leads_present"] = bits.astype(numbers["leads_present"].dtype)
        return numbers

    def _recorded(self, i: int) -> Recorded:
        return Recorded(self.fs, self.leads, self.base.lead_mask(i), self.band)

    def _keep(self) -> None:
        self._changed = lru_cache(maxsize=_KEPT)(self._change)

    def _change(self, i: int) -> NDArray[np.int16]:
        signal = self.base.read(i)
        changed = self.perturbation.apply(signal, self._recorded(i), record_generator(self.seed, i))
        changed[~self.lead_masks[i]] = 0.0
        missing = ~np.isfinite(changed)
        samples = np.rint(np.where(missing, 0, changed) / self.scales[i])
        out: NDArray[np.int16] = np.clip(samples, -_LARGEST, _LARGEST).astype(np.int16)
        out[missing] = INVALID
        return out


def record_generator(seed: int, i: int) -> np.random.Generator:
    """Give the generator of one record, the same in every process."""
    return np.random.default_rng([seed, i])


def perturbed(archive: Archive, perturbation: Perturbation, *, seed: int = 0) -> PerturbedArchive:
    """Look at an archive through a change of its recordings.

    Nothing is written: records are changed as they are read, the same for equal settings and seed. `embed`, `Strips`
    and the prediction of a fine-tuned model take the view as any archive, though not by an engine, whose
    workers open the folder itself. Index, labels and patients are those of the archive.

    Parameters
    ----------
    archive : Archive
        May be such a view itself.
    perturbation : Perturbation
    seed : int

    Returns
    -------
    PerturbedArchive
        Samples are rounded to the archive's steps, or to coarser ones where the change makes recordings larger.

    Raises
    ------
    ArchiveError
        If the seed is negative.
    SignalError, RecordError
        When records are read, if leads are missing that the change needs, or noise cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from ssl_ecg.data.prepare import prepare
    >>> from ssl_ecg.data.record import Record
    >>> from ssl_ecg.evaluate.perturbations import Inverted
    >>> record = Record(np.ones((1, 500), np.float32), 100, ("V1",), "a1")
    >>> archive = prepare([record], tempfile.mkdtemp() + "/a", leads="V1", band=None, progress=False)
    >>> perturbed(archive, Inverted()).read_window(0, 100, 2).round(2).tolist()
    [[-1.0, -1.0]]
    """
    if seed < 0:
        raise ArchiveError("seed", f"is {seed}", "give 0 or more")
    return PerturbedArchive(archive, perturbation, seed)
