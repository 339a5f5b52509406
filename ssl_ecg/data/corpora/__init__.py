"""Public corpora."""

from __future__ import annotations

from ssl_ecg.data.corpora.catalogue import CORPORA, corpus_class, open_corpus

__all__ = ["CORPORA", "corpus_class", "open_corpus"]
