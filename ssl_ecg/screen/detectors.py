"""Detectors by name, and loading them from disk."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import ArchiveError
from ssl_ecg.screen.base import FORMAT, Detector
from ssl_ecg.screen.choice import load_choices
from ssl_ecg.screen.density import DensityScreen
from ssl_ecg.screen.ensemble import EnsembleScreen
from ssl_ecg.screen.isolation import IsolationScreen
from ssl_ecg.screen.kmeans import KMeansScreen
from ssl_ecg.screen.knn import KNNScreen
from ssl_ecg.screen.mahalanobis import MahalanobisScreen
from ssl_ecg.screen.mixture import MixtureScreen

_DAMAGE = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile)

DETECTORS: dict[str, Callable[..., Detector]] = {
    "kmeans": KMeansScreen,
    "knn": KNNScreen,
    "mahalanobis": MahalanobisScreen,
    "gmm": MixtureScreen,
    "isolation": IsolationScreen,
    "dbscan": partial(DensityScreen, "dbscan"),
    "hdbscan": partial(DensityScreen, "hdbscan"),
    "ensemble": EnsembleScreen,
}

_CLASSES: dict[str, type[Detector]] = {
    kind.__name__: kind
    for kind in (
        *(KMeansScreen, KNNScreen, MahalanobisScreen, MixtureScreen, IsolationScreen, DensityScreen),
        EnsembleScreen,
    )
}


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
            detector = unpacked(card, {name: arrays[name] for name in arrays.files})
    except _DAMAGE as error:
        problem = f"cannot be read as a detector ({type(error).__name__}: {error})"
        raise ArchiveError(str(folder), problem, "fit and save the detector again") from error
    detector.choice_ = load_choices(folder)
    return detector


def unpacked(card: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Detector:
    """Build a detector from what ``Detector.pack`` gave.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError
        If it is not that.
    """
    if card["format"] != FORMAT:
        raise ValueError(f"format {card['format']}, not {FORMAT}")
    lost = set(card.get("arrays", ())) - set(arrays)
    if lost:
        raise ValueError(f"no {', '.join(sorted(lost))} among the arrays")
    detector = _CLASSES[card["class"]](**card["params"])
    detector.choice_ = []
    detector.unpack(arrays, card["fitted"])
    return detector
