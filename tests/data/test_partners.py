"""The second strip that comes with a strip: where it lies and whose it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.partners import PatientRecords, starts_beside
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.strips import Strips
from ssl_ecg.errors import ArchiveError
from ssl_ecg.train.selection import open_strips

LENGTHS = (1000, 1200, 300, 1000, 2050, 500, 700, 1000)
PATIENTS = "abcaadea"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Noise; record 7 has one lead, records 0, 3, 4 and 7 are of one patient, the others each of their own."""
    records = []
    for i, (n, patient) in enumerate(zip(LENGTHS, PATIENTS, strict=True)):
        leads = ("V1",) if i == 7 else ("V1", "V2")
        signal = np.random.default_rng(i).normal(size=(len(leads), n)).astype(np.float32)
        records.append(Record(signal, 100, leads, f"r{i}", patient))
    out = tmp_path_factory.mktemp("partners") / "a"
    return prepare(records, out, leads="V1,V2", band=None, workers=1, progress=False)


def batch_of(strips: Strips, times: int = 50) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return strips.__getitems__(list(range(len(strips))) * times)


@pytest.mark.parametrize("partner", ["window", "patient"])
@pytest.mark.parametrize("crop", ["random", "center", "grid"])
def test_partners_are_windows_of_the_archive(archive: Archive, crop: str, partner: str) -> None:
    strips = Strips(archive, 4, crop=crop, partner=partner)  # type: ignore[arg-type]
    batch = batch_of(strips, 2)
    assert batch["partner"].shape == batch["signal"].shape
    for k in range(len(batch["row"])):
        row, start = int(batch["partner_row"][k]), int(batch["partner_start"][k])
        window = archive.read(row)[:, start : start + 400]
        np.testing.assert_array_equal(batch["partner"][k, :, : window.shape[1]], window)
        assert (batch["partner"][k, :, window.shape[1] :] == 0).all()
        assert int(batch["partner_length"][k]) == window.shape[1] == min(400, LENGTHS[row])
        assert batch["partner_mask"][k].tolist() == archive.lead_mask(row).tolist()
        assert archive.patients[row] == batch["patient"][k]


def test_windows_of_a_record_lie_side_by_side(archive: Archive) -> None:
    batch = batch_of(Strips(archive, 5, partner="window"))
    assert torch.equal(batch["row"], batch["partner_row"])
    for row, n in enumerate(LENGTHS):
        own = batch["row"] == row
        gap = (batch["start"][own] - batch["partner_start"][own]).tolist()
        if n >= 1000:
            assert set(gap) == {-500, 500}
        else:  # as far apart as there is room
            room = max(0, n - 500)
            assert set(gap) == {-room, room}


def test_every_place_has_its_turn(archive: Archive) -> None:
    starts = batch_of(Strips(archive, 9.98, rows=[4], partner="window"), 4000)["start"]
    counts = torch.bincount(starts)  # 2050 samples: pairs of 998 begin at 0 to 54
    expected = [4000 / 110 if s <= 54 or s >= 998 else 0 for s in range(1053)]
    assert len(counts) == 1053
    assert all(abs(int(count) - wanted) < 30 for count, wanted in zip(counts, expected, strict=True))
    assert not counts[55:998].any()


def test_beside_takes_either_side_where_both_are_free() -> None:
    draw = np.linspace(0, 0.999, 1000)
    beside = starts_beside(np.full(1000, 500), np.full(1000, 1500), 500, draw)
    assert np.unique(beside, return_counts=True)[1].tolist() == [500, 500]
    assert set(beside.tolist()) == {0, 1000}


def test_records_of_a_patient_meet_all_others_and_never_themselves(archive: Archive) -> None:
    batch = batch_of(Strips(archive, 5, partner="patient"), 400)
    for row in (0, 3, 4, 7):
        met = torch.bincount(batch["partner_row"][batch["row"] == row], minlength=8)
        assert met[row] == 0
        assert met.nonzero()[:, 0].tolist() == [r for r in (0, 3, 4, 7) if r != row]
        assert ((met[met > 0] - 400 / 3).abs() < 50).all()
    alone = (batch["row"] == 1) | (batch["row"] == 5)
    assert torch.equal(batch["partner_row"][alone], batch["row"][alone])
    gap = (batch["start"] - batch["partner_start"])[batch["row"] == 1]
    assert set(gap.abs().tolist()) == {500}, "the window beside it, where the patient has one record"


def test_only_records_in_use_become_partners(archive: Archive) -> None:
    batch = batch_of(Strips(archive, 5, rows=[4, 0, 4, 2], partner="patient"))
    assert set(batch["partner_row"][batch["row"] == 4].tolist()) == {0}
    assert set(batch["partner_row"][batch["row"] == 0].tolist()) == {4}


def test_others_are_drawn_as_a_loop_would() -> None:
    generator = np.random.default_rng(0)
    patients = generator.integers(0, 30, 200)
    rows = generator.choice(200, 150, replace=False)
    draw = generator.random(150)
    chosen = PatientRecords(rows, patients).others(rows, draw)
    for row, u, got in zip(rows.tolist(), draw.tolist(), chosen.tolist(), strict=True):
        mates = sorted(r for r in rows.tolist() if patients[r] == patients[row] and r != row)
        assert got == (mates[int(u * len(mates))] if mates else row)


def test_partners_follow_the_seed(archive: Archive) -> None:
    strips = Strips(archive, 2, partner="patient")
    first, again = batch_of(strips), batch_of(strips)
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_without_partner_nothing_changes(archive: Archive) -> None:
    batch = batch_of(Strips(archive, 5))
    assert not [name for name in batch if name.startswith("partner")]
    torch.manual_seed(0)
    where = torch.rand(len(batch["row"]), dtype=torch.float64)
    room = (torch.tensor(LENGTHS) - 500).clamp(min=0).repeat(50)
    assert torch.equal(batch["start"], (where * (room + 1)).long().minimum(room))


def test_partner_in_a_recipe(archive: Archive, tmp_path: Path) -> None:
    assert open_strips(archive, seconds=5, partner="patient").partner == "patient"
    with pytest.raises(ArchiveError, match="unknown partner 'twin'"):
        Strips(archive, 5, partner="twin")  # type: ignore[arg-type]
