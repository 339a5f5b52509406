"""What an evaluation found: as JSON, and as lines of text that say where an encoder stands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_ecg.files import plain, write_json, write_whole


class Report:
    """Figures of an evaluation.

    Parameters
    ----------
    content : mapping
        As `ssl_ecg.evaluate` puts it together.

    Attributes
    ----------
    content : dict
        Plain values only: ``results`` (model -> probe and number of labels -> figures), ``differences``,
        ``splits``, ``archive``, ``references``, ``versions``.
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
        """Say in words where the encoder stands."""
        content = self.content
        corpora = ", ".join(f"{name} ({n})" for name, n in content["archive"]["corpora"].items())
        lines = [f"{content['task']}: {len(content['classes'])} classes, macro AUROC, on {corpora}"]
        if content["archive"]["part"]:
            lines.append("  a part of a corpus only: not to be compared with figures on the whole of it")
        for name, split in content["splits"].items():
            counts = ", ".join(f"{n} {part}" for part, n in split["records"].items())
            seen = "; pretraining has seen its test records, without labels" if split["seen_in_pretraining"] else ""
            lines.append(f"  split {name}: {counts}{seen}")
        lines += ["", *self._table()]
        if content["robustness"]:
            lines += ["", "linear probe of clean records on changed ones: macro AUROC and what is lost"]
        for change, models in content["robustness"].items():
            lines += [
                f"  {change}, {name}: {_interval(found['auroc'])}  {_interval(found['difference'], sign='+')}"
                for name, found in models.items()
            ]
        lines += self._screening()
        if content["references"]:
            lines += ["", "published, on the whole corpus with its official split:"]
            lines += [f"  {r['macro_auroc']:.3f}  {r['who']} ({r['how']})" for r in content["references"]]
        return lines

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
        """One line for each probe and number of labels: every model, and the differences."""
        results, differences = self.content["results"], self.content["differences"]
        lines = []
        for key in dict.fromkeys(key for kinds in results.values() for key in kinds):
            kind, _, size = key.partition("/")
            labels = "all labels" if size == "all" else f"{size} labels" if size.isdigit() else size
            lines.append(f"{kind}, {labels}" if "%" not in size else f"{kind}, {size} of the labels")
            for model, kinds in results.items():
                if key in kinds:
                    lines.append(f"  {model:>10}  {_interval(kinds[key]['macro']['auroc'])}")
            for pair, kinds in differences.items():
                if key in kinds:
                    lines.append(f"  {pair}: {_interval(kinds[key], sign='+')}")
        return lines


def _interval(found: Mapping[str, Any], *, sign: str = "") -> str:
    """Write a figure with its interval."""
    value, low, high = ("-" if found[name] is None else f"{found[name]:{sign}.3f}" for name in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
