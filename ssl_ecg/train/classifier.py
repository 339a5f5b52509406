"""Classifiers on disk: the checkpoint of the encoder, and beside it the head with its classes and thresholds."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ssl_ecg._version import __version__
from ssl_ecg.data.archive import Archive
from ssl_ecg.errors import CheckpointError
from ssl_ecg.files import write_json
from ssl_ecg.train.checkpoint import load_encoder
from ssl_ecg.train.heads import Head
from ssl_ecg.train.losses.classes import BCE
from ssl_ecg.train.losses.exclusive import CrossEntropy
from ssl_ecg.train.losses.values import MSE
from ssl_ecg.train.supervised.data import read_metadata
from ssl_ecg.train.supervised.model import Supervised

FORMAT = 1
WEIGHTS = "head.safetensors"
CARD = "card.json"


def save_head(head: Head, folder: str | Path, *, arguments: Mapping[str, Any], card: Mapping[str, Any]) -> Path:
    """Write a head's weights and card.

    Parameters
    ----------
    head : Head
    folder : path
    arguments : mapping
        Keyword arguments of `Head`.
    card : mapping
        Must have "classes" (in the order of the logits) and "thresholds" (None where the largest decides); the rest is
        for the reader.

    Raises
    ------
    CheckpointError
        If the folder cannot be written.
    """
    folder = Path(folder)
    part = folder / (WEIGHTS + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: value.detach().cpu().contiguous() for name, value in head.state_dict().items()}, part)
        part.chmod(0o644)
        os.replace(part, folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(str(folder), f"cannot be written ({reason})", "free space") from error
    write_json(folder / CARD, {"format": FORMAT, "ssl_ecg": __version__, "head": dict(arguments), **card})
    return folder


def load_classifier(run: str | Path, archive: Archive | None = None) -> tuple[Supervised, dict[str, Any]]:
    """Load what `finetune` has left.

    Parameters
    ----------
    run : path
        Its run folder.
    archive : Archive, optional
        The records to be classified: checked against the encoder, and their age and sex are read.

    Returns
    -------
    model : Supervised
        In evaluation mode; see `ssl_ecg.train.evaluation.predict_proba`.
    card : dict
        With "classes", "thresholds" and "windows" (seconds and stride).

    Raises
    ------
    CheckpointError
        If it is missing, damaged, of a later version, or does not fit the archive.
    """
    run = Path(run)
    encoder, folder, card = load_encoder(run), run / "head", read_head_card(run)
    try:
        head = Head(encoder.dim, len(card["classes"]), **card["head"])  # type: ignore[arg-type]
        head.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise _no_head(folder, error) from None
    metadata = None
    if archive is not None:
        encoder.preprocessing.check_archive(archive)  # type: ignore[union-attr, operator]
        metadata = torch.from_numpy(read_metadata(archive))
    criterion = {"continuous": MSE, "multiclass": CrossEntropy}.get(str(card.get("kind")), BCE)
    return Supervised(encoder, head, criterion(), metadata=metadata).eval(), card


def read_head_card(run: str | Path) -> dict[str, Any]:
    """Read what stands beside a head.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or of a later version.
    """
    folder = Path(run) / "head"
    try:
        card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
        later = card["format"] > FORMAT
        card["classes"] = [str(name) for name in card["classes"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_head(folder, error) from None
    if later:
        raise CheckpointError(str(folder), f"has format {card['format']}", "upgrade ssl_ecg")
    return card


def _no_head(folder: Path, error: Exception) -> CheckpointError:
    problem = f"holds no head, or a damaged one ({(str(error).splitlines() or [''])[0][:200]})"
    return CheckpointError(str(folder), problem, "give the run folder of a finished fine-tuning")
