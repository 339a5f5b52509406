"""What the recordings of training look like: traits of their signal, and how far a record is from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.features.traits import EDGES, STEP, lead_traits, over_leads, strip_traits, trait_names
from ssl_ecg.screen.mahalanobis import ledoit_wolf

if TYPE_CHECKING:
    from ssl_ecg.data.strips import Strips

MOST_TRAITS = 1024
"""Training records, and validation records, whose traits are kept at most."""
MOVES = 0.01
"""A lead that moves by no more within a second has no signal there [mV]."""
_AT_LEAST = 0.25
"""A lead that has a signal in no more than this part of a window is flat: filters ring where a recording begins."""
_BATCH = 128
_FEWEST = 11
"""Records with the same traits that there must be."""
_SMALLEST_VARIANCE, _TINY = 1e-6, 1e-12
_ROUNDING = 1e-5  # the same record among others gives the same distance but for this
_WORDS = {
    "peak": "log of range over root mean square",
    "polarity": "polarity",
    "slope_turn": "skewness of slopes",
    "slope_peak": "log kurtosis of slopes",
}

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What records look like.

    Attributes
    ----------
    traits : float32 array (record, trait)
        Means over the windows of a record; NaN of absent leads.
    moves : bool array (record, lead)
        The lead has a signal in at least one window.
    present : bool array (record, lead)
    """

    traits: NDArray[np.float32]
    moves: NDArray[np.bool_]
    present: NDArray[np.bool_]


def look_at(windows: Strips) -> Look:
    """Measure the traits of records, window by window.

    Parameters
    ----------
    windows : Strips
        With the crop "grid"; records come out in the order in which they stand there.
    """
    archive = windows.archive
    first = np.flatnonzero(np.append(True, windows.record_rows[1:] != windows.record_rows[:-1]))
    n_traits = len(trait_names(archive.leads))
    total = np.zeros((len(first), n_traits))
    moves = np.zeros((len(first), len(archive.leads)), np.bool_)
    present = np.zeros_like(moves)
    record = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(windows))))
    for items in np.array_split(np.arange(len(windows)), -(-len(windows) // _BATCH)):
        batch = windows.__getitems__(items.tolist())
        signal, there = batch["signal"].float().numpy(), batch["lead_mask"].numpy()
        for length in np.unique(batch["length"].numpy()):  # what follows a short record is no part of it
            some = np.flatnonzero(batch["length"].numpy() == length)
            strips, of = signal[some, :, :length], record[items[some]]
            np.add.at(total, of, strip_traits(strips, archive.fs, archive.leads, there[some]))
            np.logical_or.at(moves, of, there[some] & _moves(strips, archive.fs))
            np.logical_or.at(present, of, there[some])
    each = np.diff(np.append(first, len(windows)))[:, None]
    return Look((total / each).astype(np.float32), moves, present)


@dataclass(frozen=True)
class SignalReference:
    """Traits of training records, and those of validation records, which say what is usual.

    A record is compared by the traits of the leads that it has, each standardised, by the Mahalanobis distance to the
    mean of the training records, with a covariance shrunk by Ledoit and Wolf's rule: once by all of its traits, once
    by their averages over the leads, where a change that all leads share stands out. Each of the two is divided by the
    largest usual one among the validation records, and the greater counts.

    Attributes
    ----------
    leads : tuple of str
    train, held_out : float32 arrays (record, trait)

    References
    ----------
    Ledoit and Wolf 2004, doi:10.1016/S0047-259X(03)00096-4, section 3.
    """

    leads: tuple[str, ...]
    train: NDArray[np.float32]
    held_out: NDArray[np.float32]

    def distance(self, traits: NDArray[np.floating], quantile: float = 0.99) -> FloatArray:
        """Give the distances (record,) of records (record, trait), in units of the largest usual one.

        NaN where too few records of training or validation have the same leads.
        """
        found = np.full(len(traits), np.nan)
        known = np.isfinite(traits)
        patterns, which = np.unique(known, axis=0, return_inverse=True)
        for k, pattern in enumerate(patterns):
            rows = np.flatnonzero(which.ravel() == k)
            train, held_out = (self._with(part, pattern) for part in (self.train, self.held_out))
            if pattern.any() and len(train) >= _FEWEST and len(held_out):
                found[rows] = self._relative(train, held_out, np.asarray(traits)[rows], pattern, quantile)
        return found

    def most_absent(self, shown: NDArray[np.bool_], quantile: float = 0.99) -> int:
        """Give how many of the leads that are shown are absent at most in this share of the validation records."""
        absent = shown & ~self._present(self.held_out)
        return int(np.quantile(absent.sum(axis=1), quantile, method="higher"))

    def oddest(self, traits: NDArray[np.floating]) -> str | None:
        """Name the trait of one record that is farthest from training records, in words; None if none is beyond them.

        Parameters
        ----------
        traits : array (trait,)
        """
        known = np.isfinite(traits) & (np.isfinite(self.train).sum(axis=0) >= _FEWEST)
        if not known.any():
            return None
        mean, scale = _moments(self.train)
        low, high = (np.nanquantile(self.train[:, known], q, axis=0) for q in (0.005, 0.995))
        at = int(np.argmax(np.where(known, np.abs(traits - mean) / scale, -1.0)))
        place = int(np.count_nonzero(known[:at]))
        value, usual = float(traits[at]), (float(low[place]), float(high[place]))
        return None if usual[0] <= value <= usual[1] else _in_words(trait_names(self.leads)[at], value, usual)

    def _with(self, part: NDArray[np.float32], pattern: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Give the records that have these traits, without the others."""
        complete = np.asarray(np.isfinite(part[:, pattern]).all(axis=1), np.bool_)
        return np.where(pattern, part[complete], np.float32(np.nan))

    def _present(self, part: NDArray[np.float32]) -> NDArray[np.bool_]:
        where, shape = lead_traits(part.shape[1], len(self.leads))
        found: NDArray[np.bool_] = np.isfinite(part[:, where]).reshape(-1, *shape)[:, :, 0]
        return found

    def _relative(
        self,
        train: NDArray[np.float32],
        held_out: NDArray[np.float32],
        new: NDArray[np.floating],
        pattern: NDArray[np.bool_],
        quantile: float,
    ) -> FloatArray:
        usual, found = np.zeros(len(held_out)), np.zeros(len(new))
        n = len(self.leads)
        views = [(part[:, pattern], over_leads(part, n)) for part in (train, held_out, new)]
        for by_train, by_held_out, by_new in zip(*views, strict=True):
            kept, candidates = _mahalanobis(by_train, by_held_out, by_new)
            largest = max(float(np.quantile(kept, quantile, method="higher")), _TINY)
            usual, found = np.maximum(usual, kept / largest), np.maximum(found, candidates / largest)
        largest = float(np.quantile(usual, quantile, method="higher")) * (1 + _ROUNDING)
        return np.asarray(found / max(largest, _TINY))


def look_reference(leads: tuple[str, ...], train: Look, held_out: Look) -> SignalReference | None:
    """Keep what is needed of training and validation records; none where there are too few."""
    if len(train.traits) < _FEWEST or not len(held_out.traits):
        return None
    kept = (_thinned(look.traits) for look in (train, held_out))
    return SignalReference(leads, *kept)


def _moves(strips: NDArray[np.float32], fs: float) -> NDArray[np.bool_]:
    """Tell which leads (strip, lead) have a signal in enough of the seconds of a strip."""
    length = min(round(fs), strips.shape[-1])
    whole = strips[..., : strips.shape[-1] // length * length]
    seconds = np.ptp(whole.reshape(*strips.shape[:2], -1, length), axis=-1) > MOVES
    found: NDArray[np.bool_] = seconds.mean(axis=-1) > _AT_LEAST
    return found


def _thinned(traits: NDArray[np.float32]) -> NDArray[np.float32]:
    chosen = np.linspace(0, len(traits) - 1, min(len(traits), MOST_TRAITS)).round().astype(np.int64)
    return np.ascontiguousarray(traits[chosen], np.float32)


def _moments(values: NDArray[np.floating]) -> tuple[FloatArray, FloatArray]:
    """Give mean and deviation of each column, of what is known; one where it does not vary or is unknown."""
    known = np.isfinite(values)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64) / n
    spread = np.sqrt(np.square(np.where(known, values - mean, 0.0)).sum(axis=0, dtype=np.float64) / n)
    return mean, np.where(spread > np.sqrt(_SMALLEST_VARIANCE), spread, 1.0)


def _mahalanobis(train: NDArray[np.floating], *others: NDArray[np.floating]) -> tuple[FloatArray, ...]:
    """Give the distances of others from the training records, per root of the number of columns."""
    mean, scale = _moments(train)
    centre, covariance, _ = ledoit_wolf((train - mean) / scale)
    values, directions = np.linalg.eigh(covariance)
    factor = directions / np.sqrt(np.maximum(values, max(_SMALLEST_VARIANCE * values[-1], _TINY)))
    return tuple(
        np.sqrt(np.square(((np.asarray(x, np.float64) - mean) / scale - centre) @ factor).mean(axis=1)) for x in others
    )


def _in_words(name: str, value: float, usual: tuple[float, float]) -> str:
    """Say what a trait is and what is usual."""
    if "/" not in name:
        if "," in name:
            *others, last = name.split(",")
            return f"{', '.join(others)} and {last} contradict each other"
        return f"correlation of {name.replace('~', ' and ')} {value:.2f}, usually {usual[0]:.2f} to {usual[1]:.2f}"
    lead, trait = name.split("/")
    if trait == "amplitude":
        sizes = [max(float(np.exp(x)) - STEP, 0.0) for x in (value, *usual)]
        return f"{lead} {sizes[0]:.2g} mV root mean square, usually {sizes[1]:.2g} to {sizes[2]:.2g}"
    if trait.startswith("band"):
        low, high = EDGES[int(trait[4:])], EDGES[int(trait[4:]) + 1]
        shares = [100 * float(np.exp(x)) for x in (value, *usual)]
        band = f"{low:g} to {high:g} Hz" if np.isfinite(high) else f"from {low:g} Hz"
        return f"{lead} {shares[0]:.2g} % of the power {band}, usually {shares[1]:.2g} to {shares[2]:.2g} %"
    return f"{lead} {_WORDS[trait]} {value:.2f}, usually {usual[0]:.2f} to {usual[1]:.2f}"
