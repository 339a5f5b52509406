"""The patient's usual beats and windows, and how far others are from them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.monitor.likeness import DRIFT, Usual, core_rows
from ssl_ecg.monitor.measure import MeasuredBeats, MeasuredWindow

Floats = NDArray[np.float64]
Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]

FEWEST_BEATS, FEWEST_WINDOWS = 30, 6
MOST_BEATS, MOST_WINDOWS = 2000, 240
"""Of a longer baseline, so many are used, evenly spread."""
EARLY = 4.0
"""A beat that comes at half of the usual interval scores half of this more."""
FAINT = (0.7, 20.0)
"""A complex below this part of the usual size scores less, by so much for each unit below: noise taken for a beat."""
FAINT_IN_NOISE = (0.3, 3.0)
"""In noise this part rises by so much, reached where the noise is the third part of the usual energy."""
NEAREST = 3
WINDOW_CORE = 0.7
_MASKS = 32


@dataclass(slots=True)
class BeatBaseline:
    """The usual beat, lead by lead and as an embedding.

    Attributes
    ----------
    rows : list of Usual or None
        One per row of the recording; None where the baseline had too few beats.
    sizes : float64 array (row,)
        Range of the usual complex [mV].
    vector : Usual or None
    mask : bool array (row,)
        Rows with which the usual embedding was made.
    """

    rows: list[Usual | None]
    sizes: Floats
    vector: Usual | None
    mask: NDArray[np.bool_]

    @classmethod
    def fit(cls, beats: MeasuredBeats, origin: NDArray[np.floating] | float = 0.0) -> BeatBaseline:
        """Learn from the beats of the patient's first minutes; `origin` is the embedding of no signal at all.

        Raises
        ------
        SignalError
            If there are too few.
        """
        beats = beats.take(slice(None, None, -(-len(beats.time) // MOST_BEATS) or 1))
        good = beats.usable & ~beats.noisy
        rows: list[Usual | None] = []
        for k in range(good.shape[1]):
            chosen = good[:, k]
            enough = np.count_nonzero(chosen) >= FEWEST_BEATS
            rows.append(Usual.fit(beats.qrs[chosen, k], beats.noise[chosen, k]) if enough else None)
        if not any(rows):
            problem = f"{len(beats.time)} beats, fewer than {FEWEST_BEATS} of them clean"
            raise SignalError("baseline", problem, "begin with a quieter part, or learn from a longer one")
        sizes = np.array([np.ptp(usual.centre) if usual else np.nan for usual in rows])
        masks, counts = np.unique(beats.usable, axis=0, return_counts=True)
        mask = masks[np.argmax(counts)]
        same = (beats.usable == mask).all(axis=1) & ~(beats.noisy | ~mask).all(axis=1)
        seen = np.count_nonzero(same) >= FEWEST_BEATS and bool(beats.vector[same].any())
        vector = Usual.fit(beats.vector[same], beats.vector_noise[same], origin) if seen else None
        return cls(rows, sizes, vector, mask)

    def score(self, beats: MeasuredBeats, interval: Floats) -> Floats:
        """Score beats; higher is stranger, 0 is usual.

        The mean, over the leads that can be used and the embedding, of the logarithm of the squared distance from
        the usual over what is usual; more for beats that come early, less for faint ones.

        Parameters
        ----------
        beats : MeasuredBeats
        interval : float64 array (beat,)
            RR interval over the median of those before; NaN where unknown.

        Returns
        -------
        float64 array (beat,)
            NaN for a beat that no lead shows clearly.
        """
        used = beats.usable & ~beats.noisy & np.array([usual is not None for usual in self.rows])
        total, count, size, excess = np.zeros((4, len(used)))
        for k, usual in enumerate(self.rows):
            on = used[:, k]
            if usual is not None and on.any():
                total[on] += usual.score(beats.qrs[on, k], beats.noise[on, k])
                count[on] += 1
                excess[on] += usual.excess(beats.noise[on, k])
                seen = beats.usable[:, k]  # a noisy lead too may show that there is a complex
                size[seen] = np.maximum(size[seen], np.ptp(beats.qrs[seen, k], axis=-1) / self.sizes[k])
        mean = total / np.where(count, count, np.nan)
        if self.vector is not None:
            on = (beats.usable == self.mask).all(axis=1) & (count > 0)
            mean[on] = (mean[on] + self.vector.score(beats.vector[on], beats.vector_noise[on])) / 2
        early = np.nan_to_num(np.clip(1 - interval, 0, 0.5))
        rise, slope = FAINT_IN_NOISE
        limit = FAINT[0] + rise * np.minimum(slope * excess / np.maximum(count, 1), 1)
        return np.asarray(mean + EARLY * early - FAINT[1] * np.maximum(limit - size, 0))


@dataclass(slots=True)
class WindowBaseline:
    """The patient's usual windows; embedded anew for every set of leads that is met.

    Attributes
    ----------
    strips : float32 array (window, lead, time)
    starts : float64 array (window,)
        [s], or numbers of rows.
    vectors : float32 array (window, dim) or None
        Of a reference that is given as embeddings, instead of strips.
    """

    strips: NDArray[np.float32] | None
    starts: Floats
    vectors: NDArray[np.float32] | None = None
    _known: OrderedDict[bytes, _Cloud] = field(default_factory=OrderedDict)

    @classmethod
    def fit(cls, windows: list[MeasuredWindow]) -> WindowBaseline:
        """Learn from the windows of the patient's first minutes.

        Raises
        ------
        SignalError
            If there are too few that can be used.
        """
        good = [window for window in windows if window.strip is not None]
        if len(good) < FEWEST_WINDOWS:
            problem = f"{len(good)} usable windows, at least {FEWEST_WINDOWS} are needed"
            raise SignalError("baseline", problem, "begin with a quieter part, or learn from a longer one")
        good = good[:: -(-len(good) // MOST_WINDOWS)]
        strips = np.stack([window.strip for window in good if window.strip is not None])
        return cls(strips, np.array([window.start for window in good]))

    @classmethod
    def of_vectors(cls, vectors: NDArray[np.floating]) -> WindowBaseline:
        """Take embeddings (record, dim) for the usual.

        Raises
        ------
        SignalError
            If there are too few.
        """
        if len(vectors) < FEWEST_WINDOWS:
            raise SignalError("reference", f"{len(vectors)} embeddings", f"give at least {FEWEST_WINDOWS}")
        return cls(None, np.arange(len(vectors), dtype=np.float64), np.asarray(vectors, np.float32))

    def score(self, strip: NDArray[np.float32], embed: Embed) -> tuple[float, tuple[float, ...]]:
        """Score a window (lead, time); also give the starts of the most similar baseline windows.

        The logarithm of the mean squared distance to the nearest windows, over what is usual among them.
        """
        present = (strip != 0).any(axis=-1)
        cloud = self._cloud(present, embed, strip.shape)
        distance = np.square(cloud.vectors - embed(strip[None])[0], dtype=np.float64).sum(axis=1)
        order = np.argsort(distance, kind="stable")[:NEAREST]
        nearest = tuple(float(start) for start in self.starts[cloud.rows[order]])
        return float(np.log(max(float(distance[order].mean()), 1e-12) / cloud.usual)), nearest

    def _cloud(self, present: NDArray[np.bool_], embed: Embed, strip_shape: tuple[int, ...]) -> _Cloud:
        key = present.tobytes() if self.vectors is None else b""
        if key not in self._known:
            vectors = self.vectors
            if vectors is None and self.strips is not None:
                vectors = embed(self.strips * present[:, None])
            vectors = np.zeros((1, 1), np.float32) if vectors is None else vectors
            self._known[key] = _Cloud.around(vectors, embed(np.zeros((1, *strip_shape), np.float32))[0])
            if len(self._known) > _MASKS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


@dataclass(frozen=True, slots=True)
class _Cloud:
    """The core of the baseline's embeddings, its rows, and the usual squared distance in it, with `DRIFT`."""

    vectors: NDArray[np.float32]
    rows: NDArray[np.int64]
    usual: float

    @classmethod
    def around(cls, vectors: NDArray[np.float32], origin: NDArray[np.float32]) -> _Cloud:
        rows = core_rows(vectors, WINDOW_CORE)
        core = vectors[rows]
        some = core[:: -(-len(core) // 1000)].astype(np.float64)
        square = np.square(some).sum(axis=1)
        distance = np.maximum(square[:, None] + square - 2 * some @ some.T, 0)
        np.fill_diagonal(distance, np.inf)
        nearest = np.sort(distance, axis=1)[:, :NEAREST].mean(axis=1)
        size = np.square(core.mean(axis=0, dtype=np.float64) - origin).sum()
        return cls(core, rows, max(float(np.median(nearest) + DRIFT * size), 1e-12))
