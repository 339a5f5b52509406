"""Detectors by name, and loading them from disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ssl_ecg.errors import ArchiveError
from ssl_ecg.screen.base import FORMAT, Detector
from ssl_ecg.screen.density import DensityScreen
from ssl_ecg.screen.kmeans import KMeansScreen
from ssl_ecg.screen.knn import KNNScreen

DETECTORS: dict[str, Callable[..., Detector]] = {
    "kmeans": KMeansScreen,
    "knn": KNNScreen,
    "dbscan": partial(DensityScreen, "dbscan"),
    "hdbscan": partial(DensityScreen, "hdbscan"),
}

_CLASSES: dict[str, type[Detector]] = {c.__name__: c for c in (KMeansScreen, KNNScreen, DensityScreen)}


def load_detector(folder: str | Path) -> Detector:
    """Load a detector written by ``Detector.save``; nothing is unpickled.

    Raises
    ------
    ArchiveError
        If files are missing, damaged, or of another version.
    """
    folder = Path(folder)
    try:
        card = json.loads((folder / "detector.json").read_text())
        with np.load(folder / "detector.npz", allow_pickle=False) as arrays:
            fitted = {name: arrays[name] for name in arrays.files}
        if card["format"] != FORMAT:
            raise ValueError(f"format {card['format']}, not {FORMAT}")
        detector = _CLASSES[card["class"]](**card["params"])
        fitted |= {name: np.nan if value is None else value for name, value in card["fitted"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        problem = f"cannot be read as a detector ({type(error).__name__}: {error})"
        raise ArchiveError(str(folder), problem, "fit and save the detector again") from error
    for name, value in fitted.items():
        setattr(detector, name, value)
    return detector
