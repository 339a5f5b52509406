"""What the command `probe` prints of continuous targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FIGURES = {"R2": "r2", "mean absolute error": "mean_absolute_error"}


def value_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Give the figures of a ridge probe as lines of text.

    Examples
    --------
    >>> figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    >>> age = {"r2": figure, "mean_absolute_error": {"value": 9.0, "low": 8.5, "high": 9.5}}
    >>> value_lines({"unit": "years", "ridge": {"per_class": {"age": age}}})
    [' ridge probe of age: R2 0.5 [0.4, 0.6], mean absolute error 9 [8.5, 9.5] years']
    """
    lines = []
    for title, place in ((" ridge probe", metrics), ("    baseline", metrics.get("baseline", {}))):
        for name, found in place.get("ridge", {}).get("per_class", {}).items():
            figures = ", ".join(f"{label} {_written(found[key])}" for label, key in _FIGURES.items())
            lines.append(f"{title} of {name}: {figures} {metrics.get('unit', '')}".rstrip())
    if "difference" in metrics:
        lines.append(f"  difference: R2 {_written(metrics['difference']['ridge'])}")
    for entry in metrics.get("label_efficiency", []):
        found = entry["ridge"]
        draws = f"(mean of {len(found['draws'])} draws)"
        lines.append(f"  with {entry['n_labels']} labels: R2 {_written(found['macro_r2'])} {draws}")
    return lines


def _written(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.3g} [{estimate['low']:.3g}, {estimate['high']:.3g}]"
