"""The command `ssl-ecg`: every sub-command is a thin call of a documented function."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from ssl_ecg._version import __version__
from ssl_ecg.commands.archives import add_download, add_prepare
from ssl_ecg.commands.clustering import add_cluster
from ssl_ecg.commands.embeddings import add_embed, add_map, add_probe
from ssl_ecg.commands.evaluation import add_evaluate
from ssl_ecg.commands.monitoring import add_monitor
from ssl_ecg.commands.prediction import add_predict
from ssl_ecg.commands.recipe_files import add_recipes
from ssl_ecg.commands.screening import add_screen
from ssl_ecg.commands.training import add_finetune, add_pretrain
from ssl_ecg.commands.whole_line import add_demo
from ssl_ecg.errors import SSLECGError

_EPILOGUE = """\
typical line:
  ssl-ecg prepare ptbxl:/data/ptb-xl --out archive
  ssl-ecg pretrain guided --data archive --out run
  ssl-ecg embed archive --checkpoint run --out embeddings
  ssl-ecg probe embeddings --task superclass --out probe
  ssl-ecg screen embeddings --archive archive --out screen
"""
_COMMANDS = (
    add_download,
    add_prepare,
    add_pretrain,
    add_finetune,
    add_predict,
    add_embed,
    add_probe,
    add_evaluate,
    add_screen,
    add_monitor,
    add_map,
    add_cluster,
    add_demo,
    add_recipes,
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave with 0, 2 (an error that says what to do) or 130 (interrupted)."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit status."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            return _run(arguments)
    except SSLECGError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\nssl-ecg: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # nobody reads on: nothing must be written when Python ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:  # what no function has given a better name
        where = error.filename or "files"
        return _fail(f"{where}: {error.strerror or error}; check the path, its permissions and the space left")


def _run(arguments: Sequence[str] | None) -> int:
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "call"):
        parser.print_help()
        return 2
    options.call(options)
    if sys.stdout is not None:  # closed, as for a service
        sys.stdout.flush()
    return 0


def _fail(text: str) -> int:
    print("ssl-ecg: error: " + " ".join(text.split()), file=sys.stderr)
    return 2


def _show_warning(message: Warning | str, category: type[Warning], *place: object, **options: object) -> None:
    """Print a warning as one line, without the place in the source."""
    if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning):
        print("ssl-ecg: warning: " + " ".join(str(message).split()), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Reports what it cannot parse like every other error."""

    def error(self, message: str) -> NoReturn:
        where = self.prog.removeprefix("ssl-ecg").strip() or "arguments"
        raise SSLECGError(where, message, f"see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of all sub-commands."""
    parser = _Parser(
        "ssl-ecg",
        description="Self-supervised representation learning for ECG.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"ssl-ecg {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in _COMMANDS:
        add(commands)
    return parser
