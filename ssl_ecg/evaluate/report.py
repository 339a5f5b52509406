"""What an evaluation found: as JSON, and as lines of text that say where a model stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_ecg.evaluate.references import METRICS
from ssl_ecg.files import plain, write_json, write_whole

_BEST = ("ensemble", "finetuned", "finetuned/all", "linear/all", "hybrid/all", "knn/all")
UNKNOWN_PART = "whether the corpus was whole is not said without its archive (--data)"


class Report:
    """Figures of an evaluation.

    Parameters
    ----------
    content : mapping
        As `ssl_ecg.evaluate` puts it together.

    Attributes
    ----------
    content : dict
        Plain values only: ``results`` (model -> way and number of labels -> figures; the model in question comes
        first), ``differences``, ``splits``, ``archive``, ``references``, ``versions``.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content: dict[str, Any] = plain(content)

    def to_json(self) -> str:
        """Give the whole report as JSON; what could not be judged is null."""
        return json.dumps(self.content, indent=2, allow_nan=False)

    def write(self, out: Path) -> None:
        """Write `report.json` and `report.txt`.

        Raises
        ------
        ArchiveError
            If the folder cannot be written.
        """
        write_json(out / "report.json", self.content)
        write_whole(out / "report.txt", lambda file: file.write(("\n".join(self.lines()) + "\n").encode()))

    def lines(self) -> list[str]:
        """Say in words where the model stands."""
        content = self.content
        corpora = ", ".join(f"{name} ({n})" for name, n in content["archive"]["corpora"].items())
        lines = [f"{content['task']}: {len(content['classes'])} classes, macro AUROC, on {corpora}"]
        if content["archive"]["part"]:
            lines.append("  a part of a corpus only: not to be compared with figures on the whole of it")
        elif content["archive"]["part"] is None:
            lines.append(f"  {UNKNOWN_PART}")
        lines += [f"  {line}" for line in said_of_splits(content)]
        lines += ["", *self._table(), *self._figures()]
        if content["robustness"]:
            lines += ["", "linear probe of clean records on changed ones: macro AUROC and what is lost"]
        for change, models in content["robustness"].items():
            lines += [
                f"  {change}, {name}: {_interval(found['auroc'])}  {_interval(found['difference'], sign='+')}"
                for name, found in models.items()
            ]
        return [*lines, *self._screening(), *self._references()]

    def _screening(self) -> list[str]:
        """One line for each detector and model."""
        found = self.content.get("screening")
        if not found:
            return []
        lines = ["", f"detectors fitted on usual records ({found['usual']} and nothing else): AUROC of unusual ones"]
        for detector, models in found["detectors"].items():
            for model, figures in models.items():
                behind = _interval(figures["difference"], sign="+") if "difference" in figures else ""
                less = f"  encoder - {model}: {behind}" if behind else ""
                lines.append(f"  {detector:>11}, {model}: {_interval(figures['auroc'])}{less}")
        return lines

    def _table(self) -> list[str]:
        """One line for each way and number of labels: every model, and the differences."""
        results, differences = self.content["results"], self.content["differences"]
        n_classes, lines = len(self.content["classes"]), []
        width = max(10, *map(len, results))
        for key in dict.fromkeys(key for kinds in results.values() for key in kinds):
            lines.append(way_in_words(key))
            for model, kinds in results.items():
                if key in kinds:
                    found = kinds[key]["macro"]["auroc"]
                    lines.append(f"  {model:>{width}}  {_interval(found)}{over(found, n_classes)}")
            for pair, kinds in differences.items():
                if key in kinds:
                    lines.append(f"  {pair_in_words(pair, kinds[key])}: {_interval(kinds[key], sign='+')}")
        return lines

    def _figures(self) -> list[str]:
        """Give every other metric of the model in question, judged the best way that there is."""
        main, key = main_model(self.content), best_way(self.content)
        macro = self.content["results"][main][key]["macro"]
        if len(macro) == 1:
            return []
        n_classes, others = len(self.content["classes"]), [name for name in METRICS if name in macro]
        lines = [
            f"  {METRICS[name]:>31}  {_interval(macro[name])}{over(macro[name], n_classes)}"
            for name in others
            if name != "auroc"
        ]
        return ["", f"{main}, {way_in_words(key)}: means over classes, or over records", *lines]

    def _references(self) -> list[str]:
        """Give published figures metric by metric, and what was found here."""
        lines: list[str] = []
        references = self.content["references"]
        for metric in dict.fromkeys(reference["metric"] for reference in references):
            here = found_here(self.content, metric)
            lines.append(f" {METRICS[metric]}" + (f" (here {here})" if here else ""))
            for one in references:
                if one["metric"] == metric:
                    elsewhere = "" if one["corpus"] in self.content["archive"]["corpora"] else f", on {one['corpus']}"
                    lines.append(f"  {published(one['value'])}  {one['who']} ({one['how']}{elsewhere})")
        return ["", "published, on the whole corpus with its official split:", *lines] if lines else []


def main_model(content: Mapping[str, Any]) -> str:
    """Give the name of the model in question, which is the first in a report."""
    return str(next(iter(content["results"])))


def best_way(content: Mapping[str, Any]) -> str:
    """Give the way of judging the model in question that has all figures and is the first choice."""
    kinds = content["results"][main_model(content)]
    return next((key for key in _BEST if key in kinds), str(next(iter(kinds))))


def best_found(content: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Give the figures of each model that was judged that way; of one run, beside an ensemble, its own."""
    key = best_way(content)
    instead = "finetuned" if key == "ensemble" else key
    ways = {model: key if key in kinds else instead for model, kinds in content["results"].items()}
    return {model: content["results"][model][way] for model, way in ways.items() if way in content["results"][model]}


def found_here(content: Mapping[str, Any], metric: str) -> str:
    """Give the figures of all models in one metric, such as "run 0.812, baseline 0.798"."""
    values = {model: kinds["macro"].get(metric, {}).get("value") for model, kinds in best_found(content).items()}
    return ", ".join(f"{model} {value:.3f}" for model, value in values.items() if value is not None)


def way_in_words(key: str) -> str:
    """Give the name of a way of judging and the number of labels.

    Examples
    --------
    >>> way_in_words("linear/all"), way_in_words("knn/50"), way_in_words("linear/0.5%"), way_in_words("ensemble")
    ('linear, all labels', 'knn, 50 labels', 'linear, 0.5% of the labels', 'ensemble')
    """
    kind, _, size = key.partition("/")
    if not size:
        return kind
    return f"{kind}, {size} of the labels" if "%" in size else f"{kind}, {size} labels"


def pair_in_words(pair: str, found: Mapping[str, Any]) -> str:
    """Name a difference, and the way of the first model where it is not that of the second.

    Examples
    --------
    >>> pair_in_words("encoder - scratch", {"value": 0.1, "way": "linear/50"}), pair_in_words("a - b", {"value": 0.1})
    ('encoder (linear) - scratch', 'a - b')
    """
    first, _, second = pair.partition(" - ")
    way = str(found.get("way", "")).partition("/")[0]
    return f"{first} ({way}) - {second}" if way else pair


def over(found: Mapping[str, Any], n_classes: int) -> str:
    """Say over how many classes a mean is, where these are not all.

    Examples
    --------
    >>> over({"value": 0.6, "n_classes": 22}, 26), over({"value": 0.6, "n_classes": 26}, 26)
    (' over 22 of 26 classes', '')
    """
    judged = found.get("n_classes", n_classes)
    return "" if judged == n_classes else f" over {judged} of {n_classes} classes"


def said_of_splits(content: Mapping[str, Any]) -> list[str]:
    """Say of each split how many records it has, how it was made, and what the models have seen of it."""
    lines = []
    for name, split in content["splits"].items():
        counts = ", ".join(f"{n} {part}" for part, n in split["records"].items())
        lines.append("; ".join([f"split {name}: {counts}", *said_of_split(split)]))
        without = [c for c, n in split.get("positives", {}).items() if n == 0]
        if without:
            lines.append(f"split {name}: no positive test record of {', '.join(without)}")
    lines += [f"left out: {way_in_words(f'labels/{size}')[8:]} ({why})" for size, why in left_out(content).items()]
    for model, about in content.get("models", {}).items():
        if about.get("labels_of"):
            lines.append(learnt_in_words(model, about["labels_of"]))
        lines += [f"{model} comes from {one}, which is no longer there: what that saw is not known"
                  for one in about.get("lost", [])]  # fmt: skip
    return lines


def learnt_in_words(model: str, tasks: Sequence[str]) -> str:
    """Say that a model has learnt from labels before it was measured."""
    return f"{model} has learnt from labels of {', '.join(tasks)} before: with few labels it knows more than those"


def left_out(content: Mapping[str, Any]) -> dict[str, str]:
    """Give the numbers of labels that were not tried, and why."""
    return dict(content.get("left_out", {}))


def said_of_split(split: Mapping[str, Any]) -> list[str]:
    """Say how one split was made, and what the models have seen of its test records."""
    how = split.get("how", {})
    said = []
    if how.get("drawn"):
        said.append(f"no folds are published: {how['drawn']} were drawn by patient with seed {how['seed']}")
    elif how.get("prepared"):
        said.append(f"the folds of {', '.join(how['prepared'])} were drawn by patient when the archive was made")
    elif how.get("by") == "patients":
        said.append(f"patients were drawn with seed {how['seed']}")
    if split.get("without_fold"):
        said.append(f"{split['without_fold']} labelled records without a fold in use are left out")
    return said + seen_in_words(split)


def seen_in_words(split: Mapping[str, Any]) -> list[str]:
    """Say what the models have seen of a split's test records before.

    Examples
    --------
    >>> seen_in_words({"records": {"test": 9}, "seen": {"encoder": {"signals": ["ptbxl"], "labels": 0}}})
    ['pretraining has seen its test records, without labels']
    """
    said = []
    for model, found in split.get("seen", {}).items():
        of = "" if model in ("encoder", "run") else f" of {model}"
        if found["labels"]:
            n = split["records"]["test"]
            which = f"{found['labels']} OF ITS {n} TEST RECORDS"
            said.append(f"THE LABELS OF {which} WERE OR MAY HAVE BEEN LEARNT BEFORE BY {model}")
        elif found["signals"]:
            said.append(f"pretraining{of} has seen its test records, without labels")
    return said


def _interval(found: Mapping[str, Any], *, sign: str = "") -> str:
    """Write a figure with its interval, and its p-value if it is a difference."""
    value, low, high = (
        "-" if found.get(name) is None else f"{found[name]:{sign}.3f}" for name in ("value", "low", "high")
    )
    interval = f"{value} [{low}, {high}]" if "low" in found else value
    return interval if found.get("p_value") is None else f"{interval}, {p_in_words(found['p_value'])}"


def published(value: float) -> str:
    """Write a published figure with all its digits, three at least.

    Examples
    --------
    >>> published(0.74), published(0.7785)
    ('0.740', '0.7785')
    """
    return f"{value:.3f}" if round(value, 3) == value else f"{value:g}"


def p_in_words(p: float | None) -> str:
    """Write a p-value.

    Examples
    --------
    >>> p_in_words(0.0123), p_in_words(0.0002), p_in_words(None)
    ('p = 0.012', 'p < 0.001', '')
    """
    if p is None:
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
