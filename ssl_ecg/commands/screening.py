"""The command that screens: screen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_ecg.commands.arguments import command, folds, not_negative, overrides, quiet
from ssl_ecg.errors import SignalError

if TYPE_CHECKING:
    import pandas as pd

    from ssl_ecg.screen.operating import OperatingPoint

NAMES = ("kmeans", "knn", "mahalanobis", "gmm", "isolation", "dbscan", "hdbscan", "ensemble", "reconstruction")
"""Keys of `ssl_ecg.screen.detectors.DETECTORS`, which help must not load (a test compares the two), and one more."""
_EPILOG = """\
examples:
  ssl-ecg screen archive --checkpoint run --reference-folds 1-8 --reference-codes first:NORM --out screen
  ssl-ecg screen new --checkpoint run --reference archive --false-alarms 0.01 --out screen
  ssl-ecg screen embeddings --archive archive --out screen

Run again with the same --out it goes on: what has been embedded is not embedded again.
"""


def add_screen(commands: Any) -> None:
    """Add `screen`."""
    parser = command(commands, "screen", screen_recordings, "Rank recordings by how unusual they are, and say why.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("source", type=Path, metavar="SOURCE", help="archive (with --checkpoint) or embeddings")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="scores, detector and report.html")
    parser.add_argument("--checkpoint", metavar="C", help="run folder, checkpoint folder or released name")
    _add_selection(parser)
    parser.add_argument(
        "--detector", default="mahalanobis", metavar="NAME", help=f"{', '.join(NAMES)} (default %(default)s)"
    )
    overrides(parser, "of the detector, such as k=8")
    point = parser.add_mutually_exclusive_group()
    point.add_argument("--budget", type=float, metavar="N", help="alerts per 1,000 recordings (default 20)")
    point.add_argument(
        "--quantile", type=float, metavar="Q", help="flag what scores above this quantile of the reference"
    )
    text = "flag with at most this false-alarm rate among usual recordings (conformal; needs a reference)"
    point.add_argument("--false-alarms", type=float, metavar="RATE", help=text)
    parser.add_argument("--top", type=not_negative, default=12, help="recordings drawn (default %(default)s)")
    parser.add_argument("--task", help="label system that colours the map (default: one that fits the codes)")
    parser.add_argument("--no-reasons", action="store_true", help="do not seek the leads and seconds that deviate")
    text = "run of an autoencoder, for --detector reconstruction and for reasons by its error (default: the checkpoint)"
    parser.add_argument("--reconstruction", type=Path, metavar="RUN", help=text)
    parser.add_argument("--no-drift", action="store_true", help="do not compare the whole with the reference")
    parser.add_argument("--csv", action="store_true", help="write scores.csv as well")
    parser.add_argument("--seed", type=not_negative, default=0)
    quiet(parser)


def _add_selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what is screened, and what counts as usual")
    group.add_argument("--folds", type=folds, default=(), metavar="1-3", help="screen these folds only")
    group.add_argument("--reference", type=Path, metavar="R", help="archive or embeddings of what counts as usual")
    text = "folds of the reference that count as usual; without --reference, folds of SOURCE, which are not screened"
    group.add_argument("--reference-folds", type=folds, default=(), metavar="4-8", help=text)
    text = "the same by codes, any of them: NORM,SR; first:NORM takes records whose first code it is"
    group.add_argument("--reference-codes", type=_codes, default=(), metavar="CODES", help=text)
    group.add_argument("--archive", type=Path, help="draw recordings from here, if SOURCE is embeddings")
    group.add_argument("--reference-archive", type=Path, help="the same, if --reference is embeddings")


def _codes(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def screen_recordings(options: argparse.Namespace) -> None:
    """Screen, write the report, and say what was found."""
    from ssl_ecg.app.screen_sources import Selection
    from ssl_ecg.app.screening import screen_with_report

    table = screen_with_report(
        options.source,
        options.out,
        checkpoint=options.checkpoint,
        reference=options.reference,
        usual=Selection(options.reference_folds, options.reference_codes),
        screened=Selection(options.folds),
        archive=options.archive,
        reference_archive=options.reference_archive,
        detector=options.detector,
        options=detector_options(options.overrides),
        operating=operating_point(options),
        top=options.top,
        reasons=not options.no_reasons,
        reconstruction=options.reconstruction,
        drift=not options.no_drift,
        task=options.task,
        seed=options.seed,
        progress=not options.quiet,
    )
    if options.csv:
        write_csv(table, options.out / "scores.csv")
    for line in (*said(table), *drift_lines(options.out)):
        print(line)
    print(f"{options.out / 'report.html'}")


def operating_point(options: argparse.Namespace) -> OperatingPoint:
    """Give the operating point that was asked for."""
    from ssl_ecg.screen.operating import OperatingPoint

    if options.quantile is not None:
        return OperatingPoint("quantile", options.quantile)
    if options.false_alarms is not None:
        return OperatingPoint("conformal", options.false_alarms)
    return OperatingPoint("budget", 20.0 if options.budget is None else options.budget)


def detector_options(pairs: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE pairs; values are YAML, so that numbers and lists are what they look like.

    Raises
    ------
    SignalError
        If one is not.

    Examples
    --------
    >>> detector_options(["k=8", "whiten=false"])
    {'k': 8, 'whiten': False}
    """
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SignalError(f"--set {pair}", "is not KEY=VALUE", "for example --set k=8")
        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise SignalError(f"--set {pair}", "the value is not valid YAML", "quote it") from None
    return found


def drift_lines(out: Path) -> list[str]:
    """Say what the drift check found, if there was one."""
    import json

    if not (out / "drift.json").is_file():
        return []
    found = json.loads((out / "drift.json").read_text(encoding="utf-8"))
    drifted = json.loads((out / "screen.json").read_text(encoding="utf-8"))["drifted"]
    verdict = "differ from the reference" if drifted else "are like the reference"
    tests = f"classifier AUROC {found['auroc']:.3f}, p {found['auroc_p']:.3g}; MMD p {found['mmd_p']:.3g}"
    return [f"as a whole the screened recordings {verdict} ({tests})"]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write the scores for spreadsheets, strangest first; names of neighbours are joined by spaces."""
    from ssl_ecg.files import write_whole

    ordered = table.sort_values("anomaly_score", ascending=False, kind="stable")
    ordered = ordered.assign(nearest=[" ".join(names) for names in ordered["nearest"]])
    write_whole(path, lambda file: ordered.to_csv(file, index=False))


def said(table: pd.DataFrame) -> list[str]:
    """Say what was found: how many are flagged, and the strangest ten."""
    flagged = int(table["flagged"].sum())
    lines = [f"{flagged} of {len(table)} recordings flagged; strangest first:"]
    scored = table.dropna(subset="anomaly_score")
    for _, row in scored.sort_values("anomaly_score", ascending=False, kind="stable").head(10).iterrows():
        why = f"  {row['leads']}; {row['seconds']} s" if row["leads"] else ""
        lines.append(f"  {row['record_id']}  score {row['anomaly_score']:.3f}{why}")
    lost = int(table["anomaly_score"].isna().sum())
    return lines + ([f"{lost} recordings have no finite embedding and no score; the report lists them"] if lost else [])
