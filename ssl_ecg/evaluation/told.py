"""What fine-tuned runs have said of their test records: read, put into one order, and averaged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import CheckpointError, LabelError, RecipeError
from ssl_ecg.evaluate.judge import Answer
from ssl_ecg.prediction.members import average_predictions, columns_of, find_members, kind_of

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
ID = ["corpus", "record_id"]
"""Columns that name a record."""


@dataclass(frozen=True)
class Told:
    """What one or several runs said of the same test records.

    Attributes
    ----------
    runs : list of path
    facts : list of dict
        Their `metrics.json`.
    tables : list of DataFrame
        Their predictions of the test records, in one order.
    together : Answer or None
        Of several: their mean, decided as their mean answers on validation say.
    """

    runs: list[Path]
    facts: list[dict[str, Any]]
    tables: list[pd.DataFrame]
    together: Answer | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the task."""
        return tuple(self.facts[0]["classes"])

    def answers(self) -> dict[str, list[Answer]]:
        """Give each run's answers as draws, and those of the ensemble."""
        each = []
        for facts, table in zip(self.facts, self.tables, strict=True):
            each.append(answer_of(table, facts, self.classes))
        return {**({} if self.together is None else {"ensemble": [self.together]}), "finetuned": each}


def read_told(runs: Any) -> list[Told]:
    """Read the predictions of runs, those with the same test records together.

    Parameters
    ----------
    runs : path or sequence of paths

    Raises
    ------
    RecipeError
        If something else than paths is given.
    CheckpointError
        If a folder is no finished run, or runs do not fit together.
    LabelError
        If a run predicts numbers, or has no test records.
    """
    if not isinstance(runs, str | Path) and not (
        isinstance(runs, list | tuple) and all(isinstance(run, str | Path) for run in runs)
    ):
        raise RecipeError("predictions", "are judged of run folders", "give folders that 'ssl-ecg finetune' has left")
    groups: dict[frozenset[tuple[str, str]], list[tuple[Path, dict[str, Any], pd.DataFrame]]] = {}
    members = find_members(runs)
    if len(set(members)) < len(members):
        raise CheckpointError(str(members[0]), "is named twice", "name each run once")
    for run in members:
        facts, table = _read(run)
        groups.setdefault(frozenset(names_of(table)), []).append((run, facts, table))
    tested: dict[tuple[str, str], Path] = {}
    for names, group in groups.items():
        if both := next((tested[name] for name in names if name in tested), None):
            problem = f"has some of the test records of {both}, but not all"
            raise CheckpointError(str(group[0][0]), problem, "judge runs of the same or of other test records together")
        tested |= dict.fromkeys(names, group[0][0])
    first = next(iter(groups.values()))
    for group in groups.values():
        for run, facts, _ in group:
            if (facts["task"], facts["classes"]) != (first[0][1]["task"], first[0][1]["classes"]):
                raise CheckpointError(str(run), "has another task than the first run", "judge each task by itself")
        if len(group) != len(first):
            problem = f"{len(group)} runs with its test records, {len(first)} with those of {first[0][0]}"
            raise CheckpointError(str(group[0][0]), problem, "name as many runs for every split")
    return [_told(group) for group in groups.values()]


def _told(group: Sequence[tuple[Path, dict[str, Any], pd.DataFrame]]) -> Told:
    """Bring runs with the same test records into one order, and average them if they are several."""
    runs, facts, tables = (list(part) for part in zip(*group, strict=True))
    tables = [in_order(table, tables[0]) for table in tables]
    classes = tuple(facts[0]["classes"])
    for run, table in zip(runs, tables, strict=True):
        _same_truth(run, table, tables[0], classes)
    if len(runs) == 1:
        return Told(runs, facts, tables, None)
    mean = average_predictions(runs)
    if mean is None:
        problem = "was not validated on the same records as the other runs with its test records"
        raise CheckpointError(str(runs[1]), problem, "judge it by itself")
    said = columns_of(mean[mean["set"] == "val"], classes)
    reading = kind_of(runs)[0].of_ensemble([], said)
    proba = columns_of(in_order(mean[mean["set"] == "test"], tables[0]), classes)[1]
    decided = np.asarray(reading.decide(proba), bool)
    return Told(runs, facts, tables, Answer(proba.astype(np.float32), decided, _how(reading.about())))


def _read(run: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """Read the figures and the test predictions of a run."""
    import pandas as pd

    problem, remedy = "holds no whole metrics.json and predictions.parquet", "fine-tune to the end first"
    try:
        facts: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        continuous = facts.get("kind") == "continuous"
        table = pd.read_parquet(run / "predictions.parquet")
        table = table[table["set"] == "test"].astype(dict.fromkeys(ID, str))
        if not continuous:
            answer_of(table, facts, facts["classes"])
            columns_of(table, facts["classes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(str(run), f"{problem} ({error})", remedy) from None
    if continuous:
        raise LabelError(str(run), "predicts numbers, not classes", "its figures stand in metrics.json")
    if not len(table):
        raise LabelError(str(run), "has no test records", "fine-tune with test folds, or use 'ssl-ecg predict'")
    return facts, table


def names_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Give the records of a table or index by corpus and name."""
    return list(zip(*(table[name].astype(str) for name in ID), strict=True))


def in_order(table: pd.DataFrame, first: pd.DataFrame) -> pd.DataFrame:
    """Put the records of a table into the order of another."""
    place = {name: k for k, name in enumerate(names_of(table))}
    return table.iloc[[place[name] for name in names_of(first)]].reset_index(drop=True)


def _same_truth(run: Path, table: pd.DataFrame, first: pd.DataFrame, classes: Sequence[str]) -> None:
    truth, expected = (columns_of(one, classes)[0] for one in (table, first))
    if not np.array_equal(truth, expected, equal_nan=True):
        raise CheckpointError(str(run), "was tested with other labels of the same records", "judge it by itself")


def as_in(main: Sequence[Told], others: Sequence[Told]) -> list[Told]:
    """Put the groups of a baseline, and their records, into the order of the first.

    Raises
    ------
    CheckpointError
        If classes, test records or labels differ.
    """
    found = {frozenset(names_of(one.tables[0])): one for one in others}
    ordered = []
    for one in main:
        first = one.tables[0]
        other = found.pop(frozenset(names_of(first)), None)
        if other is None or other.classes != one.classes:
            what = "test records" if other is None else "classes"
            problem = f"was not tested with the {what} of {one.runs[0]}"
            raise CheckpointError(str(others[0].runs[0]), problem, "take a baseline of the same records")
        tables = [in_order(table, first) for table in other.tables]
        _same_truth(other.runs[0], tables[0], first, one.classes)
        together = other.together
        if together is not None:
            place = {name: k for k, name in enumerate(names_of(other.tables[0]))}
            rows = [place[name] for name in names_of(first)]
            together = Answer(together.proba[rows], together.decisions[rows], together.chosen)
        ordered.append(Told(other.runs, other.facts, tables, together))
    if found:
        run = next(iter(found.values())).runs[0]
        raise CheckpointError(str(run), "was tested with other records", "take a baseline of the same records")
    return ordered


def answer_of(table: pd.DataFrame, facts: Mapping[str, Any], classes: Sequence[str]) -> Answer:
    """Give what a run said of some of its records, and how it decided.

    Parameters
    ----------
    table : DataFrame
        Rows of its `predictions.parquet`.
    facts : mapping
        Its `metrics.json`.
    classes : sequence of str
    """
    proba = columns_of(table, classes)[1]
    decided = [f"decision_{name}" for name in classes]
    if set(decided) <= set(table.columns):
        decisions = table[decided].to_numpy(bool)
    else:
        decisions = proba >= _thresholds(facts["thresholds"], classes)
    return Answer(proba.astype(np.float32), decisions, _how(facts))


def _how(about: Mapping[str, Any]) -> dict[str, Any]:
    """Say by what was decided."""
    return {name: about[name] for name in ("thresholds", "thresholds_by", "decision") if name in about}


def _thresholds(kept: Mapping[str, float | None], classes: Sequence[str]) -> FloatArray:
    """Give thresholds (class,); infinite where none could be chosen."""
    return np.array([np.inf if kept[name] is None else kept[name] for name in classes], np.float64)
