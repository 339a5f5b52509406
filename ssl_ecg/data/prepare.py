"""From corpora on disk to one archive: canonical leads, one rate, filtered, int16."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from pathlib import Path

import numpy as np

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import Form
from ssl_ecg.data.claim import claimed, find_finished, order_of
from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.engine import PROCESSES, open_engine
from ssl_ecg.data.engine_base import Engine
from ssl_ecg.data.making import Making, check_sources
from ssl_ecg.data.memory import Records
from ssl_ecg.data.pieces import Item
from ssl_ecg.data.record import Record
from ssl_ecg.data.workers import processors
from ssl_ecg.errors import ArchiveError, CorpusError
from ssl_ecg.leads import LEAD_SETS, parse_leads
from ssl_ecg.signal import resample_band

Source = str | Path | Corpus


def prepare(
    sources: Source | Iterable[Source] | Iterable[Record],
    out: str | Path,
    *,
    fs: float = 100.0,
    band: tuple[float, float] | None = (0.5, 40.0),
    leads: int | str | Sequence[str] = 12,
    workers: int | None = None,
    shard_records: int = 1000,
    resume: bool = True,
    progress: bool = True,
    engine: str | None = None,
) -> Archive:
    """Prepare one or several corpora into an archive.

    Every record gets the leads of the archive, recognised by name (missing limb leads are derived where two
    others are there; other missing leads are zero and marked), its rate, and its filter. Quality is judged on
    the recording as it came. A record that cannot be used is listed with its reason. The result is the same
    to the byte for any number of workers, and after any number of interruptions.

    Parameters
    ----------
    sources : path, str or Corpus, a list of them, or an iterable of Record
        ``"PATH"`` or ``"name:PATH"`` as `open_corpus` takes them.
    out : path
        Folder of the archive: new, empty, or left by an earlier run with the same options, which is resumed.
        An archive that is there already and was made of the same sources with the same options is given back.
    fs : float
        Sampling rate [Hz].
    band : (float, float) or None
        Edges of the zero-phase Butterworth filter of order 4 [Hz]; None leaves the recordings unfiltered.
    leads : int, str or sequence of str
        A number of `LEAD_SETS`, or names such as ``"I,II,V1"``.
    workers : int, optional
        Processes that read and filter; as many as there are processors unless given.
    shard_records : int
        Records in one file; what a resumed run may have to repeat at most.
    resume : bool
        False starts over what an earlier run left unfinished.
    progress : bool
        Show a progress bar on a terminal.
    engine : str, optional
        ``"dask://HOST:PORT"``, the scheduler of a Dask cluster: its workers make whole shards, on as many hosts as
        there are, and shards of lost workers are made anew. Sources and `out` must be on a file system that all of
        them share. "processes" (the same as nothing) stays on this machine.

    Raises
    ------
    ArchiveError
        If the folder holds something else, cannot be written, no record could be used, a record
        occurs twice, or the engine cannot be used.
    CorpusError
        If a source is missing or holds no records.
    SignalError
        If rate, band or leads are impossible.

    Examples
    --------
    >>> import tempfile
    >>> record = Record(np.ones((2, 5000), np.float32), 500, ("I", "II"), "a1")
    >>> archive = prepare([record], tempfile.mkdtemp() + "/a", band=None, progress=False)
    >>> len(archive), archive.read(0).shape, archive.lead_mask(0)[:7].tolist()
    (1, (12, 1000), [True, True, True, True, True, True, False])
    """
    form = _form(fs, band, leads)
    if shard_records < 1:
        raise ArchiveError("shard_records", f"is {shard_records}", "give at least 1")
    corpora = _opened(sources)
    folder = Path(out).expanduser()
    order = order_of(form, corpora, shard_records)
    if find_finished(folder, order, resume=resume):
        check_sources(folder, _items(corpora), corpora)
        return Archive(folder)
    items = _not_empty(_items(corpora), corpora)
    with _hosts(engine, corpora) as hosts, claimed(folder, order, resume=resume):
        making = Making(folder, form, corpora, shard_records)
        making.go_on(items)
        if hosts is None:
            making.make(items, processors() if workers is None else workers, progress)
        else:
            making.make_by(hosts, items, progress)
        making.complete()
    return Archive(folder)


def _hosts(engine: str | None, corpora: list[Corpus]) -> AbstractContextManager[Engine | None]:
    """Open an engine that is not of this machine."""
    if engine is None or engine == PROCESSES:
        return nullcontext()
    if any(isinstance(corpus, Records) for corpus in corpora):
        remedy = "leave the engine out, or write the recordings to files first"
        raise ArchiveError("engine", "recordings in memory are of this process only", remedy)
    return open_engine(engine, 0)


def _form(fs: float, band: tuple[float, float] | None, leads: int | str | Sequence[str]) -> Form:
    if isinstance(leads, int):
        if leads not in LEAD_SETS:
            raise ArchiveError("leads", f"there is no set of {leads}", f"choose from {sorted(LEAD_SETS)} or name them")
        leads = LEAD_SETS[leads]
    form = Form(float(fs), parse_leads(leads), (float(band[0]), float(band[1])) if band else None)
    resample_band(np.zeros((1, 2), np.float32), form.fs, form.fs, form.band)  # raises where they do not fit
    return form


def _opened(sources: Source | Iterable[Source] | Iterable[Record]) -> list[Corpus]:
    if isinstance(sources, str | Path | Corpus):
        sources = [sources]
    stream = iter(sources)
    first = next(stream, None)
    if first is None:
        raise CorpusError("sources", "there are none", "give a folder, a Corpus or recordings")
    both = chain([first], stream)
    if isinstance(first, Record):
        return [Records(both)]
    corpora: list[Corpus] = []
    for source in both:
        if isinstance(source, Record):
            raise CorpusError("sources", "mix folders and recordings", "put the recordings into Records(...)")
        corpora.append(source if isinstance(source, Corpus) else open_corpus(source))
    return corpora


def _items(corpora: list[Corpus]) -> Iterator[Item]:
    for number, corpus in enumerate(corpora):
        if isinstance(corpus, Records):
            for entry, record in corpus.pairs():
                yield Item(number, entry, record)
        else:
            for entry in corpus.entries():
                yield Item(number, entry)


def _not_empty(items: Iterator[Item], corpora: list[Corpus]) -> Iterator[Item]:
    """Look for a first record before anything is written."""
    first = next(items, None)
    if first is None:
        raise CorpusError(", ".join(map(repr, corpora)), "there are no records", "check the path of the source")
    return chain([first], items)
