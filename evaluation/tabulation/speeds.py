"""Tables of speed and memory: reading, preparing, augmentation, backbones, scale."""

from __future__ import annotations

from typing import Any

from .formats import count, score
from .layout import Cell, Column, Results, Row, Table, bold, value

AUGMENTATION = "evaluation/augmentation/results.json"
READING = "evaluation/reading/results.json"
MEMORY = "evaluation/preparing/memory.json"
BACKBONES = "evaluation/speed/backbones.json"
LAYOUT = "evaluation/speed/layout.json"
RPEAKS = "evaluation/rpeaks/results.json"
SCALE = "evaluation/scale/scale.json"
PREPARE = "evaluation/scale/prepare.json"


def reading_rows(results: Results) -> list[Row]:
    """Make one row for each set of records."""
    sets = results.find(READING, "sets") or {}
    return [Row(key, entry["description"].partition(":")[0]) for key, entry in sets.items()]


def _ratio(entry: dict[str, Any]) -> str:
    low, high = entry["ratio_quartiles"]
    return f"{entry['ratio']:.1f} ({low:.1f} to {high:.1f})"


def _reading(form: Any, *path: str) -> Cell:
    return value(form, READING, "sets", "{}", *path)


def backbone_rows(results: Results) -> list[Row]:
    """Make one row for each backbone, ours by the names of the registry."""
    labels = {"torch_ecg ResNet-34, our kernels": "torch_ecg ResNet-34, our kernel lengths"}
    keys = results.find(BACKBONES, "backbones") or {}
    return [Row(key, labels.get(key, key) if key.startswith("torch_ecg") else f"`{key}`") for key in keys]


def backbone_columns(results: Results) -> list[Column]:
    """Make a column for each kind of work; bfloat16 where the processor computes in it."""
    kinds = {
        "parameters": "parameters",
        "training, float32": "train_per_s",
        "training, bfloat16": "train_bfloat16_per_s",
        "embedding, float32": "embed_per_s",
    }
    there = results.find(BACKBONES, "backbones", "conv1d") or {}
    return [
        Column(name, value(count, BACKBONES, "backbones", "{}", kind)) for name, kind in kinds.items() if kind in there
    ]


def layout_rows(results: Results) -> list[Row]:
    """Make one row for each backbone, and one for a whole step of pretraining by each recipe."""
    backbones, recipes = (results.find(LAYOUT, part) or {} for part in ("backbones", "pretraining"))
    rows = [Row(key, "`{}`{}{}".format(*key.partition(","))) for key in backbones]
    return [*rows, *(Row(key, f"a whole step of the recipe `{key}`") for key in recipes)]


def _layout(kind: str) -> Cell:
    def ratio(found: dict[str, Any]) -> str:
        low, high = found["ratio_range"]
        return f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"

    def cell(results: Results, row: str) -> str:
        if row in (results.find(LAYOUT, "backbones") or {}):
            return value(ratio, LAYOUT, "backbones", "{}", kind)(results, row)
        return value(ratio, LAYOUT, "pretraining", "{}")(results, row) if kind == "train_crops" else ""

    return cell


def strip_rows(source: str, step: str) -> Any:
    """Make one row for each number of strips of a step."""
    return lambda results: [Row(key, count(int(key))) for key in results.find(source, "results", step) or {}]


def transform_rows(results: Results) -> list[Row]:
    """Make one row for each transform, one for both views, and one for the encoder's step on them."""
    transforms = results.find(AUGMENTATION, "results", "0", "transforms") or {}
    size = results.find(AUGMENTATION, "results", "0", "two_views", "encoder_parameters") or 0
    encoder = f"forward + backward of `conv1d` ({size / 1e6:.2f} M parameters) on both"
    return [
        *(Row(key, key) for key in transforms),
        Row("two_views", "**two views of the chain**"),
        Row("step", encoder),
    ]


def microseconds(cost: float) -> str:
    """Write a time [us] with two digits or more."""
    return f"{cost:.1f}" if cost < 9.95 else count(cost)


def _augmented(length: int, form: Any, what: str) -> Cell:
    def cell(results: Results, row: str) -> str:
        start = (AUGMENTATION, "results", str(length))
        if row == "step":
            shown = "encoder_step_cpu_us" if what == "batched_cpu_us" else "none"
            return value(count, *start, "two_views", shown)(results, row)
        if row == "two_views":
            text = value(form, *start, "two_views", what)(results, row)
            return bold(text) if text else ""
        return value(form, *start, "transforms", "{}", what)(results, row)

    return cell


def _augmented_columns(results: Results) -> list[Column]:
    columns = []
    for length, entry in enumerate(results.find(AUGMENTATION, "results") or ()):
        unit = f", {entry['view_samples']} samples"
        columns += [
            Column(f"batch{unit}", _augmented(length, microseconds, "batched_cpu_us")),
            Column("one by one", _augmented(length, microseconds, "single_cpu_us")),
            Column("times", _augmented(length, count, "faster_cpu")),
        ]
    return columns


def peak_rows(results: Results) -> list[Row]:
    """Make one row for each detector of R peaks."""
    version = results.find(RPEAKS, "neurokit2")
    keys = [key for key in results.find(RPEAKS) or {} if results.find(RPEAKS, key, "all")]
    return [Row(key, key.replace("ours", "`r_peaks`").replace("neurokit2", f"neurokit2 {version}")) for key in keys]


def _peaks(form: Any, what: str) -> Cell:
    return value(form, RPEAKS, "{}", "all", what)


def milliseconds(offset: float) -> str:
    """Write a time [ms]."""
    return f"{offset:.1f} ms"


def _mib(step: str) -> Column:
    return Column(f"{step} [MiB]", value(lambda mib: f"{mib:.0f}", SCALE, "results", step, "{}", "peak_mib"))


def _cpu(source: str, step: str) -> Column:
    return Column("[CPU s]", value(lambda seconds: score(seconds, 1), source, "results", step, "{}", "cpu_seconds"))


def _memory(source: str, step: str, what: str) -> Cell:
    return value(count, source, "results", step, "{}", what)


TABLES = (
    Table(
        "reading",
        "evaluation/reading/README.md",
        "set",
        reading_rows,
        (
            Column("form", _reading(lambda text: text.partition(": ")[2], "description")),
            Column("read_record", _reading(lambda ms: f"{ms:.3f} ms", "fast_ms")),
            Column("wfdb.rdrecord", _reading(lambda ms: f"{ms:.2f} ms", "wfdb_ms")),
            Column("ratio (quartiles)", _reading(_ratio)),
        ),
    ),
    Table(
        "memory",
        "evaluation/preparing/README.md",
        "records",
        strip_rows(MEMORY, "prepare"),
        (
            Column("prepare [MiB]", _memory(MEMORY, "prepare", "peak")),
            Column("its largest worker", _memory(MEMORY, "prepare", "largest_worker")),
            Column("read in random order", _memory(MEMORY, "read", "peak")),
            Column("embed", _memory(MEMORY, "embed", "peak")),
        ),
    ),
    Table(
        "speed of backbones",
        "evaluation/speed/README.md",
        "backbone",
        backbone_rows,
        backbone_columns,
    ),
    Table(
        "layout",
        "evaluation/speed/README.md",
        "time, ours to torch's own",
        layout_rows,
        (
            Column("training, crops of 1.5 s", _layout("train_crops")),
            Column("training, 10 s", _layout("train_strips")),
            Column("embedding, 10 s", _layout("embed")),
        ),
    ),
    Table(
        "augmentation",
        "evaluation/augmentation/README.md",
        "processor time per strip [us]",
        transform_rows,
        _augmented_columns,
    ),
    Table(
        "r peaks",
        "evaluation/rpeaks/README.md",
        "detector",
        peak_rows,
        (
            Column("sensitivity", _peaks(lambda ratio: score(ratio, 4), "sensitivity")),
            Column("PPV", _peaks(lambda ratio: score(ratio, 4), "ppv")),
            Column("median of \\|offset\\|", _peaks(milliseconds, "offset_median_abs_ms")),
            Column("95th percentile", _peaks(milliseconds, "offset_p95_abs_ms")),
            Column("signed median", _peaks(milliseconds, "offset_median_ms")),
        ),
    ),
    Table(
        "scale",
        "evaluation/scale/README.md",
        "strips",
        strip_rows(SCALE, "read"),
        (
            Column("prepare [MiB]", _memory(PREPARE, "prepare", "peak")),
            Column("its largest worker", _memory(PREPARE, "prepare", "largest_worker")),
            _cpu(PREPARE, "prepare"),
            *(column for step in ("read", "pretrain", "embed") for column in (_mib(step), _cpu(SCALE, step))),
        ),
    ),
)
