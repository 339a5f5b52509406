"""How far a record is from those that a classifier was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ssl_ecg.errors import CheckpointError, SignalError
from ssl_ecg.estimator import check_vectors
from ssl_ecg.features.traits import trait_names
from ssl_ecg.files import write_whole
from ssl_ecg.screen.base import subsample
from ssl_ecg.screen.neighbours import nearest
from ssl_ecg.screen.whiten import Whitening, fit_whitening
from ssl_ecg.train.signal_reference import SignalReference, look_at, look_reference

if TYPE_CHECKING:
    from ssl_ecg.data.archive import Archive
    from ssl_ecg.data.strips import Strips
    from ssl_ecg.train.supervised.model import Supervised

FILE = "reference.safetensors"
MOST = 4096
"""Training records that are kept at most."""
_NEIGHBOURS, _COMPONENTS = 10, 64
_HELD, _SIGNAL = "distances:", "signal:"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """Embeddings of training records, and the distances to them that validation records have.

    The distance of a record is the mean distance of its embedding to the ten nearest of the training records, after
    PCA to at most 64 components of variance one. Validation records say what is usual: training records lie nearer to
    each other than any new record does to them.

    Attributes
    ----------
    whitening : Whitening
    points : float16 array (record, component)
    held_out : mapping of str to float array (record,)
        Distances of validation records: with all leads, "", and with the leads of a name such as "I,II".
    signal : SignalReference or None
        Of the recordings themselves: embeddings of what is no ECG may lie among those of training records. None for
        models that were fine-tuned before there was one; see `renew_reference`.

    References
    ----------
    Sun et al. 2022, arXiv 2204.06507 (nearest neighbours of deep embeddings).
    """

    whitening: Whitening
    points: NDArray[np.float16]
    held_out: Mapping[str, FloatArray]
    signal: SignalReference | None = None

    def distance(self, z: NDArray[np.floating]) -> FloatArray:
        """Give the distances (record,) of embeddings (record, dim)."""
        return _distance(self.whitening, self.points, z)

    def threshold(self, quantile: float = 0.99, leads: str = "") -> float:
        """Give the distance that this share of the validation records does not exceed.

        Of leads that were not tried on validation, that of all leads.
        """
        usual = self.held_out.get(leads, self.held_out[""])
        return float(np.quantile(usual, quantile, method="higher"))

    def save(self, folder: str | Path) -> Path:
        """Write `reference.safetensors`; raises ArchiveError where it cannot be written."""
        arrays: dict[str, NDArray[Any]] = {
            "points": self.points,
            "mean": self.whitening.mean.astype(np.float32),
            "projection": np.ascontiguousarray(self.whitening.projection, dtype=np.float32),
            **{_HELD + leads: values.astype(np.float32) for leads, values in self.held_out.items()},
        }
        if self.signal is not None:
            arrays |= {
                _SIGNAL + "train": self.signal.train,
                _SIGNAL + "held_out": self.signal.held_out,
                _SIGNAL + "leads": np.frombuffer(",".join(self.signal.leads).encode(), np.uint8),
            }
        content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
        return write_whole(Path(folder) / FILE, lambda file: file.write(content))


def make_reference(
    train: NDArray[np.floating], held_out: Mapping[str, NDArray[np.floating]], signal: SignalReference | None = None
) -> Reference | None:
    """Make a reference, or none where there are too few training records or their embeddings say nothing.

    Parameters
    ----------
    train : array (record, dim)
        Embeddings of training records.
    held_out : mapping of str to array (record, dim)
        Embeddings of validation records, with all leads, "", and with fewer.
    signal : SignalReference, optional

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> reference = make_reference(rng.normal(size=(100, 4)), {"": rng.normal(size=(50, 4))})
    >>> (reference.distance(np.full((1, 4), 9.0)) > reference.threshold()).tolist()
    [True]
    """
    try:
        vectors = check_vectors(train, "reference")
        if len(vectors) <= _NEIGHBOURS or not all(len(z) for z in held_out.values()):
            return None
        fitted = fit_whitening(vectors, _COMPONENTS)
        # as they will be read again: distances must not depend on whether they were stored
        whitening = Whitening(fitted.mean.astype(np.float32).astype(float), fitted.projection.astype(np.float32))
        points = whitening(vectors[subsample(len(vectors), MOST, 0)]).astype(np.float16)
        distances = {leads: _distance(whitening, points, check_vectors(z, "")) for leads, z in held_out.items()}
    except SignalError:
        return None
    return Reference(whitening, points, distances, signal)


def measure_reference(
    model: Supervised, train: Strips, val: Strips, held_out: Mapping[str, NDArray[np.floating]]
) -> Reference | None:
    """Embed training records, and measure the traits of their signals and of those of validation records.

    Parameters
    ----------
    model : Supervised
    train, val : Strips
        With the crop "grid".
    held_out : mapping of str to array (record, dim)
        As `make_reference` takes it.
    """
    from ssl_ecg.train.evaluation import predict_with_embeddings

    _, embeddings = predict_with_embeddings(model, train)
    signal = look_reference(train.archive.leads, look_at(train), look_at(val))
    return make_reference(embeddings, held_out, signal)


def renew_reference(
    run: str | Path, archive: Archive, train: NDArray[np.integer], val: NDArray[np.integer]
) -> Reference | None:
    """Measure anew what a fine-tuned model was trained on, and write it into its run folder.

    For models that were fine-tuned before the recordings themselves were compared. Distances with fewer leads are kept.

    Parameters
    ----------
    run : path
        Run folder of a fine-tuning.
    archive : Archive
        That it was trained on.
    train, val : int arrays
        Rows of the training and validation records.

    Raises
    ------
    CheckpointError, ArchiveError
        If the run cannot be read, does not fit the archive, or cannot be written.
    """
    from ssl_ecg.train.classifier import load_classifier
    from ssl_ecg.train.evaluation import predict_with_embeddings
    from ssl_ecg.train.supervised.data import open_windows

    model, card = load_classifier(run, archive)
    form = card["windows"]
    rows = (np.asarray(train, np.int64)[subsample(len(train), MOST, 0)], np.asarray(val, np.int64))
    seen, kept = (
        open_windows(archive, part, float(form["seconds"]), float(form["stride"]), leads=form.get("leads"))
        for part in rows
    )
    _, usual = predict_with_embeddings(model, kept)
    reference = measure_reference(model, seen, kept, {"": usual})
    if reference is not None:
        old = load_reference(Path(run) / "head")
        reference = replace(reference, held_out={**({} if old is None else old.held_out), **reference.held_out})
        reference.save(Path(run) / "head")
    return reference


def load_reference(folder: str | Path) -> Reference | None:
    """Read what `Reference.save` wrote; None where there is none.

    Raises
    ------
    CheckpointError
        If it is damaged.
    """
    path = Path(folder) / FILE
    if not path.is_file():
        return None
    try:
        arrays = load_file(path)
        held_out = {n.removeprefix(_HELD): a.astype(float) for n, a in arrays.items() if n.startswith(_HELD)}
        whitening = Whitening(arrays["mean"].astype(float), arrays["projection"])
        if not len(held_out[""]) or arrays["points"].shape[1] != whitening.projection.shape[1]:
            raise ValueError("its parts do not fit together")
        return Reference(whitening, arrays["points"], held_out, _signal(arrays))
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise CheckpointError(str(path), f"is damaged ({error})", "fine-tune again, or remove the file") from None


def _signal(arrays: Mapping[str, NDArray[Any]]) -> SignalReference | None:
    """Give the part that is about recordings; None in files of older versions."""
    if _SIGNAL + "train" not in arrays:
        return None
    leads = tuple(arrays[_SIGNAL + "leads"].tobytes().decode().split(","))
    train, held_out = arrays[_SIGNAL + "train"], arrays[_SIGNAL + "held_out"]
    if any(part.shape[1:] != (len(trait_names(leads)),) for part in (train, held_out)) or not len(held_out):
        raise ValueError("its parts do not fit together")
    return SignalReference(leads, train, held_out)


def _distance(whitening: Whitening, points: NDArray[np.float16], z: NDArray[np.floating]) -> FloatArray:
    found, _ = nearest(whitening(z), points.astype(np.float32), _NEIGHBOURS)
    mean: FloatArray = found.mean(axis=1)
    return mean
