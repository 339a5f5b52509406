"""The probe that watches a run takes whatever task is one of classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ssl_ecg import Archive, prepare
from ssl_ecg.data.record import Record
from ssl_ecg.errors import LabelError
from ssl_ecg.leads import STANDARD_LEADS
from ssl_ecg.models.registry import build_encoder
from ssl_ecg.preprocessing import Preprocessing
from ssl_ecg.train.online_probe import online_probe
from ssl_ecg.train.selection import open_strips


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    rng = np.random.default_rng(0)
    records = [
        Record(
            rng.normal(size=(12, 300)).astype(np.float32) * (1.0 + k % 2),
            100.0,
            STANDARD_LEADS,
            f"r{k}",
            patient_id=f"p{k}",
            age=30.0 + k,
        )
        for k in range(40)
    ]
    return prepare(records, tmp_path_factory.mktemp("data") / "archive", band=None, workers=1, progress=False)


def test_a_table_of_ones_own(archive: Archive, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("record_id,loud\n" + "".join(f"r{k},{k % 2}\n" for k in range(36)))
    encoder = build_encoder("conv1d", widths=[8, 16]).eval()
    encoder.preprocessing = Preprocessing(100, STANDARD_LEADS, None, "none", 3)
    assert online_probe(archive, open_strips(archive, seconds=3.0), str(table))(encoder) > 0.95
    table.write_text("record_id,loud\n" + "".join(f"r{k},{1 - k % 3 // 2}\n" for k in range(36)))
    assert online_probe(archive, open_strips(archive, seconds=3.0), str(table))(encoder) < 0.9


def test_numbers_are_refused(archive: Archive) -> None:
    with pytest.raises(LabelError, match="is a matter of numbers"):
        online_probe(archive, open_strips(archive), "age")
