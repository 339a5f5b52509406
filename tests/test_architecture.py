"""The shape of the package, read from its source: floors, late imports, forbidden calls, docstrings, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import ssl_ecg

ROOT = Path(ssl_ecg.__file__).parent

# From the ground up. A module belongs to the longest name here that is its own or that of a package around it.
FLOORS: list[tuple[str, ...]] = [
    ("_version", "errors", "leads", "provenance", "tasks"),
    (
        *("signal", "spectral", "files", "waiting", "estimator", "logistic", "preprocessing", "embedding.vectors"),
        *("tree_arrays", "holding", "data.layout"),
        *("evaluate.metrics", "evaluate.bootstrap", "evaluate.sampling", "evaluate.splits", "evaluate.counting"),
        *("evaluate.decisions", "evaluate.calibration", "evaluate.challenge"),
        *("evaluate.thresholds", "evaluate.regression", "evaluate.reliability", "evaluate.curves", "metrics"),
        "explain.reasons",
        "targets",
    ),
    (
        *("data.record", "data.readers", "data.corpora", "data.simulate", "data", "data.strips"),
        *("augment", "models", "screen", "scaling", "processes", "features"),
        *("probing.linear", "probing.knn", "probing.ridge"),
    ),
    ("methods", "embedding", "map", "sources", "probing"),
    ("train", "monitor"),
    ("recipes", "recipe_yaml", "recipe_checks", "run_folder", "evaluate"),
    (
        *("pretraining", "finetuning", "readings", "prediction", "evaluation"),
        *("plot", "explain", "reconstruction", "clusters"),
    ),
    ("app", "commands", "cli"),
]
FLOOR_OF = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}

# Packages whose __init__ offers functions on purpose; everything else is imported from the module that defines it.
FRONT_DOORS = {
    "data.corpora": {"CORPORA", "corpus_class", "open_corpus"},
    "data.readers": {"read_record"},
    "data.simulate": {"SimulatedCorpus", "simulate", "simulate_records"},
    "tasks": {"get_task"},
}
# No torch in these, neither their own nor through what they import when they are loaded.
TORCH_FREE_UNITS = {
    *FLOORS[0],
    *FLOORS[1],
    *("data", "data.record", "data.readers", "data.corpora", "data.simulate"),
    *("screen", "probing", "map", "plot", "features"),
}
LATE_ONLY = {"faiss", "hdbscan", "matplotlib", "pandas", "sklearn", "umap", "wfdb"}
TALKS = {"app", "cli", "commands"}  # units that may print
LONG_FILES = {"cli.py", "plot/ecg.py", "plot/paper.py", "recipes.py", "signal.py"}  # up to 350 lines, others 300


class Import(NamedTuple):
    """One import statement's target: ``from base import name``; ``late`` when it stands inside a function."""

    base: str
    name: str | None
    late: bool
    line: int


@cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name without the leading ``ssl_ecg.``; the package itself is ``""``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


def is_package(module: str) -> bool:
    return module in modules() and modules()[module].name == "__init__.py"


def unit_of(module: str) -> str:
    parts = module.split(".")
    for size in range(len(parts), 0, -1):
        if (unit := ".".join(parts[:size])) in FLOOR_OF:
            return unit
    raise KeyError(f"{module!r} has no floor: add it to FLOORS in {Path(__file__).name}")


def find_imports(node: ast.AST, late: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for statement in child.orelse:
                yield from find_imports(statement, late)
        elif isinstance(child, ast.Import):
            yield from (Import(alias.name, None, late, child.lineno) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = "." * child.level + (child.module or "")
            yield from (Import(base, alias.name, late, child.lineno) for alias in child.names)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from find_imports(child, late or inside)


@cache
def imports(module: str) -> tuple[Import, ...]:
    return tuple(find_imports(tree(module)))


def own_targets(module: str, late: bool = True) -> set[str]:
    """Modules of the package that this one imports, the late ones too unless told otherwise."""
    targets = set()
    for base, name, is_late, _ in imports(module):
        if base.split(".")[0] == "ssl_ecg" and (late or not is_late):
            inner = base.removeprefix("ssl_ecg").removeprefix(".")
            deeper = f"{inner}.{name}".removeprefix(".")
            targets.add(deeper if deeper in modules() else inner)
    return targets - {""}


def loaded_with(module: str) -> set[str]:
    """What loading a module loads next: its imports outside functions, and the packages around those."""
    targets = own_targets(module, late=False)
    around = {target.rsplit(".", size)[0] for target in targets for size in range(1, target.count(".") + 1)}
    return {name for name in targets | around if not f"{module}.".startswith(f"{name}.")}


def reached(module: str) -> set[str]:
    """Every module of the package that is loaded when this one is."""
    seen, todo = set(), [module]
    while todo:
        if (current := todo.pop()) not in seen:
            seen.add(current)
            todo.extend(loaded_with(current))
    return seen


def foreign(module: str, late: bool = True) -> set[str]:
    return {found.base.split(".")[0] for found in imports(module) if late or not found.late} - {"ssl_ecg"}


def where(module: str, line: int) -> str:
    return f"{modules()[module].relative_to(ROOT)}:{line}"


def safe_loaders(module: str) -> set[str]:
    """Names that `yaml.load` may take: classes of this module made from yaml.SafeLoader."""
    classes = [node for node in tree(module).body if isinstance(node, ast.ClassDef)]
    return {node.name for node in classes if [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]}


def calls(module: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def test_source_is_found() -> None:
    assert {"errors", "data.archive", "train.fit", "cli"} <= set(modules())
    assert "data.corpora" in own_targets("data.prepare")
    assert any(found.late for found in imports("commands.training"))
    assert "torch" in foreign("models.conv1d")


def test_every_module_has_a_floor_and_every_floor_its_modules() -> None:
    for module in modules():
        if module:
            unit_of(module)
    stale = [unit for unit in FLOOR_OF if unit not in modules()]
    assert not stale, f"FLOORS names modules that do not exist: {stale}"


def test_imports_never_climb() -> None:
    climbs = [
        f"{module} (floor {FLOOR_OF[unit_of(module)]}) imports {target} (floor {FLOOR_OF[unit_of(target)]})"
        for module in filter(None, modules())
        for target in sorted(own_targets(module))
        if FLOOR_OF[unit_of(target)] > FLOOR_OF[unit_of(module)]
    ]
    assert not climbs, "\n".join(climbs)


def test_units_on_one_floor_form_no_cycle() -> None:
    """Late imports count: two packages that need each other are one package."""
    graph: dict[str, set[str]] = {unit: set() for unit in FLOOR_OF}
    for module in filter(None, modules()):
        graph[unit_of(module)] |= {unit_of(target) for target in own_targets(module)} - {unit_of(module)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"packages import each other: {' <- '.join(error.args[1])}")


def test_modules_form_no_cycle() -> None:
    try:
        TopologicalSorter({module: loaded_with(module) for module in modules()}).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' <- '.join(error.args[1])}")


def test_names_come_from_the_module_that_defines_them() -> None:
    wrong = []
    for module in filter(None, modules()):
        for base, name, _, line in imports(module):
            inner = base.removeprefix("ssl_ecg").removeprefix(".")
            if base.startswith("."):
                wrong.append(f"{where(module, line)}: relative import")
            elif base.split(".")[0] != "ssl_ecg" or not is_package(inner):
                continue
            elif name is None or name == "*" or name not in FRONT_DOORS.get(inner, ()):
                wrong.append(f"{where(module, line)}: {name} through the package {base}")
            elif module.startswith(f"{inner}."):
                wrong.append(f"{where(module, line)}: a sibling through its own package {base}")
    assert not wrong, "\n".join(wrong)


def test_package_files_hold_no_more_than_their_front_door() -> None:
    for module in filter(None, filter(is_package, modules())):
        if module not in {*FRONT_DOORS, "evaluate"}:  # evaluate can be called: see there
            assert len(tree(module).body) <= 2, f"{module}/__init__.py: more than a docstring"


def test_torch_stays_out_of_the_lower_floors() -> None:
    wrong = []
    for module in filter(None, modules()):
        if unit_of(module) in TORCH_FREE_UNITS:
            if "torch" in foreign(module):
                wrong.append(f"{module} imports torch")
            wrong += [f"{module} loads {m}" for m in reached(module) if "torch" in foreign(m, late=False)]
    assert not wrong, "\n".join(sorted(wrong))


UPPER = ("cli", "commands", "recipes", "pretraining", "finetuning", "prediction", "app.demo", "app.report")


@pytest.mark.parametrize("module", UPPER)
def test_upper_floors_load_torch_late(module: str) -> None:
    assert not [name for name in reached(module) if "torch" in foreign(name, late=False)]


def test_lightly_and_lightning_stay_where_they_belong() -> None:
    for module in filter(None, modules()):
        package = module.split(".")[0]
        if package not in {"methods", "train"}:
            assert "lightly" not in foreign(module), f"{module} imports lightly"
        if package != "train":
            assert not {"pytorch_lightning", "lightning"} & foreign(module), f"{module} imports Lightning"
        if package == "methods":
            assert "lightly" not in foreign(module, late=False), f"{module} imports lightly outside a function"


@pytest.mark.parametrize("module", ["methods.registry", "train.checkpoint", "train.fit", "embedding.run"])
def test_lightning_is_loaded_by_training_alone(module: str) -> None:
    loaded = set().union(*(foreign(name, late=False) for name in reached(module)))
    assert not loaded & {"lightly", "pytorch_lightning"}


def test_heavy_packages_are_imported_inside_functions() -> None:
    found = {module: sorted(foreign(module, late=False) & LATE_ONLY) for module in modules()}
    assert not {module: names for module, names in found.items() if names}


def test_library_neither_asserts_nor_prints() -> None:
    wrong = [
        f"{where(module, node.lineno)}: assert"
        for module in modules()
        for node in ast.walk(tree(module))
        if isinstance(node, ast.Assert)
    ]
    wrong += [
        f"{where(module, node.lineno)}: print"
        for module in filter(None, modules())
        if module.split(".")[0] not in TALKS
        for name, node in calls(module)
        if name == "print"
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_is_unpickled_or_evaluated() -> None:
    wrong = []
    for module in modules():
        if bad := foreign(module) & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}:
            wrong.append(f"{module} imports {bad}")
        for name, node in calls(module):
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            given = {ast.unparse(argument) for argument in node.args}
            unsafe = (
                name
                in {"eval", "exec", "compile", "__import__", "yaml.unsafe_load", "yaml.full_load", "pd.read_pickle"}
                or (name == "yaml.load" and not given & safe_loaders(module))
                or (name.endswith("torch.load") and options.get("weights_only") != "True")
                or options.get("allow_pickle", "False") != "False"
                or options.get("shell", "False") != "False"
            )
            if unsafe:
                wrong.append(f"{where(module, node.lineno)}: {name}")
    assert not wrong, "\n".join(wrong)


def definitions(module: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of the latter."""
    for node in tree(module).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name[0] != "_":
            yield node
            for item in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and item.name[0] != "_":
                    yield item


def test_everything_public_has_a_docstring() -> None:
    bare = [module for module in modules() if not ast.get_docstring(tree(module))]
    for module in modules():
        for item in definitions(module):
            overload = "overload" in map(ast.unparse, item.decorator_list)
            if not ast.get_docstring(item) and not overload:
                bare.append(f"{where(module, item.lineno)} {item.name}")
    assert not bare, "no docstring:\n" + "\n".join(bare)


def test_modules_say_what_they_hold() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    assert not [module for module in modules() if vague & {*module.split("."), *module.split("_")}]


def test_files_stay_short() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules().values()
    }
    long = {name: length for name, length in lengths.items() if length > (350 if name in LONG_FILES else 300)}
    assert not long, f"split these: {long}"
    assert set(lengths) >= LONG_FILES
