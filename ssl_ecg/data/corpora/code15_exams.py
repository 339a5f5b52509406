"""The table of exams of CODE-15 %, packed into small arrays."""

from __future__ import annotations

from array import array
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ssl_ecg.data.corpora.base import Entry
from ssl_ecg.data.corpora.tables import number, read_rows, whole
from ssl_ecg.errors import CorpusError
from ssl_ecg.tasks.code15 import NONE_OF_SIX

LABELS = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST", "normal_ecg")
_NEEDED = ("exam_id", "age", "is_male", "patient_id", "trace_file", *LABELS[:6])
_TRUE, _FALSE = frozenset({"true", "1", "1.0"}), frozenset({"false", "0", "0.0", ""})


class Exams:
    """What ``exams.csv`` says, some 30 bytes an exam.

    Raises
    ------
    CorpusError
        If the table is missing or malformed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: set[str] = set()
        exam, patient, age, bits = array("q"), array("q"), array("d"), array("H")
        for row in read_rows(path, _NEEDED, remedy="fetch it with `ssl-ecg download code15`"):
            where = f"{path}: exam {row['exam_id']}"
            exam.append(_integer(row["exam_id"], where))
            patient.append(_integer(row["patient_id"], where))
            age.append(_age(row["age"], where))
            bits.append(_flags(row, where))
            self.parts.add(row["trace_file"].strip())
        order = np.argsort(np.frombuffer(exam, np.int64), kind="stable") if exam else np.zeros(0, np.int64)
        self._exam = _sorted(exam, np.int64, order)
        self._patient = _sorted(patient, np.int64, order)
        self._age = _sorted(age, np.float64, order)
        self._bits = _sorted(bits, np.uint16, order)
        self.parts.discard("")

    def entry(self, exam: int, location: str) -> Entry:
        """Make the entry of an exam; one that is not in the table has no labels and no patient."""
        at = int(np.searchsorted(self._exam, exam))
        if at == len(self._exam) or self._exam[at] != exam:
            return Entry(str(exam), location)
        bits, age = int(self._bits[at]), float(self._age[at])
        codes = tuple(label for k, label in enumerate(LABELS) if bits >> k & 1)
        sex = "male" if bits >> len(LABELS) & 1 else "female"
        patient = str(self._patient[at])
        return Entry(str(exam), location, patient, None, None if age < 0 else age, sex, codes or (NONE_OF_SIX,))


def _flags(row: dict[str, str], where: str) -> int:
    cells = [*(row.get(label, "") for label in LABELS), row["is_male"]]
    return sum(_truth(cell, where) << k for k, cell in enumerate(cells))


def _truth(cell: str, where: str) -> bool:
    text = cell.strip().lower()
    if text not in _TRUE | _FALSE:
        raise CorpusError(where, f"{cell[:40]!r} is neither true nor false", "fetch exams.csv again")
    return text in _TRUE


def _integer(cell: str, where: str) -> int:
    value = int(text) if (text := cell.strip()).isdigit() and len(text) < 19 else whole(cell, where)
    if value is None:
        raise CorpusError(where, "the exam or its patient has no number", "fetch exams.csv again")
    return value


def _age(cell: str, where: str) -> float:
    value = number(cell, where)
    return -1.0 if value is None or not 0 <= value <= 130 else value


def _sorted(values: array[int] | array[float], dtype: type, order: NDArray[np.int64]) -> NDArray[np.generic]:
    return np.frombuffer(values, dtype)[order] if len(values) else np.zeros(0, dtype)
