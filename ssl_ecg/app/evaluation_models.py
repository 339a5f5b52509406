"""Tables of the models in an evaluation: their figures, and the paired differences between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_ecg.app.html import Page, strong
from ssl_ecg.app.probe_sections import shown
from ssl_ecg.evaluate.references import METRICS
from ssl_ecg.evaluate.report import main_model
from ssl_ecg.evaluate.words import over, p_in_words, whole_differences


def add_models(page: Page, content: Mapping[str, Any]) -> None:
    """Add a row for each model, way and number of labels; all figures of those with all labels; and differences."""
    rows = []
    main, n_classes = main_model(content), len(content["classes"])
    for model, kinds in content["results"].items():
        for key, found in kinds.items():
            way, _, size = key.partition("/")
            gain = content["differences"].get(f"{main} - {model}", {}).get(key) or {}
            value = found["macro"]["auroc"]
            figure = strong(f"{shown(value)}{over(value, n_classes)}")
            test, of = p_in_words(gain.get("p_value")), gain.get("way", "").partition("/")[0]
            less = f"{shown(gain, sign=True)}{of and f' ({of})'}"
            rows.append([model, way, size, found["draws"], figure, less, test])
    headers = ["model", "way", "labels", "draws", "macro AUROC", f"{main} less this model", "p"]
    caption = (
        "With 95% intervals over test patients, means over splits and draws; differences are paired, with two-sided "
        "bootstrap p-values."
    )
    if any("way" in gain for kinds in content["differences"].values() for gain in kinds.values()):
        caption += f" In brackets: how the {main} was judged, where that is another way; on the draws that both have."
    page.table(headers, rows, align="lllrrrr", caption=caption, sortable=True)
    whole = [(m, k, found["macro"]) for m, kinds in content["results"].items() for k, found in kinds.items()]
    whole = [entry for entry in whole if len(entry[2]) > 1]
    there = {name: title for name, title in METRICS.items() if any(name in macro for _, _, macro in whole)}
    rows = [
        [title, *(f"{shown(macro.get(name))}{over(macro.get(name, {}), n_classes)}" for _, _, macro in whole)]
        for name, title in there.items()
    ]
    headers = ["metric", *(f"{model}, {key.partition('/')[0]}" for model, key, _ in whole)]
    page.table(headers, rows, align="lr", caption="Macro means; decisions as chosen on validation.")
    _add_differences(page, content)


def _add_differences(page: Page, content: Mapping[str, Any]) -> None:
    """Add the paired differences in every metric."""
    compared = dict(whole_differences(content))
    if not compared:
        return
    there = {name: title for name, title in METRICS.items() if any(name in metrics for metrics in compared.values())}
    rows = [
        [title, *(_with_p(metrics.get(name)) for metrics in compared.values())]
        for name, title in there.items()
    ]  # fmt: skip
    caption = (
        "Paired differences in the other metrics, with all labels: 95% intervals over test patients and two-sided "
        "bootstrap p-values, not corrected for their number. Of the Hamming loss less is better."
    )
    page.table(["metric", *compared], rows, align="lr", caption=caption)


def _with_p(gain: Mapping[str, Any] | None) -> str:
    return ", ".join(filter(None, [shown(gain, sign=True), p_in_words((gain or {}).get("p_value"))]))
