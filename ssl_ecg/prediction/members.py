"""Fine-tuned models that answer together: their calibrated probabilities, or their numbers, are averaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError
from ssl_ecg.features.expert import expert_vectors
from ssl_ecg.features.hybrid import averaged_odds
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.readings.base import Reading
from ssl_ecg.readings.cards import read_card

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.train.forest import Forest
    from ssl_ecg.train.reference import Reference
    from ssl_ecg.train.supervised.model import Supervised

FloatArray = NDArray[np.float64]
CLASSIFIER = ("encoder", "head")
_TINY = 1e-12
_AVERAGED = ("proba_", "value_", "network_", "forest_")
_OWN = ("raw_", "decision_")  # of one model alone


@dataclass(frozen=True)
class Member:
    """A fine-tuned model, ready for the records of an archive.

    Attributes
    ----------
    model : Supervised
    card : dict
        As `load_classifier` gives it.
    alone : Reading
        Of the network.
    reference : Reference or None
        None where the model has none.
    forest : Forest or None
    both : Reading or None
        Of network and forest.
    """

    model: Supervised
    card: Mapping[str, Any]
    alone: Reading
    reference: Reference | None
    forest: Forest | None = None
    both: Reading | None = None

    @property
    def reading(self) -> Reading:
        """Of what is answered wherever it can be."""
        return self.alone if self.both is None else self.both

    def shown(self, leads: Sequence[str] | None) -> Sequence[str] | None:
        """Give the leads that the model is shown: those asked for, or those it was trained with; None for all."""
        trained_with: Sequence[str] | None = self.card["windows"].get("leads")
        return trained_with if leads is None else leads

    def answer(
        self,
        archive: Archive,
        rows: NDArray[np.int64],
        leads: Sequence[str] | None,
        quantile: float,
        features: NDArray[np.float32] | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Give answers (record, class), and distances (record,) in units of the largest usual one.

        Where no expert feature is known the network answers alone.
        """
        from ssl_ecg.train.evaluation import predict_with_embeddings
        from ssl_ecg.train.supervised.data import open_windows

        windows, shown = self.card["windows"], self.shown(leads)
        strips = open_windows(archive, rows, float(windows["seconds"]), float(windows["stride"]), leads=shown)
        raw, z = predict_with_embeddings(self.model, strips)
        answers = self.alone.answer(raw)
        if self.forest is not None and self.both is not None and features is not None:
            told = self.forest.told(features, archive, rows, windows, shown)
            has = np.isfinite(told).all(axis=1)
            answers[has] = self.both.answer(averaged_odds(raw[has], told[has]))
        if self.reference is None:
            return answers, np.full(len(rows), np.nan)
        usual = self.reference.threshold(quantile, ",".join(leads or ()))
        return answers, self.reference.distance(z) / max(usual, _TINY)


@dataclass(frozen=True)
class Members:
    """Models that answer together.

    Attributes
    ----------
    each : list of Member
    reading : Reading
        Of the mean of their answers.
    alone : Reading
        Of that mean for records without expert features.
    """

    each: list[Member]
    reading: Reading
    alone: Reading

    @property
    def with_forest(self) -> bool:
        """Whether any of them has a forest."""
        return any(member.forest is not None for member in self.each)

    def features(
        self, archive: Archive, rows: NDArray[np.int64], leads: Sequence[str] | None, workers: int = 1
    ) -> NDArray[np.float32] | None:
        """Compute the expert features of records, if any member asks for them."""
        asking = [member for member in self.each if member.forest is not None]
        return expert_vectors(archive, rows, leads=asking[0].shown(leads), workers=workers) if asking else None


def find_members(classifier: str | Path | Sequence[str | Path]) -> list[Path]:
    """Give the run folders of an ensemble: those named, and for a folder of several seeds or folds each of its runs.

    The name of a released classifier stands for its folder.

    Raises
    ------
    CheckpointError
        If a folder holds no classifier.
    """
    from ssl_ecg.train.checkpoint import released_checkpoints

    named, released = [classifier] if isinstance(classifier, str | Path) else list(classifier), released_checkpoints()
    paths = [path if path.exists() else released.get(str(path), path) for path in map(Path, named)]
    runs = [run for path in paths for run in _members(path)]
    if not runs:
        raise CheckpointError("classifier", "none is named", "give the run folder of a fine-tuning")
    for run in runs:
        if not all((run / part).is_dir() for part in CLASSIFIER):
            names = ", ".join(name for name, folder in released.items() if (folder / "head").is_dir())
            released_too = f" or a released name ({names})" if names else ""
            remedy = "give the run folder of a finished fine-tuning" + released_too
            raise CheckpointError(str(run), "holds no classifier", remedy)
    return runs


def _members(folder: Path) -> list[Path]:
    """Give a run, or those that the figures of a folder of several are of; all there are before it has any."""
    below = sorted((*folder.glob("seed-*"), *folder.glob("fold-*")), key=lambda p: (len(p.name), p.name))
    with suppress(OSError, ValueError, KeyError, TypeError):
        measured = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["runs"]
        below = [run for run in below if run.name in measured]
    if (folder / "head").is_dir() or not below:
        return [folder]
    return [run for path in below for run in _members(path)]


def common_form(runs: Sequence[Path]) -> Preprocessing:
    """Give the rate, leads and filter that classifiers expect; scaling and window may differ.

    Raises
    ------
    CheckpointError
        If they expect different things, or their classes differ.
    """
    from ssl_ecg.train.checkpoint import read_card as read_encoder_card
    from ssl_ecg.train.classifier import read_head_card

    first, *others = (Preprocessing.from_dict(read_encoder_card(run).get("preprocessing", {})) for run in runs)
    for run, form in zip(runs[1:], others, strict=True):
        first.check(fs=form.fs, leads=form.leads, band=form.band, where=str(run))
    cards = [read_head_card(run) for run in runs]
    for run, card in zip(runs, cards, strict=True):
        if card["classes"] != cards[0]["classes"] or card.get("kind") != cards[0].get("kind"):
            problem = f"tells {card['classes']} apart, {runs[0]} {cards[0]['classes']}"
            raise CheckpointError(str(run), problem, "give classifiers of one task")
    return first


def known_leads(runs: Sequence[Path], leads: Sequence[str]) -> tuple[str, ...]:
    """Give those of `leads` with which all classifiers were trained.

    Raises
    ------
    CheckpointError
        If classifiers that were trained with different leads are to answer together.
    """
    from ssl_ecg.train.classifier import read_head_card

    each = [tuple(read_head_card(run)["windows"].get("leads") or leads) for run in runs]
    for run, trained_with in zip(runs, each, strict=True):
        if trained_with != each[0]:
            problem = f"was trained with {','.join(trained_with)}, {runs[0]} with {','.join(each[0])}"
            raise CheckpointError(str(run), problem, "give classifiers of the same leads")
    return each[0]


def kind_of(runs: Sequence[Path]) -> tuple[Reading, bool]:
    """Give a reading such as the members have, and whether any of them has a forest.

    Raises
    ------
    CheckpointError
        If the card of the first cannot be read.
    """
    from ssl_ecg.train.classifier import read_head_card
    from ssl_ecg.train.forest import FOLDER

    return read_card(read_head_card(runs[0])), any((run / FOLDER).is_dir() for run in runs)


def load_members(runs: Sequence[Path], archive: Archive, leads: Sequence[str] | None = None) -> Members:
    """Load models for the records of an archive, all of whose leads or only some are given.

    Raises
    ------
    CheckpointError
        If a model is damaged or does not fit the archive.
    """
    from ssl_ecg.train.classifier import load_classifier
    from ssl_ecg.train.forest import load_beside
    from ssl_ecg.train.reference import load_reference

    each = []
    for run in runs:
        model, card = load_classifier(run, archive)
        beside = load_beside(run, model, card["classes"])
        forest, both = (None, None) if beside is None else (beside[0], read_card(beside[1], leads))
        each.append(Member(model, card, read_card(card, leads), load_reference(run / "head"), forest, both))
    tested = any((run / predictions_name(leads or ())).is_file() for run in runs)
    table = average_predictions(runs, leads if tested else None) if len(runs) > 1 else None
    main = _together([member.reading for member in each], table, each[0].reading.prefix)
    alone = main
    if any(member.forest is not None for member in each):
        alone = _together([member.alone for member in each], table, "network")
    return Members(each, main, alone)


def _together(readings: Sequence[Reading], table: pd.DataFrame | None, prefix: str) -> Reading:
    """Give the reading of an ensemble.

    Where the members were validated on the same records, it is learnt from their mean answers there.
    """
    if len(readings) == 1:
        return readings[0]
    said = None
    if table is not None and all(f"{prefix}_{name}" in table for name in readings[0].classes):
        said = columns_of(table[table["set"] == "val"], readings[0].classes, prefix)
    return readings[0].of_ensemble(readings[1:], said)


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
    averaged = [column for column in first.columns if column.startswith(_AVERAGED)]
    same = ["record_id", "corpus", "set", *(column for column in first.columns if column.startswith("true_"))]
    for other in others:
        if list(other.columns) != list(first.columns) or not other[same].equals(first[same]):
            return None
    mean = np.mean([table[averaged].to_numpy() for table in (first, *others)], axis=0)
    own = [column for column in first.columns if column.startswith(_OWN)]
    return first.drop(columns=own).assign(**dict(zip(averaged, mean.T, strict=True)))


def decided(reading: Reading, answers: FloatArray) -> dict[str, NDArray[np.bool_]]:
    """Give the columns of decisions in a table of predictions; none of numbers."""
    found = reading.decide(answers)
    return {} if found is None else {f"decision_{c}": found[:, k] for k, c in enumerate(reading.classes)}


def columns_of(table: pd.DataFrame, classes: Sequence[str], prefix: str = "proba") -> tuple[FloatArray, FloatArray]:
    """Give labels and probabilities, or other answers, (record, class) out of a table of predictions."""
    truth, answers = ([f"{kind}_{name}" for name in classes] for kind in ("true", prefix))
    return table[truth].to_numpy(np.float64), table[answers].to_numpy(np.float64)
