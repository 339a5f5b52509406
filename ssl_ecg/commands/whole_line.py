"""The command that does everything: demo."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, not_negative, overrides, positive, quiet


def add_demo(commands: Any) -> None:
    """Add `demo`."""
    text = "Do the whole line, on simulated or on your own recordings, and write a report."
    parser = command(commands, "demo", run_demo, text)
    parser.add_argument("--out", type=Path, default=Path("ssl-ecg-demo"), help="folder (default %(default)s)")
    parser.add_argument("--data", metavar="PATH", help="your recordings: a folder, or corpus:folder")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--task", help="label system for the probe (default: superclass where labels exist)")
    parser.add_argument("--records", type=positive, default=1200, help="simulated recordings (default %(default)s)")
    overrides(parser, "such as train.steps=500")
    parser.add_argument("--seed", type=not_negative, default=0)
    quiet(parser)


def run_demo(options: argparse.Namespace) -> None:
    """Do the whole line."""
    from ssl_ecg.app.demo import demo

    out = demo(
        options.out,
        data=options.data,
        recipe=options.recipe,
        overrides=options.overrides,
        task=options.task,
        records=options.records,
        seed=options.seed,
        progress=not options.quiet,
    )
    print(f"open {out / 'report.html'}")
