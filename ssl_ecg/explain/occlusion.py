"""Reasons by occlusion: how much less strange a record would be without a piece of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ssl_ecg.data.archive import Archive
from ssl_ecg.embedding.run import LONGEST, embed_signal
from ssl_ecg.errors import SignalError
from ssl_ecg.explain.reasons import Reasons, share_out
from ssl_ecg.explain.segments import cut_segments
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.screen.base import Detector

Pieces = Literal["grid", "margins"]
FloatArray = NDArray[np.float64]


class Piece(NamedTuple):
    """Samples from `start` to `stop` of some leads."""

    leads: tuple[int, ...]
    start: int
    stop: int


class Recording(NamedTuple):
    """A record as an encoder sees it, and which of its leads were recorded."""

    read: Callable[[int, int], NDArray[np.float32]]
    n_samples: int
    present: NDArray[np.intp]


def occlude(
    encoder: nn.Module,
    detector: Detector,
    recording: Archive | NDArray[np.floating],
    row: int | None = None,
    *,
    segment: float = 1.0,
    overlap: float = 0.0,
    pieces: Pieces = "grid",
    batch_size: int = 64,
) -> Reasons:
    """Say which leads and spans make a record strange.

    Each piece is set to zero, the baseline after the filter, the record is embedded again as `embed` does it, and the
    drop of the anomaly score is the piece's share. Pieces whose absence makes the record no less strange have none.

    Parameters
    ----------
    encoder : nn.Module
        The one whose embeddings the detector was fitted on, in evaluation mode.
    detector : Detector
        Fitted.
    recording : Archive, or array (lead, time) [mV]
        An array is at the encoder's rate, leads and filter; a lead that is zero or NaN throughout is absent.
    row : int, optional
        The record's row in the archive.
    segment : float
        Length of a segment [s]; longer in records of more than `ssl_ecg.explain.segments.MOST` segments.
    overlap : float
        Share of a segment by which it reaches into each of its neighbours, from 0 to below 1.
    pieces : {"grid", "margins"}
        "grid": each segment of each lead by itself. "margins": whole leads, and segments of all leads, and a
        piece's value is the product of the two drops; quicker by far and coarser.
    batch_size : int
        Variants that are embedded together.

    Returns
    -------
    Reasons

    Raises
    ------
    CheckpointError
        If rate, leads or filter of the archive do not fit the encoder.
    SignalError
        If an argument is out of range, or no lead was recorded.

    References
    ----------
    Zeiler & Fergus 2014, arXiv 1311.2901, section 4.2 (occlusion sensitivity).
    """
    if pieces not in get_args(Pieces) or batch_size < 1:
        problem = f"pieces {pieces!r}, batch size {batch_size}"
        raise SignalError("occlude", problem, "choose grid or margins, and a positive batch size")
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    opened = _open(preprocessing, recording, row)
    spans = cut_segments(opened.n_samples, preprocessing.fs, segment, overlap)
    encoder.eval()
    cut = [Piece((int(lead),), int(a), int(b)) for lead in opened.present for a, b in spans]
    if pieces == "grid":
        values = _drops(encoder, detector, opened, cut, batch_size).reshape(len(opened.present), len(spans))
    else:
        whole = [Piece((int(lead),), 0, opened.n_samples) for lead in opened.present]
        across = [Piece(tuple(opened.present.tolist()), int(a), int(b)) for a, b in spans]
        drops = np.maximum(_drops(encoder, detector, opened, whole + across, batch_size), 0)
        values = np.outer(drops[: len(whole)], drops[len(whole) :])
    leads = tuple(preprocessing.leads[lead] for lead in opened.present)
    return Reasons(share_out(values), spans / preprocessing.fs, leads, "occlusion")


def _open(preprocessing: Preprocessing, recording: Archive | NDArray[np.floating], row: int | None) -> Recording:
    if isinstance(recording, Archive):
        if row is None:
            raise SignalError("occlude", "no row", "say which record of the archive: row=0")
        preprocessing.check_archive(recording)
        archive, number = recording, int(row)
        present = np.flatnonzero(archive.lead_mask(number))
        n_samples = int(archive.n_samples[number])

        def read(start: int, samples: int) -> NDArray[np.float32]:
            return np.nan_to_num(archive.read_window(number, start, samples))

    else:
        signal = np.nan_to_num(np.asarray(recording, np.float32))
        if signal.ndim != 2 or len(signal) != len(preprocessing.leads) or signal.shape[1] < 1:
            remedy = f"give (lead, time) with the leads {','.join(preprocessing.leads)}"
            raise SignalError("occlude", f"signal has shape {signal.shape}", remedy)
        present, n_samples = np.flatnonzero(signal.any(axis=1)), signal.shape[1]

        def read(start: int, samples: int) -> NDArray[np.float32]:
            return signal[:, start : start + samples]

    present = present[np.array(preprocessing.is_shown())[present]]
    if not len(present):
        raise SignalError("occlude", "no lead was recorded", "choose a record with a lead that the encoder knows")
    return Recording(read, n_samples, present)


def _drops(
    encoder: nn.Module, detector: Detector, recording: Recording, pieces: Sequence[Piece], batch_size: int
) -> FloatArray:
    """Give by how much the anomaly score falls when each piece is taken out.

    Windows and their weights are those of `embed`, so that a piece changes only the windows that it lies in.
    """
    preprocessing: Preprocessing = encoder.preprocessing  # type: ignore[assignment]
    longest, n = round(LONGEST * preprocessing.fs), recording.n_samples
    total = np.zeros(int(encoder.dim), np.float64)  # type: ignore[arg-type]
    change = np.zeros((len(pieces), len(total)), np.float64)
    for start in range(0, n, longest):
        samples = min(longest, n - start)
        signal = recording.read(start, samples)
        z = embed_signal(encoder, signal[None])[0].astype(np.float64)
        total += samples * z
        inside = [k for k, piece in enumerate(pieces) if piece.start < start + samples and piece.stop > start]
        for first in range(0, len(inside), batch_size):
            rows = inside[first : first + batch_size]
            variants = np.repeat(signal[None], len(rows), axis=0)
            for variant, k in zip(variants, rows, strict=True):
                leads, a, b = list(pieces[k].leads), pieces[k].start - start, pieces[k].stop - start
                variant[leads, max(a, 0) : b] = 0.0
            change[rows] += samples * (embed_signal(encoder, variants) - z)
    vectors = np.vstack([total, total + change]) / n
    scores = detector.anomaly_score(vectors.astype(np.float32))
    return np.asarray(scores[0] - scores[1:], np.float64)
