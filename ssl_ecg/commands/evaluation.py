"""The command that measures: evaluate."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import BASELINES, command, overrides, quiet
from ssl_ecg.errors import CheckpointError


def add_evaluate(commands: Any) -> None:
    """Add `evaluate`."""
    text = "Measure a checkpoint, or what fine-tuned runs have said, by a protocol, beside published figures."
    parser = command(commands, "evaluate", evaluate_checkpoint, text)
    parser.add_argument("protocol", help="such as superclass or label-efficiency (see 'ssl-ecg recipes list')")
    parser.add_argument(
        "checkpoint", nargs="+",
        help="run folder, checkpoint folder, released name, or module:function; for predictions one or several "
        "folders of 'ssl-ecg finetune'",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="ARCHIVE", help="the protocol 'predictions' can do without")
    parser.add_argument(
        "--baseline", nargs="+", metavar="CHECKPOINT",
        help="take paired differences, with p-values, to this one too; for predictions one or several folders",
    )  # fmt: skip
    parser.add_argument(
        "--also", nargs="+", default=[], choices=BASELINES,
        help="expert features with these classifiers too, at every number of labels",
    )  # fmt: skip
    parser.add_argument(
        "--scratch", action="store_true",
        help="its architecture trained from scratch too (finetune/scratch), for the first draws of every number of "
        "labels: takes long",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    overrides(parser, "such as protocol.draws=3")
    quiet(parser)


def evaluate_checkpoint(options: argparse.Namespace) -> None:
    """Evaluate, draw, and print the report."""
    from ssl_ecg.app.evaluation_report import write_evaluation_report
    from ssl_ecg.evaluation.run import evaluate

    asked = [f"protocol.also=[{', '.join(options.also)}]"] if options.also else []
    asked += ["protocol.scratch=finetune/scratch"] if options.scratch else []
    report = evaluate(
        options.protocol,
        _found(options.checkpoint),
        options.data,
        options.out,
        baseline=None if options.baseline is None else _found(options.baseline),
        overrides=[*asked, *options.overrides],
        progress=not options.quiet,
    )
    print("\n".join(report.lines()))
    print(f"{write_evaluation_report(options.out)}")


def _found(names: list[str]) -> Any:
    """Take one name as what it stands for, and several as folders."""
    if len(names) == 1 and ":" in names[0] and not Path(names[0]).exists():
        return find_function(names[0])
    return names if len(names) > 1 else names[0]


def find_function(name: str) -> Callable[..., Any]:
    """Find a function from strips to embeddings by ``module:function``.

    Raises
    ------
    CheckpointError
        If it is not there.

    Examples
    --------
    >>> find_function("math:sqrt")(4.0)
    2.0
    """
    module, _, attribute = name.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = "give module:function of a module that Python finds here"
        raise CheckpointError(name, f"cannot be imported ({error})", remedy) from None
    return found
