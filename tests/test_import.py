"""Importing the library is quick, complete and leaves nothing behind; each look from a fresh interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ssl_ecg

HEAVY = {
    *("torch", "lightly", "pytorch_lightning", "sklearn", "umap", "hdbscan", "faiss", "matplotlib", "wfdb"),
    *("pandas", "pyarrow", "h5py", "jsonargparse", "requests"),
}
LOADED = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
EVERYTHING = """
import importlib, json, pkgutil, random
import ssl_ecg
random.seed(1)
state = random.getstate()
names = {m.name for m in pkgutil.walk_packages(ssl_ecg.__path__, "ssl_ecg.")} - set(LEFT_OUT)
for name in sorted(names):
    importlib.import_module(name)
print(json.dumps({"names": sorted(names), "same": random.getstate() == state}))
"""
LIGHTNING = [f"ssl_ecg.train.{name}" for name in ("adapter", "callbacks", "stop", "supervised.module", "trainer")]


def run(code: str, folder: Path) -> str:
    """Run code in a fresh interpreter, with working directory and home below `folder`; give what it printed."""
    (folder / "work").mkdir()
    (folder / "home").mkdir()
    path = os.pathsep.join([str(Path(ssl_ecg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "HOME": str(folder / "home"), "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=folder / "work", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import ssl_ecg",
        "from ssl_ecg import Record, SSLECGError, simulate",
        "from ssl_ecg.cli import build_parser; build_parser().format_help()",
        "from ssl_ecg.cli import run; run([])",
    ],
)
def test_nothing_heavy_is_loaded(code: str, tmp_path: Path) -> None:
    loaded = set(json.loads(run(f"{code}\n{LOADED}", tmp_path).splitlines()[-1]))
    assert "ssl_ecg" in loaded
    assert not loaded & HEAVY
    assert "scipy" not in loaded or "simulate" in code


def test_help_names_every_command(tmp_path: Path) -> None:
    shown = run("from ssl_ecg.cli import build_parser; build_parser().print_help()", tmp_path)
    names = "download prepare pretrain finetune predict embed probe evaluate screen map demo recipes"
    for command in names.split():
        assert f"\n    {command} " in shown


def test_every_command_has_its_function() -> None:
    from ssl_ecg.cli import build_parser

    parsers, calls = [build_parser()], set()
    while parsers:
        parser = parsers.pop()
        calls |= {parser.get_default("call")} - {None}
        for action in parser._actions:
            parsers += (getattr(action, "choices", None) or {}).values() if action.nargs == "A..." else []
    assert len(calls) >= 12
    assert not [call for call in calls if not callable(call)]


@pytest.mark.parametrize("name", ssl_ecg.__all__)
def test_public_names_resolve(name: str) -> None:
    value = getattr(ssl_ecg, name)
    assert value is getattr(ssl_ecg, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value.__module__.startswith("ssl_ecg.")
        assert value.__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        _ = ssl_ecg.pretrian
    assert not hasattr(ssl_ecg, "__wrapped__")


def test_modules_are_there_at_once(tmp_path: Path) -> None:
    shown = run(
        "import ssl_ecg; print(callable(ssl_ecg.evaluate), ssl_ecg.metrics.macro_auroc([[1], [0]], [[1], [0]]))",
        tmp_path,
    )
    assert shown.split() == ["True", "1.0"]


def test_tables_of_names_agree() -> None:
    assert set(ssl_ecg.__all__) == {*ssl_ecg._HOMES, "__version__"}
    assert ssl_ecg.__all__ == sorted(ssl_ecg.__all__)
    assert len(ssl_ecg.__all__) == len(set(ssl_ecg.__all__))
    assert set(ssl_ecg.__all__) <= set(dir(ssl_ecg))


def test_type_checkers_see_the_same_homes() -> None:
    import ast

    tree = ast.parse(Path(ssl_ecg.__file__).read_text(encoding="utf-8"))
    shown = {
        alias.name: statement.module.removeprefix("ssl_ecg.")
        for block in tree.body
        if isinstance(block, ast.If)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }
    assert shown == ssl_ecg._HOMES


@pytest.mark.parametrize("left_out", [LIGHTNING, pytest.param([], marks=pytest.mark.slow)], ids=["light", "all"])
def test_importing_everything_leaves_nothing_behind(left_out: list[str], tmp_path: Path) -> None:
    shown = run(f"LEFT_OUT = {left_out!r}\n{EVERYTHING}", tmp_path)
    result = json.loads(shown)  # so that nothing else was printed either
    assert {"ssl_ecg.data.corpora.ptbxl", "ssl_ecg.app.demo", "ssl_ecg.train.fit"} <= set(result["names"])
    assert ("ssl_ecg.train.trainer" in result["names"]) == (not left_out)
    assert result["same"]
    assert list((tmp_path / "work").iterdir()) == []
    # What others keep in the home folder (matplotlib's fonts) is theirs.
    assert [path for path in (tmp_path / "home").rglob("*") if "ssl" in path.name.lower()] == []


def test_no_module_hides_a_public_name() -> None:
    """A submodule becomes an attribute of the package once it is imported, and would stand in for the function."""
    from pathlib import Path

    modules = {path.stem for path in Path(ssl_ecg.__file__).parent.iterdir()}
    assert modules.isdisjoint(set(ssl_ecg.__all__) - {"__version__"})
