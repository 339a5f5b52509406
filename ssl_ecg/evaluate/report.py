"""What an evaluation found: as JSON, and as lines of text that say where a model stands."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_ecg.evaluate.references import METRICS
from ssl_ecg.evaluate.words import (
    interval_in_words,
    over,
    pair_in_words,
    published,
    way_in_words,
    whole_differences,
)
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
            for name, found in models.items():
                loss = interval_in_words(found["difference"], sign="+")
                lines.append(f"  {change}, {name}: {interval_in_words(found['auroc'])}  {loss}")
        return [*lines, *self._screening(), *self._references()]

    def _screening(self) -> list[str]:
        """One line for each detector and model."""
        found = self.content.get("screening")
        if not found:
            return []
        lines = ["", f"detectors fitted on usual records ({found['usual']} and nothing else): AUROC of unusual ones"]
        for detector, models in found["detectors"].items():
            for model, figures in models.items():
                behind = interval_in_words(figures["difference"], sign="+") if "difference" in figures else ""
                less = f"  encoder - {model}: {behind}" if behind else ""
                lines.append(f"  {detector:>11}, {model}: {interval_in_words(figures['auroc'])}{less}")
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
                    lines.append(f"  {model:>{width}}  {interval_in_words(found)}{over(found, n_classes)}")
            for pair, kinds in differences.items():
                if key in kinds:
                    lines.append(f"  {pair_in_words(pair, kinds[key])}: {interval_in_words(kinds[key], sign='+')}")
        return lines

    def _figures(self) -> list[str]:
        """Give every other metric of the model in question, judged the best way that there is."""
        main, key = main_model(self.content), best_way(self.content)
        macro = self.content["results"][main][key]["macro"]
        if len(macro) == 1:
            return []
        n_classes, others = len(self.content["classes"]), [name for name in METRICS if name in macro]
        lines = [
            f"  {METRICS[name]:>31}  {interval_in_words(macro[name])}{over(macro[name], n_classes)}"
            for name in others
            if name != "auroc"
        ]
        lines = ["", f"{main}, {way_in_words(key)}: means over classes, or over records", *lines]
        for what, metrics in whole_differences(self.content):
            lines += ["", f"{what}, all labels: paired differences"]
            lines += [
                f"  {METRICS[name]:>31}  {interval_in_words(metrics[name], sign='+')}"
                for name in METRICS
                if name in metrics
            ]
        return lines

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
            lines.append(learnt_in_words(model, about["labels_of"], about.get("finetuned_on", {})))
        lines += [f"{model} comes from {one}, which is no longer there: what that saw is not known"
                  for one in about.get("lost", [])]  # fmt: skip
    return lines


def learnt_in_words(model: str, tasks: Sequence[str], corpora: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """Say that a model has learnt from labels before it was measured, and on what it was fine-tuned.

    Examples
    --------
    >>> said = learnt_in_words("encoder", ["form"], {"ptbxl": {"records": 1167, "folds": [4, 5, 6, 8]}})
    >>> said.partition(":")[0]
    'encoder has learnt from labels of form before, fine-tuned on ptbxl (1,167 records of folds 4-6, 8)'
    """
    said = [f"{name} ({about['records']:,} records{_folds(about['folds'])})" for name, about in (corpora or {}).items()]
    on = f", fine-tuned on {' and '.join(said)}" if said else ""
    return f"{model} has learnt from labels of {', '.join(tasks)} before{on}: with few labels it knows more than those"


def _folds(folds: Sequence[int]) -> str:
    """Write folds as ranges."""
    first = [fold for fold in folds if fold - 1 not in folds]
    last = [fold for fold in folds if fold + 1 not in folds]
    parts = [f"{a}-{b}" if b > a else f"{a}" for a, b in zip(first, last, strict=True)]
    return f" of fold{'s' if len(folds) > 1 else ''} {', '.join(parts)}" if parts else ""


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
            continue
        if found.get("finetuned"):
            said.append(f"{model} was fine-tuned on other records of {', '.join(found['finetuned'])}")
        if found["signals"]:
            said.append(f"pretraining{of} has seen its test records, without labels")
    return said
