"""The parts of a report that say how a screen was set up: what the data chose, and whether the reference fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ssl_ecg.app.html import Page
from ssl_ecg.plot.choice import plot_choice
from ssl_ecg.screen.choice import Choice
from ssl_ecg.screen.drift import Drift

_LEVEL = 0.025  # of each of two tests
_DRIVERS = 10  # recordings named
_BEST = {"highest": "the highest", "lowest": "the lowest", "knee": "that where the curve bends"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the screened recordings as a whole are like the reference.

    Attributes
    ----------
    drifted : bool or None
        None: it could not be told.
    heading : str
        In a sentence.
    text : str
        What it means and what to do.
    figures : dict
        Name -> figure, in words, for the list below.
    """

    drifted: bool | None
    heading: str
    text: str = ""
    figures: dict[str, str] = field(default_factory=dict)


def judge(found: Drift) -> Verdict:
    """Say in words what the drift tests found: drift if either has a p-value of at most 0.025.

    Examples
    --------
    >>> import numpy as np
    >>> judge(Drift(0.2, 0.01, 0.9, 0.01, 90, 50, (90, 50), 1.0, np.zeros(50), [], [])).drifted
    True
    """
    drifted = min(found.mmd_p, found.auroc_p) <= _LEVEL
    if drifted:
        heading = "The screened recordings as a whole differ from the reference"
        text = (
            "That is no fault where the reference was chosen by its findings and the screened recordings were not. "
            "Where both should be alike it points to another device, filter or kind of patients: scores are then "
            "shifted, and a false-alarm rate promised on the reference does not hold."
        )
    else:
        heading = "As a whole the screened recordings are like the reference"
        text = (
            "Neither test found a difference that chance would not explain; single recordings may differ all the same."
        )
    ours, theirs = found.n_compared[1], found.n_compared[0]
    figures = {
        "a classifier tells them apart with AUROC": f"{found.auroc:.3f} (p = {found.auroc_p:.3g}; 0.5: not at all)",
        "maximum mean discrepancy, squared": f"{found.mmd2:.4g} (p = {found.mmd_p:.3g}; 0: no difference)",
        "recordings compared, one a patient": f"{theirs:,} of the reference, {ours:,} screened",
    }
    if drifted and found.driver_ids:
        figures["driven most by"] = ", ".join(found.driver_ids[:_DRIVERS])
    return Verdict(drifted, heading, text, figures)


def add_drift(page: Page, verdict: Verdict) -> None:
    """Say whether the archive as a whole is like the reference."""
    page.section("Is the archive like the reference?")
    page.banner(verdict.heading, verdict.text, kind="warn" if verdict.drifted else "info")
    if verdict.figures:
        page.facts(verdict.figures)


def add_choices(page: Page, choices: Sequence[Choice]) -> None:
    """Show what the detector chose by the data, and from which candidates."""
    page.section("What the data chose")
    said = [
        f"{choice.parameter} = {choice.chosen:.4g}, one of {len(choice.candidates)} candidates, by "
        f"{choice.criterion}: {_BEST.get(choice.best, choice.best)} is taken."
        for choice in choices
    ]
    page.bullets(said).figure(plot_choice(choices), alt="Criterion of every candidate, those chosen are marked")
