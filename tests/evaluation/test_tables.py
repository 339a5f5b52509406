"""Tables of the README files against the JSON that they are made from."""

from __future__ import annotations

import doctest
import importlib
import json
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "evaluation" / "tables.py"
RESULTS = "evaluation/comparison/results.json"
MODULES = (
    "formats",
    "layout",
    "marks",
    "comparison",
    "ablations",
    "front_page",
    "intervals",
    "screening",
    "seeds",
    "speeds",
    "supervised",
    "curves",
)


@pytest.fixture(scope="module")
def tabulation():
    """Modules beside the script, which are no part of the library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "evaluation"))
        yield SimpleNamespace(**{name: importlib.import_module(f"tabulation.{name}") for name in MODULES})


@pytest.fixture
def project(tmp_path):
    """Copy of the documents and their JSON."""
    for pattern in ("README.md", "evaluation/*/README.md", "evaluation/*/*.json", "checkpoints/*/card.json"):
        for path in ROOT.glob(pattern):
            target = tmp_path / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return tmp_path


def run(*options):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, options)], capture_output=True, text=True, timeout=120
    )


def changed(project, change):
    """Change the results of the comparison."""
    content = json.loads((project / RESULTS).read_text())
    change(content)
    (project / RESULTS).write_text(json.dumps(content))


def table_of(text, name):
    """Cells of a marked table, read back independently of what wrote them."""
    body = re.search(rf"<!-- table: {re.escape(name)} -->\n(.*?)<!-- end -->", text, re.DOTALL)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines() if line.startswith("|")]
    return rows[:1] + rows[2:]


def test_every_committed_table_is_what_its_json_says():
    answer = run("--check")
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_tables_are_made_without_torch():
    code = f"import runpy, sys; sys.argv = ['t', '--check']; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
    code += f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    code += "except SystemExit: print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert answer.stdout.splitlines()[-1] == "[]", answer.stderr


def test_what_is_out_of_date_is_shown_then_written(project):
    path = project / "README.md"
    before = path.read_text()
    line = next(line for line in before.splitlines() if line.startswith("| all (about 950) |"))
    path.write_text(before.replace(line, line.replace("0.", "0.1", 1)))
    stale = run("--check", "--root", project)
    assert stale.returncode == 1
    assert f"+{line}" in stale.stdout.splitlines()
    assert path.read_text() != before  # --check writes nothing
    assert run("--root", project).returncode == 0
    assert path.read_text() == before
    assert run("--check", "--root", project).returncode == 0


def test_a_document_without_its_marker_is_an_error(project):
    path = project / "README.md"
    path.write_text(path.read_text().replace("<!-- table: speed -->", ""))
    answer = run("--check", "--root", project)
    assert answer.returncode == 2
    assert "README.md: no marker for 'speed'" in answer.stderr


def test_representation_by_plain_formatting():
    content = json.loads((ROOT / RESULTS).read_text())
    rows = table_of((ROOT / "README.md").read_text(), "representation")
    assert [row[0] for row in rows[1:]] == ["all (about 950)", "500", "200", "100", "50"]
    for row in rows[1:]:
        size = row[0].split()[0]
        ours = content["cells"]["simclr"]["auroc"][f"linear/{size}"]
        less = content["differences"]["simclr"][f"linear/{size} - untrained linear/{size}"]
        assert row[1].replace("*", "") == "{value:.3f} [{low:.3f}, {high:.3f}]".format(**ours)
        assert row[3] == "{value:+.3f} [{low:.3f}, {high:.3f}]".format(**less)


def test_every_backbone_method_and_ablation_with_results_has_its_row():
    content = json.loads((ROOT / RESULTS).read_text())
    text = (ROOT / "evaluation/comparison/README.md").read_text()
    rows = [row for name in ("methods less simclr", "ablations") for row in table_of(text, name)[1:]]
    compared = [
        name
        for name, cell in content["cells"].items()
        if cell["cell"]["kind"] in ("pretrained", "untrained")
        and ({"simclr", "a_default"} & set(cell["cell"].get("against", ())))
        and not name.startswith("simclr_")
    ]
    assert len(rows) == len(compared) > 20


@pytest.mark.parametrize(
    ("name", "argument", "expected"),
    [
        ("score", {"value": 0.90649, "low": 0.9, "high": 0.91}, "0.906"),
        ("interval", {"value": 0.9061, "low": 0.8968, "high": 0.9142}, "0.906 [0.897, 0.914]"),
        ("interval", {"value": 1.0, "low": 0.99996, "high": 1.0}, "1.000 [1.000, 1.000]"),
        ("difference", {"value": 0.0358, "low": 0.0299, "high": 0.042}, "+0.036 [0.030, 0.042]"),
        ("difference", {"value": -0.0042, "low": -0.0091, "high": 0.0008}, "-0.004 [-0.009, 0.001]"),
        ("difference", {"value": 0.0002, "low": -0.0004, "high": 0.0007}, "+0.000 [-0.000, 0.001]"),
        ("difference", {"value": 0.0, "low": -0.001, "high": 0.001}, "+0.000 [-0.001, 0.001]"),
        ("difference", {"value": 0.0, "low": 0.0, "high": 0.0}, ""),
        ("change", {"value": -0.0119, "low": -0.02, "high": -0.01}, "-0.012"),
        ("change", 0.0, ""),
        ("share", 0.875, "88 %"),
        ("share", 0.0, "0 %"),
        ("near_one", 0.9998, "0.9998"),
        ("near_one", 0.9814, "0.981"),
        ("count", 2313616, "2,313,616"),
        ("number_word", 2, "two"),
        ("number_word", 40, "40"),
        ("rotations", ["1-3", "4-6", "7-9"], "three"),
        ("rotations", ["1-3"], "first"),
        ("rotations", ["4-6", "7-9"], "second and third"),
        ("rotations", ["inner"], "inner"),
        ("sizes", ["100", "1%", "50", "all", "10%", "500"], ["all", "500", "100", "50", "10%", "1%"]),
    ],
)
def test_figures_are_written_as_by_hand(tabulation, name, argument, expected):
    assert getattr(tabulation.formats, name)(argument) == expected


def test_missing_figures_leave_blank_cells_and_keep_their_rows(tabulation, tmp_path):
    entry = {"value": 0.5, "low": 0.4, "high": 0.6}
    (tmp_path / "a.json").write_text(json.dumps({"one": {"x/50": entry, "list": [1, {"y": 2}]}, "two": {}}))
    layout, formats = tabulation.layout, tabulation.formats
    results = layout.Results(tmp_path)
    rows = [layout.Row(key, f"the {key}") for key in ("one", "two", "three")]
    columns = [
        layout.Column("x", layout.value(formats.interval, "a.json", "{}", "x/50")),
        layout.Column("none", layout.value(formats.score, "absent.json", "{}")),
        layout.Column(
            "or", layout.first_of(*(layout.value(formats.score, f, "{}", "x/50") for f in ("b.json", "a.json")))
        ),
        layout.Column("y", layout.value(str, "a.json", "{}", "list", "1", "y")),
    ]
    table = layout.Table("t", "d", "what", rows, columns, best_of_row=(0, 1, 2))
    assert layout.render(table, results).splitlines() == [
        "| what | x | none | or | y |",
        "|---|---|---|---|---|",
        "| the one | **0.500** [0.400, 0.600] | | **0.500** | 2 |",
        "| the two | | | | |",
        "| the three | | | | |",
    ]
    assert layout.render(layout.Table("t", "d", "what", [], columns, caption="Soon:"), results) == ""


def test_best_is_bold_within_rows_and_groups_of_rows(tabulation, tmp_path):
    layout = tabulation.layout
    figures = {"a": ("0.1", "0.3 [0, 1]"), "b": ("0.4", "-0.2"), "c": ("0.2", "+0.5")}
    rows = [layout.Row(key, key) for key in figures]
    columns = [layout.Column(str(i), lambda _, key, i=i: figures[key][i]) for i in (0, 1)]
    text = layout.render(layout.Table("t", "d", "", rows, columns, best_of_row=(0, 1)), layout.Results(tmp_path))
    assert text.splitlines()[2:] == ["| a | 0.1 | **0.3** [0, 1] |", "| b | **0.4** | -0.2 |", "| c | 0.2 | **+0.5** |"]
    table = layout.Table("t", "d", "", rows, columns, best_of_rows=(("a", "c"), ("b",)))
    lines = layout.render(table, layout.Results(tmp_path)).splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["0.1", "**0.4**", "**0.2**"]


def test_tables_grow_with_cells_rotations_seeds_and_draws(project):
    def grow(content):
        entry = {"value": -0.0123, "low": -0.02, "high": 0.004, "seeds": [0], "divisions": ["1-3"]}
        pairs = {f"linear/{size} - simclr linear/{size}": entry for size in ("all", "100")}
        facts = {"kind": "pretrained", "encoder": {"name": "resnet9", "widths": [32, 64]}, "against": ["simclr"]}
        ran = {"seeds": [0], "divisions": ["1-3"], "auroc": {}}
        content["cells"]["simclr_resnet9"] = {**ran, "cell": facts, "parameters": 1234567, "dim": 64}
        content["differences"]["simclr_resnet9"] = pairs
        often = {"seeds": [0, 1], "divisions": ["1-3", "4-6", "7-9"]}
        by_rotation = {"linear/all": {"1-3": [0.8, 0.9], "4-6": [0.7, 0.7], "7-9": [0.6, 0.8]}}
        facts = {"kind": "pretrained", "name": "new_method"}
        content["cells"]["new_method"] = {**ran, **often, "cell": facts, "by_rotation": by_rotation}
        more = {**entry, **often}
        content["differences"]["new_method"] = {"linear/all - simclr linear/all": more}
        seen = {"kind": "pretrained", "labels": "100", "against": ["simclr_ptbxl"]}
        content["cells"]["taught_100"] = {
            **ran,
            "cell": seen,
            "auroc": {"linear/100": {"value": 0.8, "low": 0.7, "high": 0.9}},
        }
        content["differences"]["taught_100"] = {"linear/100 - simclr_ptbxl linear/100": entry}
        content["differences"]["a_novel"] = {"linear/50 - a_default linear/50": entry}
        content["cells"]["scratch_draws"]["auroc"]["finetuned/20"] = {"value": 0.75, "low": 0.7, "high": 0.8}

    changed(project, grow)
    assert run("--root", project).returncode == 0
    text = (project / "evaluation/comparison/README.md").read_text()
    written = "-0.012 [-0.020, 0.004]"
    expected = ["`resnet9`, widths 32, 64", "1,234,567", "64", "first", "one", written, written, ""]
    assert expected in table_of(text, "backbones")
    spread = f"{statistics.stdev([0.7, 0.8]):.4f}"  # of the means of the rotations
    assert ["`new_method`, linear", "two", spread, "", ""] in table_of(text, "seeds")
    assert ["`new_method`", "three", "two", written, "", ""] in table_of(text, "methods less simclr")
    assert ["`a_novel`", "", "", written] in table_of(text, "ablations")
    assert ["`taught`", "100", "first", "one", "0.800 [0.700, 0.900]", written, ""] in table_of(text, "semi-supervised")
    draws = next(row for row in table_of(text, "several draws") if row[0] == "20")
    assert draws == ["20", "", "**0.750**", "", "", "", ""]


def test_only_marked_regions_change(tabulation):
    replace = tabulation.marks.replace_regions
    text = (
        "before\n\n<!-- table: a b -->\n| old |\n<!-- end -->\n\nbetween | 1 |\n<!-- table: c -->\n<!-- end -->\nlast"
    )
    once = replace(text, {"a b": "| new |\n", "c": ""})
    assert once == text.replace("| old |", "| new |")
    assert replace(once, {"a b": "| new |\n", "c": ""}) == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: a -->\n| 1 |\n", "not closed"),
        ("<!-- table: a -->\n<!-- table: a -->\n<!-- end -->\n", "not closed"),
        ("<!-- table: a -->\n<!-- end -->\n<!-- table: a -->\n<!-- end -->\n", "twice"),
        ("<!-- table: other -->\n<!-- end -->\n", "declared: a"),
        ("nothing", "no marker for 'a'"),
    ],
)
def test_wrong_markers_are_named(tabulation, text, message):
    with pytest.raises(ValueError, match=message):
        tabulation.marks.replace_regions(text, {"a": "| 1 |\n"})


def test_examples_in_the_docstrings_hold(tabulation):
    tried = [doctest.testmod(getattr(tabulation, name)) for name in ("formats", "layout", "marks")]
    assert [result.failed for result in tried] == [0, 0, 0]
    assert sum(result.attempted for result in tried) > 8


def test_label_efficiency_curves_are_drawn_from_the_figures(tabulation, tmp_path):
    results = tabulation.layout.Results(ROOT)
    content = json.loads((ROOT / RESULTS).read_text())["cells"]
    untrained = tabulation.curves.points(results, tabulation.curves.CURVES[-1])
    assert [n for n, _ in untrained] == [50, 100, 200, 500, 960]
    assert [entry["value"] for _, entry in untrained] == [
        content["untrained"]["auroc"][f"linear/{size}"]["value"] for size in ("50", "100", "200", "500", "all")
    ]
    tabulation.curves.draw_label_efficiency(results, tmp_path / "curves.png")
    drawn = (tmp_path / "curves.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < 80_000
