"""How figures are written in the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def score(entry: Mapping[str, Any] | float, digits: int = 3) -> str:
    """Write the value alone.

    >>> score({"value": 0.9061, "low": 0.8968, "high": 0.9142}), score(0.5)
    ('0.906', '0.500')
    """
    return f"{_value(entry):.{digits}f}"


def interval(entry: Mapping[str, Any], digits: int = 3) -> str:
    """Write the value and its 95 % interval.

    >>> interval({"value": 0.9061, "low": 0.8968, "high": 0.9142})
    '0.906 [0.897, 0.914]'
    """
    return f"{score(entry, digits)} {_bounds(entry, digits)}"


def change(entry: Mapping[str, Any] | float, digits: int = 3) -> str:
    """Write a difference with its sign; one that is nought by construction (a thing less itself) stays blank.

    >>> change(0.0358), change(-0.0004), change(0.0)
    ('+0.036', '-0.000', '')
    """
    return "" if _is_reference(entry) else f"{_value(entry):+.{digits}f}"


def difference(entry: Mapping[str, Any], digits: int = 3) -> str:
    """Write a difference with its sign and its 95 % interval.

    >>> difference({"value": 0.0358, "low": 0.0299, "high": 0.042})
    '+0.036 [0.030, 0.042]'
    """
    return "" if _is_reference(entry) else f"{change(entry, digits)} {_bounds(entry, digits)}"


def share(fraction: float, digits: int = 0) -> str:
    """Write a fraction in per cent.

    >>> share(0.8833), share(0.0104, 1)
    ('88 %', '1.0 %')
    """
    return f"{100 * fraction:.{digits}f} %"


def near_one(value: float) -> str:
    """Write three digits, or four where three would make it one.

    >>> near_one(0.9949), near_one(0.99981)
    ('0.995', '0.9998')
    """
    return f"{value:.4f}" if value > 0.9995 else f"{value:.3f}"


def count(value: float) -> str:
    """Write a whole number with commas between the thousands.

    >>> count(16600960), count(2.99)
    ('16,600,960', '3')
    """
    return f"{value:,.0f}"


def number_word(n: int) -> str:
    """Write small whole numbers as words.

    >>> number_word(3), number_word(12)
    ('three', '12')
    """
    return WORDS[n] if 0 <= n < len(WORDS) else str(n)


def rotations(divisions: Sequence[str]) -> str:
    """Say which rotations a figure is the mean of.

    >>> rotations(["1-3", "4-6", "7-9"]), rotations(["1-3"]), rotations(["4-6", "7-9"])
    ('three', 'first', 'second and third')
    """
    names = {"1-3": "first", "4-6": "second", "7-9": "third"}
    if len(divisions) == len(names):
        return number_word(len(divisions))
    return " and ".join(names.get(division, division) for division in divisions)


def sizes(keys: Iterable[str]) -> list[str]:
    """Order numbers of labels: all, then from many to few, then per cent.

    >>> sizes(["50", "1%", "all", "100"])
    ['all', '100', '50', '1%']
    """

    def rank(size: str) -> tuple[int, float]:
        if size == "all":
            return 0, 0.0
        return (2, -float(size[:-1])) if size.endswith("%") else (1, -float(size))

    return sorted(set(keys), key=rank)


def _value(entry: Mapping[str, Any] | float) -> float:
    return float(entry["value"]) if isinstance(entry, Mapping) else float(entry)


def _bounds(entry: Mapping[str, Any], digits: int) -> str:
    return f"[{entry['low']:.{digits}f}, {entry['high']:.{digits}f}]"


def _is_reference(entry: Mapping[str, Any] | float) -> bool:
    parts = (
        [entry[name] for name in ("value", "low", "high") if name in entry] if isinstance(entry, Mapping) else [entry]
    )
    return all(part == 0 for part in parts)
