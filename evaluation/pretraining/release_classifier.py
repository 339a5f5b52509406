"""Turn a finished fine-tuning run, with or without a forest, into a released classifier.

    ssl-ecg finetune finetune/default --data PTBXL --checkpoint conv1d-guided --forest \
        --train-folds 1-8 --val-folds 9 --out RUN
    ssl-ecg finetune finetune/default --data PTBXL --checkpoint conv1d-guided --forest \
        --train-folds 1-7 --val-folds 8 --test-folds 9 --out TWIN
    python evaluation/pretraining/release_classifier.py RUN --twin TWIN --archive PTBXL --out checkpoints/NAME

Kernels are stored in half precision, and what resuming needs is left behind. The figure in the card is that of the
twin, which has left fold 9 out; that of the released one on fold 9 would be of records that chose its weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from release import OWN, about

from ssl_ecg import Archive, load_encoder, predict
from ssl_ecg.train.checkpoint import save_encoder

LEFT_BEHIND = ("last.ckpt", "features-*.npy", "predictions.parquet", "metrics.json", "log.csv", "run.json")


def main() -> None:
    """Copy, store in half precision, see that the answers are the same, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--twin", type=Path, required=True, help="trained on folds 1-7, tested on fold 9")
    parser.add_argument("--archive", type=Path, required=True, help="on which both were trained")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    shutil.copytree(options.run, options.out, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    facts = {**about(options.out), "metrics": measured(options.twin)}
    halve(options.out / "encoder", facts)
    if (options.out / "forest" / "encoder").is_dir():
        halve(options.out / "forest" / "encoder", {})
    largest = difference(options.run, options.out, Archive(options.archive))
    print(f"half precision changes a probability by {largest:.4f} at most; {facts['metrics']['macro']}")


def measured(twin: Path) -> dict[str, Any]:
    """Give the twin's figures on the fold that it has not seen."""
    test = json.loads((twin / "metrics.json").read_text())["test"]
    what = "part of PTB-XL: a twin trained on folds 1-7, its weights chosen on 8, judged on 9"
    return {"what": what, "records": test["records"], "macro": test["macro"]}


def halve(folder: Path, facts: dict[str, Any]) -> None:
    """Store an encoder in half precision, with further facts in its card."""
    encoder = load_encoder(folder)
    architecture = encoder.card["architecture"]
    card = {key: value for key, value in encoder.card.items() if key not in OWN}
    save_encoder(encoder, folder, architecture=architecture, card={**card, **facts}, half=True)


def difference(run: Path, released: Path, archive: Archive) -> float:
    """Compare the answers of both to all records of an archive; give the largest difference of a probability."""
    tables = [predict(archive, classifier, progress=False) for classifier in (run, released)]
    first, second = (table[[name for name in table if name.startswith("proba_")]].to_numpy(float) for table in tables)
    return float(np.nanmax(np.abs(first - second)))


if __name__ == "__main__":
    main()
