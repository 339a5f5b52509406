"""A label system: its classes in order, and what diagnostic codes mean in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.errors import LabelError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Task:
    """A multi-label classification task.

    Attributes
    ----------
    name : str
    classes : tuple of str
        In the order of the columns of `labels`.
    description : str
        What the classes are and where they come from.
    mapping : mapping from str to tuple of str
        Diagnostic code -> the classes that it means.
    negatives : frozenset of str
        Codes that mean no class but say that a record was labelled, so that all classes are absent.
    coarse : frozenset of str
        Codes too coarse for the task ("MI" where the kind of infarction is asked): a record with one of
        them is not known.
    stated : frozenset of str
        Codes that a corpus with coarse ones must have somewhere. One that has none of them leaves what they say open,
        and nothing of it is known, also where a record has no coarse code: see `labels_of`.

    Raises
    ------
    LabelError
        If a class is named twice or a code means a class that is not there.
    """

    name: str
    classes: tuple[str, ...]
    description: str
    mapping: Mapping[str, tuple[str, ...]] = field(hash=False, repr=False)
    negatives: frozenset[str] = field(default=frozenset(), repr=False)
    coarse: frozenset[str] = field(default=frozenset(), repr=False)
    stated: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        if len(set(self.classes)) != len(self.classes) or not self.classes:
            raise LabelError(f"task {self.name!r}", "a class is named twice, or there is none", "name each once")
        for code, classes in self.mapping.items():
            if unknown := set(classes) - set(self.classes):
                problem = f"code {code!r} means {sorted(unknown)}, which is no class"
                raise LabelError(f"task {self.name!r}", problem, "add the class or correct the mapping")

    def labels(self, codes: Iterable[Iterable[str] | None]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Translate the codes of records into classes.

        Parameters
        ----------
        codes : iterable of (iterable of str)
            The diagnostic codes of each record.

        Returns
        -------
        labels : float32 array (record, class)
            1 where the class is present, 0 elsewhere.
        known : bool array (record,)
            False where a record has no code of the task, or a coarse one: nothing is known about its
            classes and it is to be left out, as in the PTB-XL benchmark.

        Raises
        ------
        LabelError
            If the codes of a record are one text instead of a list.

        References
        ----------
        Strodthoff et al. 2021, doi 10.1109/JBHI.2020.3022989, section II-B.

        Examples
        --------
        >>> meanings = {"SR": ("SR",), "426783006": ("SR",), "AFIB": ("AFIB",)}
        >>> task = Task("rhythm", ("SR", "AFIB"), "", meanings)
        >>> labels, known = task.labels([["426783006"], ["AFIB", "LVH"], ["LVH"]])
        >>> labels.tolist(), known.tolist()
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], [True, True, False])
        """
        listed = list(codes)
        column = {name: k for k, name in enumerate(self.classes)}
        columns = {code: [column[name] for name in classes] for code, classes in self.mapping.items()}
        labels = np.zeros((len(listed), len(self.classes)), np.float32)
        known = np.zeros(len(listed), bool)
        for row, record in enumerate(listed):
            if isinstance(record, str):
                problem = f"the codes of record {row} are the text {record[:40]!r}"
                raise LabelError(f"task {self.name!r}", problem, "give a list of codes for each record")
            found = [] if record is None else list(record)
            present = [columns[code] for code in found if code in columns]
            known[row] = bool(present) or any(code in self.negatives for code in found)
            if any(code in self.coarse for code in found):
                known[row] = False
                continue
            for at in present:
                labels[row, at] = 1.0
        return labels, known

    def labels_of(self, index: pd.DataFrame) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Give `labels` of the column ``codes`` of an archive's index.

        The column ``corpus``, if it is there, tells which records have codes of one kind. Where a corpus has coarse
        codes and none of `stated`, such as a table of the five superclasses of PTB-XL, "NORM" says nothing of form and
        rhythm.
        """
        labels, known = self.labels(index["codes"])
        if self.stated and "corpus" in index:
            known &= self._open_nowhere(index)
        return labels, known

    def _open_nowhere(self, index: pd.DataFrame) -> NDArray[np.bool_]:
        """Tell of which records the corpus says all that the task asks for."""
        corpora = index["corpus"].astype(str).to_numpy()
        there: dict[str, set[str]] = {name: set() for name in np.unique(corpora)}
        for name, codes in zip(corpora, index["codes"], strict=True):
            there[name].update(() if codes is None else codes)
        says = {name: not codes & self.coarse or bool(codes & self.stated) for name, codes in there.items()}
        return np.array([says[name] for name in corpora], bool)
