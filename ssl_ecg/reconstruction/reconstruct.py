"""Anomaly score of autoencoders: how badly a record is reconstructed, by lead and in time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from tqdm import tqdm

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError, SignalError
from ssl_ecg.methods.unseen import predict_strips
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.scaling import show_strips

ErrorScale = Literal["mv", "relative"]
RECONSTRUCTING = ("autoencoder", "masked")
"""Methods that leave a decoder of strips behind; the recipe denoising is one of `autoencoder`."""

_QUIETEST = 0.02
"""A lead of smaller amplitude counts as having this one, so that flat leads have no endless error [mV]."""


class Reconstructor:
    """A trained autoencoder, encoder and decoder, out of its run folder.

    Parameters
    ----------
    method : nn.Module
        `Autoencoder` or `MaskedPatches`; put in evaluation mode.
    preprocessing : Preprocessing
        What strips must have gone through.
    """

    def __init__(self, method: nn.Module, preprocessing: Preprocessing) -> None:
        self.method = method.eval()
        self.preprocessing = preprocessing

    def predict(self, signal: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reconstruct strips of one length (batch, lead, time) [mV]; NaN counts as zero.

        Masked autoencoders predict every sample without having seen it, see `predict_strips`.
        """
        finite = np.nan_to_num(signal)
        device = next((p.device for p in self.method.parameters()), torch.device("cpu"))
        with torch.inference_mode():
            x = torch.from_numpy(finite).to(device)
            scaled = show_strips(x, self.preprocessing)
            predicted = predict_strips(self.method, scaled).float().cpu().numpy()
        shown = finite * np.array(self.preprocessing.is_shown())[:, None]
        return _unscaled(predicted, shown, self.preprocessing.scale)


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """How badly records were reconstructed.

    Attributes
    ----------
    rows : int64 array (record,)
        Rows of the archive.
    score : float64 array (record,)
        Root of the mean over the recorded leads of `by_lead` squared; NaN where no lead has a valid sample.
    by_lead : float32 array (record, lead)
        Root mean square error of each lead, in mV or in amplitudes of the lead; NaN for leads that are absent or that
        the autoencoder has never been shown.
    scale : {"mv", "relative"}
    """

    rows: NDArray[np.int64]
    score: NDArray[np.float64]
    by_lead: NDArray[np.float32]
    scale: ErrorScale


def load_reconstructor(run: str | Path, archive: Archive) -> Reconstructor:
    """Load encoder and decoder of a finished pretraining.

    Parameters
    ----------
    run : path
        Run folder of `pretrain` with a recipe of the method autoencoder or masked.
    archive : Archive
        At the encoder's rate, leads and filter.

    Raises
    ------
    CheckpointError
        If the run's method has no decoder, the folder holds the encoder only, is damaged, or does not fit the archive.
    """
    from ssl_ecg.methods.base import released_encoder
    from ssl_ecg.pretraining import build_method
    from ssl_ecg.recipes import load_recipe
    from ssl_ecg.train.checkpoint import find_checkpoint, read_card
    from ssl_ecg.train.fit import STATE
    from ssl_ecg.train.state import restore

    folder = find_checkpoint(run)
    card = read_card(folder)
    name = card.get("recipe", {}).get("method", {}).get("name")
    remedy = "pretrain with --recipe autoencoder, denoising, masked or st_mem and give its run folder"
    if name is not None and name not in RECONSTRUCTING:
        raise CheckpointError(str(run), f"was pretrained by {name}, which reconstructs nothing", remedy)
    home = folder.parent if folder.name == "encoder" else folder
    if not ((home / "recipe.yaml").is_file() and (home / STATE).is_file()):
        raise CheckpointError(str(run), f"holds an encoder without its decoder (recipe.yaml or {STATE})", remedy)
    preprocessing = Preprocessing.from_dict(card.get("preprocessing", {}))
    preprocessing.check_archive(archive)
    recipe = load_recipe(home / "recipe.yaml")
    method = build_method(recipe, archive)
    restore(method, home / STATE)  # type: ignore[arg-type]
    released_encoder(method).preprocessing = preprocessing  # type: ignore[assignment]
    return Reconstructor(method, preprocessing)


def reconstruct(
    run: str | Path | Reconstructor,
    archive: Archive,
    rows: ArrayLike | None = None,
    *,
    scale: ErrorScale = "relative",
    batch_size: int = 64,
    progress: bool = False,
) -> Reconstruction:
    """Score records by how badly a pretrained autoencoder reconstructs them.

    Parameters
    ----------
    run : path or Reconstructor
        Run folder of a pretraining with the recipe autoencoder, denoising, masked or st_mem. Records are
        reconstructed in windows as long as the strips of that pretraining. A masked autoencoder predicts every
        sample without seeing it.
    archive : Archive
    rows : int array, optional
        Records to score; all unless given.
    scale : {"relative", "mv"}
        "relative": each lead's error is divided by the lead's amplitude in this record, the median over its seconds
        of their standard deviation (0.02 mV at least). Records of high voltage are then not strange for that, leads
        count alike, and a few disturbed seconds do not hide behind the amplitude that they bring themselves. "mv":
        the error as it is; high voltage and strong noise weigh most.
    batch_size : int
        Records at a time.
    progress : bool

    Raises
    ------
    CheckpointError
        If the run has no decoder or does not fit the archive.
    SignalError
        If the scale is unknown, the batch size not positive, or a row not in the archive.

    References
    ----------
    An & Cho 2015, SNU technical report 2015-2 (reconstruction as an anomaly score); He et al. 2022, arXiv 2111.06377.
    """
    if scale not in get_args(ErrorScale) or batch_size < 1:
        raise SignalError("reconstruct", f"scale {scale!r}, batch size {batch_size}", "choose mv or relative")
    chosen = _checked_rows(archive, rows)
    model = run if isinstance(run, Reconstructor) else load_reconstructor(run, archive)
    model.preprocessing.check_archive(archive)
    by_lead = np.full((len(chosen), len(archive.leads)), np.nan, np.float32)
    with tqdm(total=len(chosen), unit="record", desc="reconstruct", disable=not progress) as bar:
        for first in range(0, len(chosen), batch_size):
            batch = chosen[first : first + batch_size]
            lengths = archive.n_samples[batch]
            for length in np.unique(lengths):
                members = np.flatnonzero(lengths == length)
                by_lead[first + members] = _lead_errors(model, archive, batch[members], int(length), scale)
            bar.update(len(batch))
    known = np.isfinite(by_lead)
    squares = np.where(known, by_lead, 0).astype(np.float64) ** 2
    with np.errstate(invalid="ignore"):
        score = np.sqrt(squares.sum(axis=1) / known.sum(axis=1))
    return Reconstruction(chosen, score, by_lead, scale)


def error_map(
    run: str | Path | Reconstructor, archive: Archive, row: int, *, scale: ErrorScale = "relative"
) -> NDArray[np.float32]:
    """Give the size of the error at each sample of a record; float32 (lead, time), NaN where absent or invalid."""
    if scale not in get_args(ErrorScale):
        raise SignalError("reconstruct", f"scale {scale!r}", "choose mv or relative")
    model = run if isinstance(run, Reconstructor) else load_reconstructor(run, archive)
    rows = _checked_rows(archive, [row])
    errors, deviations = [], []
    for signal, predicted in _windows(model, archive, rows, int(archive.n_samples[rows[0]])):
        errors.append(np.abs(predicted[0] - signal[0]))
        deviations.append(_by_second(signal, archive.fs))
    error = np.concatenate(errors, axis=1)
    error[~_judged(model, archive, rows)[0]] = np.nan
    if scale == "relative":
        error = error / _amplitude(np.concatenate(deviations, axis=2))[0, :, None]
    return np.asarray(error, np.float32)


def _checked_rows(archive: Archive, rows: ArrayLike | None) -> NDArray[np.int64]:
    chosen = np.arange(len(archive)) if rows is None else np.asarray(rows, np.int64).reshape(-1)
    if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(archive)):
        problem = f"rows {chosen.min()} to {chosen.max()} of an archive with {len(archive)}"
        raise SignalError("reconstruct", problem, "give rows of the archive, from 0")
    return chosen.astype(np.int64)


def _windows(
    model: Reconstructor, archive: Archive, rows: NDArray[np.int64], length: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Read records of one length and reconstruct them in windows as long as the strips of pretraining.

    The last window ends with the record, and only its samples that were in none before are given: (record, lead,
    time) [mV], signal and reconstruction.
    """
    window = max(1, min(length, round(model.preprocessing.seconds * archive.fs)))
    done = 0
    while done < length:
        start = min(done, length - window)
        signal = np.stack([archive.read_window(int(row), start, window) for row in rows])
        yield signal[..., done - start :], model.predict(signal)[..., done - start :]
        done = start + window


def _lead_errors(
    model: Reconstructor, archive: Archive, rows: NDArray[np.int64], length: int, scale: ErrorScale
) -> NDArray[Any]:
    """Give the root mean square error of each lead; (record, lead)."""
    n, total = np.zeros((2, len(rows), len(archive.leads)))
    deviations = []
    for signal, predicted in _windows(model, archive, rows, length):
        valid = np.isfinite(signal)
        n += valid.sum(axis=2)
        total += np.square(predicted - signal, where=valid, out=np.zeros(signal.shape)).sum(axis=2)
        deviations.append(_by_second(signal, archive.fs))
    n[(n == 0) | ~_judged(model, archive, rows)] = np.nan
    size = np.sqrt(total / n)
    return size if scale == "mv" else size / _amplitude(np.concatenate(deviations, axis=2))


def _judged(model: Reconstructor, archive: Archive, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which leads are recorded and known to the autoencoder; (record, lead)."""
    return np.asarray(archive.lead_masks[rows] & np.array(model.preprocessing.is_shown()))


def _by_second(signal: NDArray[np.float32], fs: float) -> NDArray[np.float64]:
    """Give the standard deviation of each second; (record, lead, second), NaN where nothing is valid."""
    seconds = max(1, round(signal.shape[2] / fs))
    parts = np.array_split(signal.astype(np.float64), seconds, axis=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of seconds without a valid sample
        return np.stack([np.nanstd(part, axis=2) for part in parts], axis=2)


def _amplitude(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median over the seconds [mV]; (record, lead)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.fmax(np.nanmedian(deviations, axis=2), _QUIETEST))


def _unscaled(predicted: NDArray[np.float32], signal: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """Bring reconstructions of scaled strips back to mV, by the strips' own offset and size."""
    if scale == "none":
        return predicted
    if scale == "lead":
        back = predicted * signal.std(axis=2, keepdims=True) + signal.mean(axis=2, keepdims=True)
        return np.asarray(back, np.float32)
    energy = np.square(signal).sum(axis=2, keepdims=True)
    n_samples = (energy > 0).sum(axis=1, keepdims=True) * signal.shape[2]
    return np.asarray(predicted * np.sqrt(energy.sum(axis=1, keepdims=True) / np.maximum(n_samples, 1)), np.float32)
