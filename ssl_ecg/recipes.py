"""Recipes: YAML bound to the signatures of the classes and functions they configure.

A recipe has five sections: `encoder` and `method` (a name and the keyword arguments of its class), `views`
(the arguments of `Views`; its transforms are names with arguments), `data` (the arguments of `open_strips`)
and `train` (those of `fit`). One with a section `head` is for fine-tuning, with `loss` in place of `method`, `data` of
`open_labelled` and `train` of `fit_supervised`, and perhaps `forest` (true, or the arguments of `ForestPlan`); one with
a section `protocol` is for evaluation and has no other.
No parameter is declared anywhere but in those signatures.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from ssl_ecg.errors import ArchiveError, RecipeError
from ssl_ecg.files import write_whole
from ssl_ecg.recipe_yaml import apply_overrides, parse_file, shorten

SECTIONS = ("about", "encoder", "views", "method", "head", "loss", "data", "train", "forest", "protocol")


def list_recipes() -> dict[str, Path]:
    """Give the recipes that come with the library, by name such as "pretrain/simclr"."""
    package = Path(str(files("ssl_ecg")))
    for root in (package / "_recipes", package.parent / "recipes"):
        if root.is_dir():
            return {str(p.relative_to(root).with_suffix("")): p for p in sorted(root.glob("*/*.yaml"))}
    return {}


def find_recipe(name_or_path: str | Path) -> Path:
    """Give the file of a recipe, from its path, its full name, or the part after the slash if it is unique.

    Raises
    ------
    RecipeError
        If there is none, with the nearest name.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    shipped = list_recipes()
    name = str(name_or_path)
    if name in shipped:
        return shipped[name]
    short = [full for full in shipped if full.split("/")[-1] == name]
    if len(short) == 1:
        return shipped[short[0]]
    raise RecipeError(name, "no such recipe", nearest(name, [*shipped, *(full.split("/")[-1] for full in shipped)]))


def load_recipe(name_or_path: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe, apply overrides and bind it: every key known, every value of its type, defaults filled in.

    Parameters
    ----------
    name_or_path : str, Path or mapping
        A name out of `list_recipes`, a YAML file, or its content.
    overrides : sequence of str
        Such as ``"train.lr=1e-3"``; a list's items are addressed by number, ``"views.transforms.0.p=1"``. Another name
        (``"encoder.name=resnet34"``) takes the recipe's arguments of the old one away, as they belong to its class;
        those that overrides give stay, wherever they stand.

    Returns
    -------
    dict
        Complete and plain; loading it again gives the same.

    Raises
    ------
    RecipeError
        If it cannot be read, a key is unknown (with the nearest name), or a value has the wrong type.
    """
    if isinstance(name_or_path, Mapping):
        raw: Any = {section: name_or_path[section] for section in name_or_path}
        where = "recipe"
    else:
        path = find_recipe(name_or_path)
        raw, where = parse_file(path), str(name_or_path)
    if not isinstance(raw, dict):
        raise RecipeError(where, "is not a mapping of sections", f"start from one of: {', '.join(list_recipes())}")
    try:
        raw = _copy(raw)
    except RecursionError:
        raise RecipeError(where, "holds itself by an alias", "take the alias (*) out") from None
    apply_overrides(raw, overrides)
    return bind_recipe(raw, where)


def bind_recipe(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Bind all sections to their signatures; raises as `load_recipe` does."""
    from ssl_ecg.models.registry import ENCODERS
    from ssl_ecg.train.fit import fit
    from ssl_ecg.train.selection import open_strips

    for key in raw:
        if key not in SECTIONS:
            raise RecipeError(where, f"unknown section {key!r}", nearest(key, SECTIONS))
    about = raw.get("about", "")
    if not isinstance(about, str):
        raise RecipeError(f"{where}: about", "is not a text", "describe the recipe in a sentence")
    if "protocol" in raw:
        return {"about": about, "protocol": _bind_protocol(raw, where)}
    bound: dict[str, Any] = {
        "about": about,
        "encoder": _bind_named(ENCODERS, raw.get("encoder"), f"{where}: encoder", ()),
    }
    if "head" in raw:
        return bound | _bind_finetuning(raw, where)
    if raw.get("forest"):
        raise RecipeError(f"{where}: forest", "stands beside no head", "take it out: it is for fine-tuning")
    bound |= {
        "method": _bind_method(raw.get("method"), f"{where}: method"),
        "data": bind(open_strips, raw.get("data") or {}, f"{where}: data", skip=_STRIPS_SKIPS),
        "train": bind(fit, raw.get("train") or {}, f"{where}: train", skip=_FIT_SKIPS),
    }
    if _takes_views(bound["method"]):
        bound["views"] = _bind_views(raw.get("views") or {}, f"{where}: views")
    elif raw.get("views"):
        problem = f"method {bound['method']['name']!r} makes no views"
        remedy, name = "take the section out", bound["method"]["name"]
        if f"pretrain/{name}" in list_recipes():
            remedy += f", or start from the recipe {name!r}"
        raise RecipeError(f"{where}: views", problem, remedy)
    return bound


def _bind_finetuning(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Bind the other sections of a recipe for fine-tuning."""
    from ssl_ecg.train.forest import ForestPlan
    from ssl_ecg.train.heads import Head
    from ssl_ecg.train.losses.classes import LOSSES
    from ssl_ecg.train.supervised.data import open_labelled
    from ssl_ecg.train.supervised.fit import fit_supervised

    if "method" in raw:
        raise RecipeError(f"{where}: method", "stands beside a head", "take one of the two sections out")
    fit_skips = ("model", "validate", "figure", *_FIT_SKIPS)
    forest = {} if raw.get("forest") is True else raw.get("forest")
    return {
        "views": _bind_views(raw.get("views") or {}, f"{where}: views"),
        "head": bind(Head, raw["head"] or {}, f"{where}: head", skip=("dim", "n_classes")),
        "loss": _bind_named(LOSSES, raw.get("loss") or "bce", f"{where}: loss", ()),
        "data": bind(open_labelled, raw.get("data") or {}, f"{where}: data", skip=("archive", "targets", "rows")),
        "train": bind(fit_supervised, raw.get("train") or {}, f"{where}: train", skip=fit_skips),
        **({} if forest is None or forest is False else {"forest": bind(ForestPlan, forest, f"{where}: forest")}),
    }


def _bind_protocol(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Bind the only section of a recipe for evaluation."""
    from ssl_ecg.evaluate.protocol import Protocol

    if others := sorted(set(raw) - {"about", "protocol"}):
        raise RecipeError(f"{where}: {others[0]}", "stands beside a protocol", "take it out")
    return bind(Protocol, raw["protocol"] or {}, f"{where}: protocol")


def _bind_method(values: Any, where: str, also: Sequence[str] = ()) -> dict[str, Any]:
    """Bind a method; where it has parts, each of them to its own class."""
    from ssl_ecg.methods.registry import METHODS

    bound = _bind_named(METHODS, values, where, ("encoder", "views", "n_classes", "n_targets"), also)
    if "parts" in bound:
        if not bound["parts"]:
            raise RecipeError(f"{where}.parts", "is empty", "begin each part with '- name:'")
        bound["parts"] = [_bind_part(part, f"{where}.parts.{k}") for k, part in enumerate(bound["parts"])]
    return bound


def _bind_part(values: Any, where: str) -> dict[str, Any]:
    """Bind a part of a method: a method and its weight."""
    bound = _bind_method({key: value for key, value in dict(values).items() if key != "weight"}, where, ("weight",))
    weight = values.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
        raise RecipeError(f"{where}.weight", f"is {weight!r}", "give a number above zero")
    return {"name": bound.pop("name"), "weight": float(weight), **bound}


def _takes_views(method: Mapping[str, Any]) -> bool:
    """Tell whether a bound method, or one of its parts, compares views."""
    from ssl_ecg.methods.registry import METHODS

    if "parts" in method:
        return any(_takes_views(part) for part in method["parts"])
    return "views" in inspect.signature(METHODS[method["name"]]).parameters


def _bind_views(values: Any, where: str) -> dict[str, Any]:
    """Bind the arguments of `Views`; rate and leads of its transforms come from the archive."""
    from ssl_ecg.augment.transforms import TRANSFORMS
    from ssl_ecg.augment.views import Views

    if not isinstance(values, Mapping):
        raise RecipeError(where, f"is {values!r}, not a mapping", "give it as indented 'key: value' lines")
    rest = {key: value for key, value in values.items() if key != "transforms"}
    bound = bind(Views, rest, where, skip=("transforms", "n_views"))
    steps = values.get("transforms") or []
    if not isinstance(steps, list):
        raise RecipeError(f"{where}.transforms", "is not a list", "begin each transform with '- name:'")
    bound["transforms"] = [
        _bind_named(TRANSFORMS, step, f"{where}.transforms.{k}", ("fs", "leads")) for k, step in enumerate(steps)
    ]
    return bound


_STRIPS_SKIPS = ("archive", "progress", "measuring", "folder")
_FIT_SKIPS = ("method", "strips", "out", "progress", "probe", "devices")


def bind(
    target: Callable[..., Any], values: Any, where: str, *, skip: Sequence[str] = (), also: Sequence[str] = ()
) -> dict[str, Any]:
    """Check values against a signature with jsonargparse, and fill in the defaults; hints name the keys `also` too.

    Raises
    ------
    RecipeError
        If a key is unknown, missing, or a value has the wrong type.
    """
    from jsonargparse import ArgumentParser

    if not isinstance(values, Mapping):
        raise RecipeError(where, f"is {values!r}, not a mapping", "give it as indented 'key: value' lines")
    known = [name for name in inspect.signature(target).parameters if name not in skip]
    for key, value in values.items():
        if key not in known:
            raise RecipeError(f"{where}.{key}", "unknown key", nearest(str(key), [*known, *also]))
        if value is None and "None" not in str(inspect.signature(target).parameters[key].annotation):
            raise RecipeError(f"{where}.{key}", "has no value", "give one, or take the key out")
    parser = ArgumentParser(exit_on_error=False)
    if inspect.isclass(target):
        parser.add_class_arguments(target, "it", skip=set(skip), fail_untyped=False)
    else:
        parser.add_function_arguments(target, "it", skip=set(skip), fail_untyped=False)
    try:
        namespace = parser.parse_object({"it": dict(values)})
    except Exception as error:
        key = re.search(r'Parser key "it\.(\w+)', str(error))
        remedy = f"see the docstring of {target.__qualname__}"
        if key is None or key[1] not in values:
            raise RecipeError(where, shorten(str(error)), remedy) from None
        problem = f"is {shorten(repr(values[key[1]]))}, not {_wanted(target, key[1])}"
        raise RecipeError(f"{where}.{key[1]}", problem, remedy) from None
    bound = namespace.as_dict().get("it", {})
    return {name: bound[name] for name in known if name in bound}


def _wanted(target: Callable[..., Any], name: str) -> str:
    """Say which type a parameter has, with the choices where there are some."""
    try:
        hint = get_type_hints(target.__init__ if inspect.isclass(target) else target)[name]
    except (NameError, KeyError):  # names that are imported for type checkers only
        hint = inspect.signature(target).parameters[name].annotation
    written = hint if isinstance(hint, str) else inspect.formatannotation(hint)
    return re.sub(r"\b(typing|collections\.abc)\.", "", written)


def _bind_named(
    registry: Mapping[str, type], values: Any, where: str, skip: Sequence[str], also: Sequence[str] = ()
) -> dict[str, Any]:
    """Bind a section that holds a name and the arguments of the class of that name."""
    if isinstance(values, str):
        values = {"name": values}
    if not isinstance(values, Mapping) or not isinstance(values.get("name"), str):
        raise RecipeError(where, "has no name", f"give 'name:' with one of {', '.join(registry)}")
    name = values["name"]
    if name not in registry:
        raise RecipeError(f"{where}.name", f"unknown {name!r}", nearest(name, list(registry)))
    arguments = {key: value for key, value in values.items() if key != "name"}
    return {"name": name, **bind(registry[name], arguments, where, skip=skip, also=also)}


def nearest(name: object, known: Sequence[str]) -> str:
    """Give a hint: the nearest known name, or all of them.

    Examples
    --------
    >>> nearest("stepps", ["steps", "seed"])
    "did you mean 'steps'?"
    """
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known)}"


def dump_recipe(recipe: Mapping[str, Any]) -> str:
    """Write a recipe as YAML."""
    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True, width=100)


def read_about(path: Path) -> str:
    """Give the first line of what a recipe says of itself; empty if it cannot be read."""
    try:
        content = parse_file(path)
    except RecipeError:
        return ""
    about = content.get("about", "") if isinstance(content, dict) else ""
    return str(about).strip().split("\n")[0]


def copy_recipe(name: str | Path, target: str | Path) -> Path:
    """Copy a recipe to a file of one's own.

    Raises
    ------
    RecipeError
        If the file is there already or cannot be written.
    """
    source, target = find_recipe(name), Path(target)
    if target.is_dir():
        target = target / source.name
    if target.exists():
        raise RecipeError(str(target), "is there already", "choose another name")
    try:
        content = source.read_bytes()
        return write_whole(target, lambda file: file.write(content))
    except (OSError, ArchiveError) as error:
        reason = getattr(error.__cause__ or error, "strerror", error)
        raise RecipeError(str(target), f"cannot be written ({reason})", "choose another folder") from None


def _copy(value: Any) -> Any:
    """Copy nested dicts and lists."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value
