"""Arguments that several commands take."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

BASELINES = ("logistic", "forest", "lightgbm", "mlp")
"""Names of `ssl_ecg.features.baselines.BASELINES`, which is not loaded for the sake of a help text."""
_MOST_FOLDS = 1000


def command(commands: Any, name: str, call: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
    """Add a sub-command that calls a function with what was parsed."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(call=call)
    return parser


def quiet(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def engine(parser: argparse.ArgumentParser) -> None:
    """Add --engine."""
    text = "processes, or dask://HOST:PORT: the workers of a Dask cluster, which share the files with this machine"
    parser.add_argument("--engine", metavar="ENGINE", help=text)


def overrides(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --set."""
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=text)


def folds(text: str) -> tuple[int, ...]:
    """Read folds such as "1-8" or "1,2,5-7".

    Examples
    --------
    >>> folds("1-3,9")
    (1, 2, 3, 9)
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < low + _MOST_FOLDS:
                raise ValueError
            numbers += range(low, high + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of folds such as 1-8 or 1,2,9") from None
    return tuple(numbers)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """Read a whole number from 0 on."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number


def labels(text: str) -> int | str:
    """Read a number of labelled records, or a share of them such as "10%"."""
    from ssl_ecg.errors import LabelError
    from ssl_ecg.targets import count_labels

    try:
        count_labels(text, 100)
    except LabelError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text.strip() if text.strip().endswith("%") else int(text)
