"""R peaks: where the QRS complexes of a recording are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import SignalError
from ssl_ecg.features.qrs_energy import RATE, levels, qrs_trace, silent
from ssl_ecg.signal import resample_band
from ssl_ecg.spectral import filled

REFRACTORY = 0.2
"""Two QRS complexes are at least so far apart [s]."""
T_WAVE = 0.36
"""So soon after a QRS complex, what is much lower is its T wave [s]."""
MISSED = 1.66
"""After so many usual intervals without a beat, a lower threshold is tried."""
THRESHOLD = 0.35
"""Between what lies between QRS complexes (0) and these (1)."""
LOWER = 0.2
"""The threshold of search-back, in the same way."""
_T_HEIGHT = 0.6  # of the beat before
_REACH = 0.08  # the R peak is sought so far from the centre of the energy [s]
_SMOOTH = (1.0, 40.0)  # the band in which it is sought [Hz]
_POSITIVE = 1.5  # an upward deflection is the R wave unless the one downward is so much larger


def r_peaks(signal: ArrayLike, fs: float) -> NDArray[np.int64]:
    """Find the R peaks of a recording.

    After Pan and Tompkins: band pass, derivative, square, moving average, adaptive thresholds with
    search-back, refractory period, T waves told by their height. Differently from the paper, filters have no
    delay, the energy of the leads is joined, thresholds follow running medians instead of the last decisions, and
    each beat is placed on the extreme of the signal itself: of the first lead whose QRS complexes are at
    least a third as large as the largest lead's, its R wave or, where that is small, its Q or S wave.

    Parameters
    ----------
    signal : array (time,) or (lead, time) [mV]
        NaN where missing. No peaks are found in missing or flat parts.
    fs : float
        [Hz], 80 or more.

    Returns
    -------
    int64 array (beat,)
        Samples, increasing; empty if there is nothing like a beat, or less than half a second.

    Raises
    ------
    SignalError
        If shape or rate is impossible.

    References
    ----------
    Pan and Tompkins 1985, doi 10.1109/TBME.1985.325532.

    Examples
    --------
    >>> from ssl_ecg.data.simulate import simulate
    >>> record = simulate(1, seed=1, findings=["NORM"])[0]
    >>> found, true = r_peaks(record.signal, record.fs), record.annotations.sample[1:]
    >>> len(found) == len(true), bool(abs(found - true).max() < 0.02 * record.fs)
    (True, True)
    """
    rows = np.atleast_2d(np.asarray(signal, np.float32))
    if rows.ndim != 2 or not 80 <= fs < np.inf:
        problem = f"shape {np.shape(signal)} at {fs:g} Hz"
        raise SignalError("r_peaks", problem, "give (time,) or (lead, time), sampled at 80 Hz or more")
    if rows.size == 0 or rows.shape[1] < 0.5 * fs:
        return np.empty(0, np.int64)
    hidden = silent(rows, fs)
    rows = np.where(hidden, np.float32(np.nan), rows)
    beats = np.rint(_chosen(qrs_trace(rows, fs)) * (fs / RATE)).astype(np.int64)
    return _placed(rows, ~hidden, np.minimum(beats, rows.shape[1] - 1), fs)


def _chosen(trace: NDArray[np.float64]) -> NDArray[np.int64]:
    """Decide which peaks of the trace are QRS complexes."""
    from scipy.signal import find_peaks

    steps = find_peaks(trace, distance=round(REFRACTORY / 2 * RATE))[0]
    high, low = levels(trace)
    threshold, lower = ((low + share * (high - low))[steps].tolist() for share in (THRESHOLD, LOWER))
    search = _Search(steps.tolist(), trace[steps].tolist(), threshold, lower)
    for candidate in range(len(steps)):
        search.look_back(candidate)
        search.judge(candidate)
    return np.asarray(steps[search.beats], np.int64)


class _Search:
    """Goes through the candidates in their order; `beats` are the numbers of those taken."""

    def __init__(self, step: list[int], height: list[float], threshold: list[float], lower: list[float]) -> None:
        self.step, self.height, self.threshold, self.lower = step, height, threshold, lower
        self.beats: list[int] = []

    def judge(self, k: int) -> None:
        """Take a candidate, let it replace one that is too near, or leave it."""
        gap = (self.step[k] - self.step[self.beats[-1]]) / RATE if self.beats else np.inf
        before = self.height[self.beats[-1]] if self.beats else 0.0
        if gap < REFRACTORY:
            if self.height[k] > before:
                self.beats[-1] = k
        elif self.height[k] > self.threshold[k] and not (gap < T_WAVE and self.height[k] < _T_HEIGHT * before):
            self.beats.append(k)

    def look_back(self, k: int) -> None:
        """After a long pause, take the highest candidate in it that reaches the lower threshold."""
        if len(self.beats) < 3:
            return
        last = self.beats[-1]
        recent = [self.step[beat] for beat in self.beats[-9:]]
        if self.step[k] - self.step[last] <= MISSED * float(np.median(np.diff(recent))):
            return
        within = [
            j
            for j in range(last + 1, k)
            if self.step[j] - self.step[last] > T_WAVE * RATE
            and self.step[k] - self.step[j] > REFRACTORY * RATE
            and self.height[j] > self.lower[j]
        ]
        if within:
            self.beats.append(max(within, key=self.height.__getitem__))


def _placed(
    rows: NDArray[np.float32], heard: NDArray[np.bool_], beats: NDArray[np.int64], fs: float
) -> NDArray[np.int64]:
    """Move each beat to its peak in the first lead that shows it well; those that no lead shows are left out."""
    beats = beats[heard[:, beats].any(axis=0)]
    if not len(beats):
        return beats
    reach, last = round(_REACH * fs), rows.shape[1] - 1
    smooth = resample_band(filled(rows)[0], fs, fs, (_SMOOTH[0], min(_SMOOTH[1], 0.45 * fs)))
    near = np.clip(beats[:, None] + np.arange(-reach, reach + 1), 0, last)
    around = np.clip(beats[:, None] + np.arange(-2 * reach, 2 * reach + 1), 0, last)
    complexes = smooth[:, near] - np.median(smooth[:, around], axis=-1, keepdims=True)  # (lead, beat, time)
    shown = heard[:, beats]
    ranges = zip(np.ptp(complexes, axis=-1), shown, strict=True)
    size = np.array([np.median(row[known]) if known.any() else 0.0 for row, known in ranges])
    lead = np.argmax(shown * (1 + (size >= size.max() / 3))[:, None], axis=0)
    chosen = complexes[lead, np.arange(len(beats))]
    upward = chosen.max(axis=-1) * _POSITIVE >= -chosen.min(axis=-1)
    offset = np.where(upward, chosen.argmax(axis=-1), chosen.argmin(axis=-1))
    at = near[np.arange(len(beats)), offset]
    at = np.unique(at[heard[lead, at]])
    apart = np.diff(at, prepend=-last - 1) >= REFRACTORY / 2 * fs
    return np.asarray(at[apart], np.int64)
