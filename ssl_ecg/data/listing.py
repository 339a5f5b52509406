"""What there is to fetch: the files of a corpus, with their checksums, as its server lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

from ssl_ecg.errors import DownloadError

CHECKSUMS = "SHA256SUMS.txt"
_LINE = re.compile(r"([0-9a-fA-F]{64})\s[ *]?(.+)")
_LENGTHS = {"sha256": 64, "md5": 32}


@dataclass(frozen=True, slots=True)
class Remote:
    """One file on a server.

    Attributes
    ----------
    name : str
        Path relative to the folder of the corpus.
    url : str
    algorithm : {"sha256", "md5", ""}
        Empty where there is no checksum.
    digest : str
        Hexadecimal, in lower case.
    """

    name: str
    url: str
    algorithm: str = ""
    digest: str = ""


def read_checksums(path: Path, base_url: str, patterns: Sequence[str] = ()) -> Iterator[Remote]:
    """Give the files of a SHA256SUMS.txt as PhysioNet publishes it, one after the other.

    Parameters
    ----------
    path : path
    base_url : str
        Ends with a slash.
    patterns : sequence of str
        Give only the files that match one, such as ``"records100/*"``.

    Raises
    ------
    DownloadError
        If a line is malformed or a name leads out of the folder.
    """
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            found = _LINE.fullmatch(line.strip())
            if found is None:
                problem = f"line {number} is no checksum: {line.strip()[:60]!r}"
                raise DownloadError(base_url + CHECKSUMS, problem, "is this the address of a PhysioNet project?")
            name = _inside(found[2].removeprefix("./"), base_url + CHECKSUMS)
            if matches(name, patterns):
                yield Remote(name, base_url + quote(name), "sha256", found[1].lower())


def read_zenodo(path: Path, url: str, patterns: Sequence[str] = ()) -> Iterator[Remote]:
    """Give the files of a Zenodo record, from the description that its API gives at `url`.

    Raises
    ------
    DownloadError
        If the description is something else.
    """
    remedy = "is this the address of a record of Zenodo's API?"
    try:
        files = json.loads(path.read_text("utf-8", errors="replace"))["files"]
        described = [(str(file["key"]), str(file["checksum"]), str(file["links"]["self"])) for file in files]
    except (ValueError, KeyError, TypeError) as error:
        raise DownloadError(url, f"lists no files ({type(error).__name__})", remedy) from error
    for name, checksum, link in described:
        algorithm, _, digest = checksum.partition(":")
        if len(digest) != _LENGTHS.get(algorithm):
            raise DownloadError(url, f"{name} has the checksum {checksum[:40]!r}", remedy)
        address = urljoin(url, link)
        if urlsplit(address).scheme not in ("http", "https"):
            raise DownloadError(url, f"{name} has the address {link[:80]!r}", remedy)
        if matches(_inside(name, url), patterns):
            yield Remote(name, address, algorithm, digest.lower())


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a name matches one of the patterns; all names do where there is none.

    Examples
    --------
    >>> matches("records100/00000/00001_lr.hea", ["*.csv", "records100/*"]), matches("RECORDS", ["*.csv"])
    (True, False)
    """
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _inside(name: str, where: str) -> str:
    parts = name.split("/")
    if "\\" in name or ":" in name or any(part in ("", ".", "..") for part in parts) or not name.isprintable():
        raise DownloadError(where, f"lists the file {name[:80]!r}", "do not use this server")
    return name
