"""Commands that use what has been trained: predict."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg.commands.arguments import command, positive, quiet


def add_predict(commands: Any) -> None:
    """Add `predict`."""
    parser = command(commands, "predict", predict_recordings, "Say what a fine-tuned model makes of recordings.")
    parser.add_argument("source", help="archive, folder of recordings, corpus:FOLDER, or one recording")
    parser.add_argument(
        "--checkpoint", action="append", required=True, metavar="RUN",
        help="run folder of 'ssl-ecg finetune', or released name; repeatable, several are averaged",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".csv or .parquet")
    parser.add_argument("--leads", metavar="I,II", help="give the classifier these leads only")
    parser.add_argument(
        "--quantile", type=float, default=0.99,
        help="unlike the training data is what is farther from it than this share of the validation records "
        "(default %(default)s)",
    )  # fmt: skip
    parser.add_argument("--fs", type=float, help="sampling rate of plain arrays that do not say it [Hz]")
    parser.add_argument("--array-leads", metavar="I,II,V1", help="leads of plain arrays that name none")
    parser.add_argument("--leads-as", metavar="II", help="the standard leads that the leads of the recordings are")
    parser.add_argument("--scale", type=float, help="factor from plain arrays to mV, such as 0.001")
    parser.add_argument("--workers", type=positive, metavar="N", help="processes that read recordings")
    quiet(parser)


def predict_recordings(options: argparse.Namespace) -> None:
    """Predict, and print how many recordings have which diagnosis."""
    from ssl_ecg.prediction.predict import predict

    reading = {"fs": options.fs, "leads": options.array_leads, "leads_as": options.leads_as, "scale": options.scale}
    table = predict(
        options.source,
        options.checkpoint,
        options.out,
        leads=options.leads,
        quantile=options.quantile,
        options={name: value for name, value in reading.items() if value is not None},
        workers=options.workers,
        progress=not options.quiet,
    )
    answered = table["reason"].isna()
    for name in (column for column in table.columns if column.startswith("decision_")):
        print(f"{name.removeprefix('decision_'):>10}: {int(table[name].sum())} of {int(answered.sum())} recordings")
    for name in (column for column in table.columns if column.startswith("value_")):
        low, middle, high = table[name].quantile([0.25, 0.5, 0.75])
        print(f"{name.removeprefix('value_'):>10}: median {middle:.4g}, half of the recordings {low:.4g} to {high:.4g}")
    if "note" in table:
        print(f"{int(table['note'].notna().sum())} answered by the network alone")
    odd = int(table["unlike_training"].sum())
    print(f"{odd} unlike the training data (see 'why'), {int((~answered).sum())} without an answer (see 'reason')")
    print(f"{options.out}")
