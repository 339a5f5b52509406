"""Classifiers that answer together: their calibrated probabilities are averaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError
from ssl_ecg.evaluate.calibration import Calibrator, load_calibrator
from ssl_ecg.evaluate.metrics import best_f1_thresholds
from ssl_ecg.preprocessing import Preprocessing

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.train.reference import Reference
    from ssl_ecg.train.supervised import Supervised

FloatArray = NDArray[np.float64]
CLASSIFIER = ("encoder", "head")
_TINY = 1e-12


@dataclass(frozen=True)
class Member:
    """A fine-tuned classifier, ready for the records of an archive.

    Attributes
    ----------
    model : Supervised
    card : dict
        As `load_classifier` gives it.
    calibrator : Calibrator or None
    thresholds : float64 array (class,)
    reference : Reference or None
        None where the classifier has none.
    """

    model: Supervised
    card: Mapping[str, Any]
    calibrator: Calibrator | None
    thresholds: FloatArray
    reference: Reference | None

    def answer(
        self, archive: Archive, rows: NDArray[np.int64], leads: Sequence[str] | None, quantile: float
    ) -> tuple[FloatArray, FloatArray]:
        """Give calibrated probabilities (record, class), and distances (record,) in units of the largest usual one."""
        from ssl_ecg.train.evaluation import predict_with_embeddings
        from ssl_ecg.train.supervised_data import open_windows

        windows = self.card["windows"]
        strips = open_windows(archive, rows, float(windows["seconds"]), float(windows["stride"]), leads=leads)
        proba, z = predict_with_embeddings(self.model, strips)
        proba = proba if self.calibrator is None else self.calibrator.transform(proba)
        if self.reference is None:
            return proba, np.full(len(rows), np.nan)
        usual = self.reference.threshold(quantile, ",".join(leads or ()))
        return proba, self.reference.distance(z) / max(usual, _TINY)


def find_members(classifier: str | Path | Sequence[str | Path]) -> list[Path]:
    """Give the run folders of an ensemble: those named, and for a folder of several seeds each of its runs.

    Raises
    ------
    CheckpointError
        If a folder holds no classifier.
    """
    named = [classifier] if isinstance(classifier, str | Path) else list(classifier)
    runs: list[Path] = []
    for path in map(Path, named):
        below = sorted(path.glob("seed-*"), key=lambda p: (len(p.name), p.name))
        runs += [path] if (path / "head").is_dir() or not below else below
    if not runs:
        raise CheckpointError("classifier", "none is named", "give the run folder of a fine-tuning")
    for run in runs:
        if not all((run / part).is_dir() for part in CLASSIFIER):
            raise CheckpointError(str(run), "holds no classifier", "give the run folder of a finished fine-tuning")
    return runs


def common_form(runs: Sequence[Path]) -> Preprocessing:
    """Give the rate, leads and filter that classifiers expect; scaling and window may differ.

    Raises
    ------
    CheckpointError
        If they expect different things, or their classes differ.
    """
    from ssl_ecg.train.checkpoint import read_card

    first, *others = (Preprocessing.from_dict(read_card(run).get("preprocessing", {})) for run in runs)
    for run, form in zip(runs[1:], others, strict=True):
        first.check(fs=form.fs, leads=form.leads, band=form.band, where=str(run))
    classes = [class_names([run]) for run in runs]
    for run, found in zip(runs, classes, strict=True):
        if found != classes[0]:
            problem = f"tells {found} apart, {runs[0]} {classes[0]}"
            raise CheckpointError(str(run), problem, "give classifiers of one task")
    return first


def load_members(runs: Sequence[Path], archive: Archive, leads: Sequence[str] | None = None) -> list[Member]:
    """Load classifiers for the records of an archive, all of whose leads or only some are given.

    Raises
    ------
    CheckpointError
        If a classifier is damaged or does not fit the archive.
    """
    from ssl_ecg.train.classifier import load_classifier
    from ssl_ecg.train.reference import load_reference

    members = []
    for run in runs:
        model, card = load_classifier(run, archive)
        judged = {**card, **card.get("reduced_leads", {}).get(",".join(leads or ()), {})}
        kept = judged.get("calibration")
        calibrator = None if kept is None else load_calibrator(kept)
        thresholds = np.asarray(judged["thresholds"], dtype=np.float64)
        members.append(Member(model, card, calibrator, thresholds, load_reference(run / "head")))
    return members


def common_thresholds(runs: Sequence[Path], members: Sequence[Member], leads: Sequence[str] | None) -> FloatArray:
    """Give the thresholds of an ensemble.

    Where the members were validated on the same records, those with the best F1 of their averaged probabilities
    there; else the mean of their own.
    """
    table = average_predictions(runs, leads) if len(runs) > 1 else None
    if table is None:
        return np.asarray(np.mean([member.thresholds for member in members], axis=0))
    truth, proba = columns_of(table[table["set"] == "val"], members[0].card["classes"])
    return best_f1_thresholds(truth, proba)


def predictions_name(leads: Sequence[str] = ()) -> str:
    """Give the name of a run's table of predictions, with all leads or with some.

    Examples
    --------
    >>> predictions_name(("I", "II"))
    'predictions-I-II.parquet'
    """
    return "-".join(["predictions", *leads]) + ".parquet"


def average_predictions(runs: Sequence[Path], leads: Sequence[str] | None = None) -> pd.DataFrame | None:
    """Average what classifiers said of their validation and test records; None unless these are the same."""
    import pandas as pd

    paths = [run / predictions_name(leads or ()) for run in runs]
    if not all(path.is_file() for path in paths):
        return None
    first, *others = (pd.read_parquet(path) for path in paths)
    proba = [column for column in first.columns if column.startswith("proba_")]
    same = ["record_id", "corpus", "set", *(column for column in first.columns if column.startswith("true_"))]
    for other in others:
        if list(other.columns) != list(first.columns) or not other[same].equals(first[same]):
            return None
    mean = np.mean([table[proba].to_numpy() for table in (first, *others)], axis=0)
    raw = [column for column in first.columns if column.startswith("raw_")]
    return first.drop(columns=raw).assign(**dict(zip(proba, mean.T, strict=True)))


def columns_of(table: pd.DataFrame, classes: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Give labels and probabilities (record, class) out of a table of predictions."""
    truth, proba = ([f"{kind}_{name}" for name in classes] for kind in ("true", "proba"))
    return table[truth].to_numpy(np.float64), table[proba].to_numpy(np.float64)


def class_names(runs: Sequence[Path]) -> list[str]:
    """Give the classes of an ensemble, in order.

    Raises
    ------
    CheckpointError
        If they cannot be read.
    """
    try:
        card = json.loads((runs[0] / "head" / "card.json").read_text(encoding="utf-8"))
        return [str(name) for name in card["classes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"holds no head, or a damaged one ({error})"
        raise CheckpointError(str(runs[0]), problem, "give the run folder of a finished fine-tuning") from None
