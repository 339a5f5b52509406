"""Turn a finished pretraining run into a released checkpoint: weights, and a card with what users should know.

The run must have left PTB-XL's folds 9 and 10 out. The card's own figure is a linear probe trained on folds 1-7,
its regularisation chosen on fold 8, and judged on fold 9.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ssl_ecg import Archive, embed, load_encoder
from ssl_ecg.pretraining import random_encoder
from ssl_ecg.probing.folder import run_probe
from ssl_ecg.train.checkpoint import save_encoder

LICENCE = "MIT for the weights; trained on data that ask for attribution, see sources"

ATTRIBUTION = [
    "PTB-XL 1.0.3, as WFDB and as an array of z-scored records: Wagner et al. 2020, "
    "doi 10.1038/s41597-020-0495-6, CC BY 4.0",
    "PhysioNet/CinC Challenge 2011 set A: ODC-By 1.0",
    "PhysioNet/CinC Challenge 2021 (CPSC2018, CPSC-Extra, Chapman-Shaoxing, Ningbo): CC BY 4.0",
]

OWN = ("format", "ssl_ecg", "architecture", "dim", "n_leads", "parameters", "preprocessing")
"""What `save_encoder` writes into a card by itself."""


def about(out: Path) -> dict[str, Any]:
    """Say what every released card says."""
    use = "research; not for clinical use"
    return {"name": out.name, "licence": LICENCE, "attribution": ATTRIBUTION, "intended_use": use}


def main() -> None:
    """Measure, and write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--labelled", type=Path, required=True, help="archive of PTB-XL")
    parser.add_argument("--out", type=Path, required=True, help="folder of the released checkpoint")
    parser.add_argument("--half", action="store_true", help="store kernels in half precision; they are measured so")
    options = parser.parse_args()
    encoder, archive = load_encoder(options.run), Archive(options.labelled)
    if options.half:
        architecture = encoder.card["recipe"]["encoder"]
        save_encoder(encoder, options.out, architecture=architecture, card=encoder.card, half=True)
        encoder = load_encoder(options.out)
    card = dict(encoder.card)
    seen = card["pretrained_on"]["corpora"].get("ptbxl", {}).get("folds", [])
    if {9, 10} & set(seen):
        raise SystemExit("this run has seen fold 9 or 10")
    metrics = run_probe(
        embed(encoder, archive),
        "superclass",
        train_folds=range(1, 8),
        val_folds=8,
        test_folds=9,
        baseline=embed(random_encoder(card["recipe"], archive), archive),
    )
    macro = {kind: metrics[kind]["macro"]["auroc"] for kind in ("linear", "knn")}
    baseline = {kind: metrics["baseline"][kind]["macro"]["auroc"] for kind in ("linear", "knn")}
    card = {key: value for key, value in card.items() if key not in OWN}
    card |= about(options.out) | {
        "not_seen": "PTB-XL folds 9 and 10; any recording outside the corpora listed",
        "metrics": {
            "what": "macro AUROC of five superclasses, part of PTB-XL; trained on folds 1-7, chosen on 8, judged on 9",
            "pretrained": macro,
            "random": baseline,
            "difference": metrics["difference"],
        },
    }
    architecture = card["recipe"]["encoder"]
    save_encoder(encoder, options.out, architecture=architecture, card=card, half=options.half)
    print(metrics["linear"]["macro"]["auroc"], metrics["difference"]["linear"])


if __name__ == "__main__":
    main()
