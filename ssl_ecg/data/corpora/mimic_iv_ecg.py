"""MIMIC-IV-ECG: some 800,000 unlabelled clinical recordings of 10 s from 160,000 patients."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl_ecg.data.corpora.base import Corpus, Entry, with_entry
from ssl_ecg.data.corpora.tables import identity, read_rows
from ssl_ecg.data.readers import read_record
from ssl_ecg.data.record import Record
from ssl_ecg.errors import CorpusError

TABLE = "record_list.csv"


class MIMICIVECG(Corpus):
    """MIMIC-IV-ECG 1.0, diagnostic electrocardiogram matched subset.

    Records are named by their study. There are no folds and no codes.

    References
    ----------
    Gow et al. 2023, doi 10.13026/4nqg-sb35.
    """

    name = "mimic_iv_ecg"
    title = "MIMIC-IV-ECG: Diagnostic Electrocardiogram Matched Subset"
    licence = "ODbL 1.0"
    doi = "10.13026/4nqg-sb35"
    url = "https://physionet.org/files/mimic-iv-ecg/1.0/"

    @classmethod
    def detect(cls, root: Path) -> bool:
        """Tell whether ``record_list.csv`` is in `root`."""
        return (root / TABLE).is_file()

    def entries(self) -> Iterator[Entry]:
        """Give the records in the order of the table, which is read row by row.

        Raises
        ------
        CorpusError
            If the table is missing or malformed.
        """
        path = self.root / TABLE
        remedy = "give the folder that holds it, or fetch it with `ssl-ecg download mimic_iv_ecg`"
        empty = True
        for row in read_rows(path, ("subject_id", "study_id", "path"), remedy=remedy):
            empty = False
            record_id, location = identity(row["study_id"]), row["path"].strip()
            if record_id is None or not location:
                raise CorpusError(str(path), f"a row has no study or path: {row}"[:200], "fetch it again")
            yield self._folded(Entry(record_id, f"{location}.hea", identity(row["subject_id"])))
        if empty:
            raise CorpusError(str(path), "the table has no rows", "fetch it again")

    def read(self, entry: Entry) -> Record:
        """Read one recording."""
        return with_entry(read_record(self._path(entry)), entry)
