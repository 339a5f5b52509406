"""The forest that stands beside a fine-tuned network: fitted, kept in the run folder, and asked."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError, RecipeError
from ssl_ecg.evaluate.metrics import UndefinedClassWarning
from ssl_ecg.features.baselines import ForestBaseline
from ssl_ecg.features.expert import feature_names
from ssl_ecg.features.forest import StoredForest, load_forest
from ssl_ecg.files import write_json
from ssl_ecg.train.checkpoint import load_encoder, save_encoder
from ssl_ecg.train.evaluation import embed_windows
from ssl_ecg.train.supervised.data import open_windows
from ssl_ecg.train.supervised.model import Supervised

FOLDER = "forest"
Of = Literal["start", "end", "none"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ForestPlan:
    """A random forest beside the network; their log-odds are averaged.

    Parameters
    ----------
    n_trees, max_depth : int
    embedding : {"start", "end", "none"}
        What the forest sees beside expert features: the embedding by the encoder with which fine-tuning starts, by
        the fine-tuned one, which has been fitted to the training records and looks surer on them than on others, or
        nothing.
    seed : int
    workers : int
        Processes that compute features; a script that asks for more than one must guard what it does with
        ``if __name__ == "__main__":``.
    """

    n_trees: int = 300
    max_depth: int = 10
    embedding: Of = "start"
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        if min(self.n_trees, self.max_depth, self.workers) < 1 or self.seed < 0:
            problem = f"n_trees {self.n_trees}, max_depth {self.max_depth}, workers {self.workers}, seed {self.seed}"
            raise RecipeError("forest", problem, "give 1 or more, and a seed of 0 or more")


@dataclass(frozen=True)
class Forest:
    """A forest that can be asked.

    Attributes
    ----------
    trees : StoredForest
    embedding : {"start", "end", "none"}
    encoder : Supervised or None
        Embeds for "start"; for "end" it is the network that the forest stands beside.
    """

    trees: StoredForest
    embedding: Of
    encoder: Supervised | None

    def told(
        self,
        features: NDArray[np.floating],
        archive: Archive,
        rows: NDArray[np.int64],
        windows: Mapping[str, float],
        leads: Sequence[str] | None = None,
    ) -> FloatArray:
        """Give probabilities (record, class); NaN for records of which no feature is known.

        Leads that are absent leave their features unknown, and these get the median of the training records.

        Parameters
        ----------
        features : array (record, feature)
            Expert features of `rows`.
        archive : Archive
        rows : int64 array (record,)
        windows : mapping
            "seconds" and "stride" of the windows over which embeddings are averaged.
        leads : sequence of str, optional
            The only leads that are given.
        """
        has = has_features(features)
        answers = np.full((len(rows), len(self.trees.models)), np.nan)
        if has.any():
            beside = _beside(features[has], self.encoder, archive, rows[has], windows, leads)
            answers[has] = self.trees.predict_proba(beside)
        return answers

    def save(self, folder: Path, *, architecture: Mapping[str, Any], card: Mapping[str, Any], leads: Any) -> None:
        """Write trees, encoder and card; `leads` are those that features are computed of."""
        self.trees.save(folder)
        if self.embedding == "start" and self.encoder is not None:
            save_encoder(self.encoder.encoder, folder / "encoder", architecture=architecture)
        write_json(folder / "card.json", {"embedding": self.embedding, "features": feature_names(leads), **card})


def fit_forest(
    plan: ForestPlan,
    features: NDArray[np.floating],
    targets: NDArray[np.floating],
    archive: Archive,
    rows: NDArray[np.int64],
    windows: Mapping[str, float],
    encoders: Mapping[str, Supervised],
    leads: Sequence[str] | None = None,
) -> Forest:
    """Fit a forest on training records.

    Parameters
    ----------
    plan : ForestPlan
    features, targets : arrays (record, feature), (record, class)
        Of `rows`; NaN where unknown.
    archive, rows, windows, leads
        As `Forest.told` takes them.
    encoders : mapping
        "start" and "end": the network before and after fine-tuning.
    """
    encoder = encoders.get(plan.embedding)
    beside = _beside(features, encoder, archive, rows, windows, leads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedClassWarning)  # a class that is never there says nothing here
        fitted = ForestBaseline(plan.n_trees, plan.max_depth, plan.seed).fit(beside, targets)
    return Forest(StoredForest.of(fitted), plan.embedding, encoder)  # type: ignore[arg-type]


def load_beside(run: str | Path, network: Supervised, classes: Sequence[str]) -> tuple[Forest, dict[str, Any]] | None:
    """Load the forest of a run; None where it has none.

    Parameters
    ----------
    run : path
    network : Supervised
        The run's fine-tuned network.
    classes : sequence of str

    Raises
    ------
    CheckpointError
        If it is damaged, or its features are not those of this version.
    """
    folder = Path(run) / FOLDER
    if not folder.is_dir():
        return None
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        kind, names, told = card["embedding"], tuple(card["features"]), list(card["classes"])
        if kind not in ("start", "end", "none") or told != list(classes):
            raise ValueError("it is not the forest of this run")
    except (OSError, ValueError, KeyError, TypeError) as error:
        remedy = "fine-tune again, or remove the folder to have the network alone"
        raise CheckpointError(str(folder), f"holds no forest, or a damaged one ({error})", remedy) from None
    leads = network.encoder.preprocessing.leads  # type: ignore[union-attr]
    if names != feature_names(leads):
        problem = f"was fitted on {len(names)} features that this version does not compute"
        raise CheckpointError(str(folder), problem, "fine-tune again, or remove the folder")
    encoder = network if kind == "end" else None
    if kind == "start":
        before = load_encoder(folder / "encoder")
        encoder = Supervised(before, network.head, network.criterion, metadata=network.metadata).eval()
    return Forest(load_forest(folder, len(classes)), kind, encoder), card


def has_features(features: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Tell of which records any expert feature is known."""
    return np.asarray(np.isfinite(features).any(axis=1))


def _beside(
    features: NDArray[np.floating],
    encoder: Supervised | None,
    archive: Archive,
    rows: NDArray[np.int64],
    windows: Mapping[str, float],
    leads: Sequence[str] | None,
) -> FloatArray:
    """Give expert features and embeddings side by side."""
    if encoder is None:
        return np.asarray(features, np.float64)
    strips = open_windows(archive, rows, float(windows["seconds"]), float(windows["stride"]), leads=leads)
    return np.hstack([np.asarray(features, np.float64), embed_windows(encoder, strips)])
