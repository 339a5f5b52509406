"""PhysioNet/CinC Challenge 2011, set A: 998 recordings of 10 s with their quality."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry
from ssl_ecg.data.corpora.headers import walk
from ssl_ecg.data.corpora.tables import read_rows
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError

LABELS = ("acceptable", "unacceptable", "indeterminate")
_TABLE = "records.csv"
_SET = "set-a"


class CinC2011(Corpus):
    """Set A of the challenge on the quality of ECGs recorded with mobile phones.

    The one code of a record is "acceptable", "unacceptable" or "indeterminate". Labels are read from the
    published lists ``RECORDS-acceptable`` and ``RECORDS-unacceptable`` (a record in neither is
    indeterminate), or from a table ``records.csv`` with columns ``id`` and ``label``. Patients are unknown.

    References
    ----------
    Silva, Moody and Celi 2011, Improving the quality of ECGs collected using mobile phones: the
    PhysioNet/Computing in Cardiology Challenge 2011, Computing in Cardiology 38:273-276.
    """

    name = "cinc2011"
    title = "PhysioNet/CinC Challenge 2011, set A"
    licence = "ODC-By 1.0"
    doi = ""
    url = "https://physionet.org/files/challenge-2011/1.0.0/"
    subset = ("set-a/*",)

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether the lists of records, or a table with their quality, are in `root`."""
        if any((folder / "RECORDS-acceptable").is_file() for folder in (root, root / _SET)):
            return True
        if not (root / _TABLE).is_file():
            return False
        try:
            first = next(read_rows(root / _TABLE, ("id", "label")), {})
        except CorpusError:
            return False
        return first.get("label") in LABELS

    def entries(self) -> Iterator[Entry]:
        """Give the records in the order of their list.

        Raises
        ------
        CorpusError
            If there is no list of labels, or a label is unknown.
        """
        empty = True
        prefix = f"{_SET}/" if (self.root / _SET).is_dir() else ""
        for record_id, label in self._labelled(self.root / prefix):
            empty = False
            yield self._folded(Entry(record_id, f"{prefix}{record_id}.hea", codes=(label,)))
        if empty:
            raise CorpusError(str(self.root), "no records are listed", "fetch RECORDS again")

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        return with_entry(read_record(self._path(entry)), entry)

    def _labelled(self, folder: Path) -> Iterator[tuple[str, str]]:
        for table in (folder / _TABLE, self.root / _TABLE):
            if table.is_file():
                yield from _from_table(table)
                return
        quality: dict[str, str] = {}
        for label in LABELS[:2]:
            path = folder / f"RECORDS-{label}"
            if not path.is_file():
                remedy = "fetch it with `ssl-ecg download cinc2011`; set B has no labels"
                raise CorpusError(str(path), "no such list of records", remedy)
            quality |= dict.fromkeys(read_list(path), label)
        listed = folder / "RECORDS"
        names = read_list(listed) if listed.is_file() else [name[:-4] for name in walk(folder, (".hea",))]
        for name in names:
            yield name, quality.get(name, LABELS[2])


def read_list(path: Path) -> list[str]:
    """Read a list of record names, one a line.

    Raises
    ------
    CorpusError
        If the list cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise CorpusError(str(path), f"cannot read the list of records: {error}", "fetch it again") from error
    return [line.strip() for line in lines if line.strip()]


def _from_table(table: Path) -> Iterator[tuple[str, str]]:
    for row in read_rows(table, ("id", "label")):
        label = row["label"].strip()
        if label not in LABELS:
            problem = f"record {row['id']} has the label {label[:40]!r}"
            raise CorpusError(str(table), problem, f"labels are {', '.join(LABELS)}")
        yield row["id"].strip(), label
