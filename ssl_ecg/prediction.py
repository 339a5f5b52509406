"""From recordings to diagnoses: records are read, brought into form, and judged by fine-tuned classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.ensemble import Member, class_names, common_form, common_thresholds, find_members, load_members
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import write_whole
from ssl_ecg.sources import opened

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 256
_SUFFIXES = (".csv", ".parquet")

FloatArray = NDArray[np.float64]


def predict(
    source: str | Path | Archive | Corpus,
    classifier: str | Path | Sequence[str | Path],
    out: str | Path | None = None,
    *,
    leads: str | Sequence[str] | None = None,
    quantile: float = 0.99,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Say what fine-tuned classifiers make of recordings.

    Recordings are brought to the leads, rate and filter of the classifier as `prepare` does it: missing limb leads
    are derived where two others are there, other missing leads are zero and marked. Probabilities are averaged over
    windows as in the test of fine-tuning, calibrated as was learnt on validation records, and averaged over the
    members of an ensemble.

    Parameters
    ----------
    source : path, str, Archive or Corpus
        A prepared archive, a folder of recordings, ``"corpus:FOLDER"`` as `open_corpus` takes it, or one recording.
    classifier : path or sequence of paths
        Run folders of `finetune`; several are an ensemble and must have the same classes in the same order. The
        folder of `finetune_seeds` stands for all its runs.
    out : path, optional
        Where the table is written, .csv or .parquet.
    leads : str or sequence of str, optional
        The only leads that are given to the classifier, such as "I,II"; the others are zero. With those for which
        `finetune` was asked to test, thresholds and calibration are theirs.
    quantile : float in (0, 1]
        A record whose embedding is farther from the training records than this share of the validation records is
        unlike the training data.
    options : mapping, optional
        Of the reader: of `read_record` for one recording, of the corpus for a folder, such as ``fs=500`` and
        ``leads="I,II"`` for plain arrays.
    workers : int, optional
        Processes that read recordings; as many as there are processors unless given.
    progress : bool

    Returns
    -------
    DataFrame
        One row a recording, those that cannot be read last: record_id, corpus; ``proba_CLASS``; ``decision_CLASS``,
        true where the probability is at least the threshold; unlike_training, and distance, in units of the largest
        that counts as usual (mean over an ensemble; missing for classifiers without a reference); reason, why a
        recording has no answer.

    Raises
    ------
    CheckpointError
        If a classifier is missing or damaged, or those of an ensemble differ, or the archive does not fit.
    ArchiveError, CorpusError
        If there is no such source, it holds no recordings, or `out` cannot be written.
    SignalError
        If a lead is unknown, or the quantile impossible.

    See Also
    --------
    ssl_ecg.train.reference.Reference : what the distance is.
    """
    import pandas as pd

    from ssl_ecg.train.reduced_leads import choose_leads

    if not 0 < quantile <= 1:
        raise SignalError("quantile", f"is {quantile}", "give a share above 0, up to 1")
    if out is not None and Path(out).suffix.lower() not in _SUFFIXES:
        raise ArchiveError(str(out), "is neither a .csv nor a .parquet file", "give one of the two")
    runs = find_members(classifier)
    form = common_form(runs)
    chosen = None if leads is None else choose_leads(leads, form.leads)
    with opened(source, form, options=options, workers=workers, progress=progress) as (archive, failed):
        tables = [_failed_rows(failed)]
        if archive is not None:
            members = load_members(runs, archive, chosen)
            thresholds = common_thresholds(runs, members, chosen)
            tables = [_answers(archive, members, thresholds, chosen, quantile, progress), *tables]
    table = pd.concat([part for part in tables if len(part)], ignore_index=True)
    table = _complete(table, class_names(runs))
    if out is not None:
        _write(table, Path(out))
    return table


def _answers(
    archive: Archive,
    members: Sequence[Member],
    thresholds: FloatArray,
    leads: tuple[str, ...] | None,
    quantile: float,
    progress: bool,
) -> pd.DataFrame:
    """Judge the records of an archive, a few hundred at a time."""
    from tqdm import tqdm

    from ssl_ecg.train.reduced_leads import with_leads

    there = with_leads(archive, leads)
    proba, distance = np.full((len(archive), len(thresholds)), np.nan), np.full(len(archive), np.nan)
    rows = np.flatnonzero(there)
    with tqdm(total=len(rows) * len(members), unit="record", desc="predict", disable=not progress) as bar:
        for some in (rows[start : start + _AT_ONCE] for start in range(0, len(rows), _AT_ONCE)):
            found = []
            for member in members:
                found.append(member.answer(archive, some, leads, quantile))
                bar.update(len(some))
            proba[some] = np.mean([p for p, _ in found], axis=0)
            distance[some] = np.mean([d for _, d in found], axis=0)
    table = archive.index[["record_id", "corpus"]].reset_index(drop=True)
    for k, name in enumerate(members[0].card["classes"]):
        table[f"proba_{name}"] = proba[:, k]
    for k, name in enumerate(members[0].card["classes"]):
        table[f"decision_{name}"] = _flags(proba[:, k] >= thresholds[k], there)
    table["unlike_training"] = _flags(distance > 1, np.isfinite(distance))
    table["distance"] = distance
    absent = f"has none of the leads {','.join(leads or ())}"
    table["reason"] = [None if answered else absent for answered in there]
    return table


def _flags(values: NDArray[np.bool_], known: NDArray[np.bool_]) -> Any:
    """Give truth values, missing where they are not known."""
    import pandas as pd

    return pd.arrays.BooleanArray(values, ~known)


def _failed_rows(failed: pd.DataFrame) -> pd.DataFrame:
    return failed[["record_id", "corpus", "reason"]].reset_index(drop=True)


def _complete(table: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Give all columns in their order and of their type, also where no record has an answer."""
    proba, decisions = [f"proba_{name}" for name in classes], [f"decision_{name}" for name in classes]
    columns = ["record_id", "corpus", *proba, *decisions, "unlike_training", "distance", "reason"]
    types = {**dict.fromkeys([*proba, "distance"], "float64"), **dict.fromkeys(decisions, "boolean")}
    return table.reindex(columns=columns).astype({**types, "unlike_training": "boolean", "reason": "object"})


def _write(table: pd.DataFrame, out: Path) -> None:
    if out.suffix.lower() == ".csv":
        write_whole(out, lambda file: table.to_csv(file, index=False))
    else:
        write_whole(out, lambda file: table.to_parquet(file, index=False))
