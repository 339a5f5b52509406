"""The parts of a report, each added to a page from its inputs."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ssl_ecg._version import __version__
from ssl_ecg.app.html import Markup, Page, joined, strong
from ssl_ecg.app.inputs import Quality, Scores, Summary
from ssl_ecg.app.probe_sections import DASH
from ssl_ecg.errors import SSLECGError
from ssl_ecg.plot.curves import plot_curves

ROWS = 200  # most rows of a list; the report says how many more there are
FLAGS = {
    "flat": "no change in a lead, as with a loose electrode",
    "saturated": "a lead stays at the limit of the converter",
    "nan": "samples marked as invalid",
    "amplitude": "amplitudes outside what a heart gives",
    "einthoven": "the limb leads contradict each other (II is not I + III)",
}
NOT_CLINICAL = (
    "For research only. Nothing here is a diagnosis, the software is no medical device, "
    "and no decision about a patient may rest on it."
)


def add_warnings(page: Page, simulated: bool) -> None:
    """Say at the top what the report is not."""
    if simulated:
        text = (
            "Every recording in this report was computed by a simulator. The figures show that the software "
            "runs from end to end; they say nothing about how well it would do on patients."
        )
        page.banner("SIMULATED DATA – no clinical claim", text, kind="alert")
    page.banner("Not for clinical use", NOT_CLINICAL, kind="warn")


def add_tiles(page: Page, summary: Summary, scores: Scores | None, best: str = "") -> None:
    """Add the key figures."""
    tiles: list[tuple[object, object]] = []
    if summary.records is not None:
        tiles.append((f"{summary.records:,}", "recordings"))
    if summary.patients is not None:
        tiles.append((f"{summary.patients:,}", "patients"))
    if summary.dim is not None:
        tiles.append((f"{summary.dim:,}", "numbers describe a recording"))
    if best:
        tiles.append((best, "mean AUROC, linear probe"))
    if scores is not None and scores.threshold is not None:
        tiles.append((f"{scores.n_flagged:,}", f"of {scores.array.size:,} flagged as strange"))
    if tiles:
        page.tiles(tiles)


def what_was_done(summary: Summary) -> str:
    """Tell in sentences what was done, from what is known."""
    source = f" of {', '.join(summary.corpora)}" if summary.corpora else ""
    many = f"{summary.records:,} ECG recordings" if summary.records is not None else "The ECG recordings"
    people = f" from {summary.patients:,} patients" if summary.patients is not None else ""
    leads = f"{summary.n_leads}-lead " if summary.n_leads else ""
    rate = f" at {summary.fs:g} samples a second" if summary.fs else ""
    filtered = f", filtered to {summary.band[0]:g}–{summary.band[1]:g} Hz" if summary.band else ""
    text = f"{many}{source}{people} were brought to one form ({leads}ECG{rate}{filtered})."
    if summary.method or summary.encoder:
        size = f" with {summary.parameters:,} parameters" if summary.parameters else ""
        name = f" ({summary.encoder}{size})" if summary.encoder else size
        on = f" on {summary.pretrained_on:,} of them" if summary.pretrained_on is not None else ""
        by = f" by {summary.method}" if summary.method else ""
        took = f" in {_duration(summary.pretraining_seconds)}" if summary.pretraining_seconds else ""
        text += f" A neural network{name} was pretrained{by}{on}{took}, without seeing any diagnosis."
    if summary.dim:
        strip = f" of {summary.seconds:g} s" if summary.seconds else ""
        who = "It" if summary.method or summary.encoder else "An encoder"
        text += f" {who} turns an ECG{strip} into {summary.dim} numbers; similar ECGs get similar numbers."
    return text


def meaning(*, probed: bool, baseline: bool, screened: bool) -> Iterator[Markup]:
    """Say what the figures mean and what they do not."""
    if probed:
        yield joined(
            strong("AUROC"),
            " is the chance that a recording with a finding scores higher than one without: "
            "0.5 is guessing, 1 is perfect. It does not say how common the finding is.",
        )
    if baseline:
        yield joined(
            strong("Random encoder"),
            " is the same network before any training. What it reaches is owed to the architecture and to "
            "the labelled examples; only the difference is owed to pretraining.",
        )
    if probed:
        yield joined(
            strong("Intervals"),
            " show how much the figure depends on which patients happened to be tested (95%, patients "
            "resampled). They do not cover other hospitals, other devices, or errors in the labels.",
        )
    if screened:
        yield joined(
            strong("Anomaly score"),
            " says how far a recording lies from those that were taken as typical. Strange is not ill: "
            "noise, loose electrodes and rare but harmless patterns score high as well, and a common "
            "disease may score low.",
        )


def add_curves(page: Page, curves: str | Path) -> None:
    """Add the course of the training; a log that cannot be read is said so, not hidden."""
    page.section("Training")
    try:
        figure = plot_curves(curves)
    except SSLECGError as error:
        page.banner("The training log could not be drawn", str(error), kind="warn")
        return
    page.text(
        "In a healthy run the loss falls and levels off, and rank and spread of the embeddings stay well "
        "above zero; a rank near 1 would mean that the encoder says the same about every recording."
    )
    page.figure(figure, alt="Curves of the pretraining: loss, learning rate, rank and spread of the embeddings")


def add_quality(page: Page, quality: Quality) -> None:
    """List what could not be used and what carries a flag."""
    page.section("Data quality")
    bad = list(quality.quarantined)
    flagged = {name: list(flags) for name, flags in quality.flags.items() if len(flags)}
    lost = list(quality.without_score)
    if not bad and not flagged and not lost:
        page.text("Every recording could be read, and none carries a quality flag.")
    if bad:
        more = f" The first {ROWS} are listed; the index of the archive has all." if len(bad) > ROWS else ""
        page.subsection("Recordings that could not be used")
        text = "They were set aside with their reason and are in no figure of this report."
        rows = [[name, reason] for name, reason in bad[:ROWS]]
        page.table(["recording", "reason"], rows, caption=f"{len(bad):,} recordings. {text}{more}")
    if lost:
        page.subsection("Recordings without a score")
        more = f" The first {ROWS} are listed." if len(lost) > ROWS else ""
        text = f"{len(lost):,} recordings could be read, but the encoder gave no finite embedding of them.{more}"
        page.table(["recording"], [[name] for name in lost[:ROWS]], caption=text)
    if flagged:
        page.subsection("Quality flags")
        kinds = Counter(kind for flags in flagged.values() for kind in {flag.partition(":")[0] for flag in flags})
        rows = [[kind, FLAGS.get(kind, ""), f"{count:,}"] for kind, count in kinds.most_common()]
        text = f"{len(flagged):,} recordings carry a flag; they were used all the same."
        page.table(["flag", "meaning", "recordings"], rows, align="llr", caption=text)
        more = f"The first {ROWS} of {len(flagged):,}." if len(flagged) > ROWS else ""
        with page.details("Flagged recordings"):
            listed = [[name, ", ".join(flags)] for name, flags in list(flagged.items())[:ROWS]]
            page.table(["recording", "flags"], listed, caption=more, sortable=True)


def add_provenance(page: Page, provenance: Mapping[str, object]) -> None:
    """Say from what the report was made: recipe, seed, versions, fingerprint."""
    page.section("Provenance")
    folded = {str(name): value for name, value in provenance.items() if isinstance(value, Mapping)}
    plain = {str(name): _listed(value) for name, value in provenance.items() if str(name) not in folded}
    page.facts({**plain, "report written by": f"ssl_ecg {__version__}, Python {platform.python_version()}"})
    for name, item in folded.items():
        with page.details(name):
            page.facts(dict(_flat(item)))


def _flat(item: Mapping[object, object], before: str = "") -> Iterator[tuple[str, object]]:
    for name, value in item.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", _listed(value)


def _listed(value: object) -> str:
    if value is None:
        return DASH
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | set) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
