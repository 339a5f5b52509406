"""Tables of fewer leads, robustness, expert features, and what is unlike the training data."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from .formats import difference, interval, score, share, sizes
from .layout import Cell, Column, Results, Row, Table, joined, value

LEADS = "evaluation/leads/results.json"
ROBUSTNESS = "evaluation/robustness/results.json"
RATES = "evaluation/robustness/rates.json"
BASELINES = "evaluation/baselines/results.json"
UNLIKE = "evaluation/unlike/results.json"

LEAD_SETS = {
    "12": "12",
    "8": "8 (I, II, V1-V6)",
    "6": "6 (limb leads)",
    "4": "4 (I, II, III, V2)",
    "3": "3 (I, II, V2)",
    "2": "2 (I, II)",
    "II": "II",
    "II, taught": "II, encoder taught by one of twelve leads",
    "II, taught, with forest": "II, taught, with a forest on the features of II",
    "I": "I",
    "I, taught": "I, taught",
    "I, taught, with forest": "I, taught, with forest",
    "12, with forest": "12, with forest",
}
ONE_FOR_ALL, OF_TWELVE = "{}, one classifier for all", "{}, of the classifier of 12"
CLASSIFIERS = {
    "logistic": "logistic regression",
    "forest": "random forest",
    "lightgbm": "LightGBM",
    "mlp": "perceptron",
}
NOISES = {"em": "electrode motion", "ma": "muscle", "bw": "baseline wander"}
WITHOUT_EFFECT = ("24 dB", "18 dB")
"""Noise that changes nothing, as the text below the table says."""


def described(known: dict[str, str], keys: Collection[str]) -> list[Row]:
    """Make one row for each key, those that nobody has described last and as they are."""
    return [Row(k, known[k]) for k in known if k in keys] + [Row(k, k) for k in keys if k not in known]


def few_lead_rows(*, together: bool) -> Callable[[Results], list[Row]]:
    """Make one row for each classifier of some leads, or for each set of leads that one classifier was trained for."""
    ending = ONE_FOR_ALL.format("")

    def rows(results: Results) -> list[Row]:
        entries = results.find(LEADS, "results") or {}
        if together:
            sets = [key.removesuffix(ending) for key in entries if key.endswith(ending)]
            return [Row(key, LEAD_SETS.get(key, key)) for key in sets]
        return described(LEAD_SETS, [key for key in entries if not key.endswith((ending, OF_TWELVE.format("")))])

    return rows


def rows_of(known: dict[str, str], source: str, *path: str) -> Callable[[Results], list[Row]]:
    """Make one row for each entry at a path."""

    def rows(results: Results) -> list[Row]:
        return described(known, results.find(source, *path) or {})

    return rows


def changed_rows(results: Results) -> list[Row]:
    """Make one row for each change of the records that has an effect."""
    entries = results.find(ROBUSTNESS, "results", "simclr") or {}
    labels = {"without 1 leads": "without 1 lead", "without V1,V2,V3,V4,V5,V6": "without V1-V6"}
    return [Row(key, labels.get(key, key)) for key in entries if not key.endswith(WITHOUT_EFFECT)]


def rate_rows(results: Results) -> list[Row]:
    """Make one row for each sampling rate, the published ones first."""
    rates = sorted(results.find(RATES, "results") or {}, key=lambda fs: (fs not in ("100", "500"), int(fs)))
    return [Row(fs, f"{fs} Hz, as published" if fs in ("100", "500") else f"{fs} Hz") for fs in rates]


def rate_difference(results: Results, fs: str) -> str:
    """Write the difference to 100 Hz; of 100 Hz itself the score."""
    if fs == "100":
        return value(score, RATES, "results", fs, "macro_auroc")(results, fs)
    return value(lambda entry: difference(entry, 4), RATES, "results", fs, "difference")(results, fs)


def unless_reference(form: Callable[[dict[str, Any]], str]) -> Cell:
    """Make cells of a rate that stay blank where it is 100 Hz, which the others are compared with."""
    cell = value(form, RATES, "results", "{}")
    return lambda results, fs: "" if fs == "100" else cell(results, fs)


def probability_changes(entry: dict[str, Any]) -> str:
    """Write by how much a probability changes."""
    return f"{entry['median_change']:.4f}, {entry['p99_change']:.3f}, {entry['largest_change']:.3f}"


def classifier_columns(results: Results) -> list[Column]:
    """Make one column for each number of labels."""
    keys = results.find(BASELINES, "results") or {}
    return [
        Column(f"{size} labels", value(interval, BASELINES, "results", f"{{}}/{size}", "macro_auroc"))
        for size in sizes(key.partition("/")[2] for key in keys)
    ]


def classifier_rows(results: Results) -> list[Row]:
    """Make one row for each classifier."""
    names = dict.fromkeys(key.partition("/")[0] for key in results.find(BASELINES, "results") or {})
    return [Row(name, CLASSIFIERS.get(name, name)) for name in names]


def with_noise(method: str, file: str) -> list[Column]:
    """Make the columns of an encoder that is judged with the second half of the noise."""

    def at(form: Callable[[Any], str], level: str, what: str) -> Cell:
        return value(form, f"evaluation/robustness/{file}.json", "results", method, f"{{}} {level}, second half", what)

    def scores(results: Results, row: str) -> str:
        if row == "clean":
            return value(score, f"evaluation/robustness/{file}.json", "results", method, row, "macro_auroc")(
                results, row
            )
        return joined(" / ", *(at(score, level, "macro_auroc") for level in ("6 dB", "0 dB")))(results, row)

    lost = joined(" / ", *(at(loss, level, "difference") for level in ("6 dB", "0 dB")))
    return [Column(f"`{method}`", scores), Column("lost", lost)]


def loss(entry: dict[str, Any]) -> str:
    """Write a difference as what was lost."""
    return f"{0.0 - entry['value']:.3f}"


def flagged(labels: str, when: str) -> Cell:
    """AUROC and share flagged; of ordinary records the share alone."""

    def cell(results: Results, row: str) -> str:
        entry = results.find(UNLIKE, "results", labels, row, when)
        if entry is None:
            return ""
        if row == "ordinary":
            return share(entry["flagged"], 1)
        return f"{score(entry['auroc'], 2)}, {share(entry['flagged'])}"

    return cell


TABLES = (
    Table(
        "leads",
        "evaluation/leads/README.md",
        "leads",
        few_lead_rows(together=False),
        (
            Column("macro AUROC", value(score, LEADS, "results", "{}", "macro_auroc")),
            Column("less twelve leads", value(difference, LEADS, "results", "{}", "less twelve leads")),
        ),
        best_of_rows=(
            ("II", "II, taught", "II, taught, with forest"),
            ("I", "I, taught", "I, taught, with forest"),
        ),
    ),
    Table(
        "one classifier for all",
        "evaluation/leads/README.md",
        "leads",
        few_lead_rows(together=True),
        (
            Column("one classifier for all", value(score, LEADS, "results", ONE_FOR_ALL, "macro_auroc")),
            Column("less twelve leads", value(difference, LEADS, "results", ONE_FOR_ALL, "less twelve leads")),
            Column("the classifier of twelve", value(score, LEADS, "results", OF_TWELVE, "macro_auroc")),
            Column("less twelve leads", value(difference, LEADS, "results", OF_TWELVE, "less twelve leads")),
        ),
    ),
    Table(
        "robustness",
        "evaluation/robustness/README.md",
        "change",
        changed_rows,
        (
            Column("`simclr`", value(score, ROBUSTNESS, "results", "simclr", "{}", "macro_auroc")),
            Column("difference", value(difference, ROBUSTNESS, "results", "simclr", "{}", "difference")),
            Column("untrained", value(score, ROBUSTNESS, "results", "untrained", "{}", "macro_auroc")),
            Column("difference", value(difference, ROBUSTNESS, "results", "untrained", "{}", "difference")),
        ),
    ),
    Table(
        "sampling rates",
        "evaluation/robustness/README.md",
        "files",
        rate_rows,
        (
            Column("macro AUROC less that of the files at 100 Hz", rate_difference),
            Column("change of a probability: median, 99th percentile, largest", unless_reference(probability_changes)),
            Column("decisions changed", unless_reference(lambda entry: share(entry["decisions_changed"], 1))),
        ),
    ),
    Table(
        "noise in pretraining",
        "evaluation/robustness/README.md",
        "noise",
        (Row("clean", "none"), *(Row(key, f"{name} 6 / 0 dB") for key, name in NOISES.items())),
        (*with_noise("simclr", "simclr_second_half"), *with_noise("simclr_noise", "simclr_noise")),
    ),
    Table("expert features", "evaluation/baselines/README.md", "classifier", classifier_rows, classifier_columns),
    Table(
        "unlike",
        "evaluation/unlike/README.md",
        "recording",
        rows_of({"ordinary": "**ordinary** (false alarms)"}, UNLIKE, "results", "all"),
        (
            Column("before: AUROC, flagged", flagged("all", "before")),
            Column("now: AUROC, flagged", flagged("all", "after")),
            Column("with 100 labels: before", flagged("100", "before")),
            Column("now", flagged("100", "after")),
        ),
    ),
)
