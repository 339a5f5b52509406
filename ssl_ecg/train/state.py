"""The saved state of a run, read without unpickling anything but tensors and plain values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        raise of_another_model(state) from None


def of_another_model(state: Path) -> CheckpointError:
    """Say that a saved state does not fit the model."""
    remedy = "choose another --out, or finish this run with the recipe it was started with"
    return CheckpointError(str(state), "was saved by a run with another model", remedy)


@contextmanager
def writing(part: Path | None = None) -> Iterator[None]:
    """Turn failures to write into errors that say so, and remove what was half written.

    Raises
    ------
    CheckpointError
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        where = str(part.parent if part else getattr(error, "filename", None) or "log.csv")
        reason = getattr(error, "strerror", None) or str(error).strip().split("\n")[0]
        remedy = "free space, then run the same command again: it goes on from the last saved state"
        raise CheckpointError(where, f"cannot be written ({reason})", remedy) from error
