"""Fetch a public corpus: resumable, checksummed, in parallel."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.corpora.catalogue import CORPORA, corpus_class
from ssl_ecg.data.fetch import Fetcher, StopDownloadError
from ssl_ecg.data.listing import CHECKSUMS, Remote, read_checksums, read_zenodo
from ssl_ecg.errors import DownloadError

_AHEAD = 8
"""Files a worker that are handed out in advance: a corpus can have millions."""


def download(
    corpus: str,
    out: str | Path,
    *,
    base_url: str | None = None,
    workers: int = 4,
    progress: bool = True,
    retries: int = 5,
    files: Sequence[str] | None = None,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Fetch a corpus into a folder.

    What is there already and has the right checksum is not fetched again; after an interruption the same
    call goes on where it stopped, within a file if the server can. A file is at its place only when it is
    whole and has the checksum that is published; what has arrived of it stands in ``NAME.part``.

    Parameters
    ----------
    corpus : str
        A name of `CORPORA`.
    out : path
        Folder; made if missing.
    base_url : str, optional
        Fetch from this address, which has the same layout, instead of the corpus's own.
    workers : int
        Files that are fetched at a time.
    progress : bool
        Show a progress bar.
    retries : int
        Attempts in a row that may fail without a byte gained.
    files : sequence of str, optional
        Patterns of the files to fetch, such as ``["*.csv", "records100/*"]``; all that the corpus needs if
        not given.
    timeout : float
        Longest silence of the server [s].
    pause : float
        Wait after a first failed attempt [s]; it doubles with each that follows.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CorpusError
        If there is no corpus of that name.
    DownloadError
        If a file cannot be fetched or written, or has another checksum; the others are fetched nevertheless
        unless they would fail too.

    Notes
    -----
    Files and checksums are those of PhysioNet's ``SHA256SUMS.txt`` or of Zenodo's API (CODE-15 %, whose .zip
    parts are unpacked and removed). User names and passwords are taken from ``.netrc`` where a server asks
    for them. The original files of CPSC2018 are published without checksums and are not fetched: the WFDB
    version of the CinC challenges is.
    """
    cls = corpus_class(corpus)
    if cls.listing == "none":
        known = ", ".join(name for name in CORPORA if corpus_class(name).listing != "none")
        raise DownloadError(corpus, "is not a corpus on a server", f"choose from {known}")
    folder = Path(out).expanduser()
    fetcher = Fetcher(retries, timeout, pause)
    remotes = _listed(cls, base_url or cls.url, tuple(files) if files else cls.subset, folder, fetcher)
    count = sum(1 for _remote in remotes())
    if not count:
        raise DownloadError(corpus, "no file matches", f"patterns are {', '.join(files or cls.subset)}")
    with _bar(corpus, count, progress, fetcher) as done:
        _fetch_all(remotes(), folder, fetcher, max(1, workers), done)
    return folder


def _listed(
    cls: type[Corpus], url: str, patterns: Sequence[str], folder: Path, fetcher: Fetcher
) -> Callable[[], Iterator[Remote]]:
    """Fetch the list of files; give a function that reads it."""
    if cls.listing == "zenodo":
        path = folder / "zenodo.json"
        fetcher.fetch(Remote(path.name, url), path)
        return lambda: read_zenodo(path, url, patterns)
    base = url if url.endswith("/") else f"{url}/"
    path = folder / CHECKSUMS
    fetcher.fetch(Remote(CHECKSUMS, base + CHECKSUMS), path)
    return lambda: read_checksums(path, base, patterns)


def _fetch_all(
    remotes: Iterator[Remote], folder: Path, fetcher: Fetcher, workers: int, done: Callable[[], object]
) -> None:
    """Fetch files in parallel; raise for the first that failed, after the others."""
    errors: list[DownloadError] = []
    running: set[Future[None]] = set()

    def settle(limit: int) -> None:
        nonlocal running
        while len(running) > limit:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                error = future.exception()
                if isinstance(error, DownloadError) and not isinstance(error, StopDownloadError):
                    errors.append(error)
                elif error is not None:
                    raise error
                done()

    with ThreadPoolExecutor(workers) as pool:
        try:
            for remote in remotes:
                running.add(pool.submit(_fetch_one, remote, folder, fetcher))
                settle(workers * _AHEAD)
            settle(0)
        except BaseException:  # Ctrl-C above all: no thread may go on
            fetcher.stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    if errors:
        first = errors[0]
        others = f"; {len(errors) - 1} more files failed" if len(errors) > 1 else ""
        raise DownloadError(first.where, first.problem + others, first.remedy)


def _fetch_one(remote: Remote, folder: Path, fetcher: Fetcher) -> None:
    target = folder.joinpath(*PurePosixPath(remote.name).parts)
    if target.suffix != ".zip":
        fetcher.fetch(remote, target)
    elif not target.with_suffix(".hdf5").is_file():
        fetcher.fetch(remote, target)
        _unpack(target)


def _unpack(path: Path) -> None:
    """Take the files out of a .zip into its folder, and remove it."""
    try:
        with zipfile.ZipFile(path) as members:
            for member in members.infolist():
                name = PurePosixPath(member.filename).name
                if member.is_dir() or not name or "\\" in name:
                    continue
                part = path.with_name(f"{name}.part")
                with members.open(member) as source, part.open("wb") as file:
                    shutil.copyfileobj(source, file, 2**20)
                os.replace(part, path.with_name(name))
        path.unlink()
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise StopDownloadError(str(path), f"cannot be unpacked: {error}", "make room, or unpack it by hand") from error


@contextmanager
def _bar(corpus: str, count: int, progress: bool, fetcher: Fetcher) -> Iterator[Callable[[], object]]:
    """Count files, and show the bytes that came."""
    from tqdm import tqdm

    with tqdm(total=count, unit=" files", desc=f"download {corpus}", disable=not progress, miniters=0) as bar:
        received = 0

        def arrived(size: int) -> None:
            nonlocal received
            received += size
            bar.set_postfix_str(f"{received / 1e6:.1f} MB", refresh=False)
            bar.update(0)

        fetcher.on_bytes = arrived
        yield bar.update
