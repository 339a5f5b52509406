"""The command `ssl-ecg`: every sub-command is a thin call of a documented function."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from ssl_ecg._version import __version__
from ssl_ecg.errors import SSLECGError

_EPILOGUE = """\
typical line:
  ssl-ecg prepare ptbxl:/data/ptb-xl --out archive
  ssl-ecg pretrain simclr --data archive --out run
  ssl-ecg embed archive --checkpoint run --out embeddings
  ssl-ecg probe embeddings --task superclass --out probe
  ssl-ecg screen embeddings --archive archive --out screen
"""


_MOST_FOLDS = 1000


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
    import ssl_ecg.commands as commands

    getattr(commands, options.call)(options)
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
    for add in (_download, _prepare, _pretrain, _finetune, _embed, _probe, _screen, _map, _demo, _recipes):
        add(commands)
    return parser


def _command(commands: Any, name: str, call: str, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(call=call)
    return parser


def _quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _engine(parser: argparse.ArgumentParser) -> None:
    text = "processes, or dask://HOST:PORT: the workers of a Dask cluster, which share the files with this machine"
    parser.add_argument("--engine", metavar="ENGINE", help=text)


def _overrides(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE", help=text)


def _download(commands: Any) -> None:
    parser = _command(commands, "download", "download_corpus", "Fetch a public corpus; resumable and checksummed.")
    parser.add_argument("corpus", help="name of a corpus, such as ptbxl")
    parser.add_argument("--out", type=Path, help="folder (default: the corpus's name)")
    parser.add_argument("--base-url", help="fetch from this address instead, in the same layout")
    parser.add_argument("--workers", type=positive, default=4, help="parallel connections (default %(default)s)")
    parser.add_argument("--only", nargs="+", metavar="PATTERN", help="only files that match, such as 'records100/*'")
    _quiet(parser)


def _prepare(commands: Any) -> None:
    parser = _command(commands, "prepare", "prepare_archive", "Turn recordings into an archive for training.")
    parser.add_argument("source", nargs="+", help="folder, or corpus:folder such as ptbxl:/data/ptb-xl")
    parser.add_argument("--out", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--fs", type=float, default=100.0, help="sampling rate [Hz] (default %(default)s)")
    parser.add_argument("--leads", help="leads in order, such as I,II,V1 (default: the twelve standard leads)")
    parser.add_argument(
        "--band", nargs="+", default=["0.5", "40"], metavar="HZ",
        help="pass band LOW HIGH [Hz], or 'none' (default 0.5 40)",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, help="processes (default: one per core)")
    _engine(parser)
    parser.add_argument("--no-resume", action="store_true", help="start over what an earlier run left unfinished")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="option of the corpus, such as rate=500",
    )
    _quiet(parser)


def _pretrain(commands: Any) -> None:
    parser = _command(commands, "pretrain", "pretrain_encoder", "Pretrain an encoder without labels.")
    parser.add_argument("recipe", help="name (see 'ssl-ecg recipes list') or YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    _overrides(parser, "such as train.lr=1e-3")
    parser.add_argument("--task", help="log an online probe on this task, such as superclass")
    parser.add_argument("--devices", type=positive, default=1, help="processes on this host, each with a GPU if there")
    _quiet(parser)


def _finetune(commands: Any) -> None:
    parser = _command(commands, "finetune", "finetune_classifier", "Train a classifier, from a checkpoint or not.")
    parser.add_argument("recipe", help="finetune/default, finetune/scratch or a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="ARCHIVE")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN")
    parser.add_argument("--checkpoint", metavar="C", help="run folder, checkpoint folder or released name")
    parser.add_argument("--task", default="superclass", help="such as superclass or cpsc9 (default %(default)s)")
    parser.add_argument("--train-folds", type=folds, metavar="1-8")
    parser.add_argument("--val-folds", type=folds, metavar="9")
    parser.add_argument("--test-folds", type=folds, metavar="10")
    parser.add_argument("--labels", type=positive, metavar="N", help="train on N of the labelled records")
    parser.add_argument("--draw", type=not_negative, default=0, help="which N of them")
    _overrides(parser, "such as train.lr=1e-3")
    _quiet(parser)


def _embed(commands: Any) -> None:
    parser = _command(commands, "embed", "embed_archive", "Embed every record of an archive.")
    parser.add_argument("archive", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--checkpoint", metavar="C", help="run folder, checkpoint folder or released name")
    source.add_argument("--random", metavar="RECIPE", help="the untrained encoder of a recipe or RUN/recipe.yaml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--batch-size", type=positive, default=256, help="records at a time (default %(default)s)")
    _engine(parser)
    parser.add_argument("--seed", type=not_negative, default=0, help="of the untrained encoder")
    _overrides(parser, "of the untrained encoder's recipe, such as encoder.n_leads=2")
    _quiet(parser)


def _probe(commands: Any) -> None:
    parser = _command(commands, "probe", "probe_embeddings", "Measure embeddings by linear and kNN probes.")
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument("--task", required=True, help="such as superclass or cpsc9")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--baseline", type=Path, metavar="DIR", help="embeddings of the same records to compare with")
    parser.add_argument("--train-folds", type=folds, metavar="1-8")
    parser.add_argument("--val-folds", type=folds, metavar="9")
    parser.add_argument("--test-folds", type=folds, metavar="10")
    parser.add_argument("--labels", type=positive, metavar="N", help="also probe with N labelled records")
    parser.add_argument("--draws", type=positive, default=10, help="draws of N labelled records (default %(default)s)")
    parser.add_argument("--seed", type=not_negative, default=0)
    parser.add_argument("--no-knn", action="store_true", help="leave the nearest-neighbour probe out")


def _screen(commands: Any) -> None:
    parser = _command(commands, "screen", "screen_embeddings", "Rank recordings by how unusual they are.")
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--detector", default="kmeans", help="kmeans, dbscan, hdbscan or knn (default %(default)s)")
    parser.add_argument("--reference", type=Path, metavar="DIR", help="embeddings of what counts as usual")
    parser.add_argument("--archive", type=Path, help="draw the most unusual recordings from this archive")
    parser.add_argument("--budget", type=float, default=20.0, help="alerts per 1,000 recordings (default %(default)s)")
    parser.add_argument(
        "--top", type=not_negative, default=12, help="recordings drawn in the report (default %(default)s)"
    )
    parser.add_argument("--seed", type=not_negative, default=0)


def _map(commands: Any) -> None:
    parser = _command(commands, "map", "map_embeddings", "Draw embeddings as a UMAP picture.")
    parser.add_argument("embeddings", type=Path, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="PICTURE", help=".png or .svg")
    parser.add_argument("--task", help="colour by the classes of this task")
    parser.add_argument("--scores", type=Path, help="scores.parquet of 'ssl-ecg screen', or its folder")
    parser.add_argument(
        "--colour", "--color", dest="colour", choices=("label", "cluster", "score"),
        help="default: label with --task, score with --scores",
    )  # fmt: skip
    parser.add_argument("--method", choices=("umap", "pca"), default="umap")
    parser.add_argument("--seed", type=not_negative, default=0)


def _demo(commands: Any) -> None:
    text = "Do the whole line, on simulated or on your own recordings, and write a report."
    parser = _command(commands, "demo", "run_demo", text)
    parser.add_argument("--out", type=Path, default=Path("ssl-ecg-demo"), help="folder (default %(default)s)")
    parser.add_argument("--data", metavar="PATH", help="your recordings: a folder, or corpus:folder")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--task", help="label system for the probe (default: superclass where labels exist)")
    parser.add_argument("--records", type=positive, default=1200, help="simulated recordings (default %(default)s)")
    _overrides(parser, "such as train.steps=500")
    parser.add_argument("--seed", type=not_negative, default=0)
    _quiet(parser)


def _recipes(commands: Any) -> None:
    parser = commands.add_parser("recipes", help="List, show, copy and check recipes.")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _command(actions, "list", "list_recipes", "List the recipes that come with the library.")
    show = _command(actions, "show", "show_recipe", "Print a recipe with every default filled in.")
    show.add_argument("recipe")
    _overrides(show, "such as train.lr=1e-3")
    copy = _command(actions, "copy", "copy_recipe", "Copy a recipe to a file of your own.")
    copy.add_argument("recipe")
    copy.add_argument("target", type=Path)
    check = _command(actions, "check", "check_recipe", "Check a recipe without running it.")
    check.add_argument("recipe")
    _overrides(check, "such as train.lr=1e-3")


def folds(text: str) -> tuple[int, ...]:
    """Read folds such as "1-8" or "1,2,5-7".

    Examples
    --------
    >>> folds("1-3,9")
    (1, 2, 3, 9)
    """
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            low, high = int(first), int(last or first)
            if not low <= high < low + _MOST_FOLDS:
                raise ValueError
            numbers += range(low, high + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of folds such as 1-8 or 1,2,9") from None
    return tuple(numbers)


def positive(text: str) -> int:
    """Read a whole number from 1 on."""
    return _whole(text, 1)


def not_negative(text: str) -> int:
    """Read a whole number from 0 on."""
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return number
