"""Fetch one file: resumed, retried, checked, and moved to its place only when it is whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from threading import Event, local
from typing import Any

import requests

from ssl_ecg.data.listing import Remote
from ssl_ecg.errors import DownloadError

CHUNK = 2**13
"""Bytes that a cut connection costs at most."""
LONGEST_PAUSE = 60.0
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})


class StopDownloadError(DownloadError):
    """An error after which the other files would fail too."""


@dataclass
class Fetcher:
    """Fetches files over connections that are kept open, one a thread.

    Attributes
    ----------
    retries : int
        Attempts in a row that may fail without a byte gained.
    timeout : float
        Longest silence of the server [s].
    pause : float
        Wait after a first failed attempt [s]; it doubles with each that follows.
    stop : Event
        Set to give up: `fetch` then raises CancelledError and leaves its ``.part`` for later.
    on_bytes : callable
        Told of every number of bytes that came.
    """

    retries: int = 5
    timeout: float = 30.0
    pause: float = 1.0
    stop: Event = field(default_factory=Event)
    on_bytes: Callable[[int], object] = lambda count: None
    _threads: local = field(default_factory=local)

    def fetch(self, remote: Remote, target: Path) -> bool:
        """Fetch a file unless it is there already, whole.

        Parameters
        ----------
        remote : Remote
        target : path
            What has arrived stands in ``target.part``, and is gone on with by the next attempt or run.

        Returns
        -------
        bool
            Whether anything had to be fetched.

        Raises
        ------
        DownloadError
            If the server does not have it, or sends it damaged twice.
        StopDownloadError
            If the server cannot be reached, or the file not be written.
        """
        with _writing(target):
            if remote.digest and target.is_file() and digest_of(target, remote.algorithm) == remote.digest:
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + ".part")
        if not remote.digest:
            with _writing(part):
                part.unlink(missing_ok=True)
        for last in (False, True):
            self._complete(remote, part)
            with _writing(part):
                if not remote.digest or digest_of(part, remote.algorithm) == remote.digest:
                    os.replace(part, target)
                    return True
                part.unlink()
            if last:
                break
        remedy = "the server's copy is damaged or replaced; try again later, or another base_url"
        raise DownloadError(remote.url, f"does not have the {remote.algorithm} checksum that is published", remedy)

    def _complete(self, remote: Remote, part: Path) -> None:
        """Attempt after attempt, until all bytes are there."""
        failed = 0
        while True:
            before = _size(part)
            try:
                wait = self._attempt(remote, part)
                if wait is None:
                    return
                reason = f"the server answers {wait[0]}"
                pause = wait[1]
            except requests.exceptions.RequestException as error:
                if isinstance(error, ValueError):  # an address that cannot be one
                    raise StopDownloadError(remote.url, str(error), "give an http or https address") from error
                reason, pause = shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ..."), 0.0
            failed = 1 if _size(part) > before else failed + 1
            if failed > self.retries:
                remedy = "check the connection, then give the same command again: it goes on where it stopped"
                raise StopDownloadError(remote.url, f"{failed} attempts failed, the last: {reason}", remedy)
            if self.stop.wait(min(max(pause, self.pause * 2 ** (failed - 1)), LONGEST_PAUSE)):
                raise CancelledError

    def _attempt(self, remote: Remote, part: Path) -> tuple[int, float] | None:
        """Ask for what is missing; give None when it came, or the status and the pause that it asks for."""
        have = _size(part)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with self._session().get(remote.url, headers=headers, stream=True, timeout=self.timeout) as answer:
            status = int(answer.status_code)
            if status in _AGAIN:
                asked = answer.headers.get("Retry-After", "")
                return status, float(asked) if asked.isdigit() else 0.0
            if status == 416 and remote.digest:
                return self._beyond(remote, part)
            if status not in (200, 206):
                raise _refused(remote.url, status)
            if status == 206 and not _continues(answer.headers.get("Content-Range", ""), have):
                with _writing(part):
                    part.unlink()
                return status, 0.0
            self._save(answer, part, "ab" if status == 206 else "wb")
        return None

    def _beyond(self, remote: Remote, part: Path) -> tuple[int, float] | None:
        """Judge a part after which there is nothing: it is whole, or wrong."""
        with _writing(part):
            if digest_of(part, remote.algorithm) == remote.digest:
                return None
            part.unlink()
        return 416, 0.0

    def _save(self, answer: Any, part: Path, mode: str) -> None:
        expected = answer.headers.get("Content-Length", "")
        count = 0
        with _writing(part):
            file = part.open(mode)
        with file:
            for chunk in answer.iter_content(CHUNK):
                if self.stop.is_set():
                    raise CancelledError
                with _writing(part):
                    file.write(chunk)
                count += len(chunk)
                self.on_bytes(len(chunk))
            with _writing(part):
                file.flush()
        if expected.isdigit() and count < int(expected):
            raise requests.exceptions.ConnectionError(f"cut after {count} of {expected} bytes")

    def _session(self) -> Any:
        session = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = requests.Session()
        return session


def digest_of(path: Path, algorithm: str) -> str:
    """Give the checksum of a file, in hexadecimal."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _continues(content_range: str, have: int) -> bool:
    """Read ``bytes 100-199/200``."""
    return content_range.replace("=", " ").split("-")[0].split()[-1:] == [str(have)]


def _refused(url: str, status: int) -> DownloadError:
    if status in (401, 403):
        remedy = "give user name and password of an account with access in a .netrc file"
        return StopDownloadError(url, f"access is refused ({status})", remedy)
    remedy = "the corpus may have moved or have a new version: give its address as base_url"
    return DownloadError(url, "not found (404)" if status == 404 else f"the server answers {status}", remedy)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into one that says what to do."""
    try:
        yield
    except OSError as error:
        problem = f"cannot be written: {error.strerror or error}"
        remedy = "make room or check permissions, then give the same command again: it goes on where it stopped"
        raise StopDownloadError(str(path), problem, remedy) from error
