"""Commands on long recordings: monitor."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, not_negative, quiet


def add_monitor(commands: Any) -> None:
    """Add `monitor`."""
    text = "Watch a long recording: what is unusual for this patient, and when; gaps, leads off and noise apart."
    parser = command(commands, "monitor", monitor_record, text)
    parser.add_argument("record", help="WFDB record, EDF file or plain array, half an hour to several days")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--checkpoint", default="conv1d-small", metavar="C",
        help="run folder, checkpoint folder or released name (default %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--reference", type=Path, metavar="DIR",
        help="embeddings of what counts as usual for windows, instead of the first minutes",
    )  # fmt: skip
    parser.add_argument("--baseline", type=float, default=5.0, help="first minutes to learn from (default %(default)s)")
    parser.add_argument("--beat-threshold", type=float, metavar="S", help="beats that score higher are unusual")
    parser.add_argument("--window-threshold", type=float, metavar="S", help="windows that score higher are unusual")
    parser.add_argument("--leads", metavar="II,V1", help="read these leads only, by their names in the file")
    parser.add_argument("--leads-as", metavar="II,V5", help="the standard leads that the recording's leads are")
    parser.add_argument("--top", type=not_negative, default=12, help="episodes drawn (default %(default)s)")
    parser.add_argument("--fs", type=float, help="sampling rate of a plain array that does not say it [Hz]")
    parser.add_argument("--array-leads", metavar="II,V5", help="leads of a plain array that names none")
    parser.add_argument("--scale", type=float, help="factor from a plain array to mV, such as 0.001")
    quiet(parser)


def monitor_record(options: argparse.Namespace) -> None:
    """Watch a recording, and print what was found."""
    from ssl_ecg.app.monitoring import monitor_with_report
    from ssl_ecg.monitor.recording import BLOCK
    from ssl_ecg.monitor.settings import MonitorSettings

    given = {"beat_threshold": options.beat_threshold, "window_threshold": options.window_threshold}
    settings = MonitorSettings(
        block=BLOCK, baseline=60 * options.baseline, **{name: v for name, v in given.items() if v is not None}
    )
    reading = {"fs": options.fs, "leads": options.leads or options.array_leads, "scale": options.scale}
    card = monitor_with_report(
        options.record,
        options.out,
        options.checkpoint,
        reference=options.reference,
        settings=settings,
        leads_as=[name.strip() for name in options.leads_as.split(",")] if options.leads_as else None,
        options={name: value for name, value in reading.items() if value is not None},
        top=options.top,
        progress=not options.quiet,
    )
    for state, seconds in card["seconds_by_state"].items():
        print(f"{state:>10}: {seconds / 60:.1f} min")
    print(
        f"{card['episodes']} episodes, {card['beats'].get('unusual', 0)} unusual of {sum(card['beats'].values())} beats"
    )
    print(f"{options.out / 'report.html'}")
