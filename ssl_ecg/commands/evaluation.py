"""The command that measures: evaluate."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, overrides, quiet
from ssl_ecg.errors import CheckpointError


def add_evaluate(commands: Any) -> None:
    """Add `evaluate`."""
    text = "Measure a checkpoint by a protocol, beside an untrained encoder and published figures."
    parser = command(commands, "evaluate", evaluate_checkpoint, text)
    parser.add_argument("protocol", help="such as superclass or label-efficiency (see 'ssl-ecg recipes list')")
    parser.add_argument("checkpoint", help="run folder, checkpoint folder, released name, or module:function")
    parser.add_argument("--data", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    overrides(parser, "such as protocol.draws=3")
    quiet(parser)


def evaluate_checkpoint(options: argparse.Namespace) -> None:
    """Evaluate, draw, and print the report."""
    from ssl_ecg.app.evaluation_report import write_evaluation_report
    from ssl_ecg.evaluation import evaluate

    encoder = options.checkpoint
    if ":" in encoder and not Path(encoder).exists():
        encoder = find_function(encoder)
    report = evaluate(
        options.protocol, encoder, options.data, options.out, overrides=options.overrides, progress=not options.quiet
    )
    print("\n".join(report.lines()))
    print(f"{write_evaluation_report(options.out)}")


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
