"""Encoders on disk: safetensors weights and a JSON card; loading never unpickles."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ssl_ecg._version import __version__
from ssl_ecg.errors import CheckpointError, SSLECGError
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing

CARD_VERSION = 1
WEIGHTS = "encoder.safetensors"
CARD = "card.json"


def save_encoder(
    encoder: nn.Module,
    folder: str | Path,
    *,
    architecture: Mapping[str, Any],
    card: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write an encoder's weights and card.

    Parameters
    ----------
    encoder : nn.Module
        With `.preprocessing`, `.dim` and `.n_leads`.
    folder : path
        Made if absent; the two files in it are replaced in one step each.
    architecture : mapping
        "name" and the keyword arguments that `build_encoder` needs.
    card : mapping, optional
        What else users should know: what it was pretrained on, metrics, licence.
    half : bool
        Store kernels and matrices in half precision (IEEE float16), in half the space; loading gives float32.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CheckpointError
        If the folder cannot be written.
    """
    folder = Path(folder)
    part = folder / (WEIGHTS + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.detach().cpu().contiguous() for name, value in encoder.state_dict().items()}
        if half:
            weights = {name: value.half() if _is_kernel(value) else value for name, value in weights.items()}
        save_file(weights, part)
        part.chmod(0o644)  # safetensors writes files that only their owner can read
        os.replace(part, folder / WEIGHTS)
        full = {
            "format": CARD_VERSION,
            "ssl_ecg": __version__,
            "architecture": dict(architecture),
            "dim": encoder.dim,
            "n_leads": encoder.n_leads,
            "parameters": sum(p.numel() for p in encoder.parameters()),
            "preprocessing": encoder.preprocessing.to_dict(),  # type: ignore[union-attr, operator]
            **(card or {}),
        }
        part = folder / (CARD + ".part")
        part.write_text(json.dumps(full, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, folder / CARD)
    except (OSError, SafetensorError) as error:  # the latter, from a full disk, has no strerror
        with suppress(OSError):
            part.unlink(missing_ok=True)
        reason = getattr(error, "strerror", None) or error
        remedy = "free space or choose another folder"
        raise CheckpointError(str(folder), f"cannot be written ({reason})", remedy) from error
    return folder


def read_card(path_or_name: str | Path) -> dict[str, Any]:
    """Read the card of a checkpoint.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged, or it was written by a later version.
    """
    path = find_checkpoint(path_or_name) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(str(path), f"cannot be read ({error})", "fetch the checkpoint again") from None
    if not isinstance(card, dict) or not isinstance(card.get("format"), int):
        raise CheckpointError(str(path), "is not a card of this library", "fetch the checkpoint again")
    if card["format"] > CARD_VERSION:
        problem = f"has format {card['format']}, this version of ssl_ecg reads up to {CARD_VERSION}"
        raise CheckpointError(str(path), problem, "upgrade ssl_ecg")
    return card


def _is_kernel(value: torch.Tensor) -> bool:
    """Tell a kernel or matrix from statistics, biases and counts, which stay as they are."""
    return value.ndim > 1 and value.is_floating_point()


def load_encoder(path_or_name: str | Path) -> nn.Module:
    """Load an encoder with its preprocessing, ready to embed.

    Parameters
    ----------
    path_or_name : str or Path
        A checkpoint folder, a run folder of `pretrain`, or the name of a released checkpoint.

    Returns
    -------
    nn.Module
        In evaluation mode; (batch, lead, time) -> (batch, dim); with `.dim`, `.n_leads`, `.preprocessing`
        and `.card`.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, of a later version, or does not fit its own card.
    """
    folder = find_checkpoint(path_or_name)
    card = read_card(folder)
    try:
        architecture = dict(card["architecture"])
        encoder = build_encoder(architecture.pop("name"), **architecture)
        preprocessing = Preprocessing.from_dict(card["preprocessing"])
        encoder.load_state_dict(load_file(folder / WEIGHTS))
        if encoder.n_leads != len(preprocessing.leads):
            raise ValueError(f"{encoder.n_leads} leads in the architecture, {len(preprocessing.leads)} named")
    except CheckpointError:
        raise
    except (SSLECGError, SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        problem = f"weights and card do not fit together or are damaged ({first_line[:200]})"
        raise CheckpointError(
            str(folder), problem, "fetch the checkpoint again or use the version that wrote it"
        ) from None
    encoder.preprocessing = preprocessing  # type: ignore[assignment]
    encoder.card = card  # type: ignore[assignment]
    return encoder.eval()


def find_checkpoint(path_or_name: str | Path) -> Path:
    """Give the folder of a checkpoint, from its path, a run folder, or a released name.

    Raises
    ------
    CheckpointError
        If nothing of that name is there.
    """
    path = Path(path_or_name)
    for candidate in (path, path / "encoder", path.parent if path.name in (CARD, WEIGHTS) else path):
        if (candidate / CARD).is_file():
            return candidate
    released = released_checkpoints()
    if str(path_or_name) in released:
        found = released[str(path_or_name)]
        return found if (found / CARD).is_file() else found / "encoder"
    if path.exists():
        raise CheckpointError(
            str(path),
            f"holds no checkpoint ({CARD} is missing)",
            "give the run folder of a finished pretraining",
        )
    names = ", ".join(released) or "none installed"
    raise CheckpointError(str(path_or_name), "no such checkpoint", f"give a folder or a released name ({names})")


def released_checkpoints() -> dict[str, Path]:
    """Give the folders that come with the library, by name: encoders, and classifiers with an encoder in them."""
    package = Path(str(files("ssl_ecg")))
    for root in (package / "_checkpoints", package.parent / "checkpoints"):
        if root.is_dir():
            there = {p.parent for p in root.glob(f"*/{CARD}")} | {p.parents[1] for p in root.glob(f"*/encoder/{CARD}")}
            return {folder.name: folder for folder in sorted(there)}
    return {}
