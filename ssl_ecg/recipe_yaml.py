"""The text of recipes: YAML files, and overrides such as ``train.lr=1e-3``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ssl_ecg.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, which PyYAML's own rules do not, and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            problem = f"key {sorted(map(str, twice))[0]!r} is given twice"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def parse_file(path: Path) -> Any:
    """Read a YAML file.

    Raises
    ------
    RecipeError
        If it cannot be read.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), f"cannot be read ({error})", "give a YAML file") from None
    except yaml.YAMLError as error:
        raise RecipeError(str(path), "is not valid YAML: " + shorten(str(error)), "mend the line named") from None


_KEPT = ("weight",)
"""Beside a name, what is not an argument of the class of that name."""


def apply_overrides(recipe: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set values in place; names come first, and a new one takes away what the recipe says of the old one.

    Examples
    --------
    >>> recipe = {"loss": {"name": "focal", "gamma": 1.5}}
    >>> apply_overrides(recipe, ["loss.smoothing=0.1", "loss.name=bce"])
    >>> recipe
    {'loss': {'name': 'bce', 'smoothing': 0.1}}
    """
    for override in sorted(overrides, key=lambda one: not one.partition("=")[0].strip().endswith(".name")):
        _apply(recipe, override)


def _apply(recipe: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    switch = len(keys) == 1 and text.strip() in ("true", "false")  # a section as a whole, such as forest=true
    if not equals or not all(keys) or (len(keys) < 2 and not switch):
        raise RecipeError(f"--set {override}", "is not section.key=value", "for example --set train.lr=1e-3")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(
            f"--set {override}", "the value is not valid YAML: " + shorten(str(error)), "quote it"
        ) from None
    place: Any = recipe
    for key in keys[:-1]:
        place = _step(place, key, override)
    if isinstance(place, list):
        place[_number(place, keys[-1], override)] = value
    else:
        if keys[-1] == "name" and place.get("name") != value:
            for key in set(place) - {*_KEPT}:
                del place[key]
        place[keys[-1]] = value


def _step(place: Any, key: str, override: str) -> Any:
    at: Any = _number(place, key, override) if isinstance(place, list) else key
    inner = place[at] if isinstance(place, list) else place.setdefault(at, {})
    if isinstance(inner, str):
        inner = place[at] = {"name": inner}
    if inner is None or inner is True or inner is False:
        inner = place[at] = {}
    if not isinstance(inner, dict | list):
        raise RecipeError(f"--set {override}", f"{key!r} holds a value, not a section", "leave out what follows it")
    return inner


def _number(place: list[Any], key: str, override: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise RecipeError(f"--set {override}", f"no item {key!r} in a list of {len(place)}", "count from 0")
    return int(key)


def shorten(text: str) -> str:
    """Bring a message onto one line of at most 300 characters."""
    return " ".join(text.split())[:300]
