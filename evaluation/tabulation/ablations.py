"""Tables of the ablations: one setting changed at a time, inside the training folds of the first rotation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .comparison import DOCUMENT, FEW, SOURCE, less, less_by_row
from .formats import number_word
from .layout import Column, Results, Row, Table, first_of

ABLATIONS = {
    "a_crop_0.75s": "crops of 0.75 s in place of 1.5 s",
    "a_crop_3s": "crops of 3 s",
    "a_crop_5s": "crops of 5 s",
    "a_dipole_rotation": "rotation of the dipole in place of wander and noise",
    "a_no_lead_mask": "no masks of leads",
    "a_no_noise": "no wander and noise",
    "a_silent_leads": "masked leads silent: masked after wander and noise, not before",
    "a_no_time_mask": "no mask of time",
    "a_gain_2": "gain of up to 2",
    "a_temperature_0.05": "temperature 0.05 in place of 0.1",
    "a_temperature_0.2": "temperature 0.2 in place of 0.1",
    "a_batch_128": "batches of 128, as many strips",
    "a_steps_300": "300 steps in place of 600",
    "a_steps_1200": "1,200 steps",
    "a_ptbxl_only": "PTB-XL alone, without the other recordings",
    "a_projector_linear": "a linear projector in place of one with a hidden layer",
    "a_gamma_0": "blocks that start as their shortcut (`last_gamma: 0`)",
    "a_untrained": "untrained",
}
"""Ablation of SimCLR -> what was changed, in the order of the table."""
SETTINGS = {
    "method.mask_ratio": "masking ratio",
    "method.temperature": "temperature",
    "method.momentum": "first momentum",
}
"""Settings that are changed in a method's own recipe, other than that of SimCLR."""
STARTS = {
    "a_gamma_0": ("a_default", "`simclr` on `conv1d`"),
    "simclr_gamma_0": ("simclr", "the same, three rotations"),
    "a_scratch_gamma_0": ("a_scratch", "`conv1d` from scratch"),
    "scratch_gamma_0": ("scratch", "the same, three rotations"),
    "a_resnet18": ("a_resnet18_gamma_1", "`simclr` on `resnet18`"),
    "a_scratch_resnet18": ("a_scratch_resnet18_gamma_1", "`resnet18` from scratch"),
    "a_resnet18_gamma_1_lr": (
        "a_resnet18_gamma_1",
        "a fourth of the learning rate in its place, `simclr` on `resnet18`",
    ),
    "a_resnet18_dropout_0": ("a_resnet18", "no dropout as well, `simclr` on `resnet18`"),
}
"""Cell -> what it is compared with, and what the row says."""
RECIPES = Path(__file__).parents[2] / "recipes" / "pretrain"


def ablation_rows(results: Results) -> list[Row]:
    """Make one row for each ablation of SimCLR, those that nobody has described by their names."""
    there = {cell: entries for cell, entries in _ablations(results).items() if _of(entries, "a_default")}
    known = [cell for cell in ABLATIONS if cell in there]
    new = sorted(cell for cell in there if cell not in ABLATIONS)
    return [Row(cell, _with_seeds(cell, there[cell])) for cell in (*known[:-1], *new, *known[-1:])]


def setting_rows(results: Results) -> list[Row]:
    """Make one row for each setting that was changed in a recipe of its own."""
    rows = []
    for setting, name in SETTINGS.items():
        for cell in sorted(_ablations(results)):
            facts = results.find(SOURCE, "cells", cell, "cell") or {}
            changed = next((s.partition("=")[2] for s in facts.get("set", ()) if s.startswith(f"{setting}=")), None)
            if changed is not None and facts["recipe"] != "simclr":
                own = shipped(facts["recipe"], setting)
                rows.append(Row(cell, f"`{facts['recipe']}`: {name} {changed} in place of {own}"))
    return rows


def shipped(recipe: str, setting: str) -> Any:
    """Look up a setting in the recipe that is shipped.

    >>> shipped("jepa", "method.mask_ratio")
    0.5
    """
    section, _, name = setting.partition(".")
    return yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))[section][name]


def _less_own_recipe(size: str) -> Column:
    """Make the column of differences to the cell of the same recipe with nothing changed."""

    def text(results: Results, row: str) -> str:
        own = f"a_{results.find(SOURCE, 'cells', row, 'cell', 'recipe')}"
        return less(row, "linear", own, "linear")(results, size)

    return Column(size, text)


def start_rows(results: Results) -> list[Row]:
    """Make one row for each comparison of how residual blocks start."""
    return [Row(cell, label) for cell, (_, label) in STARTS.items() if results.find(SOURCE, "differences", cell)]


def _start_column(size: str) -> Column:
    """Make the column of differences by linear probe, or of training from scratch."""

    def text(results: Results, row: str) -> str:
        other = STARTS[row][0]
        probes = ("linear", "finetuned")
        return first_of(*(less(row, probe, other, probe) for probe in probes))(results, size)

    return Column(size, text)


def _start_seeds(results: Results, row: str) -> str:
    pair = next(iter(results.find(SOURCE, "differences", row).values()))
    return number_word(len(pair["seeds"]))


def _ablations(results: Results) -> dict[str, Any]:
    entries = results.find(SOURCE, "differences") or {}
    return {cell: entries[cell] for cell in entries if cell.startswith("a_")}


def _of(entries: dict[str, Any], other: str) -> bool:
    return any(f" - {other} " in key for key in entries)


def _with_seeds(cell: str, entries: dict[str, Any]) -> str:
    label = ABLATIONS.get(cell, f"`{cell}`")
    seeds = entries.get("linear/all - a_default linear/all", {}).get("seeds", ())
    return f"{label} ({number_word(len(seeds))} seeds)" if len(seeds) > 1 else label


TABLES = (
    Table("ablations", DOCUMENT, "change", ablation_rows, less_by_row("a_default")),
    Table("own settings", DOCUMENT, "change", setting_rows, [_less_own_recipe(size) for size in FEW]),
    Table(
        "starts",
        DOCUMENT,
        "gamma 0 less gamma 1",
        start_rows,
        [Column("seeds", _start_seeds), *(_start_column(size) for size in FEW)],
    ),
)
