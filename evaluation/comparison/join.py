"""Joins the figures of some seeds of a cell to those of others whose scores are no longer at hand."""

from __future__ import annotations

from typing import Any

MEANS = ("seconds", "effective_rank", "std")


def joined_entry(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Figures of a cell over the seeds of both.

    Values are exact. An interval is the mean of both, weighted by their seeds: somewhat wider than that of all seeds
    together, for what differs from seed to seed is not averaged out. So are `MEANS`, which are medians of runs.

    Raises
    ------
    ValueError
        If a seed is in both, or they have been through different divisions.
    """
    check_apart(before, new)
    n, m = len(before["seeds"]), len(new["seeds"])
    return {
        **before,
        "cell": new["cell"],
        "seeds": [*before["seeds"], *new["seeds"]],
        "machines": [*before["machines"], *new["machines"]],
        **{name: mean(before[name], n, new[name], m) for name in MEANS if name in before and name in new},
        "auroc": {key: joined_interval(value, n, new["auroc"][key], m) for key, value in before["auroc"].items()},
        "by_rotation": {
            key: {name: [*values, *new["by_rotation"][key][name]] for name, values in by_name.items()}
            for key, by_name in before["by_rotation"].items()
        },
        "collapsed": {key: added(value, new["collapsed"][key]) for key, value in before["collapsed"].items()},
    }


def joined_differences(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Differences of a cell over the seeds of both, joined like its figures; of two p-values the larger."""
    both = {name: joined_difference(before[name], value) for name, value in new.items() if name in before}
    return {**before, **new, **both}


def joined_difference(before: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """One difference over the seeds of both."""
    check_apart(before, new)
    together = joined_interval(before, len(before["seeds"]), new, len(new["seeds"]))
    known = [one["p_value"] for one in (before, new) if "p_value" in one]  # older results have none
    largest = {"p_value": max(known)} if len(known) == 2 else {}
    return {**together, **largest, "seeds": [*before["seeds"], *new["seeds"]]}


def check_apart(before: dict[str, Any], new: dict[str, Any]) -> None:
    """Refuse what would count a seed twice, or mix means of different divisions."""
    for name, wrong in (
        ("seeds", bool(set(before["seeds"]) & set(new["seeds"]))),
        ("divisions", before["divisions"] != new["divisions"]),
    ):
        if wrong:
            raise ValueError(f"cannot join {name} {before[name]} and {new[name]}")


def joined_interval(a: dict[str, Any], n: int, b: dict[str, Any], m: int) -> dict[str, Any]:
    """Mean of value and bounds, of `n` and `m` seeds."""
    return {**a, **{name: mean(a[name], n, b[name], m) for name in ("value", "low", "high")}}


def mean(a: float, n: int, b: float, m: int) -> float:
    """Mean of two means of `n` and `m`."""
    return (n * a + m * b) / (n + m)


def added(a: str, b: str) -> str:
    """Add two counts.

    Examples
    --------
    >>> added("1 of 20", "0 of 10")
    '1 of 30'
    """
    (x, _, n), (y, _, m) = a.split(), b.split()
    return f"{int(x) + int(y)} of {int(n) + int(m)}"
