"""The corpora by name, and how one is recognised; each is imported when it is opened."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus
from ssl_ecg.errors import CorpusError

CORPORA: dict[str, str] = {
    "ptbxl": "ssl_ecg.data.corpora.ptbxl:PTBXL",
    "mimic_iv_ecg": "ssl_ecg.data.corpora.mimic_iv_ecg:MIMICIVECG",
    "code15": "ssl_ecg.data.corpora.code15:CODE15",
    "cinc2011": "ssl_ecg.data.corpora.cinc2011:CinC2011",
    "cpsc2018": "ssl_ecg.data.corpora.cpsc2018:CPSC2018",
    "cinc2021": "ssl_ecg.data.corpora.cinc2021:CinC2021",
    "cinc2020": "ssl_ecg.data.corpora.cinc2020:CinC2020",
    "mitdb": "ssl_ecg.data.corpora.mitdb:MITDB",
    "arrays": "ssl_ecg.data.corpora.arrays:Arrays",
    "folder": "ssl_ecg.data.corpora.folder:Folder",
}
"""Name -> "module:Class", in the order in which an unnamed folder is tried."""


def corpus_class(name: str) -> type[Corpus]:
    """Import the class of a corpus.

    Raises
    ------
    CorpusError
        If there is no such corpus; the nearest name is given.

    Examples
    --------
    >>> corpus_class("mitdb").title
    'MIT-BIH Arrhythmia Database'
    """
    if name not in CORPORA:
        raise CorpusError(name, "no such corpus", _nearest(name, list(CORPORA)))
    module, _, attribute = CORPORA[name].partition(":")
    found: type[Corpus] = getattr(import_module(module), attribute)
    return found


def open_corpus(source: str | Path, **options: object) -> Corpus:
    """Open a corpus on disk.

    Parameters
    ----------
    source : str or path
        ``"PATH"``, whose corpus is recognised by the files in it, or ``"name:PATH"``.
    **options
        Keyword arguments of the corpus's class, such as ``rate=500`` for PTB-XL.

    Raises
    ------
    CorpusError
        If the path, the name or an option is wrong, or nothing readable is there.
    """
    name, path = _split(source)
    if name is None:
        name, path = _detect(path)
    cls = corpus_class(name)
    known = [key for key in inspect.signature(cls).parameters if key != "root"]
    for key in options:
        if key not in known:
            raise CorpusError(f"{name}: option {key!r}", "no such option", _nearest(key, known))
    try:
        return cls(path, **options)  # type: ignore[arg-type]
    except (TypeError, AttributeError) as error:
        raise CorpusError(f"{name}: options", f"one has a wrong type: {error}", "see the class's docstring") from error


def _split(source: str | Path) -> tuple[str | None, Path]:
    text = str(source)
    name, colon, path = text.partition(":")
    if isinstance(source, Path) or not colon or len(name) < 2 or Path(text).exists():
        return None, Path(text).expanduser()
    if name in CORPORA or name.isidentifier():
        corpus_class(name)
        return name, Path(path).expanduser()
    return None, Path(text).expanduser()


def _detect(root: Path) -> tuple[str, Path]:
    """Recognise the corpus in a folder, or in the only sub-folder of one."""
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise CorpusError(str(root), problem, "give the folder of a corpus, or name:PATH")
    for name in _candidates(root):
        return name, root
    below = _folders(root)
    known = [(next(_candidates(child), ""), child) for child in below]
    known = [(name, child) for name, child in known if name]
    if len(known) == len(below) == 1:
        return known[0]
    if known:
        names = ", ".join(f"{name}:{child}" for name, child in known[:6])
        remedy = f"open one: {names}; or all as folder:{root}"
        raise CorpusError(str(root), "holds several folders of records", remedy)
    if corpus_class("folder").detect(root):
        return "folder", root
    remedy = (
        "give a folder with WFDB (.hea), .edf or .npy records, or folder:PATH and fs for .csv, or fetch a corpus with "
        "`ssl-ecg download`"
    )
    raise CorpusError(str(root), "no readable recordings", remedy)


def _candidates(root: Path) -> Iterator[str]:
    return (name for name in CORPORA if name != "folder" and corpus_class(name).detect(root))


def _folders(root: Path) -> list[Path]:
    return sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(known) or 'none'}"
