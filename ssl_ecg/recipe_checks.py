"""What a recipe is for, and what it may not say beside a checkpoint."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ssl_ecg.errors import RecipeError
from ssl_ecg.files import plain

Kind = Literal["pretraining", "fine-tuning", "evaluation"]
_LIKE: dict[Kind, str] = {
    "pretraining": "such as simclr", "fine-tuning": "finetune/default or finetune/scratch",
    "evaluation": "such as evaluate/superclass",
}  # fmt: skip


def check_kind(bound: Mapping[str, Any], recipe: object, *wanted: Kind) -> None:
    """Refuse a bound recipe that is for something else.

    Parameters
    ----------
    bound : mapping
    recipe : object
        What it was loaded from, for the error.
    *wanted : {"pretraining", "fine-tuning", "evaluation"}

    Raises
    ------
    RecipeError
    """
    kind: Kind = "evaluation" if "protocol" in bound else "fine-tuning" if "head" in bound else "pretraining"
    if kind not in wanted:
        raise RecipeError(str(recipe)[:80], f"is a recipe for {kind}", f"take one for {wanted[0]}, {_LIKE[wanted[0]]}")


def check_overrides(overrides: Sequence[str], recipe: Mapping[str, Any], checkpoint: str | Path | None) -> None:
    """Refuse to set otherwise what comes with the encoder of a checkpoint.

    Raises
    ------
    RecipeError
        If an override says something else of the encoder, or of the scaling, than the checkpoint's card.
    CheckpointError
        If there is no such checkpoint.
    """
    from ssl_ecg.train.checkpoint import read_card

    keys = [override.partition("=")[0].strip().split(".") for override in overrides]
    if checkpoint is None or not any(key[0] == "encoder" or key == ["data", "scale"] for key in keys):
        return
    card = read_card(checkpoint)
    encoder = with_defaults(card.get("architecture", {}))
    fixed = {"encoder": encoder, "data": {"scale": card.get("preprocessing", {}).get("scale")}}
    for override, (section, *rest) in zip(overrides, keys, strict=True):
        there, name = fixed.get(section, {}), "".join(rest[:1])
        if name in there and plain(recipe[section].get(name)) != there[name]:
            raise RecipeError(f"--set {override}", "changes nothing of the encoder of a checkpoint", "leave it out")


def with_defaults(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of an encoder, also those that came after its card was written."""
    from ssl_ecg.models.registry import ENCODERS

    kind = ENCODERS.get(str(architecture.get("name")))
    arguments = {} if kind is None else inspect.signature(kind).parameters
    defaults = {name: plain(each.default) for name, each in arguments.items() if each.default is not each.empty}
    return {**defaults, **architecture}
