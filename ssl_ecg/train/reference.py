"""How far a record is from those that a classifier was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from ssl_ecg.errors import CheckpointError, SignalError
from ssl_ecg.estimator import check_vectors
from ssl_ecg.files import write_whole
from ssl_ecg.screen.base import subsample
from ssl_ecg.screen.neighbours import nearest
from ssl_ecg.screen.whiten import Whitening, fit_whitening

FILE = "reference.safetensors"
MOST = 4096
"""Training records that are kept at most."""
_NEIGHBOURS, _COMPONENTS = 10, 64
_HELD = "distances:"

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

    References
    ----------
    Sun et al. 2022, arXiv 2204.06507 (nearest neighbours of deep embeddings).
    """

    whitening: Whitening
    points: NDArray[np.float16]
    held_out: Mapping[str, FloatArray]

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
        arrays = {
            "points": self.points,
            "mean": self.whitening.mean.astype(np.float32),
            "projection": np.ascontiguousarray(self.whitening.projection, dtype=np.float32),
            **{_HELD + leads: values.astype(np.float32) for leads, values in self.held_out.items()},
        }
        content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
        return write_whole(Path(folder) / FILE, lambda file: file.write(content))


def make_reference(train: NDArray[np.floating], held_out: Mapping[str, NDArray[np.floating]]) -> Reference | None:
    """Make a reference, or none where there are too few training records or their embeddings say nothing.

    Parameters
    ----------
    train : array (record, dim)
        Embeddings of training records.
    held_out : mapping of str to array (record, dim)
        Embeddings of validation records, with all leads, "", and with fewer.

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
    return Reference(whitening, points, distances)


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
        return Reference(whitening, arrays["points"], held_out)
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise CheckpointError(str(path), f"is damaged ({error})", "fine-tune again, or remove the file") from None


def _distance(whitening: Whitening, points: NDArray[np.float16], z: NDArray[np.floating]) -> FloatArray:
    found, _ = nearest(whitening(z), points.astype(np.float32), _NEIGHBOURS)
    mean: FloatArray = found.mean(axis=1)
    return mean
