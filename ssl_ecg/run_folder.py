"""The folder of a run: whose it is, and on what it was started."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from ssl_ecg.data.layout import refuse_archive
from ssl_ecg.errors import CheckpointError, SSLECGError
from ssl_ecg.files import make_folder, write_json, write_whole
from ssl_ecg.holding import LOCK, held
from ssl_ecg.recipes import dump_recipe, load_recipe

_RECIPE, _NOTE = "recipe.yaml", "run.json"
_OTHER = "choose another --out"
_LATER = ("targets", "encoder")
"""Facts that runs of older versions have not noted."""


@contextmanager
def claimed(
    out: Path,
    recipe: Mapping[str, Any],
    facts: Mapping[str, Any],
    *,
    started_on: str,
    notes: Mapping[str, Any],
    write: bool = True,
) -> Iterator[None]:
    """Take a run folder, or make sure that the run in it is this one; and hold it for this process.

    Parameters
    ----------
    out : Path
    recipe : mapping
        Kept as `recipe.yaml`.
    facts : mapping
        What else makes a run this one, such as the fingerprint of its archive; kept in `run.json`.
    started_on : str
        What the facts describe, for the error.
    notes : mapping
        Kept beside the facts, and not compared.
    write : bool
        Of several processes, one writes, and holds the folder.

    Raises
    ------
    CheckpointError
        If the folder holds another run, or a recipe that is not of a run, or cannot be written, or if another process
        is at work in it.
    ArchiveError
        If it holds an archive.
    """
    refuse_archive(out)
    text = dump_recipe(recipe)
    begun = _check(out, text, facts, started_on)
    if not write:
        yield
        return
    make_folder(out)
    busy = CheckpointError(str(out), "another process is at work in it", f"wait until it is done, or {_OTHER}")
    with ExitStack() as stack:
        try:
            stack.enter_context(held(out / LOCK, busy))
        except OSError as error:
            raise CheckpointError(str(out), f"cannot be written ({error.strerror})", _OTHER) from None
        if not (begun or _check(out, text, facts, started_on)):  # it may have been begun meanwhile
            write_json(out / _NOTE, {**facts, **notes})
            write_whole(out / _RECIPE, lambda f: f.write(text.encode()))
        yield


def _check(out: Path, text: str, facts: Mapping[str, Any], started_on: str) -> bool:
    """Tell whether a run of this recipe and these facts has been begun there; refuse any other."""
    file = out / _RECIPE
    if not ((out / "last.ckpt").exists() or (out / "encoder").exists()):
        if file.exists() and not (out / _NOTE).exists():
            raise CheckpointError(str(out), f"holds a {_RECIPE} that is not of a run", _OTHER)
        return False
    try:
        kept = file.read_text(encoding="utf-8")
        same = text == kept or _settings(text) == _settings(kept)
        noted = json.loads((out / _NOTE).read_text(encoding="utf-8"))
        told = json.loads(json.dumps(facts))
        known = all(noted[name] == value for name, value in told.items() if name in noted or name not in _LATER)
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(str(out), f"holds a run whose {_RECIPE} or {_NOTE} is gone or damaged", _OTHER) from None
    if not same:
        remedy = f"{_OTHER}, or repeat the recipe and overrides kept in its {_RECIPE}"
        raise CheckpointError(str(out), "holds a run of another recipe", remedy)
    if not known:
        raise CheckpointError(str(out), f"holds a run on {started_on}", _OTHER)
    return True


def _settings(text: str) -> dict[str, Any]:
    """Read what a recipe sets, not what it says about itself; keys that are new since then have their defaults."""
    try:
        return {**load_recipe(yaml.safe_load(text)), "about": None}
    except (SSLECGError, yaml.YAMLError, TypeError):
        return {"text": text}
