"""What holds for every corpus, on a small folder in its layout and on the real data where there are some."""

from __future__ import annotations

import pickle
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from ssl_ecg.data.corpora import CORPORA, corpus_class, open_corpus
from ssl_ecg.data.corpora.base import Corpus, patient_fold
from ssl_ecg.errors import CorpusError, RecordError

REAL = ("ptbxl", "ptbxl_zscored", "cinc2011", "cinc2021", "mitdb", "nstdb")
WITH_FOLDS = ("ptbxl", "arrays")


def check_disjoint(corpus: Corpus) -> None:
    folds = defaultdict(set)
    for entry in corpus.entries():
        folds[corpus.patient_key(entry)].add(entry.fold)
    assert all(len(found) == 1 for found in folds.values())


@pytest.fixture(params=CORPORA)
def corpus(request: pytest.FixtureRequest, layouts: dict[str, Path]) -> Corpus:
    return open_corpus(layouts[request.param])


def test_recognised_by_its_files(layouts: dict[str, Path], corpus: Corpus) -> None:
    assert layouts[corpus.name] == corpus.root
    assert type(corpus) is corpus_class(corpus.name)


def test_entries_are_unique_and_the_same_every_time(corpus: Corpus) -> None:
    entries = list(corpus.entries())
    assert len(entries) >= 4
    assert len({entry.record_id for entry in entries}) == len(entries)
    assert len({entry.location for entry in entries}) == len(entries)
    assert list(corpus.entries()) == entries


def test_every_entry_can_be_read_in_millivolts(corpus: Corpus) -> None:
    for entry in corpus.entries():
        record = corpus.read(entry)
        assert record.signal.dtype == np.float32
        assert record.signal.shape[0] == len(record.leads)
        assert 0.01 < np.abs(record.signal).max() < 10
        assert record.record_id == entry.record_id
        assert record.patient_id == entry.patient_id
        assert set(entry.codes) <= set(record.codes)


def test_pickles_with_its_options_and_reads_the_same(corpus: Corpus) -> None:
    entry = next(iter(corpus.entries()))
    before = corpus.read(entry)
    copy = pickle.loads(pickle.dumps(corpus))
    np.testing.assert_array_equal(copy.read(pickle.loads(pickle.dumps(entry))).signal, before.signal)
    assert list(copy.entries()) == list(corpus.entries())


def test_published_folds_are_patient_disjoint(corpus: Corpus) -> None:
    check_disjoint(corpus)
    published = {entry.fold for entry in corpus.entries()} != {None}
    assert published == (corpus.name in WITH_FOLDS)


@pytest.mark.parametrize("name", [name for name in CORPORA if name != "ptbxl"])
def test_drawn_folds_are_patient_disjoint(layouts: dict[str, Path], name: str) -> None:
    corpus = open_corpus(f"{name}:{layouts[name]}", folds=3)
    check_disjoint(corpus)
    drawn = [entry for entry in corpus.entries() if not corpus.patient_key(entry).startswith("ptbxl/")]
    if name not in WITH_FOLDS:
        assert all(entry.fold == patient_fold(corpus.patient_key(entry), 3) for entry in drawn)
        assert {entry.fold for entry in drawn} <= {1, 2, 3}


def test_says_what_it_is_and_where_it_comes_from(corpus: Corpus) -> None:
    assert corpus.title
    if corpus.listing == "none":
        assert not corpus.url
    else:
        assert corpus.url.startswith("https://")
        assert corpus.licence
    assert all(corpus.name in corpus_class(other).shared_with for other in corpus.shared_with)


def test_missing_signal_is_an_error_of_that_record_alone(corpus: Corpus, tmp_path: Path) -> None:
    entry = next(iter(corpus.entries()))
    copy = pickle.loads(pickle.dumps(corpus))
    copy.root = tmp_path
    with pytest.raises(RecordError):
        copy.read(entry)


def test_locations_outside_the_root_are_refused(corpus: Corpus) -> None:
    import dataclasses

    entry = next(iter(corpus.entries()))
    for location in ("../x.hea", "/etc/x.hea", "a/../../x.hea#0"):
        with pytest.raises(RecordError):
            corpus.read(dataclasses.replace(entry, location=location))


@pytest.mark.parametrize("name", CORPORA)
def test_empty_folder_and_missing_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="; "):
        list(open_corpus(f"{name}:{tmp_path}").entries())
    with pytest.raises(CorpusError, match="does not exist; give"):
        open_corpus(f"{name}:{tmp_path / 'none'}")
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match="is not a folder; give"):
        open_corpus(f"{name}:{tmp_path / 'file'}")


def test_patient_fold_is_balanced_and_fixed() -> None:
    folds = [patient_fold(f"x/{k}") for k in range(5000)]
    counts = np.bincount(folds, minlength=11)[1:]
    assert counts.sum() == 5000
    assert 420 < counts.min() < counts.max() < 580
    assert folds[:5] == [patient_fold(f"x/{k}") for k in range(5)]


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_folds_are_patient_disjoint(real_data: Path, name: str) -> None:
    check_disjoint(open_corpus(real_data / name))
    if name not in ("ptbxl", "ptbxl_zscored"):
        check_disjoint(open_corpus(real_data / name, folds=5))


@pytest.mark.real
def test_folds_are_disjoint_over_both_pieces_of_ptbxl(real_data: Path) -> None:
    folds = defaultdict(set)
    both = open_corpus(real_data / "ptbxl"), open_corpus(real_data / "ptbxl_zscored", namespace="ptbxl")
    for corpus in both:
        for entry in corpus.entries():
            folds[corpus.patient_key(entry)].add(entry.fold)
    assert all(len(found) == 1 for found in folds.values())
    shared = [{corpus.patient_key(entry) for entry in corpus.entries()} for corpus in both]
    assert len(shared[0] & shared[1]) == 4
