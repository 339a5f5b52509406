"""Checks the shapes written in signatures, and nothing else, while tests run.

What a user gives wrongly is the business of the library's own errors, which the tests of wrong input look for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import beartype


def check_shapes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let beartype check those parameters whose annotation has a shape."""
    annotations = getattr(function, "__annotations__", {})
    shaped = {name: kind for name, kind in annotations.items() if "jaxtyping" in repr(kind) or 'Tensor, "' in str(kind)}
    if not shaped:
        return function
    function.__annotations__ = shaped
    return beartype(function)
