"""Figures and page of an evaluation, made from its `report.json` only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ssl_ecg.app.sections as sections
from ssl_ecg.app.code_names import code_names, full_name
from ssl_ecg.app.evaluation_models import add_models
from ssl_ecg.app.html import Page, strong
from ssl_ecg.app.probe_sections import shown
from ssl_ecg.errors import ArchiveError
from ssl_ecg.evaluate.references import METRICS
from ssl_ecg.evaluate.reliability import Reliability
from ssl_ecg.evaluate.report import (
    UNKNOWN_PART,
    best_found,
    best_way,
    found_here,
    learnt_in_words,
    left_out,
    main_model,
    said_of_split,
)
from ssl_ecg.evaluate.words import published, way_in_words
from ssl_ecg.plot.confusion import plot_confusion
from ssl_ecg.plot.ranking import plot_precision_recall, plot_roc
from ssl_ecg.plot.reliability import plot_reliability
from ssl_ecg.plot.scores import Estimate, plot_label_efficiency
from ssl_ecg.plot.style import save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MANY = 12
"""Classes beyond this number have no room in the curves of all models; those of the first alone are drawn."""


def write_evaluation_report(folder: str | Path) -> Path:
    """Draw the figures of an evaluation and write its page.

    Parameters
    ----------
    folder : path
        With `report.json` as `ssl_ecg.evaluate` left it.

    Returns
    -------
    Path
        `report.html`; the figures are beside it in `figures/`, as PNG and SVG.

    Raises
    ------
    ArchiveError
        If the report is not there or damaged, or the folder cannot be written.
    """
    folder = Path(folder)
    try:
        content = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        figures = draw_figures(content)
        page = _page(content, figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(str(folder), f"holds no whole report.json ({error})", "evaluate again") from error
    for name, (figure, _) in figures.items():
        save_figure(figure, folder / "figures" / name)
    return page.write(folder / "report.html")


def draw_figures(content: Mapping[str, Any]) -> dict[str, tuple[Figure, str]]:
    """Draw all figures that a report has numbers for: name -> figure and what it shows."""
    classes, main = content["classes"], main_model(content)
    whole = {model: found for model, found in best_found(content).items() if "roc" in found}
    if len(classes) > _MANY:
        whole = {main: whole[main]}
    pooled = "test records of all splits together" if len(content["splits"]) > 1 else "test records"
    drawn = {
        "roc": (
            plot_roc(classes, {m: found["roc"] for m, found in whole.items()}, _of_classes(whole, "auroc")),
            f"ROC curves, {pooled}; the areas are means over the splits",
        ),
        "precision_recall": (
            plot_precision_recall(
                classes,
                {m: found["precision_recall"] for m, found in whole.items()},
                _of_classes(whole, "average_precision"),
                prevalence=whole[main]["prevalence"],
            ),
            f"Precision and recall, {pooled}; the dotted line is the share of positives",
        ),
        "reliability": (
            plot_reliability(
                classes,
                {m: Reliability.from_dict(found["reliability"]) for m, found in whole.items()},
                _of_classes(whole, "expected_calibration_error"),
            ),
            f"Share of positives over the stated probability, {pooled}",
        ),
        "confusion": (
            plot_confusion(classes, whole[main]["confusion"]),
            f"Decisions as chosen on validation, {main}, {pooled}",
        ),
    }
    curves = efficiency(content)
    if curves:
        figure = plot_label_efficiency(curves, xlabel="labelled records to train on")
        drawn["label_efficiency"] = (figure, "Macro AUROC against the number of labelled records")
    return drawn


def efficiency(content: Mapping[str, Any]) -> dict[str, dict[int, Estimate | float]]:
    """Give macro AUROC by number of labels, of each model and way, where several numbers were tried."""
    n_train = _mean([split["records"].get("train", 0) for split in content["splits"].values()])
    curves: dict[str, dict[int, Estimate | float]] = {}
    for model, kinds in content["results"].items():
        for key, found in kinds.items():
            way, _, size = key.partition("/")
            count = int(size) if size.isdigit() else round(n_train * (float(size[:-1]) / 100 if "%" in size else 1))
            value = found["macro"]["auroc"]
            if value["value"] is not None:
                curves.setdefault(f"{model}, {way}", {})[count] = Estimate(value["value"], value["low"], value["high"])
    return {name: curve for name, curve in curves.items() if len(curve) > 1 and "knn" not in name}


def _page(content: Mapping[str, Any], figures: Mapping[str, tuple[Figure, str]]) -> Page:
    corpora = ", ".join(f"{name} ({count})" for name, count in content["archive"]["corpora"].items())
    who = content["checkpoint"] or content["encoder"].get("function", "an encoder")
    page = Page(f"Evaluation: {content['task']}", f"{who}, on {corpora}")
    if content["archive"]["part"]:
        text = "Figures on a part are not to be compared with those that others publish on the whole corpus."
        page.banner("The data are a part of the corpus", text, kind="warn")
    elif content["archive"]["part"] is None:
        text = "Figures on a part are not to be compared with those that others publish on the whole corpus."
        page.banner(f"{UNKNOWN_PART[0].upper()}{UNKNOWN_PART[1:]}", text)
    _add_warning(page, content)
    page.section("Where it stands").text(*filter(None, [content["protocol"].get("about", "").strip()]))
    add_models(page, content)
    _add_splits(page, content)
    names = code_names()
    key = best_way(content)
    _add_classes(page, main_model(content), content["results"][main_model(content)][key], key, names)
    _add_robustness(page, content["robustness"])
    _add_screening(page, content.get("screening"))
    page.section("Figures")
    for figure, caption in figures.values():
        page.figure(figure, alt=caption, caption=caption)
    _add_references(page, content)
    facts = {"archive": content["archive"]["fingerprint"], "seconds": f"{content['seconds']:.0f}"}
    sections.add_provenance(page, {**facts, "versions": content["versions"], "encoder": content["encoder"]})
    page.text(sections.NOT_CLINICAL, kind="note")
    return page


def _add_warning(page: Page, content: Mapping[str, Any]) -> None:
    """Warn of test records whose labels a model has learnt before."""
    learnt = {
        model: found["labels"]
        for split in content["splits"].values()
        for model, found in split.get("seen", {}).items()
        if found["labels"]
    }
    if learnt:
        text = "Its figures say how well it remembers these records, not how it does on new ones."
        page.banner(
            f"Labels of test records were or may have been learnt before by: {', '.join(learnt)}", text, kind="alert"
        )


def _add_splits(page: Page, content: Mapping[str, Any]) -> None:
    parts = ("train", "val", "test")
    rows = []
    for name, split in content["splits"].items():
        counts = [f"{split['records'][part]:,}" if part in split["records"] else "" for part in parts]
        without = [c for c, n in split.get("positives", {}).items() if n == 0]
        none = [f"no positive test record of {', '.join(without)}"] if without else []
        rows.append([name, *counts, "; ".join([*said_of_split(split), *none]) or "none known to have been seen before"])
    page.subsection("Records").table(["split", "train", "validate", "test", "to know"], rows, align="lrrrl")
    if left_out(content):
        sizes = "; ".join(f"{size} ({why})" for size, why in left_out(content).items())
        page.text(f"Numbers of labels left out: {sizes}.", kind="note")
    for model, about in content.get("models", {}).items():
        if about.get("labels_of"):
            said = learnt_in_words(model, about["labels_of"], about.get("finetuned_on"))
            page.text(f"{said}.", kind="note")


def _add_classes(page: Page, main: str, found: Mapping[str, Any], key: str, names: dict[str, str]) -> None:
    classes: Mapping[str, Mapping[str, Any]] = found["per_class"]
    kinds = [name for name in METRICS if name in next(iter(classes.values()))]
    rows = [[strong(c), full_name(c, names), *(shown(by[name]) for name in kinds)] for c, by in classes.items()]
    page.section("Classes").table(
        ["code", "class", *(METRICS[name] for name in kinds)], rows, align="llr", sortable=True,
        caption=f"{main.capitalize()}, {way_in_words(key)}; a class with few positives has a wide interval.",
    )  # fmt: skip


def _add_robustness(page: Page, changes: Mapping[str, Mapping[str, Any]]) -> None:
    if not changes:
        return
    models = list(next(iter(changes.values())))
    rows = [
        [change, *(text for m in models for text in (shown(by[m]["auroc"]), shown(by[m]["difference"], sign=True)))]
        for change, by in changes.items()
    ]
    headers = ["change of the test records", *(text for m in models for text in (m, f"{m}, less clean"))]
    caption = "Macro AUROC of the linear probe that clean training records gave."
    page.section("Robustness").table(headers, rows, align="lr", caption=caption)


def _add_screening(page: Page, found: Mapping[str, Any] | None) -> None:
    if not found:
        return
    rows = [
        [
            strong(detector),
            model,
            shown(figures["auroc"]),
            shown(figures.get("difference"), sign=True),
            *(shown(value) for value in figures["by_class"].values()),
        ]
        for detector, models in found["detectors"].items()
        for model, figures in models.items()
    ]
    classes = list(next(iter(next(iter(found["detectors"].values())).values()))["by_class"])
    counts = "; ".join(
        f"{name}: fitted on {n['reference']:,}, {n['usual']:,} of {n['test']:,} test records usual"
        for name, n in found["records"].items()
    )
    caption = (
        f"AUROC of unusual records, by detectors fitted on those that are {found['usual']} and nothing else. {counts}."
    )
    headers = ["detector", "model", "all unusual", "encoder less this model", *classes]
    page.section("Screening").table(headers, rows, align="llr", caption=caption, sortable=True)


def _add_references(page: Page, content: Mapping[str, Any]) -> None:
    references = content["references"]
    if references:
        rows = [
            [METRICS[r["metric"]], published(r["value"]), r["who"], r["how"], r["corpus"], r["source"]]
            for r in references
        ]
        here = [
            f"{METRICS[metric]}: {found}"
            for metric in dict.fromkeys(r["metric"] for r in references)
            if (found := found_here(content, metric))
        ]
        caption = "Means over classes, on the whole corpus with its official split."
        if here:
            caption += f" Here, {way_in_words(best_way(content))}: {'; '.join(here)}."
        headers = ["metric", "figure", "who", "how", "on", "source"]
        page.section("Published figures").table(headers, rows, align="lrllll", caption=caption)


def _of_classes(whole: Mapping[str, Any], metric: str) -> dict[str, list[float]]:
    return {
        model: [
            float("nan") if by[metric]["value"] is None else by[metric]["value"] for by in found["per_class"].values()
        ]
        for model, found in whole.items()
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
