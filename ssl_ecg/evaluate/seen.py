"""What an encoder has learnt from before it is measured, as its card and those of its forebears say."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import CheckpointError, LabelError
from ssl_ecg.evaluate.splits import Split
from ssl_ecg.train.checkpoint import find_checkpoint, read_card

if TYPE_CHECKING:
    import pandas as pd

Mask = NDArray[np.bool_]
_FOREBEARS = ("start", "teacher")
_DEEPEST = 20
_PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Past:
    """What an encoder and those that it comes from have learnt from.

    Attributes
    ----------
    cards : list of (dict, path or None)
        A card and its run folder, where that is known: the encoder's own, then those of the checkpoint that it began
        with and of the teacher that it was shown.
    unknown : tuple of str
        Checkpoints among them that are no longer there.
    """

    cards: list[tuple[Mapping[str, Any], Path | None]] = field(default_factory=list)
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, card: Mapping[str, Any] | None, checkpoint: str | Path | None = None) -> Past:
        """Collect the cards.

        Parameters
        ----------
        card : mapping, optional
        checkpoint : path or str, optional
            Where the encoder was found.
        """
        if card is None:
            return cls()
        cards: list[tuple[Mapping[str, Any], Path | None]] = []
        lost: list[str] = []
        _collect(card, checkpoint, cards, lost)
        return cls(cards, tuple(dict.fromkeys(lost)))

    def before_finetuning(self) -> Past:
        """Leave out what the encoder itself was fine-tuned on: that of its forebears stays."""
        own = {name: value for name, value in self.cards[0][0].items() if name != "finetuned_on"} if self.cards else {}
        return Past([(own, None), *self.cards[1:]], self.unknown)

    def signals(self, index: pd.DataFrame) -> Mask:
        """Tell which records of an index may have been seen in pretraining, with labels or without."""
        seen = np.zeros(len(index), bool)
        for card, _ in self.cards:
            seen |= _pretrained(card, index)
        return seen

    def labels(self, index: pd.DataFrame, split: Split, fingerprint: str | None = None) -> Mask:
        """Tell of which test records the encoder has learnt, or may have learnt, the labels.

        Where only a choice of the labelled records was used, all that it was made from are counted.

        Parameters
        ----------
        index : DataFrame
            With ``corpus``, ``record_id`` and ``fold``.
        split : Split
        fingerprint : str, optional
            Of the archive.

        Returns
        -------
        bool array (test record,)
        """
        test = index.iloc[split.test]
        learnt = np.zeros(len(test), bool)
        for card, run in self.cards:
            if card.get("labels"):
                learnt |= _pretrained(card, test)
            if card.get("finetuned_on"):
                learnt |= _finetuned(card["finetuned_on"], run, test, split, fingerprint)
        return learnt

    def finetuned(self) -> dict[str, dict[str, Any]]:
        """Give the corpora that it was fine-tuned on, with ``records`` and ``folds``, as far as cards say it."""
        found: dict[str, dict[str, Any]] = {}
        for card, _ in self.cards:
            for name, about in ((card.get("finetuned_on") or {}).get("corpora") or {}).items():
                one = found.setdefault(name, {"records": 0, "folds": []})
                one["records"] = max(one["records"], about.get("records", 0))  # the same ones perhaps
                one["folds"] = sorted({*one["folds"], *about.get("folds", [])})
        return found

    def tasks(self) -> list[str]:
        """Give the tasks whose labels have been learnt."""
        told = [card.get(name) or {} for card, _ in self.cards for name in ("labels", "finetuned_on")]
        return list(dict.fromkeys(str(one["task"]) for one in told if "task" in one))


def refuse_learnt(who: str, learnt: Mapping[str, tuple[int, int]], tasks: list[str], clean: list[str]) -> None:
    """Refuse to judge a model on records whose labels it has learnt.

    Parameters
    ----------
    who : str
    learnt : mapping
        Split -> (test records whose labels were learnt, test records).
    tasks : list of str
        Whose labels.
    clean : list of str
        Splits without such records.

    Raises
    ------
    LabelError
        If there are any.
    """
    bad = {name: counts for name, counts in learnt.items() if counts[0]}
    if not bad:
        return
    where = ", ".join(f"{n} of {of} in the split {name}" for name, (n, of) in bad.items())
    problem = f"has learnt from labels of {' and '.join(tasks)}, which may be those of test records: {where}"
    elsewhere = f"with protocol.only=[{', '.join(clean)}]" if clean else "on other records"
    remedy = f"judge it {elsewhere}; with protocol.seen_labels=true the figures say how well it remembers"
    raise LabelError(who, problem, remedy)


def seen_folds(card: Mapping[str, Any] | None) -> dict[str, list[int]]:
    """Give the corpora that an encoder's card says it was pretrained on, and their folds; none where they have none.

    Examples
    --------
    >>> seen_folds({"pretrained_on": {"corpora": {"ptbxl": {"folds": [1, 2]}, "mitdb": {"folds": []}}}})
    {'ptbxl': [1, 2], 'mitdb': []}
    """
    return _folds_of(((card or {}).get("pretrained_on") or {}).get("corpora"))


def _folds_of(corpora: Mapping[str, Mapping[str, Any]] | None) -> dict[str, list[int]]:
    return {name: list(about.get("folds", [])) for name, about in (corpora or {}).items()}


def _pretrained(card: Mapping[str, Any], index: pd.DataFrame) -> Mask:
    return _within(seen_folds(card), index)


def _within(seen: Mapping[str, list[int]], index: pd.DataFrame) -> Mask:
    """Tell which records are of corpora and folds that a card names; records without a fold are always trained on."""
    corpus = index["corpus"].astype(str).to_numpy()
    fold = index["fold"].astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    found = np.zeros(len(index), bool)
    for name, folds in seen.items():
        within = np.isin(fold, folds) | np.isnan(fold) if folds else np.ones(len(index), bool)
        found |= (corpus == name) & within
    return found


def _finetuned(
    facts: Mapping[str, Any], run: Path | None, test: pd.DataFrame, split: Split, fingerprint: str | None
) -> Mask:
    """Tell which test records were not kept for testing when an encoder was fine-tuned.

    The card says of which corpora and folds the training and validation records are, and the run's predictions what
    was kept for testing. Cards of older versions do not: then records of corpora of which nothing was validated or
    tested are taken for foreign, and without predictions only the very same split is known to be clean.
    """
    rows = facts.get("rows", {})
    ours = {name: _digest(chosen) for name, chosen in split.sets().items()}
    same = fingerprint is not None and facts.get("archive") == fingerprint
    if same and (rows.get("test") == ours["test"] or all(rows.get(name) == ours[name] for name in ("train", "val"))):
        return np.zeros(len(test), bool)
    told = None if run is None else _predictions(run)
    corpora = facts.get("corpora")
    if corpora is not None:  # folds that were drawn mean something in the archive that they were drawn for only
        meant = {name: same or not about.get("drawn_folds") for name, about in corpora.items()}
        used = _within({name: folds if meant[name] else [] for name, folds in _folds_of(corpora).items()}, test)
    elif told is not None:
        used = np.isin(test["corpus"].astype(str).to_numpy(), told["corpus"].astype(str).unique())
    else:
        return np.ones(len(test), bool)
    if told is None:
        return used
    kept = told.loc[told["set"] == "test"]
    tested = set(zip(kept["corpus"].astype(str), kept["record_id"].astype(str), strict=True))
    names = zip(test["corpus"].astype(str), test["record_id"].astype(str), strict=True)
    return np.asarray(used & np.array([name not in tested for name in names], bool))


def _predictions(run: Path) -> pd.DataFrame | None:
    """Read which records a run validated and tested with; None where that is not kept."""
    import pandas as pd

    path = run / _PREDICTIONS
    if not path.is_file():
        return None
    try:
        return pd.read_parquet(path, columns=["record_id", "corpus", "set"])
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(str(path), f"cannot be read ({error})", "fine-tune again") from None


def _collect(
    card: Mapping[str, Any],
    checkpoint: str | Path | None,
    cards: list[tuple[Mapping[str, Any], Path | None]],
    lost: list[str],
) -> None:
    """Add a card and those of what it comes from."""
    if len(cards) >= _DEEPEST:
        return
    cards.append((card, _run_folder(checkpoint)))
    for name in _FOREBEARS:
        if isinstance(card.get(name), Mapping):
            _collect(card[name], card[name].get("checkpoint"), cards, lost)
    began = card.get("checkpoint")
    if card.get("finetuned_on") and began is not None:
        try:
            _collect(read_card(began), began, cards, lost)
        except CheckpointError:
            lost.append(str(began))


def _run_folder(checkpoint: str | Path | None) -> Path | None:
    """Give the folder in which a fine-tuning leaves its predictions."""
    for folder in _candidates(checkpoint):
        if (folder / _PREDICTIONS).is_file():
            return folder
    return None


def _candidates(checkpoint: str | Path | None) -> Iterator[Path]:
    if checkpoint is not None:
        yield Path(checkpoint)
        try:
            yield find_checkpoint(checkpoint).parent
        except CheckpointError:
            return


def _digest(rows: NDArray[np.int64]) -> str:
    """Give the fingerprint by which fine-tuning names its records."""
    return hashlib.sha256(np.sort(rows).astype("<i8").tobytes()).hexdigest()
