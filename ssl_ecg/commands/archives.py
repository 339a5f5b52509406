"""Commands that make archives: download, prepare."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, engine, positive, quiet
from ssl_ecg.errors import CorpusError


def add_download(commands: Any) -> None:
    """Add `download`."""
    parser = command(commands, "download", download_corpus, "Fetch a public corpus; resumable and checksummed.")
    parser.add_argument("corpus", help="name of a corpus, such as ptbxl")
    parser.add_argument("--out", type=Path, help="folder (default: the corpus's name)")
    parser.add_argument("--base-url", help="fetch from this address instead, in the same layout")
    parser.add_argument("--workers", type=positive, default=4, help="parallel connections (default %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="only files that match, such as 'records100/*'")
    quiet(parser)


def add_prepare(commands: Any) -> None:
    """Add `prepare`."""
    parser = command(commands, "prepare", prepare_archive, "Turn recordings into an archive for training.")
    parser.add_argument("source", nargs="+", help="folder, or corpus:folder such as ptbxl:/data/ptb-xl")
    parser.add_argument("--out", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--fs", type=float, default=100.0, help="sampling rate [Hz] (default %(default)s)")
    parser.add_argument("--leads", help="leads in order, such as I,II,V1 (default: the twelve standard leads)")
    parser.add_argument(
        "--band", nargs="+", default=["0.5", "40"], metavar="HZ",
        help="pass band LOW HIGH [Hz], or 'none' (default 0.5 40)",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, help="processes (default: one per core)")
    engine(parser)
    parser.add_argument("--no-resume", action="store_true", help="start over what an earlier run left unfinished")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the corpus, such as rate=500",
    )
    quiet(parser)


def download_corpus(options: argparse.Namespace) -> None:
    """Fetch a corpus."""
    from ssl_ecg.data.download import download

    folder = download(
        options.corpus,
        options.out or options.corpus,
        base_url=options.base_url,
        workers=options.workers,
        files=options.only,
        progress=not options.quiet,
    )
    print(f"{options.corpus} is in {folder}")


def prepare_archive(options: argparse.Namespace) -> None:
    """Prepare an archive and say what became of the records."""
    from ssl_ecg.data.corpora import open_corpus
    from ssl_ecg.data.prepare import prepare
    from ssl_ecg.leads import STANDARD_LEADS, parse_leads

    extra = corpus_options(options.option)
    archive = prepare(
        [open_corpus(source, **extra) for source in options.source],
        options.out,
        fs=options.fs,
        band=parse_band(options.band),
        leads=STANDARD_LEADS if options.leads is None else parse_leads(options.leads),
        workers=options.workers,
        resume=not options.no_resume,
        engine=options.engine,
        progress=not options.quiet,
    )
    failed = archive.failed
    print(f"{options.out}: {len(archive)} records at {archive.fs:g} Hz")
    if len(failed):
        print(f"{len(failed)} records could not be used:")
        for reason, count in failed["reason"].str.split(": ", n=1).str[-1].value_counts().head(5).items():
            print(f"  {count} x {reason}")
        print("  all of them with their reasons: Archive(path).failed")


def parse_band(values: Sequence[str]) -> tuple[float, float] | None:
    """Read "0.5 40" or "none".

    Raises
    ------
    CorpusError
        If it is neither.

    Examples
    --------
    >>> parse_band(["0.5", "40"]), parse_band(["none"])
    ((0.5, 40.0), None)
    """
    parts = [part for value in values for part in value.replace(",", " ").split()]
    if [part.lower() for part in parts] == ["none"]:
        return None
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        raise CorpusError("--band", f"is {' '.join(values)!r}", "give LOW HIGH in Hz, or none") from None
    return low, high


def corpus_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; values are YAML, so that numbers and lists are what they look like.

    Raises
    ------
    CorpusError
        If one is not.

    Examples
    --------
    >>> corpus_options(["rate=500", "name=mine"])
    {'rate': 500, 'name': 'mine'}
    """
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise CorpusError(f"--option {pair}", "is not KEY=VALUE", "for example --option rate=500")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise CorpusError(f"--option {pair}", "the value is not valid YAML", "quote it") from None
    return found
