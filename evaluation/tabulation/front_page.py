"""Tables of the front page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .comparison import auroc, few_labels, few_labels_less_scratch, less
from .formats import count, interval, score
from .layout import Cell, Column, Results, Row, Table

DOCUMENT = "README.md"
SIZES = tuple(Row(size, size) for size in ("all", "500", "200", "100", "50"))

PRETRAINED_ON = {
    "conv1d-base": "`guided`, the same recordings",
    "conv1d-guided": "`guided`, {steps} steps, the same recordings",
    "conv1d-small": "SimCLR, {records} recordings: PTB-XL folds 1-8 ({ptbxl} records and {arrays} more, z-scored), "
    "CinC 2011, CinC 2021 ({cinc2021})",
}
HALF_PRECISION = ("conv1d-base", "conv1d-guided")
"""Checkpoints whose kernels are stored in 16 bits, which no card says."""


def card_rows(results: Results) -> list[Row]:
    """Make one row for each released checkpoint."""
    folder = results.root / "checkpoints"
    names = sorted(path.parent.name for path in folder.glob("*/card.json"))
    return [Row(name, f"[`{name}`](checkpoints/{name}/card.json)") for name in names]


def of_card(form: Callable[[dict[str, Any]], str]) -> Cell:
    """Make cells from the card of the row's checkpoint."""

    def cell(results: Results, name: str) -> str:
        card = results.find(f"checkpoints/{name}/card.json")
        return "" if card is None else form(card)

    return cell


def encoder(card: dict[str, Any]) -> str:
    """Say what the encoder is and takes."""
    name = {"conv1d": "Conv1D"}.get(card["architecture"]["name"], f"`{card['architecture']['name']}`")
    kind = f"{name}, {card['parameters'] / 1e6:.2f} M parameters, {card['dim']} numbers"
    taken = f"{kind}, {card['n_leads']} leads at {card['preprocessing']['fs']:g} Hz"
    return f"{taken}; kernels stored in half precision" if card["name"] in HALF_PRECISION else taken


def pretrained_on(card: dict[str, Any]) -> str:
    """Say by which method on which recordings."""
    sources = {name: count(corpus["records"]) for name, corpus in card["pretrained_on"]["corpora"].items()}
    new = f"`{card['recipe']['method']['name']}`, {{records}} recordings"
    figures = {"records": count(card["pretrained_on"]["records"]), "steps": count(card["recipe"]["train"]["steps"])}
    return PRETRAINED_ON.get(card["name"], new).format(**sources, **figures)


def judged(card: dict[str, Any]) -> str:
    """Give the figure of the linear probe, and that of the untrained encoder."""
    metrics = card["metrics"]
    return f"{interval(metrics['pretrained']['linear'])} ({score(metrics['random']['linear'])})"


class Speed(NamedTuple):
    """A row of the table of speed; `figures` are paths into the JSON, or pairs of paths to be divided."""

    what: str
    against: str
    text: str
    figures: Sequence[tuple[str, ...] | tuple[tuple[str, ...], tuple[str, ...]]]


def _reading(*sets: str) -> list[tuple[str, ...]]:
    return [("evaluation/reading/results.json", "sets", name, "ratio") for name in sets]


def _backbone(measure: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    start = ("evaluation/speed/backbones.json", "backbones")
    return (*start, "resnet34", measure), (*start, "torch_ecg ResNet-34, our kernels", measure)


def _loop(name: str) -> tuple[str, ...]:
    return "evaluation/speed/backbones.json", "loops", name, "ratio"


SPEEDS = (
    Speed(
        "reading a record of 10 s, 12 leads (PTB-XL 100 / 500 Hz, CinC 2011, CinC 2021 .mat)",
        "`wfdb.rdrecord`, same bits",
        "[{:.0f} / {:.0f} / {:.0f} / {:.0f} times faster](evaluation/reading/README.md)",
        _reading("ptbxl/records100", "ptbxl/records500", "cinc2011", "cinc2021"),
    ),
    Speed(
        "reading half an hour, 2 leads (MIT-BIH, NSTDB)",
        "`wfdb.rdrecord`, same bits",
        "{:.1f} / {:.1f} times faster",
        _reading("mitdb", "nstdb"),
    ),
    Speed(
        "`prepare` on two cores, 500 / 100 Hz",
        "wfdb and SciPy record by record in one process",
        "[{:.1f} / {:.1f} times faster](evaluation/preparing/README.md)",
        [("evaluation/preparing/throughput.json", "results", fs, "median_ratio") for fs in ("500 Hz", "100 Hz")],
    ),
    Speed(
        "augmentation of both views in a batch",
        "the same transforms record by record",
        "[{:.0f} times faster](evaluation/augmentation/README.md)",
        [("evaluation/augmentation/results.json", "results", "0", "two_views", "faster_cpu")],
    ),
    Speed(
        "the training loop, everything included",
        "forward and backward alone",
        "[{:.2f}](evaluation/speed/README.md)",
        [("evaluation/speed/results.json", "training", "ratio")],
    ),
    Speed(
        "`embed`, everything included",
        "the forward pass alone",
        "[{:.2f}](evaluation/speed/README.md)",
        [("evaluation/speed/results.json", "embedding", "ratio")],
    ),
    Speed(
        "a step of pretraining with SimCLR",
        "the same with torch's own layout of convolutions",
        "[{:.2f} of its time](evaluation/speed/README.md)",
        [("evaluation/speed/layout.json", "pretraining", "simclr", "ratio")],
    ),
    Speed(
        "pretraining with SimCLR",
        "lightly's loss, augmentation record by record, records in memory",
        "[{:.1f} times faster](evaluation/speed/README.md)",
        [_loop("pretraining against records one by one")],
    ),
    Speed(
        "a training step and a forward pass of `resnet34`",
        "torch_ecg's ResNet-34 of the same size",
        "[{:.2f} and {:.2f}](evaluation/speed/README.md)",
        [_backbone("train_per_s"), _backbone("embed_per_s")],
    ),
    Speed(
        "fine-tuning `resnet34`, everything included",
        "torch_ecg's trainer",
        "[{:.2f}](evaluation/speed/README.md)",
        [_loop("fine-tuning against torch_ecg's trainer")],
    ),
)


def ratio(results: Results, what: str) -> str:
    """Write the ratios of a row of the table of speed; nothing if one of them is missing."""
    row = next(speed for speed in SPEEDS if speed.what == what)
    figures = [_figure(results, path) for path in row.figures]
    return "" if None in figures else row.text.format(*figures)


def _figure(results: Results, path: Sequence[Any]) -> float | None:
    if isinstance(path[0], str):
        found = results.find(*path)
        return None if found is None else float(found)
    above, below = (_figure(results, part) for part in path)
    return None if above is None or below is None else above / below


TABLES = (
    Table(
        "representation",
        DOCUMENT,
        "labelled records",
        (Row("all", "all (about 950)"), *SIZES[1:]),
        (
            Column("`simclr` (0.7 M parameters, five minutes on a shared core)", auroc("simclr", "linear", interval)),
            Column("untrained encoder of the same shape", auroc("untrained", "linear", interval)),
            Column("difference", less("simclr", "linear", "untrained", "linear")),
        ),
        best_of_row=(0, 1),
    ),
    Table(
        "few labels",
        DOCUMENT,
        "labelled records",
        SIZES,
        (
            Column("from scratch", few_labels("scratch", "finetuned")),
            Column("`guided`, linear probe", auroc("guided", "linear")),
            Column("`guided`, fine-tuned", few_labels("finetuned_guided", "finetuned")),
            Column("with a forest on expert features", few_labels("hybrid_guided", "finetuned")),
            Column("the last less from scratch", few_labels_less_scratch("hybrid_guided", "finetuned")),
            Column("three seeds of it together", auroc("ensemble_hybrid", "finetuned")),
        ),
        best_of_row=(0, 1, 2, 3),
    ),
    Table(
        "speed",
        DOCUMENT,
        "what",
        tuple(Row(speed.what, speed.what) for speed in SPEEDS),
        (Column("against", lambda _, what: next(s.against for s in SPEEDS if s.what == what)), Column("ratio", ratio)),
    ),
    Table(
        "checkpoints",
        DOCUMENT,
        "name",
        card_rows,
        (
            Column("encoder", of_card(encoder)),
            Column("pretrained on", of_card(pretrained_on)),
            Column("never saw", of_card(lambda card: str(card["not_seen"]).split(";")[0])),
            Column("macro AUROC on PTB-XL's fold 9 (part; untrained)", of_card(judged)),
        ),
    ),
)
