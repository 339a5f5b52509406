"""Which corpora have recordings in common, as between pretraining and a test set."""

from __future__ import annotations

from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.data.corpora.catalogue import CORPORA, corpus_class


def overlaps_between(first: Corpus | str, second: Corpus | str) -> bool:
    """Tell whether two corpora have recordings in common.

    Parameters
    ----------
    first, second : Corpus or str
        Opened corpora, of which only what is on disk counts, or names, which stand for the whole.

    Raises
    ------
    CorpusError
        If there is no corpus of that name.

    Examples
    --------
    >>> overlaps_between("ptbxl", "cinc2021"), overlaps_between("ptbxl", "mitdb")
    (True, False)
    """
    if _published(first) is None or _published(second) is None:
        return isinstance(first, Corpus) and isinstance(second, Corpus) and _same_root(first, second)
    if _published(first) == _published(second):
        return True
    return _published(second) in _shares(first) and _published(first) in _shares(second)


def _published(corpus: Corpus | str) -> str | None:
    """Give the public corpus that this is or comes from; None for somebody's own files."""
    if isinstance(corpus, str):
        name = corpus_class(corpus).name
    else:
        name = corpus.namespace if corpus.namespace in CORPORA else corpus.name
    return None if name in ("folder", "arrays") else name


def _shares(corpus: Corpus | str) -> tuple[str, ...]:
    return corpus_class(corpus).shared_with if isinstance(corpus, str) else corpus.overlaps


def _same_root(first: Corpus, second: Corpus) -> bool:
    return first.root.resolve() == second.root.resolve()
