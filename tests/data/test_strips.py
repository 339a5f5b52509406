from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ssl_ecg.data.archive import Archive
from ssl_ecg.data.prepare import prepare
from ssl_ecg.data.record import Record
from ssl_ecg.data.strips import Strips, identity
from ssl_ecg.errors import ArchiveError

LENGTHS = (1000, 1200, 300, 1000, 2050, 500, 1000)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Ramps: sample t of lead k of record i is t / 1000 + k + 10 i mV; record 3 has a gap, record 6 one lead."""
    records = []
    for i, n in enumerate(LENGTHS):
        signal = (np.arange(n) / 1000 + np.arange(3)[:, None] + 4 * i).astype(np.float32)
        if i == 3:
            signal[1, 200:800] = np.nan
        leads: tuple[str, ...] = ("V1", "V2", "V3")
        if i == 6:
            signal, leads = signal[:1], ("V1",)
        records.append(Record(signal, 100, leads, f"r{i}", f"p{i // 2}"))
    out = tmp_path_factory.mktemp("strips") / "a"
    return prepare(records, out, leads="V1,V2,V3", band=None, workers=1, progress=False, shard_records=3)


@pytest.mark.parametrize("crop", ["random", "center", "grid"])
@pytest.mark.parametrize("seconds", [5, 10])
def test_strips_are_windows_of_the_archive(archive: Archive, crop: str, seconds: float) -> None:
    strips = Strips(archive, seconds, crop=crop)
    batch = strips.__getitems__(list(range(len(strips))))
    assert batch["signal"].shape == (len(strips), 3, int(100 * seconds))
    assert batch["signal"].dtype == torch.float32
    for k in range(len(strips)):
        row, start = int(batch["row"][k]), int(batch["start"][k])
        window = archive.read(row)[:, start : start + strips.length]
        expected = np.zeros((3, strips.length), np.float32)
        expected[:, : window.shape[1]] = np.nan_to_num(window)
        np.testing.assert_array_equal(batch["signal"][k], expected)
        assert window.shape[1] == min(strips.length, LENGTHS[row])
    assert torch.isfinite(batch["signal"]).all()


def test_batch_and_items_agree(archive: Archive) -> None:
    strips = Strips(archive, 4, crop="grid", stride=3)
    batch = strips.__getitems__([0, 5, 2])
    for k, item in enumerate((0, 5, 2)):
        for name, value in strips[item].items():
            torch.testing.assert_close(value, batch[name][k])
    assert {name: value.dtype for name, value in batch.items()} == {
        "signal": torch.float32,
        "lead_mask": torch.bool,
        "row": torch.int64,
        "patient": torch.int64,
        "length": torch.int64,
        "start": torch.int64,
    }


def test_what_comes_with_a_strip(archive: Archive) -> None:
    batch = Strips(archive, 5, rows=[6, 1, 0], crop="center").__getitems__([0, 1, 2])
    assert batch["row"].tolist() == [6, 1, 0]
    assert batch["patient"].tolist() == [3, 0, 0]
    assert batch["lead_mask"].tolist() == [[True, False, False], [True] * 3, [True] * 3]
    assert batch["start"].tolist() == [250, 350, 250]
    assert (batch["signal"][0, 1:] == 0).all()


def test_a_grid_covers_every_sample_once_and_the_end(archive: Archive) -> None:
    strips = Strips(archive, 4, crop="grid")
    assert strips.starts is not None
    for row, n in enumerate(LENGTHS):
        starts = strips.starts[strips.record_rows == row]
        covered = np.unique(np.concatenate([np.arange(s, min(s + 400, n)) for s in starts]))
        np.testing.assert_array_equal(covered, np.arange(n))
        assert (np.diff(starts) > 0).all()
        assert (np.diff(starts)[:-1] == 400).all()


def test_a_grid_of_chosen_rows_with_a_stride(archive: Archive) -> None:
    strips = Strips(archive, 5, rows=[4, 2], crop="grid", stride=6)
    assert strips.record_rows.tolist() == [4, 4, 4, 4, 2]
    assert strips.starts is not None
    assert strips.starts.tolist() == [0, 600, 1200, 1550, 0]


class TestRandom:
    def test_follows_the_seed_and_nothing_else(self, archive: Archive) -> None:
        def draw(seed: int) -> list[int]:
            torch.manual_seed(seed)
            return list(Strips(archive, 2).__getitems__([0, 1, 3, 4])["start"].tolist())

        first = draw(3)
        assert draw(3) == first
        assert draw(4) != first

    def test_every_start_is_as_likely(self, archive: Archive) -> None:
        torch.manual_seed(0)
        strips = Strips(archive, 9.98)  # three places in ten seconds
        starts = strips.__getitems__([0] * 6000)["start"]
        counts = torch.bincount(starts, minlength=3)
        assert len(counts) == 3
        assert ((counts - 2000).abs() < 200).all()

    def test_short_records_begin_at_their_start(self, archive: Archive) -> None:
        assert Strips(archive, 10).__getitems__([2, 5])["start"].tolist() == [0, 0]

    @pytest.mark.parametrize("workers", [0, 2])
    def test_each_worker_and_epoch_draws_its_own(self, archive: Archive, workers: int) -> None:
        strips = Strips(archive, 1, rows=[4] * 64)
        loader = DataLoader(
            strips, 16, num_workers=workers, collate_fn=identity, generator=torch.Generator().manual_seed(0)
        )
        torch.manual_seed(0)
        epochs = [[tuple(batch["start"].tolist()) for batch in loader] for _ in range(2)]
        assert len({starts for epoch in epochs for starts in epoch}) == 8
        torch.manual_seed(0)
        loader.generator = torch.Generator().manual_seed(0)
        again = [[tuple(batch["start"].tolist()) for batch in loader] for _ in range(2)]
        assert again == epochs


def test_a_loader_gets_whole_batches(archive: Archive) -> None:
    loader = DataLoader(Strips(archive, 2, crop="grid"), 5, collate_fn=identity, shuffle=True)
    batches = list(loader)
    assert batches[0]["signal"].shape == (5, 3, 200)
    assert sum(len(batch["row"]) for batch in batches) == len(loader.dataset)  # type: ignore[arg-type]


def test_other_types_and_pickling(archive: Archive) -> None:
    strips = pickle.loads(pickle.dumps(Strips(archive, 2, crop="center", dtype=torch.bfloat16)))
    assert strips[0]["signal"].dtype == torch.bfloat16
    assert strips.__getitems__([]).keys() == strips[0].keys()
    assert strips[-1]["row"] == 6


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": 0.001}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"stride": 0.0}, "seconds"),
        ({"crop": "left"}, "choose from random"),
        ({"rows": [7]}, "rows"),
        ({"rows": [-1]}, "rows"),
    ],
)
def test_impossible(archive: Archive, options: dict[str, object], problem: str) -> None:
    with pytest.raises(ArchiveError, match=problem):
        Strips(archive, **{"seconds": 5, **options})  # type: ignore[arg-type]


def test_items_that_are_not_there(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(IndexError):
        Strips(archive, 5)[7]


def test_targets_come_with_their_strips(archive: Archive) -> None:
    """Targets belong to rows of the archive, whatever rows are chosen; an unknown one is masked."""
    values = np.arange(2 * len(archive), dtype=np.float32).reshape(-1, 2)
    values[1, 0] = np.nan
    strips = Strips(archive, 4, rows=[1, 0], targets=values)
    batch = strips.__getitems__([0, 1])
    assert batch["target"].tolist() == [[0.0, 3.0], [0.0, 1.0]]
    assert batch["target_mask"].tolist() == [[False, True], [True, True]]
    with pytest.raises(ArchiveError, match="targets of shape"):
        Strips(archive, 4, targets=values[1:])
