"""Seeds of a comparison that were run in two places: joined figures against those of all seeds at once."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "evaluation" / "comparison"
KEY = "linear/all"
DIFFERENCE = "linear/all - simclr linear/all"


@pytest.fixture(scope="module")
def scripts():
    """Modules beside the script, which are no part of the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in ("join", "summarise")})


@pytest.fixture(scope="module")
def cuts():
    """Two divisions of 240 records of 120 patients."""
    rng = np.random.default_rng(0)
    labels = (rng.random((240, 5)) < 0.3).astype(np.float32)
    patients = np.repeat(np.arange(120), 2).astype(str)
    rows = {"1-3": np.arange(120), "4-6": np.arange(120, 240)}
    return {name: SimpleNamespace(labels=labels, patients=patients, test=test) for name, test in rows.items()}


@pytest.fixture(scope="module")
def found(cuts):
    """Scores of a method that is better than its reference, both with three seeds."""
    rng = np.random.default_rng(1)
    cells = {}
    for cell, noise in (("better", 0.4), ("simclr", 0.6)):
        facts = {"cell": {"name": cell, "against": ["simclr"] if cell == "better" else []}, "seconds": 60.0}
        cells[cell] = {
            (name, seed): ({KEY: r.labels[r.test] + noise * rng.standard_normal((2, 120, 5))}, facts)
            for name, r in cuts.items()
            for seed in range(3)
        }
    return cells


def summarised(scripts, found, cuts, without=()):
    chosen = {cell: scripts.summarise.without(runs, without) for cell, runs in found.items()}
    table = {cell: scripts.summarise.summary(runs, cuts, 400) for cell, runs in chosen.items()}
    return table["better"], scripts.summarise.differences(chosen, table, table, cuts, 400)["better"]


@pytest.fixture(scope="module")
def parts(scripts, found, cuts):
    """All seeds at once; the first two; the last."""
    return [summarised(scripts, found, cuts, left_out) for left_out in ((), (2,), (0, 1))]


def test_joined_figures_of_a_cell_are_those_of_all_its_seeds(scripts, parts):
    whole, first, last = (entry for entry, _ in parts)
    joined = scripts.join.joined_entry(first, last)
    assert joined["seeds"] == whole["seeds"] == [0, 1, 2]
    assert joined["by_rotation"] == whole["by_rotation"]
    assert joined["collapsed"] == whole["collapsed"] == {KEY: "0 of 12"}
    assert joined["seconds"] == 60.0
    assert [part["seeds"] for part in joined["machines"]] == [[0, 1], [2]]
    check_interval(joined["auroc"][KEY], whole["auroc"][KEY])


def test_joined_differences_are_those_of_all_seeds(scripts, parts):
    whole, first, last = (difference for _, difference in parts)
    joined = scripts.join.joined_differences({**first, "another": {"value": 1}}, last)
    assert joined["another"] == {"value": 1}
    assert joined[DIFFERENCE]["seeds"] == [0, 1, 2]
    check_interval(joined[DIFFERENCE], whole[DIFFERENCE])


def check_interval(joined, whole):
    """The same value; an interval that is not narrower, but for the chance of resampling, and not twice as wide."""
    assert joined["value"] == pytest.approx(whole["value"], abs=1e-12)
    widths = joined["high"] - joined["low"], whole["high"] - whole["low"]
    assert 0.99 * widths[1] < widths[0] < 2 * widths[1]


def test_a_seed_is_not_counted_twice(scripts, parts):
    whole, first, _ = (entry for entry, _ in parts)
    with pytest.raises(ValueError, match=r"cannot join seeds \[0, 1\] and \[0, 1, 2\]"):
        scripts.join.joined_entry(first, whole)


def test_means_of_other_divisions_are_not_mixed(scripts, found, cuts, parts):
    first = parts[1][0]
    one = {cell: {at: run for at, run in runs.items() if at == ("1-3", 2)} for cell, runs in found.items()}
    entry, _ = summarised(scripts, one, cuts)
    with pytest.raises(ValueError, match="cannot join divisions"):
        scripts.join.joined_entry(first, entry)
