"""Opening by name or by content, options, overlaps, and tables that nobody wrote on purpose."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssl_ecg.data.corpora import CORPORA, open_corpus
from ssl_ecg.data.corpora.cinc2021 import CinC2021
from ssl_ecg.data.corpora.overlap import overlaps_between
from ssl_ecg.data.corpora.tables import age_of, code_list, identity, literal, whole
from ssl_ecg.errors import CorpusError, RecordError


def test_named_source_is_taken_at_its_word(layouts: dict[str, Path]) -> None:
    assert open_corpus(f"folder:{layouts['cinc2020']}").name == "folder"
    assert open_corpus(f"cinc2021:{layouts['cinc2020']}").name == "cinc2021"


def test_only_sub_folder_is_entered(layouts: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(layouts["ptbxl"], tmp_path / "ptb-xl-1.0.3")
    corpus = open_corpus(tmp_path)
    assert (corpus.name, corpus.root) == ("ptbxl", tmp_path / "ptb-xl-1.0.3")


def test_folder_of_several_corpora_is_not_guessed_at(layouts: dict[str, Path], tmp_path: Path) -> None:
    for name in ("ptbxl", "mitdb"):
        shutil.copytree(layouts[name], tmp_path / name)
    with pytest.raises(CorpusError, match=r"open one: mitdb:.*, ptbxl:.*; or all as folder:"):
        open_corpus(tmp_path)


def test_folder_without_recordings(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(CorpusError, match=r"no readable recordings; give a folder with WFDB"):
        open_corpus(tmp_path)
    with pytest.raises(CorpusError, match="does not exist; give the folder"):
        open_corpus(str(tmp_path / "none"))
    with pytest.raises(CorpusError, match="is not a folder"):
        open_corpus(tmp_path / "notes.txt")


def test_wrong_names_and_options(layouts: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="did you mean 'ptbxl'"):
        open_corpus(f"ptbx:{tmp_path}")
    with pytest.raises(CorpusError, match=r"option 'rat': no such option; did you mean 'rate'"):
        open_corpus(layouts["ptbxl"], rat=500)
    for source, options in (
        ("ptbxl", {"rate": "fast"}),
        ("arrays", {"fs": "fast"}),
        ("folder", {"scale": -1}),
        ("mitdb", {"folds": "ten"}),
        ("cinc2021", {"sources": 5}),
    ):
        with pytest.raises(CorpusError):
            open_corpus(f"{source}:{layouts[source]}", **options)


def test_corpora_are_imported_late() -> None:
    code = (
        "import sys, ssl_ecg.data.corpora as c; "
        "print([m for m in ('h5py', 'wfdb', 'scipy.io', 'pandas', 'torch', 'requests') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_overlaps_of_published_corpora() -> None:
    related = {frozenset(pair) for pair in (("cinc2020", "cinc2021"), ("cinc2020", "ptbxl"), ("cinc2021", "ptbxl"))}
    related |= {frozenset(pair) for pair in (("cpsc2018", "cinc2020"), ("cpsc2018", "cinc2021"))}
    names = [name for name in CORPORA if name not in ("folder", "arrays")]
    for first in names:
        for second in names:
            expected = first == second or frozenset((first, second)) in related
            assert overlaps_between(first, second) == expected, (first, second)


def test_overlaps_of_what_is_on_disk(layouts: dict[str, Path]) -> None:
    part = CinC2021(layouts["cinc2021"], sources=["ningbo", "cpsc2018"])
    arrays = open_corpus(layouts["arrays"], namespace="ptbxl")
    folder = open_corpus(layouts["folder"])
    ptbxl = open_corpus(layouts["ptbxl"])
    whole_set = CinC2021(layouts["cinc2021"])
    assert not overlaps_between(part, ptbxl)
    assert not overlaps_between(ptbxl, part)
    assert overlaps_between(part, "cpsc2018")
    assert overlaps_between(whole_set, ptbxl)
    assert overlaps_between(arrays, ptbxl)
    assert overlaps_between(arrays, whole_set)
    assert arrays.overlaps == ("ptbxl", "cinc2020", "cinc2021")
    assert overlaps_between(folder, folder)
    assert not overlaps_between(folder, ptbxl)
    assert overlaps_between(open_corpus(layouts["arrays"]), open_corpus(layouts["arrays"], namespace="mine"))
    assert not overlaps_between(open_corpus(layouts["arrays"]), folder)


TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
CELL = st.one_of(TEXT, st.sampled_from(["1", "1.0", "nan", "inf", "-1e400", "[", "{'a': 1}", "((((", '"', "1e999"]))


@given(CELL)
def test_cells_give_values_or_corpus_errors(cell: str) -> None:
    for read in (whole, age_of, literal, code_list):
        with contextlib.suppress(CorpusError):
            read(cell, "row")
    assert identity(cell) != ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("ptbxl", "ptbxl_database.csv"),
        ("mimic_iv_ecg", "record_list.csv"),
        ("code15", "exams.csv"),
        ("arrays", "records.csv"),
        ("cpsc2018", "REFERENCE.csv"),
        ("cinc2011", "set-a/records.csv"),
    ],
)
def test_damaged_tables_raise_nothing_but_our_errors(
    layouts: dict[str, Path], tmp_path: Path, name: str, table: str, data: st.DataObject
) -> None:
    root = tmp_path / name
    if not root.exists():
        shutil.copytree(layouts[name], root)
    source = layouts[name] / table
    original = source.read_bytes() if source.exists() else b"id,label\n1002603,acceptable\n"
    at = data.draw(st.integers(0, len(original)))
    length = data.draw(st.integers(0, 40))
    (root / table).write_bytes(original[:at] + data.draw(st.binary(max_size=30)) + original[at + length :])
    corpus = open_corpus(f"{name}:{root}")
    with contextlib.suppress(CorpusError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in list(corpus.entries())[:2]:
            with contextlib.suppress(RecordError):
                assert corpus.read(entry).signal.dtype == np.float32


def test_unreadable_folder(build: Callable[[str], Path]) -> None:
    from ssl_ecg.data.corpora.headers import walk

    with pytest.raises(CorpusError, match="cannot read the folder"):
        list(walk(build("folder") / "nowhere", (".hea",)))
