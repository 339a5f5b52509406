"""What a recipe is for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ssl_ecg.errors import RecipeError

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
