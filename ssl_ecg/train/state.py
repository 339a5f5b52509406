"""The saved state of a run, read without unpickling anything but tensors and plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ssl_ecg.errors import CheckpointError
from ssl_ecg.methods.base import Method


def saved_step(state: Path) -> int:
    """Read at which step a state was saved.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    return int(load_state(state)["global_step"])


def load_state(state: Path) -> dict[str, Any]:
    """Load a saved state, tensors and plain values only.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    try:
        loaded: dict[str, Any] = torch.load(state, map_location="cpu", weights_only=True)
        return loaded
    except Exception as error:
        remedy = "delete it to start this run afresh"
        raise CheckpointError(str(state), f"is damaged ({type(error).__name__})", remedy) from None


def restore(method: Method, state: Path) -> None:
    """Put the weights of a finished run back into its method.

    Raises
    ------
    CheckpointError
        If they belong to another method.
    """
    weights = {name.removeprefix("method."): value for name, value in load_state(state)["state_dict"].items()}
    try:
        method.load_state_dict(weights)  # type: ignore[attr-defined]
    except RuntimeError:
        remedy = "choose another --out, or use the recipe this run was started with"
        raise CheckpointError(str(state), "was saved by a run with another model", remedy) from None
