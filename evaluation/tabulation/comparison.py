"""Tables of the pretraining comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .formats import count, difference, interval, number_word, rotations, score, sizes
from .layout import Cell, Column, Results, Row, Table, first_of, value

SOURCE = "evaluation/comparison/results.json"
DOCUMENT = "evaluation/comparison/README.md"
SAME_RECORDINGS = "simclr_ptbxl"
"""Cell without labels on the recordings that the semi-supervised ones are pretrained on."""
FEW = ("all", "100", "50")


def auroc(cell: str, probe: str, form: Callable[[Any], str] = score) -> Cell:
    """Macro AUROC of a cell by a probe, at the number of labels that the row says."""
    return value(form, SOURCE, "cells", cell, "auroc", f"{probe}/{{}}")


def less(cell: str, probe: str, other: str, theirs: str) -> Cell:
    """Paired difference of a cell by a probe to another, at the number of labels that the row says."""
    return value(difference, SOURCE, "differences", cell, f"{probe}/{{}} - {other} {theirs}/{{}}")


def less_scratch(cell: str, probe: str) -> Cell:
    """Paired difference to training from scratch."""
    return less(cell, probe, "scratch", "finetuned")


def size_rows(cell: str, probe: str) -> Callable[[Results], list[Row]]:
    """Make one row for each number of labels that a cell has."""

    def rows(results: Results) -> list[Row]:
        keys = (key.partition("/") for key in results.find(SOURCE, "cells", cell, "auroc") or ())
        return [Row(size, size) for size in sizes(size for kind, _, size in keys if kind == probe)]

    return rows


def _against(
    other: str, wanted: Callable[[str, dict[str, Any]], bool], probe: str = "linear"
) -> Callable[[Results], list[str]]:
    """Find cells that have a difference to another, best first, those with more rotations before."""

    def found(results: Results) -> list[str]:
        ranked = []
        for cell, entries in (results.find(SOURCE, "differences") or {}).items():
            entry = _first_paired(entries, other, probe)
            facts = results.find(SOURCE, "cells", cell, "cell")
            if entry and facts and wanted(cell, facts):
                ranked.append((-len(entry["divisions"]), -entry["value"], cell))
        return [cell for *_, cell in sorted(ranked)]

    return found


def _first_paired(entries: dict[str, Any], other: str, probe: str) -> dict[str, Any] | None:
    """Find the difference to another cell by the same probe, with all labels or the most there are."""
    start, middle = f"{probe}/", f" - {other} {probe}/"
    there = sizes(key[len(start) :].partition(middle)[0] for key in entries if key.startswith(start) and middle in key)
    return entries[f"{start}{there[0]}{middle}{there[0]}"] if there else None


def is_method(cell: str, facts: dict[str, Any]) -> bool:
    """Tell a method from SimCLR with something changed."""
    return facts["kind"] == "pretrained" and not cell.startswith("simclr")


def has_own_encoder(cell: str, facts: dict[str, Any]) -> bool:
    """Tell a cell of SimCLR on another encoder."""
    return cell.startswith("simclr_") and ("encoder" in facts or any("encoder." in s for s in facts.get("set", ())))


def is_finetuned(cell: str, facts: dict[str, Any]) -> bool:
    """Tell fine-tuning of a pretrained encoder from training from scratch and from hybrids."""
    return facts["kind"] == "finetuned" and "pretrained" in facts


def method_rows(results: Results) -> list[Row]:
    """Make one row for each pretraining method that is compared with SimCLR."""
    return [Row(cell, f"`{cell}`") for cell in _against("simclr", is_method)(results)]


def backbone_rows(results: Results) -> list[Row]:
    """Make one row for each other encoder under SimCLR."""
    found = _against("simclr", has_own_encoder)(results)
    return [Row(cell, encoder_name(results.find(SOURCE, "cells", cell, "cell"))) for cell in found]


def encoder_name(facts: dict[str, Any]) -> str:
    """Say what the encoder of a cell is, and what else was changed."""
    encoder = dict(facts.get("encoder", {}))
    parts = [f"`{encoder.pop('name', 'conv1d')}`", *(f"{key} {content}" for key, content in encoder.items())]
    for setting in facts.get("set", ()):
        key, _, content = setting.partition("=")
        parts.append(f"{key.split('.')[-1]} {content}")
    return ", ".join(part.replace("[", "").replace("]", "") for part in parts)


def _row_less(other: str, key: str) -> Cell:
    """Paired difference of the row's cell to another, both judged alike."""
    return value(difference, SOURCE, "differences", "{}", f"{key} - {other} {key}")


def less_by_row(other: str) -> list[Column]:
    """Make the columns of differences to another cell by the linear probe."""
    return [Column(size, _row_less(other, f"linear/{size}")) for size in FEW]


def _extent(other: str, probe: str = "linear") -> list[Column]:
    def cell(form: Callable[[Any], str], what: str) -> Cell:
        def text(results: Results, row: str) -> str:
            entry = _first_paired(results.find(SOURCE, "differences", row) or {}, other, probe)
            return form(entry[what]) if entry else ""

        return text

    return [
        Column("rotations", cell(rotations, "divisions")),
        Column("seeds", cell(lambda seeds: number_word(len(seeds)), "seeds")),
    ]


def finetuned_rows(results: Results) -> list[Row]:
    """Make one row for each way of pretraining whose encoder was fine-tuned."""
    found = _against("scratch", is_finetuned, "finetuned")(results)
    return [Row(cell, f"`{results.find(SOURCE, 'cells', cell, 'cell', 'pretrained')}`") for cell in found]


def _finetuned(size: str) -> list[Column]:
    """Make the columns of fine-tuning with so many labels."""
    own = f"finetuned/{size}"
    return [
        Column(size, value(score, SOURCE, "cells", "{}", "auroc", own)),
        Column("less scratch", _row_less("scratch", own)),
        Column("less `simclr`", _row_less("finetuned_simclr", own)),
    ]


def semi_supervised_rows(results: Results) -> list[Row]:
    """Make one row for each encoder that has seen the labels its probe has."""
    found = _against(SAME_RECORDINGS, lambda _, facts: "labels" in facts)(results)
    return [Row(cell, f"`{cell.rpartition('_')[0]}`") for cell in found]


def _with_labels(make: Callable[[str, str], Cell]) -> Cell:
    """Make cells at the number of labels that the row's encoder has seen."""

    def text(results: Results, row: str) -> str:
        size = results.find(SOURCE, "cells", row, "cell", "labels")
        return "" if size is None else make(row, str(size))(results, str(size))

    return text


def few_labels(cell: str, probe: str) -> Cell:
    """Macro AUROC of the cell with several seeds, or else of that with several draws."""
    return first_of(auroc(cell, probe), auroc(f"{cell}_draws", probe))


def few_labels_less_scratch(cell: str, probe: str) -> Cell:
    """Paired difference to training from scratch, of the same two cells."""
    return first_of(less_scratch(cell, probe), less(f"{cell}_draws", probe, "scratch_draws", "finetuned"))


def cpsc_rows(results: Results) -> list[Row]:
    """Make one row for each encoder and probe."""
    return [Row(key, key) for key in results.find("evaluation/comparison/cpsc9.json", "results") or ()]


def cpsc(form: Callable[[Any], str], metric: str) -> Cell:
    """Mean over the classes of CPSC."""
    return value(form, "evaluation/comparison/cpsc9.json", "results", "{}", "macro", metric)


def _beside_scratch(name: str, cells: str) -> Table:
    """Make the table of `guided` beside training from scratch, of cells whose names end alike."""
    tuned, hybrid, scratch = f"finetuned_guided_{cells}", f"hybrid_guided_{cells}", f"scratch_{cells}"
    return Table(
        name,
        DOCUMENT,
        "labels",
        size_rows(scratch, "finetuned"),
        (
            Column("draws", value(str, SOURCE, "cells", scratch, "cell", "sizes", "{}")),
            Column("from scratch", auroc(scratch, "finetuned")),
            Column("`guided`, fine-tuned", auroc(tuned, "finetuned")),
            Column("less scratch", less(tuned, "finetuned", scratch, "finetuned")),
            Column("with forest", auroc(hybrid, "finetuned")),
            Column("less scratch", less(hybrid, "finetuned", scratch, "finetuned")),
        ),
        best_of_row=(1, 2, 4),
    )


TABLES = (
    Table(
        "rotations and seeds",
        DOCUMENT,
        "labels",
        size_rows("scratch", "finetuned"),
        (
            Column("untrained, linear", auroc("untrained", "linear")),
            Column("`simclr`, linear", auroc("simclr", "linear")),
            Column("`guided`, linear", auroc("guided", "linear")),
            Column("from scratch", auroc("scratch", "finetuned")),
            Column("`simclr`, fine-tuned", auroc("finetuned_simclr", "finetuned")),
            Column("`guided`, fine-tuned", auroc("finetuned_guided", "finetuned")),
            Column("`simclr`, hybrid", auroc("hybrid_simclr", "hybrid")),
            Column("`guided`, fine-tuned, with forest", auroc("hybrid_guided", "finetuned")),
            Column("three of these together", auroc("ensemble_hybrid", "finetuned")),
        ),
        best_of_row=tuple(range(9)),
    ),
    Table(
        "less scratch",
        DOCUMENT,
        "labels",
        size_rows("scratch", "finetuned"),
        (
            Column("`simclr`, linear", less_scratch("simclr", "linear")),
            Column("`guided`, linear", less_scratch("guided", "linear")),
            Column("`simclr`, fine-tuned", less_scratch("finetuned_simclr", "finetuned")),
            Column("`guided`, fine-tuned", less_scratch("finetuned_guided", "finetuned")),
            Column("`guided`, fine-tuned, with forest", less_scratch("hybrid_guided", "finetuned")),
            Column("three of these together (seed 0 of scratch)", less_scratch("ensemble_hybrid", "finetuned")),
        ),
    ),
    _beside_scratch("several draws", "draws"),
    _beside_scratch("both with gamma 0", "gamma_0"),
    Table("methods less simclr", DOCUMENT, "method", method_rows, (*_extent("simclr"), *less_by_row("simclr"))),
    Table(
        "fine-tuned methods",
        DOCUMENT,
        "pretrained by",
        finetuned_rows,
        (*_extent("scratch", "finetuned"), *_finetuned("all"), *_finetuned("100")),
        caption="**Fine-tuning of each**, paired by seed and draw:",
    ),
    _beside_scratch("shares", "shares"),
    Table(
        "backbones",
        DOCUMENT,
        "encoder",
        backbone_rows,
        (
            Column("parameters", value(count, SOURCE, "cells", "{}", "parameters")),
            Column("numbers", value(count, SOURCE, "cells", "{}", "dim")),
            *_extent("simclr"),
            *less_by_row("simclr"),
        ),
        caption="**Other encoders less the `conv1d` of `simclr`**, the same recipe, linear probe, paired:",
    ),
    Table(
        "semi-supervised",
        DOCUMENT,
        "method",
        semi_supervised_rows,
        (
            Column("labels", _with_labels(lambda _, size: lambda *_: size)),
            *_extent(SAME_RECORDINGS),
            Column("macro AUROC", _with_labels(lambda cell, _: auroc(cell, "linear", interval))),
            Column("less `simclr`", _with_labels(lambda cell, _: less(cell, "linear", SAME_RECORDINGS, "linear"))),
            Column("less scratch", _with_labels(lambda cell, _: less_scratch(cell, "linear"))),
        ),
        caption="**With labels in pretraining** (those that the linear probe has; PTB-XL's recordings alone), paired:",
    ),
    Table(
        "cpsc",
        DOCUMENT,
        "encoder and probe",
        cpsc_rows,
        (Column("macro AUROC of eight classes", cpsc(interval, "auroc")), Column("macro F1", cpsc(score, "f1"))),
    ),
)
