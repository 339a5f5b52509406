"""How figures, differences and ways of judging are written in reports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def way_in_words(key: str) -> str:
    """Give the name of a way of judging and the number of labels.

    Examples
    --------
    >>> way_in_words("linear/all"), way_in_words("knn/50"), way_in_words("linear/0.5%"), way_in_words("ensemble")
    ('linear, all labels', 'knn, 50 labels', 'linear, 0.5% of the labels', 'ensemble')
    """
    kind, _, size = key.partition("/")
    if not size:
        return kind
    return f"{kind}, {size} of the labels" if "%" in size else f"{kind}, {size} labels"


def pair_in_words(pair: str, found: Mapping[str, Any]) -> str:
    """Name a difference, and the way of the first model where it is not that of the second.

    Examples
    --------
    >>> pair_in_words("encoder - scratch", {"value": 0.1, "way": "linear/50"}), pair_in_words("a - b", {"value": 0.1})
    ('encoder (linear) - scratch', 'a - b')
    """
    first, _, second = pair.partition(" - ")
    way = str(found.get("way", "")).partition("/")[0]
    return f"{first} ({way}) - {second}" if way else pair


def over(found: Mapping[str, Any], n_classes: int) -> str:
    """Say over how many classes a mean is, where these are not all.

    Examples
    --------
    >>> over({"value": 0.6, "n_classes": 22}, 26), over({"value": 0.6, "n_classes": 26}, 26)
    (' over 22 of 26 classes', '')
    """
    judged = found.get("n_classes", n_classes)
    return "" if judged == n_classes else f" over {judged} of {n_classes} classes"


def whole_differences(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Mapping[str, Any]]]]:
    """Yield what was compared in every metric, in words, and the difference in each.

    Parameters
    ----------
    content : mapping
        Of a report; those of older versions have differences in macro AUROC only, and nothing is yielded.

    Examples
    --------
    >>> found = {"value": 0.1, "metrics": {"f1": {"value": 0.2}}}
    >>> list(whole_differences({"differences": {"encoder - scratch": {"finetuned/all": found}}}))
    [('encoder - scratch, finetuned', {'f1': {'value': 0.2}})]
    """
    for pair, kinds in content["differences"].items():
        for key, found in kinds.items():
            if "metrics" in found:
                yield f"{pair_in_words(pair, found)}, {key.partition('/')[0]}", found["metrics"]


def interval_in_words(found: Mapping[str, Any], *, sign: str = "") -> str:
    """Write a figure with its interval, and its p-value if it is a difference.

    Examples
    --------
    >>> interval_in_words({"value": 0.1, "low": 0.05, "high": 0.2, "p_value": 0.01}, sign="+")
    '+0.100 [+0.050, +0.200], p = 0.010'
    """
    value, low, high = (
        "-" if found.get(name) is None else f"{found[name]:{sign}.3f}" for name in ("value", "low", "high")
    )
    interval = f"{value} [{low}, {high}]" if "low" in found else value
    return interval if found.get("p_value") is None else f"{interval}, {p_in_words(found['p_value'])}"


def published(value: float) -> str:
    """Write a published figure with all its digits, three at least.

    Examples
    --------
    >>> published(0.74), published(0.7785)
    ('0.740', '0.7785')
    """
    return f"{value:.3f}" if round(value, 3) == value else f"{value:g}"


def p_in_words(p: float | None) -> str:
    """Write a p-value.

    Examples
    --------
    >>> p_in_words(0.0123), p_in_words(0.0002), p_in_words(None)
    ('p = 0.012', 'p < 0.001', '')
    """
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
