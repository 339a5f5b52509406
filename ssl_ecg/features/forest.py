"""Random forests as plain arrays: what `ForestBaseline` has fitted, saved without pickle."""

# ruff: noqa: N803 - matrices are upper case, as in the equations

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ssl_ecg.errors import CheckpointError, SignalError, SSLECGError
from ssl_ecg.features.baselines import FARTHEST, ForestBaseline
from ssl_ecg.features.expert import fill_unknown
from ssl_ecg.files import write_whole
from ssl_ecg.tree_arrays import Trees

FILE = "forest.safetensors"
_BLOCK = 4096  # records at a time


@dataclass(frozen=True)
class StoredForest:
    """One forest for each class, on features that are filled in and standardised as in training.

    Attributes
    ----------
    median, mean, scale : arrays (feature,)
        What stands in for unknown features, and the standardisation.
    models : tuple
        `Trees` for each class, or the prior of a class that could not be learnt.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> baseline = ForestBaseline(n_trees=5, max_depth=3).fit(X, X[:, :2] > 0)
    >>> forest = StoredForest.of(baseline)
    >>> bool(np.allclose(forest.predict_proba(X), baseline.predict_proba(X)))
    True
    """

    median: NDArray[np.float32]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    models: tuple[Trees | float, ...]

    @classmethod
    def of(cls, fitted: ForestBaseline) -> StoredForest:
        """Copy a fitted forest."""
        models = [
            model if isinstance(model, float) else Trees.from_sklearn([tree.tree_ for tree in model.estimators_])
            for model in fitted.models_
        ]
        return cls(fitted.median_, fitted.mean_, fitted.scale_, tuple(models))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Give probabilities (record, class) of features (record, feature), NaN where unknown.

        Raises
        ------
        SignalError
            If the number of features is another.
        """
        features = np.asarray(X, np.float64)
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            problem = f"features have shape {features.shape}, {len(self.mean)} were fitted"
            raise SignalError("forest", problem, "compute the same features")
        score = np.clip((fill_unknown(features, self.median) - self.mean) / self.scale, -FARTHEST, FARTHEST)
        return np.stack([_told(model, score) for model in self.models], axis=1)

    def save(self, folder: str | Path) -> Path:
        """Write `forest.safetensors`; raises ArchiveError where it cannot be written."""
        from safetensors.numpy import save

        arrays = {"median": self.median, "mean": self.mean, "scale": self.scale}
        for k, model in enumerate(self.models):
            if isinstance(model, float):
                arrays[f"{k}.prior"] = np.array([model])
            else:
                arrays |= {f"{k}.{name}": value for name, value in model.arrays().items()}
        content = save({name: np.ascontiguousarray(value) for name, value in arrays.items()})
        return write_whole(Path(folder) / FILE, lambda file: file.write(content))


def load_forest(folder: str | Path, n_classes: int) -> StoredForest:
    """Read what `StoredForest.save` wrote.

    Raises
    ------
    CheckpointError
        If it is missing or damaged, or has another number of classes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(folder) / FILE
    try:
        arrays = load_file(path)
        models: list[Trees | float] = []
        for k in range(n_classes):
            own = {name.partition(".")[2]: value for name, value in arrays.items() if name.startswith(f"{k}.")}
            models.append(float(own["prior"][0]) if "prior" in own else Trees.from_arrays(own))
        median, mean, scale = (arrays[name] for name in ("median", "mean", "scale"))
        asked = max((int(model.feature.max()) for model in models if isinstance(model, Trees)), default=-1)
        if f"{n_classes}.prior" in arrays or f"{n_classes}.feature" in arrays or asked >= len(mean):
            raise ValueError("its parts do not fit together")
    except (OSError, SafetensorError, KeyError, ValueError, IndexError, SSLECGError) as error:
        raise CheckpointError(str(path), f"is missing or damaged ({error})", "fine-tune again") from None
    return StoredForest(median, mean, scale, tuple(models))


def _told(model: Trees | float, score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Average the leaves' shares of the class over the trees of a forest."""
    if isinstance(model, float):
        return np.full(len(score), model)
    share = model.value[:, 1] / model.value.sum(axis=1)  # counts in older versions of scikit-learn
    parts = [score[start : start + _BLOCK] for start in range(0, len(score), _BLOCK)]
    return np.concatenate([share[model.leaves(part)].mean(axis=1) for part in parts] or [np.zeros(0)])
