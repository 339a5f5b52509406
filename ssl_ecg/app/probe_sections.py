"""The parts of a report that show how well embeddings tell labels, from the metrics of `ssl_ecg.probing.folder`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

from ssl_ecg.app.code_names import full_name
from ssl_ecg.app.html import Markup, Page, joined, strong
from ssl_ecg.plot.scores import Estimate, plot_label_efficiency, plot_per_class

Metrics = Mapping[str, Any]
PROBES = {"linear": "linear probe", "knn": "nearest neighbours"}
DASH = "–"


def by_task(metrics: Metrics | None) -> dict[str, Metrics]:
    """Give the metrics of each task; one `metrics.json` and a dict of several are both taken.

    Examples
    --------
    >>> list(by_task({"task": "superclass", "linear": {}})), list(by_task({"a": {"linear": {}}, "seed": 0}))
    (['superclass'], ['a'])
    """
    if not metrics:
        return {}
    if any(probe in metrics for probe in PROBES):
        return {str(metrics.get("task", "labels")): metrics}
    inner = {name: item for name, item in metrics.items() if isinstance(item, Mapping)}
    return {name: item for name, item in inner.items() if any(probe in item for probe in PROBES)}


def estimate(item: object) -> Estimate:
    """Read {"value", "low", "high"}, or a number; what is missing or null becomes NaN.

    Examples
    --------
    >>> estimate({"value": 0.9, "low": None})
    Estimate(value=0.9, low=nan, high=nan)
    """
    if isinstance(item, Mapping):
        return Estimate(*(_number(item.get(name)) for name in ("value", "low", "high")))
    return Estimate(_number(item))


def shown(item: object, digits: int = 3, *, sign: bool = False) -> str:
    """Write an estimate with its interval.

    Examples
    --------
    >>> shown({"value": 0.8731, "low": 0.85, "high": 0.89}), shown(None)
    ('0.873 (0.850–0.890)', '–')
    """
    value, low, high = estimate(item)
    if math.isnan(value):
        return DASH
    text = f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
    if math.isnan(low) or math.isnan(high):
        return text
    bounds = (f"{bound:+.{digits}f}" if sign else f"{bound:.{digits}f}" for bound in (low, high))
    return f"{text} ({(' to ' if sign else '–').join(bounds)})"


def brief(item: object) -> str:
    """Write an estimate without its interval."""
    return shown(estimate(item).value)


def dig(item: object, *keys: str) -> Any:
    """Follow keys into nested mappings; None where one is missing."""
    for key in keys:
        item = item.get(key) if isinstance(item, Mapping) else None
    return item


def probe_in_words(metrics: Metrics) -> Markup | None:
    """Give the main result as sentences, or None without a linear probe."""
    macro = estimate(dig(metrics, "linear", "macro", "auroc"))
    if math.isnan(macro.value):
        return None
    classes, test = len(metrics.get("classes", ())), dig(metrics, "counts", "test") or {}
    counted = _counted(test)
    text = joined(
        f"Task {metrics.get('task', '')}: a linear classifier on the frozen embeddings recognises the ",
        f"{classes} classes" if classes else "classes",
        " with a mean AUROC of ",
        strong(shown(dig(metrics, "linear", "macro", "auroc"))),
        f" on {test['records']:,} test recordings of {test['patients']:,} patients" if counted else "",
        ".",
    )
    gain, baseline = (
        dig(metrics, "difference", "linear"),
        dig(metrics, "baseline", "linear", "macro", "auroc"),
    )
    if math.isnan(estimate(baseline).value):
        return text
    text = joined(text, f" The same encoder with random weights reaches {shown(baseline)}")
    return joined(text, "." if gain is None else f"; {_verdict(estimate(gain))}")


def add_probe(page: Page, task: str, metrics: Metrics, names: dict[str, str]) -> None:
    """Add tables and pictures of one task."""
    page.subsection(f"Task: {task}")
    _add_split(page, metrics)
    _add_macro(page, metrics)
    _add_label_efficiency(page, metrics)
    _add_classes(page, metrics, names)


def _verdict(gain: Estimate) -> str:
    if math.isnan(gain.low):
        return f"pretraining changed it by {shown(gain._asdict(), sign=True)} (no interval was computed)."
    text = f"pretraining changed it by {shown(gain._asdict(), sign=True)}"
    if gain.low > 0:
        return f"{text}, a gain beyond what the choice of test patients explains."
    if gain.high < 0:
        return f"{text}: here pretraining made it worse."
    return f"{text}; the interval includes zero, so no gain has been shown."


def _add_split(page: Page, metrics: Metrics) -> None:
    rows = []
    for name, title in (("train", "training"), ("val", "validation"), ("test", "test")):
        part = dig(metrics, "counts", name)
        if _counted(part):
            folds = dig(metrics, "split", name)
            listed = ", ".join(map(str, folds)) if isinstance(folds, list | tuple) else str(folds or "")
            rows.append([title, listed, f"{part['records']:,}", f"{part['patients']:,}"])
    if rows:
        headers = ["set", "folds", "recordings", "patients"]
        caption = "No patient is in two sets."
        if not any(row[1] for row in rows):
            headers, rows = [headers[0], *headers[2:]], [[row[0], *row[2:]] for row in rows]
            caption += " The patients were divided at random."
        page.table(headers, rows, align="llrr"[4 - len(headers) :], caption=caption)


def _add_macro(page: Page, metrics: Metrics) -> None:
    kinds = {"auroc": "AUROC", "average_precision": "average precision", "f1": "F1"}
    rows = []
    for probe, name in PROBES.items():
        for kind, title in kinds.items():
            value = dig(metrics, probe, "macro", kind)
            if math.isnan(estimate(value).value):
                continue
            gain = dig(metrics, "difference", probe) if kind == "auroc" else None
            other = dig(metrics, "baseline", probe, "macro", kind)
            rows.append([name, title, strong(shown(value)), shown(other), shown(gain, sign=True)])
    if rows:
        headers = ["probe", "mean over classes", "pretrained", "random encoder", "paired difference"]
        caption = "With 95% intervals from resampling test patients. The difference compares the same patients."
        page.table(headers, rows, align="llrrr", caption=caption)


def _add_classes(page: Page, metrics: Metrics, names: dict[str, str]) -> None:
    classes = dig(metrics, "linear", "per_class")
    if not isinstance(classes, Mapping) or not classes:
        return
    others = dig(metrics, "baseline", "linear", "per_class") or {}
    rows = [
        [
            strong(code),
            full_name(code, names),
            _count(dig(item, "n_positive")),
            shown(dig(item, "auroc")),
            shown(dig(others, code, "auroc")),
            brief(dig(item, "average_precision")),
            brief(dig(item, "f1")),
            "" if dig(item, "learnt") is not False else "too few examples to learn",
        ]
        for code, item in classes.items()
    ]
    keep = [k for k in range(8) if k in (0, 3) or any(row[k] not in ("", DASH) for row in rows)]
    headers = [
        "code",
        "class",
        "positives in test",
        "AUROC",
        "AUROC, random encoder",
        "average precision",
        "F1",
        "note",
    ]
    page.table(
        [headers[k] for k in keep],
        [[row[k] for k in keep] for row in rows],
        align="".join("llrrrrrl"[k] for k in keep),
        caption="Linear probe, class by class; a class with few positives has a wide interval.",
        sortable=True,
    )
    judged = [c for c in classes if not math.isnan(estimate(dig(classes, c, "auroc")).value)][:40]
    if judged:
        figure = plot_per_class(
            [f"{c} · {name}" if (name := full_name(c, names)) else c for c in judged],
            [estimate(dig(classes, c, "auroc")) for c in judged],
            [estimate(dig(others, c, "auroc")) for c in judged] if others else None,
        )
        page.figure(figure, alt="AUROC of each class with its interval, beside the random encoder")


def _add_label_efficiency(page: Page, metrics: Metrics) -> None:
    entries = [item for item in metrics.get("label_efficiency") or [] if isinstance(item, Mapping)]
    if not entries:
        return
    curves: dict[str, dict[int, Estimate | float]] = {}
    rows = []
    for item in entries:
        size = int(item.get("n_labels", 0))
        values = {name: dig(item, key, "macro_auroc") for key, name in _ENCODERS.items()}
        for name, value in values.items():
            if not math.isnan(estimate(value).value):
                curves.setdefault(name, {})[size] = estimate(value)
        draws = len(dig(item, "linear", "draws") or ())
        rows.append(
            [
                f"{size:,}",
                draws or DASH,
                *map(shown, values.values()),
                shown(item.get("difference"), sign=True),
            ]
        )
    for key, name in _ENCODERS.items():
        path = ("linear",) if key == "linear" else ("baseline", "linear")
        full, size = (
            estimate(dig(metrics, *path, "macro", "auroc")),
            dig(metrics, "counts", "train", "records"),
        )
        if name in curves and size and not math.isnan(full.value):
            curves[name][int(size)] = full
    headers = ["labelled recordings", "draws", "pretrained", "random encoder", "paired difference"]
    page.table(headers, rows, align="r", caption="Mean AUROC of the linear probe when few labels are used.")
    if curves:
        alt = "Mean AUROC against the number of labelled recordings"
        page.figure(plot_label_efficiency(curves), alt=alt, caption="The last point uses all labels.")


_ENCODERS = {"linear": "pretrained", "baseline": "random encoder"}


def _counted(part: object) -> bool:
    return isinstance(part, Mapping) and all(isinstance(part.get(key), Integral) for key in ("records", "patients"))


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, Integral) else DASH


def _number(value: object) -> float:
    return float(value) if isinstance(value, Real) else math.nan


__all__: Sequence[str] = ("add_probe", "by_task", "dig", "estimate", "probe_in_words", "shown")
