"""Label-efficiency curves of the pretraining comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .comparison import SOURCE
from .layout import Results

SIZES = ("50", "100", "200", "500", "all")
LABELLED = {"all": 960}
"""Labelled training records of a rotation, about."""


class Curve(NamedTuple):
    """A line of the figure: its label and colour, and the cells and probe that its points come from."""

    label: str
    colour: str
    cells: tuple[str, ...]
    probe: str


CURVES = (
    Curve("guided, fine-tuned, with forest", "#b2182b", ("hybrid_guided", "hybrid_guided_draws"), "finetuned"),
    Curve("guided, fine-tuned", "#e08214", ("finetuned_guided", "finetuned_guided_draws"), "finetuned"),
    Curve("guided, linear probe", "#2166ac", ("guided",), "linear"),
    Curve("from scratch", "#1b7837", ("scratch", "scratch_draws"), "finetuned"),
    Curve("untrained, linear probe", "#737373", ("untrained",), "linear"),
)


def points(results: Results, curve: Curve) -> list[tuple[int, dict[str, Any]]]:
    """Collect the numbers of labels and the figures of a curve, those that are there."""
    found = []
    for size in SIZES:
        entries = (results.find(SOURCE, "cells", cell, "auroc", f"{curve.probe}/{size}") for cell in curve.cells)
        entry = next((entry for entry in entries if entry is not None), None)
        if entry is not None:
            found.append((LABELLED.get(size) or int(size), entry))
    return found


def draw_label_efficiency(results: Results, path: Path) -> None:
    """Draw macro AUROC against the number of labelled records, with 95 % bands, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FixedLocator, NullLocator

    figure, axes = plt.subplots(figsize=(7.2, 4.2), dpi=100)
    for curve in CURVES:
        _draw(axes, curve, points(results, curve))
    ticks = [LABELLED.get(size) or int(size) for size in SIZES]
    axes.set_xscale("log")
    axes.set_xlim(16, ticks[-1] * 1.06)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([size if size != "all" else "all\n(about 950)" for size in SIZES])
    axes.yaxis.tick_right()
    axes.set_title(
        "Macro AUROC of five superclasses with 95 % intervals, by the number of labelled records",
        loc="left",
        fontsize=10,
    )
    axes.tick_params(length=0, labelsize=9)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["bottom"].set_bounds(ticks[0], ticks[-1])
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _draw(axes: Any, curve: Curve, found: list[tuple[int, dict[str, Any]]]) -> None:
    if not found:
        return
    labels = [n for n, _ in found]
    values = [entry["value"] for _, entry in found]
    low, high = ([entry[end] for _, entry in found] for end in ("low", "high"))
    axes.fill_between(labels, low, high, color=curve.colour, alpha=0.12, linewidth=0)
    axes.plot(labels, values, color=curve.colour, marker="o", markersize=4, linewidth=1.8)
    place = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 9}
    backdrop = {"boxstyle": "square,pad=0.1", "color": "white"}
    axes.annotate(curve.label, (labels[0], values[0]), color=curve.colour, bbox=backdrop, **place)
