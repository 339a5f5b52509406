"""Recordings from anywhere in the form that an encoder expects: for as long as they are needed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.canonical import Form
from ssl_ecg.data.corpora import open_corpus
from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry, with_leads
from ssl_ecg.data.layout import HEAD, ORDER
from ssl_ecg.data.pieces import Item, Room, prepare_piece
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import ArchiveError
from ssl_ecg.leads import parse_leads
from ssl_ecg.preprocessing import Preprocessing

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def opened(
    source: str | Path | Archive | Corpus,
    form: Preprocessing,
    *,
    options: Mapping[str, Any] | None = None,
    workers: int | None = None,
    progress: bool = True,
    keep: Path | None = None,
) -> Iterator[tuple[Archive | None, pd.DataFrame]]:
    """Open recordings in the form that an encoder expects.

    Parameters
    ----------
    source : path, str, Archive or Corpus
        A prepared archive, which is taken as it is; or a folder of recordings, ``"corpus:FOLDER"`` or one recording,
        of which an archive is made that lasts as long as the context.
    form : Preprocessing
        Rate, leads and filter.
    options : mapping, optional
        Of `read_record` for one recording, of the corpus for a folder.
    workers : int, optional
        Processes that read; as many as there are processors unless given.
    progress : bool
    keep : Path, optional
        Folder for the archive, which then stays, and an interrupted call goes on with.

    Yields
    ------
    archive : Archive or None
        None where no recording can be used.
    failed : DataFrame
        The recordings that cannot be used: record_id, corpus, reason and more.

    Raises
    ------
    ArchiveError, CorpusError
        If there is no such source, it holds no recordings, or options come with an archive.
    """
    options = dict(options or {})
    if isinstance(source, Archive):
        yield source, source.failed
        return
    if isinstance(source, str | Path) and any((Path(source).expanduser() / name).is_file() for name in (HEAD, ORDER)):
        if options:
            raise ArchiveError(str(source), "is an archive: its recordings have been read", "leave the options out")
        archive = Archive(source)
        yield archive, archive.failed
        return
    corpus = source if isinstance(source, Corpus) else _corpus(source, options)
    workers = 1 if isinstance(corpus, OneRecord) else workers
    with nullcontext(keep) if keep is not None else TemporaryDirectory(prefix="ssl-ecg-") as folder:
        make = partial(
            prepare, corpus, Path(folder) / "archive", fs=form.fs, band=form.band, leads=form.leads, workers=workers,
            progress=progress,
        )  # fmt: skip
        try:
            archive = _anew_if_other(make, Path(folder) / "archive")
        except ArchiveError:
            failed = _all_failed(corpus, form)
            if failed is None:
                raise
            yield None, failed
        else:
            yield archive, archive.failed


def _anew_if_other(make: Callable[[], Archive], place: Path) -> Archive:
    """Make an archive; again from the start if what an interrupted call has left there is of other recordings."""
    left = place.exists()
    try:
        return make()
    except ArchiveError:
        if not left:
            raise
        shutil.rmtree(place, ignore_errors=True)
        return make()


def _corpus(source: str | Path, options: dict[str, Any]) -> Corpus:
    path = Path(source).expanduser()
    if path.is_file() or (not path.exists() and path.with_name(path.name + ".hea").is_file()):
        return OneRecord(path, options)
    return open_corpus(source, **options)


class OneRecord(Corpus):
    """A single recording as a corpus.

    Parameters
    ----------
    path : path
        As `read_record` takes it.
    options : mapping, optional
        Of `read_record`; and `leads_as`, see `ssl_ecg.data.corpora.folder.Folder`.
    """

    name = "record"
    title = "a recording"

    def __init__(self, path: str | Path, options: Mapping[str, Any] | None = None) -> None:
        path = Path(path)
        super().__init__(path.parent)
        self.location = path.name
        self.options = dict(options or {})
        named = self.options.pop("leads_as", None)
        self.leads_as = None if named is None else parse_leads(named)

    def entries(self) -> Iterator[Entry]:
        """Give the one entry."""
        yield Entry(Path(self.location).stem, self.location)

    def read(self, entry: Entry) -> Record:
        """Read the recording."""
        return with_entry(with_leads(read_record(self._path(entry), **self.options), self.leads_as), entry)


def _all_failed(corpus: Corpus, form: Preprocessing) -> pd.DataFrame | None:
    """List why no recording can be used; None if one can, so that something else is wrong."""
    import json

    import pandas as pd

    rows = []
    wanted, room = Form(form.fs, form.leads, form.band), Room()
    for entry in corpus.entries():
        row = json.loads(prepare_piece([Item(0, entry)], [corpus], wanted, room).rows[0] + "}")
        if row["status"] == "ok":
            return None
        rows.append({name: row[name] for name in ("record_id", "corpus", "reason")})
    return pd.DataFrame(rows)
