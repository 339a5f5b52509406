"""Segments of a record that reasons are given for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import SignalError

MOST = 60
"""A record has no more segments than this: those of longer records are longer."""


def cut_segments(n_samples: int, fs: float, seconds: float, overlap: float = 0.0) -> NDArray[np.int64]:
    """Cut a record into segments of about equal length.

    Parameters
    ----------
    n_samples : int
    fs : float
        Sampling rate [Hz].
    seconds : float
        Length of a segment [s].
    overlap : float
        Share of a segment by which it reaches into each of its neighbours, from 0 to below 1.

    Returns
    -------
    int64 array (segment, 2)
        First sample of each, and the one after its last.

    Raises
    ------
    SignalError
        If the length is not positive or the overlap out of range.

    Examples
    --------
    >>> cut_segments(250, 100, 1.0).tolist()
    [[0, 125], [125, 250]]
    >>> cut_segments(200, 100, 1.0, overlap=0.5).tolist()
    [[0, 150], [50, 200]]
    """
    if not (seconds > 0 and 0 <= overlap < 1):
        problem = f"segments of {seconds} s with overlap {overlap}"
        raise SignalError("segments", problem, "give a length above zero and an overlap from 0 to below 1")
    n = int(np.clip(round(n_samples / (seconds * fs)), 1, min(MOST, n_samples)))
    edges = np.round(np.linspace(0, n_samples, n + 1)).astype(np.int64)
    reach = round(overlap * n_samples / n)
    return np.stack([np.maximum(edges[:-1] - reach, 0), np.minimum(edges[1:] + reach, n_samples)], axis=1)
