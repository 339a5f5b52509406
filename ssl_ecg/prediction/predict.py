"""From recordings to diagnoses: records are read, brought into form, and judged by fine-tuned models."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.errors import ArchiveError, SignalError
from ssl_ecg.files import check_writable, write_whole
from ssl_ecg.prediction.members import Members, common_form, find_members, kind_of, known_leads, load_members
from ssl_ecg.prediction.unfinished import KeptAnswers, fingerprint_of, unfinished
from ssl_ecg.prediction.unlike import FLAT, Compared, compare, far_embedding
from ssl_ecg.readings.base import Reading
from ssl_ecg.sources import opened

if TYPE_CHECKING:
    import pandas as pd

_AT_ONCE = 256
_ALONE = "network alone: no expert feature can be computed"
_NUMBERS = ("found", "distance", "signal_distance", "alone")
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
    """Say what fine-tuned classifiers, or regressions, make of recordings.

    Recordings are brought to the leads, rate and filter of the classifier as `prepare` does it: missing limb leads
    are derived where two others are there, other missing leads are zero and marked. Probabilities are averaged over
    windows as in the test of fine-tuning, calibrated as was learnt on validation records, and averaged over the
    members of an ensemble. Where a classifier has a forest, expert features are computed of each recording: those of
    absent leads get the median of the training records, and where nothing can be measured (a recording shorter than a
    second, or without any signal) the network answers alone, with its own calibration and thresholds.

    Parameters
    ----------
    source : path, str, Archive or Corpus
        A prepared archive, a folder of recordings, ``"corpus:FOLDER"`` as `open_corpus` takes it, or one recording.
    classifier : path or sequence of paths
        Run folders of `finetune`, or names of released classifiers such as "superclass"; several are an ensemble and
        must have the same classes in the same order. The folder of `finetune_seeds` stands for all its runs.
    out : path, optional
        Where the table is written, .csv or .parquet. Until it is there, a hidden folder beside it keeps what has been
        done, and an interrupted call goes on with that.
    leads : str or sequence of str, optional
        The only leads that are given to the classifier, such as "I,II"; the others are zero. With those for which
        `finetune` was asked to test, thresholds and calibration are theirs.
    quantile : float in (0, 1]
        A record is unlike the training data if its embedding, or its signal, is farther from those of training than
        this share of the validation records; either lets so many pass, so that somewhat more are flagged.
    options : mapping, optional
        Of the reader: of `read_record` for one recording, of the corpus for a folder, such as ``fs=500`` and
        ``leads="I,II"`` for plain arrays.
    workers : int, optional
        Processes that read recordings; as many as there are processors unless given. For a classifier with a forest
        also those that compute features: one unless given.
    progress : bool

    Returns
    -------
    DataFrame
        One row a recording, those that cannot be read last: record_id, corpus; ``proba_CLASS``; ``decision_CLASS``,
        true where the probability is at least the threshold; unlike_training; distance of the embedding and
        signal_distance, in units of the largest that counts as usual (mean over an ensemble; missing for classifiers
        without a reference); why, in words, it is unlike the training data; reason, why a recording has no answer:
        it cannot be read, or is flat in all leads. With a forest also note: "network alone" where it was not asked. A
        regression gives ``value_NAME`` in the unit of the target, and ``low_NAME`` and ``high_NAME``, between which
        nine in ten recordings like those of validation lie, in place of probabilities and decisions.

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
    ssl_ecg.train.reference.Reference, ssl_ecg.train.signal_reference.SignalReference : what the distances are.
    """
    import pandas as pd

    from ssl_ecg.train.reduced_leads import choose_leads

    if not 0 < quantile <= 1:
        raise SignalError("quantile", f"is {quantile}", "give a share above 0, up to 1")
    if out is not None and Path(out).suffix.lower() not in _SUFFIXES:
        raise ArchiveError(str(out), "is neither a .csv nor a .parquet file", "give one of the two")
    if out is not None:
        check_writable(out)
    runs = find_members(classifier)
    form = common_form(runs)
    known = known_leads(runs, form.leads)
    chosen = None if leads is None else choose_leads(leads, known)
    chosen = None if chosen is not None and set(chosen) == set(known) else chosen
    kind = kind_of(runs)
    reading: dict[str, Any] = {"options": options, "workers": workers, "progress": progress}
    with unfinished(out) as keep, opened(source, form, keep=keep, **reading) as (archive, failed):
        tables = [_failed_rows(failed)]
        if archive is not None:
            members = load_members(runs, archive, chosen)
            facts = {"archive": archive.fingerprint, "classifiers": fingerprint_of(runs, ("encoder", "head", "forest"))}
            kept = KeptAnswers(keep, {**facts, "leads": chosen, "quantile": quantile})
            tables = [_answers(archive, members, chosen, quantile, workers or 1, progress, kept), *tables]
        table = pd.concat([part for part in tables if len(part)], ignore_index=True)
        table = _complete(table, kind)
        if out is not None:
            _write(table, Path(out))
    return table


class _Answers:
    """What is said of each record of an archive."""

    def __init__(self, n_records: int, n_classes: int, reason: NDArray[np.object_]) -> None:
        self.found = np.full((n_records, n_classes), np.nan)
        self.distance, self.signal_distance = np.full((2, n_records), np.nan)
        self.why, self.reason = np.full(n_records, None, object), reason
        self.alone = np.zeros(n_records, bool)

    def part(self, some: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Give what is said of some records, as plain arrays."""
        words = json.dumps([self.why[some].tolist(), self.reason[some].tolist()])
        return {**{name: getattr(self, name)[some] for name in _NUMBERS}, "words": np.array(words)}

    def put(self, some: NDArray[np.int64], part: Mapping[str, NDArray[Any]]) -> None:
        """Take in what `part` gave."""
        for name in _NUMBERS:
            getattr(self, name)[some] = part[name]
        why, reason = json.loads(str(part["words"]))
        for row, one, other in zip(some.tolist(), why, reason, strict=True):
            self.why[row], self.reason[row] = one, other

    def told(self, some: NDArray[np.int64], looked: Compared) -> NDArray[np.int64]:
        """Take in how the signals of some records compare; give those that can be answered."""
        self.signal_distance[some] = looked.distance
        for row, why in zip(some.tolist(), looked.why, strict=True):
            self.why[row] = why
        silent = some[looked.silent]
        self.reason[silent] = FLAT
        for row in silent.tolist():
            self.why[row] = [FLAT]
        return some[~looked.silent]

    def table(self, archive: Archive, members: Members) -> pd.DataFrame:
        """Give one row a record."""
        import pandas as pd

        for row in np.flatnonzero(self.distance > 1).tolist():
            self.why[row] = [*self.why[row], far_embedding(self.distance[row])]
        odd = np.array([bool(why) for why in self.why], bool)
        known = odd | np.isfinite(self.distance) | np.isfinite(self.signal_distance)
        there = np.array([reason is None for reason in self.reason], bool)
        table = archive.index[["record_id", "corpus"]].reset_index(drop=True)
        columns = {
            **_columns(members, self.found, there, self.alone), "unlike_training": _flags(odd, known),
            "distance": self.distance, "signal_distance": self.signal_distance,
            "why": ["; ".join(why) if why else None for why in self.why],
            **({"note": [_ALONE if by else None for by in self.alone]} if members.with_forest else {}),
            "reason": self.reason,
        }  # fmt: skip
        return pd.concat([table, pd.DataFrame(columns)], axis=1)


def _answers(
    archive: Archive,
    members: Members,
    leads: tuple[str, ...] | None,
    quantile: float,
    workers: int,
    progress: bool,
    kept: KeptAnswers,
) -> pd.DataFrame:
    """Judge the records of an archive, a few hundred at a time, but for those that were judged before."""
    from tqdm import tqdm

    from ssl_ecg.train.forest import has_features
    from ssl_ecg.train.reduced_leads import with_leads

    there = np.ones(len(archive), bool)
    for member in members.each:
        there &= with_leads(archive, member.shown(leads))
    absent = f"has none of the leads {','.join(leads)}" if leads else "has none of the leads of the classifier"
    reason = np.full(len(archive), None, object)
    reason[~there] = absent
    out = _Answers(len(archive), len(members.reading.classes), reason)
    rows = np.flatnonzero(there)
    with tqdm(total=len(rows) * len(members.each), unit="record", desc="predict", disable=not progress) as bar:
        for number, start in enumerate(range(0, len(rows), _AT_ONCE)):
            some = rows[start : start + _AT_ONCE]
            before = kept.read(number)
            if before is not None:
                out.put(some, before)
                bar.update(len(some) * len(members.each))
                continue
            heard = out.told(some, compare(archive, members.each, some, leads, quantile))
            bar.update((len(some) - len(heard)) * len(members.each))
            if len(heard):
                features = members.features(archive, heard, leads, workers)
                if features is not None:
                    out.alone[heard] = ~has_features(features)
                answers = []
                for member in members.each:
                    answers.append(member.answer(archive, heard, leads, quantile, features))
                    bar.update(len(heard))
                out.found[heard] = np.mean([answer for answer, _ in answers], axis=0)
                out.distance[heard] = np.mean([d for _, d in answers], axis=0)
            kept.write(number, out.part(some))
    return out.table(archive, members)


def _columns(members: Members, found: FloatArray, there: NDArray[np.bool_], alone: NDArray[np.bool_]) -> dict[str, Any]:
    """Give the columns of answers; those of the network alone are read as its own."""
    import pandas as pd

    main = members.reading.columns(found, there)
    if not alone.any():
        return main
    own = members.alone.columns(found, there)
    return {name: pd.Series(values).mask(alone, pd.Series(own[name])) for name, values in main.items()}


def _flags(values: NDArray[np.bool_], known: NDArray[np.bool_]) -> Any:
    """Give truth values, missing where they are not known."""
    import pandas as pd

    return pd.arrays.BooleanArray(values, ~known)


def _failed_rows(failed: pd.DataFrame) -> pd.DataFrame:
    return failed[["record_id", "corpus", "reason"]].reset_index(drop=True)


def _complete(table: pd.DataFrame, kind: tuple[Reading, bool]) -> pd.DataFrame:
    """Give all columns in their order and of their type, also where no record has an answer."""
    reading, with_forest = kind
    more = {"note": "object"} if with_forest else {}
    distances = {"distance": "float64", "signal_distance": "float64", "why": "object"}
    types = {**reading.types(), "unlike_training": "boolean", **distances, **more, "reason": "object"}
    return table.reindex(columns=["record_id", "corpus", *types]).astype(types)


def _write(table: pd.DataFrame, out: Path) -> None:
    if out.suffix.lower() == ".csv":
        write_whole(out, lambda file: table.to_csv(file, index=False))
    else:
        write_whole(out, lambda file: table.to_parquet(file, index=False))
